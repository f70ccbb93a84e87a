import TestSupport
import XCTest

@testable import TensorCompression

/// Counts of nearly zero and of different elements, beside a set of all elements.
final class WeightStatisticsTests: XCTestCase {
    private func find<Element>(
        _ elements: [Element], _ type: FloatType, threads: Int = 3
    ) throws -> WeightStatistics {
        try elements.withUnsafeBytes { bytes in
            let base = try XCTUnwrap(bytes.baseAddress)
            return try weightStatistics(
                TensorView(base: base, type: type, shape: [elements.count]), pool: WorkPool(threads: threads))
        }
    }

    func testSpecialFloats() throws {
        let values: [Float] = [
            0, -0.0, .nan, -.nan, Float(bitPattern: 0x7f80_0001), Float(bitPattern: 0xffc0_1234), .infinity, -.infinity,
            1e-12,
            -1e-12, 1.1e-12, -1, -1, 1,
        ]
        // 0, NaN, two infinities, 1e-12, -1e-12, 1.1e-12, -1, 1
        XCTAssertEqual(try find(values, .float32), WeightStatistics(nearZero: 4, distinct: 9))
        let doubles = values.map(Double.init) + [1e-12, 1e-13]
        // Widened, Float(1e-12) is less than 1e-12.
        XCTAssertEqual(try find(doubles, .float64), WeightStatistics(nearZero: 6, distinct: 11))
        let halves: [UInt16] = [0, 0x8000, 0x7c01, 0xfe00, 0x7c00, 0xfc00, 1, 0x8001, 0x3c00, 0x3c00]
        XCTAssertEqual(try find(halves, .float16), WeightStatistics(nearZero: 2, distinct: 7))
        let negative: [Float] = [-.nan, -1]
        XCTAssertEqual(try find(negative, .float32), WeightStatistics(nearZero: 0, distinct: 2))
        XCTAssertEqual(try find([Float.nan, -.nan], .float32), WeightStatistics(nearZero: 0, distinct: 1))
    }

    func testBytes() throws {
        let bytes: [UInt8] = [0, 128, 128, 255, 0, 7, 0]
        let found = try bytes.withUnsafeBufferPointer { buffer in
            try weightStatistics(
                bytes: XCTUnwrap(buffer.baseAddress), count: buffer.count, pool: WorkPool(threads: 1))
        }
        XCTAssertEqual(found, WeightStatistics(nearZero: 3, distinct: 4))
        XCTAssertThrowsError(try weightStatistics(bytes: bytes, count: -1, pool: WorkPool(threads: 1)))
    }

    /// Sizes around those at which work is cut up, and any number of threads.
    func testBesideASet() throws {
        var generator = SeededGenerator(seed: 42)
        for count in [1, 2, 255, 65_537, (1 << 18) - 1, 1 << 18, 700_001] {
            let halves = (0..<count).map { _ in UInt16(truncatingIfNeeded: generator.next() % 0x7c00) }
            let floats = (0..<count).map { _ in Float(Int64(generator.next() % 100_000) - 50_000) / 8 }
            let zeros = floats.filter { $0 == 0 }.count
            for threads in [1, 2, 5] {
                XCTAssertEqual(
                    try find(halves, .float16, threads: threads),
                    WeightStatistics(nearZero: halves.filter { $0 == 0 }.count, distinct: Set(halves).count))
                XCTAssertEqual(
                    try find(floats, .float32, threads: threads),
                    WeightStatistics(nearZero: zeros, distinct: Set(floats).count))
                XCTAssertEqual(
                    try find(floats.map(Double.init), .float64, threads: threads),
                    WeightStatistics(nearZero: zeros, distinct: Set(floats).count))
            }
        }
    }

    func testNothingAndTooMuch() throws {
        let none: [Float] = [1]
        try none.withUnsafeBytes { bytes in
            let base = try XCTUnwrap(bytes.baseAddress)
            let pool = WorkPool(threads: 1)
            let empty = TensorView(base: base, type: .float32, shape: [3, 0])
            XCTAssertEqual(try weightStatistics(empty, pool: pool), WeightStatistics(nearZero: 0, distinct: 0))
            XCTAssertThrowsError(
                try weightStatistics(TensorView(base: base, type: .float32, shape: [1 << 32]), pool: pool))
            XCTAssertThrowsError(try weightStatistics(TensorView(base: base, type: .float32, shape: [-1]), pool: pool))
        }
    }
}
