import TestSupport
import XCTest

@testable import TensorCompression

final class PackBitsTests: XCTestCase {
    private func pack(_ codes: [UInt8], _ nbits: Int, signed: Bool = false, threads: Int = 1) throws -> [UInt8] {
        let packed = Bytes(try packedByteCount(count: codes.count, nbits: nbits))
        try packBits(
            Bytes(codes).bytePointer, count: codes.count, nbits: nbits, signed: signed,
            into: packed.pointer.assumingMemoryBound(to: UInt8.self), pool: WorkPool(threads: threads))
        return packed.array
    }

    func testLargeArraysOnAnyThreads() throws {
        var random = SeededGenerator(seed: 31)
        for nbits in 1...8 {
            let codes = (0..<200_011).map { _ in UInt8.random(in: 0...255, using: &random) >> UInt8(8 - nbits) }
            let one = try pack(codes, nbits)
            for threads in [2, 3, 8] { XCTAssertTrue(try pack(codes, nbits, threads: threads) == one) }
            let back = Bytes(codes.count)
            try unpackBits(
                Bytes(one).bytePointer, byteCount: one.count, count: codes.count, nbits: nbits,
                into: back.pointer.assumingMemoryBound(to: UInt8.self), pool: WorkPool(threads: 3))
            XCTAssertTrue(back.array == codes)
        }
    }

    func testCodesOutOfRange() throws {
        for nbits in 1...7 {
            var codes = [UInt8](repeating: 0, count: 70_000)
            codes[66_000] = 1 << nbits
            XCTAssertThrowsError(try pack(codes, nbits, threads: 3)) {
                XCTAssertEqual(($0 as? CompressionError)?.kind, .invalidArgument)
                XCTAssertTrue("\($0)".contains("found \(1 << nbits) at 66000, allowed 0 to"), "\($0)")
            }
            for bad in [-(1 << (nbits - 1)) - 1, 1 << (nbits - 1)] {
                codes[66_000] = UInt8(bitPattern: Int8(bad))
                XCTAssertThrowsError(try pack(codes, nbits, signed: true)) {
                    XCTAssertTrue("\($0)".contains("found \(bad) at 66000"), "\($0)")
                }
            }
        }
        XCTAssertEqual(try pack([255, 128], 8), [255, 128])
        XCTAssertEqual(try pack([], 3), [])
    }

    func testArguments() {
        for nbits in [-1, 0, 9] { XCTAssertThrowsError(try packedByteCount(count: 1, nbits: nbits)) }
        for count in [-1, Int.max] { XCTAssertThrowsError(try packedByteCount(count: count, nbits: 1)) }
        let space = Bytes(16)
        XCTAssertThrowsError(
            try unpackBits(
                space.bytePointer, byteCount: 2, count: 6, nbits: 3,
                into: space.pointer.assumingMemoryBound(to: UInt8.self) + 8, pool: WorkPool(threads: 1))
        ) { XCTAssertTrue("\($0)".contains("found 2 bytes, 6 codes of 3 bits take 3"), "\($0)") }
    }
}
