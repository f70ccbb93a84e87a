import CompressionKernels
import TestSupport
import XCTest

final class StatisticsTests: XCTestCase {
    func testFirstNonFinite() {
        let halves: [UInt16] = [0x7bff, 0xfbff, 0x0001, 0x8000]
        XCTAssertEqual(firstNonFinite(halves, 4, true), -1)
        for (pattern, isNaN) in [(UInt16(0x7c00), false), (0xfc00, false), (0x7c01, true), (0xfe00, true)] {
            for place in [0, 1, 2047, 2048, 4999] {
                var data = [UInt16](repeating: 0x3c00, count: 5000)
                data[place] = pattern
                XCTAssertEqual(firstNonFinite(data, 5000, true), place)
                XCTAssertEqual(firstNonFinite(data, 5000, false), isNaN ? place : -1)
                let floats = data.map { floatValue(half: $0) }
                XCTAssertEqual(firstNonFinite(floats, 5000, true), place)
                XCTAssertEqual(firstNonFinite(floats, 5000, false), isNaN ? place : -1)
                let doubles = floats.map { Double($0) }
                XCTAssertEqual(firstNonFinite(doubles, 5000, true), place)
                XCTAssertEqual(firstNonFinite(doubles, 5000, false), isNaN ? place : -1)
            }
        }
    }

    func testBadImportance() {
        XCTAssertEqual(firstBadImportance([0, -0.0, 1, .greatestFiniteMagnitude] as [Float], 4), -1)
        XCTAssertEqual(firstBadImportance([0, -0.0, 1, .greatestFiniteMagnitude] as [Double], 4), -1)
        for bad in [-Float.leastNonzeroMagnitude, .nan, .infinity, -1] {
            XCTAssertEqual(firstBadImportance([1, 0, bad, bad], 4), 2)
            XCTAssertEqual(firstBadImportance([1, 0, Double(bad), 2], 4), 2)
        }
    }

    func testSumErrors() {
        var random = SeededGenerator(seed: 3)
        for count in [0, 1, 2, 3, 4, 5, 100, 1023] {
            let original = (0..<count).map { _ in Double.random(in: -2...2, using: &random) }
            let decoded = original.map { $0 + Double.random(in: -0.1...0.1, using: &random) }
            var sums = [Double](repeating: -1, count: 3)
            sumErrors(original, decoded, count, &sums)
            let squares = zip(original, decoded).map { ($0 - $1) * ($0 - $1) }
            XCTAssertEqual(sums[0], squares.reduce(0, +), accuracy: 1e-12)
            XCTAssertEqual(sums[1], original.map { $0 * $0 }.reduce(0, +), accuracy: 1e-10)
            XCTAssertEqual(sums[2], zip(original, decoded).map { abs($0 - $1) }.max() ?? 0)
        }
        // The greatest error is exact even where its square is not representable.
        var sums = [0.0, 0, 0]
        sumErrors([1e-300, 0, 0, 0, 0] as [Double], [-2e-300, 0, 0, 0, 1e-305], 5, &sums)
        XCTAssertEqual(sums[2], 3e-300)
        var work = [Float](repeating: 0, count: 4)
        sumErrors([0x7bff, 0x0001] as [UInt16], [0xfbff, 0x0000], 2, &work, &sums)
        XCTAssertEqual(sums[2], 131008)
    }

    func testScale() {
        XCTAssertEqual(greatestMagnitude([0x8001, 0xc000, 0x3c00] as [UInt16], 3), 0x4000)
        XCTAssertEqual(greatestMagnitude([-3, 2, 0.5] as [Float], 3), 3)
        XCTAssertEqual(greatestMagnitude([-3, 2, -0.0] as [Double], 3), 3)
        XCTAssertEqual(greatestMagnitude([] as [Float], 0), 0)
        var greatest: [Float] = [1, 5, 0]
        raiseMagnitudes([-2, 3, -0.0], 3, &greatest)
        XCTAssertEqual(greatest, [2, 5, 0])
        var result = [UInt16](repeating: 0, count: 2)
        // 1/3 and 65504/3 in binary16.
        divideByScale([0x3c00, 0x7bff], 2, [0x4200], 0, &result)
        XCTAssertEqual(result, [0x3555, 0x7555])
        multiplyByScale([0x3555, 0x7bff], 2, [0x4200, 0x4000], 1, &result)
        XCTAssertEqual(result, [0x3c00, 0x7c00])
    }
}
