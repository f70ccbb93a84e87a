import CompressionKernels
import TestSupport
import XCTest

final class BitPackingTests: XCTestCase {
    /// One bit after the other.
    private func naivePack(_ codes: [UInt8], _ nbits: Int) -> [UInt8] {
        var packed = [UInt8](repeating: 0, count: (codes.count * nbits + 7) / 8)
        for (i, code) in codes.enumerated() {
            for bit in 0..<nbits where code >> bit & 1 != 0 {
                packed[(i * nbits + bit) / 8] |= 1 << ((i * nbits + bit) % 8)
            }
        }
        return packed
    }

    func testEveryWidthAndManyLengths() {
        var random = SeededGenerator(seed: 1)
        for nbits in 1...8 {
            for count in Array(0...140) + [1000] {
                // High bits must be ignored.
                let codes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                let expected = naivePack(codes, nbits)
                XCTAssertEqual(packedByteCount(count, nbits), expected.count)
                var packed = [UInt8](repeating: 0xee, count: expected.count + 1)
                packCodes(codes, count, nbits, &packed)
                XCTAssertEqual(packed, expected + [0xee], "\(nbits) bits, \(count) codes")
                var back = [UInt8](repeating: 0xee, count: count + 1)
                unpackCodes(expected, count, nbits, false, &back)
                let mask = UInt8(truncatingIfNeeded: (1 << nbits) - 1)
                XCTAssertEqual(back, codes.map { $0 & mask } + [0xee], "\(nbits) bits, \(count) codes")
                unpackCodes(expected, count, nbits, true, &back)
                let shift = UInt8(8 - nbits)
                let signed = codes.map { UInt8(bitPattern: Int8(bitPattern: $0 << shift) >> Int8(shift)) }
                XCTAssertEqual(back, signed + [0xee], "\(nbits) bits signed, \(count) codes")
            }
        }
    }

    /// Every sequence of three codes at each width, and of nine at one bit.
    func testExhaustive() {
        for nbits in 1...4 {
            let width = 1 << nbits
            for number in 0..<(width * width * width) {
                let codes = [number % width, number / width % width, number / width / width].map { UInt8($0) }
                var packed = [UInt8](repeating: 0, count: packedByteCount(3, nbits))
                packCodes(codes, 3, nbits, &packed)
                XCTAssertEqual(packed, naivePack(codes, nbits))
            }
        }
        for number in 0..<512 {
            let codes = (0..<9).map { UInt8(number >> $0 & 1) }
            var packed: [UInt8] = [0, 0]
            packCodes(codes, 9, 1, &packed)
            XCTAssertEqual(packed, [UInt8(number & 255), UInt8(number >> 8)])
        }
    }

    func testRanges() {
        XCTAssertEqual(unionOfBits([1, 2, 8], 3), 11)
        XCTAssertEqual(unionOfBits([], 0), 0)
        XCTAssertTrue(signedRange([-3, 5, 0], 3) == (-3, 5))
        XCTAssertTrue(signedRange([], 0) == (0, 0))
    }
}
