import TestSupport
import XCTest

@testable import TensorCompression

final class ExactKMeans1DTests: XCTestCase {
    private func run(
        _ values: [Double], _ weights: [Double]? = nil, k: Int, threads: Int = 1
    ) throws -> (result: KMeans1DResult, labels: [Int32]) {
        var labels = [Int32](repeating: -1, count: values.count)
        let weightBytes = weights.map { Bytes($0) }
        let result = try exactKMeans1D(
            values, weights: weightBytes.map { UnsafePointer($0.pointer.assumingMemoryBound(to: Double.self)) },
            count: values.count, k: k, labels: &labels, pool: WorkPool(threads: threads))
        return (result, labels)
    }

    func testAnyOrderAndDuplicates() throws {
        let (result, labels) = try run([5, 1, 1.5, -0.0, 5, 0, 9], k: 3)
        XCTAssertEqual(result.centroids, [0.625, 5, 9])
        XCTAssertEqual(labels, [1, 0, 0, 0, 1, 0, 2])
        XCTAssertEqual(result.inertia, 0.375 * 0.375 + 0.875 * 0.875 + 2 * 0.625 * 0.625)
        XCTAssertEqual(try run([2, 2, 2], k: 5).result.centroids, [2])
        XCTAssertEqual(try run([2, 2, 2], k: 5).labels, [0, 0, 0])
        XCTAssertEqual(try run([3, 1], k: Int.max).result.centroids, [1, 3])
        XCTAssertEqual(try run([4], k: 1).result, KMeans1DResult(centroids: [4], inertia: 0))
    }

    /// The least cost over every way to cut the sorted values.
    func testIsOptimal() throws {
        var random = SeededGenerator(seed: 21)
        for _ in 0..<300 {
            let count = Int.random(in: 1...9, using: &random)
            let values = (0..<count).map { _ in Double(Int.random(in: -20...20, using: &random)) }
            let weights = (0..<count).map { _ in Double(Int.random(in: 1...5, using: &random)) }
            let k = Int.random(in: 1...4, using: &random)
            let order = values.indices.sorted { values[$0] < values[$1] }
            func cost(_ range: Range<Int>) -> Double {
                let total = range.reduce(0) { $0 + weights[order[$1]] }
                let mean = range.reduce(0) { $0 + weights[order[$1]] * values[order[$1]] } / total
                return range.reduce(0) {
                    $0 + weights[order[$1]] * (values[order[$1]] - mean) * (values[order[$1]] - mean)
                }
            }
            func best(_ end: Int, _ parts: Int) -> Double {
                if parts == 1 { return cost(0..<end) }
                return (0..<end).map { cost($0..<end) + ($0 == 0 ? 0 : best($0, parts - 1)) }.min() ?? 0
            }
            let (result, labels) = try run(values, weights, k: k)
            XCTAssertEqual(result.inertia, best(count, k), accuracy: 1e-9)
            XCTAssertLessThanOrEqual(result.centroids.count, k)
            XCTAssertEqual(result.centroids, result.centroids.sorted())
            let sum = values.indices.reduce(0.0) { sum, i in
                let distance = values[i] - result.centroids[Int(labels[i])]
                return sum + weights[i] * distance * distance
            }
            XCTAssertEqual(sum, result.inertia, accuracy: 1e-9)
        }
    }

    func testThreadsDoNotMatter() throws {
        var random = SeededGenerator(seed: 22)
        let values = (0..<400_000).map { _ in (Double.random(in: -1...1, using: &random) * 3000).rounded() / 3000 }
        let weights = values.map { _ in Double.random(in: 0...1, using: &random) }
        let one = try run(values, weights, k: 7)
        for threads in [2, 3, 8] {
            let other = try run(values, weights, k: 7, threads: threads)
            XCTAssertEqual(one.result, other.result)
            XCTAssertTrue(one.labels == other.labels)
        }
    }

    func testZeroWeights() throws {
        let (result, labels) = try run([0, 1, 10, 11, 5.5, -50, 50], [1, 1, 1, 1, 0, 0, 0], k: 2)
        XCTAssertEqual(result.centroids, [0.5, 10.5])
        XCTAssertEqual(labels, [0, 0, 1, 1, 0, 0, 1])
        XCTAssertEqual(result.inertia, 1)
        XCTAssertEqual(try run([1, 2, 9], [0, 0, 0], k: 2).result, try run([1, 2, 9], k: 2).result)
    }

    func testArguments() {
        for (values, weights, k, words) in [
            ([1, .nan], nil, 1, "element 1 is nan"), ([.infinity], nil, 1, "element 0 is inf"),
            ([1, 2], [1, -1], 1, "weights: element 1 is -1"), ([1, 2], [.nan, 1], 1, "weights: element 0 is nan"),
            ([1, 2], nil, 0, "k: found 0"), ([], nil, 1, "found 0 elements"),
        ] as [([Double], [Double]?, Int, String)] {
            XCTAssertThrowsError(try run(values, weights, k: k)) {
                XCTAssertEqual(($0 as? CompressionError)?.kind, .invalidArgument)
                XCTAssertTrue("\($0)".contains(words), "\($0)")
            }
        }
    }
}
