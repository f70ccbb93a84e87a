import TestSupport
import XCTest

@testable import TensorCompression

/// Weighted k-means in little memory against the solver that keeps all sums.
final class StreamedClustersTests: XCTestCase {
    private let count = 1 << 18

    private struct Found: Equatable {
        var centroids: [Double]
        var thresholds: [Float]
    }

    /// Nil where it leaves the work to the other way.
    private func stream(_ values: [Float], _ importance: [Float], _ limit: Int, threads: Int) throws -> Found? {
        var found = Found(
            centroids: Array(repeating: 0, count: limit), thresholds: Array(repeating: 0, count: limit - 1))
        let isDone = try found.centroids.withUnsafeMutableBufferPointer { centroids in
            try found.thresholds.withUnsafeMutableBufferPointer { thresholds in
                try Float.streamedClusters(
                    values, values.count, importance, limit, WorkPool(threads: threads), "palettize",
                    centroids: XCTUnwrap(centroids.baseAddress), thresholds: XCTUnwrap(thresholds.baseAddress))
            }
        }
        return isDone ? found : nil
    }

    private func inertia(_ values: [Float], _ importance: [Float], _ found: Found) -> Double {
        var sum = 0.0
        for (value, weight) in zip(values, importance) {
            var (low, high) = (0, found.centroids.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                if found.thresholds[middle - 1] <= value { low = middle } else { high = middle }
            }
            let distance = Double(value) - found.centroids[low]
            sum += Double(weight) * distance * distance
        }
        return sum
    }

    private func normal(_ generator: inout SeededGenerator) -> Float {
        let (u, v) = (Double.random(in: 1e-12..<1, using: &generator), Double.random(in: 0..<1, using: &generator))
        return Float((-2 * log(u)).squareRoot() * cos(2 * Double.pi * v))
    }

    private func cases() -> [(name: String, values: [Float], importance: [Float])] {
        var generator = SeededGenerator(seed: 11)
        func make(_ body: (inout SeededGenerator) -> (Float, Float)) -> ([Float], [Float]) {
            let pairs = (0..<count).map { _ in body(&generator) }
            return (pairs.map(\.0), pairs.map(\.1))
        }
        let squares = make { (normal(&$0), Float.random(in: 0.01...1, using: &$0)) }
        let shifted = make { (1000 + normal(&$0), Float.random(in: 0.01...1, using: &$0)) }
        let holes = make { (normal(&$0), Bool.random(using: &$0) ? 0 : Float.random(in: 0...1, using: &$0)) }
        let decades = make { (normal(&$0), pow(10, Float.random(in: -30...0, using: &$0))) }
        return [
            ("squares", squares.0, squares.1), ("shifted", shifted.0, shifted.1), ("holes", holes.0, holes.1),
            ("decades", decades.0, decades.1),
        ]
    }

    func testLeastCost() throws {
        for (name, values, importance) in cases() {
            for limit in [4, 16, 64] {
                let found = try XCTUnwrap(try stream(values, importance, limit, threads: 1), "\(name), \(limit)")
                let wide = values.map(Double.init)
                let best = try exactKMeans1D(
                    wide, weights: importance.map(Double.init), count: count, k: limit, pool: WorkPool(threads: 2))
                let cost = inertia(values, importance, found)
                XCTAssertLessThanOrEqual(cost, best.inertia * (1 + 1e-9), "\(name), \(limit)")
                // There the reference's arithmetic, which has to be kept, loses weights in its sums.
                if name == "decades" { continue }
                XCTAssertEqual(cost, best.inertia, accuracy: 1e-7 * best.inertia, "\(name), \(limit)")
                for (mine, expected) in zip(found.centroids, best.centroids) {
                    XCTAssertEqual(mine, expected, accuracy: 1e-5 * abs(expected) + 1e-12, "\(name), \(limit)")
                }
            }
        }
    }

    /// An element without weight goes to the nearest centroid.
    func testElementsWithoutWeight() throws {
        let (_, values, importance) = cases()[2]
        let found = try XCTUnwrap(try stream(values, importance, 16, threads: 1))
        for (value, weight) in zip(values, importance) where weight == 0 {
            let cluster = found.thresholds.filter { $0 <= value }.count
            let own = abs(Double(value) - found.centroids[cluster])
            for centroid in found.centroids { XCTAssertLessThanOrEqual(own, abs(Double(value) - centroid)) }
        }
    }

    func testThreadsAndKernels() throws {
        let (_, values, importance) = cases()[0]
        let expected = try stream(values, importance, 16, threads: 1)
        for threads in [2, 3, 8] {
            XCTAssertEqual(try stream(values, importance, 16, threads: threads), expected)
        }
        let chosen = usesV3Kernels
        usesV3Kernels = false
        defer { usesV3Kernels = chosen }
        XCTAssertEqual(try stream(values, importance, 16, threads: 1), expected)
    }

    func testEqualValuesShareACluster() throws {
        let (_, values, importance) = cases()[0]
        // Pairs of equal values with weights that differ much.
        let pairs = values.prefix(count / 2) + values.prefix(count / 2)
        let found = try XCTUnwrap(try stream(Array(pairs), importance, 16, threads: 1))
        let best = try exactKMeans1D(
            pairs.map(Double.init), weights: importance.map(Double.init), count: count, k: 16,
            pool: WorkPool(threads: 1))
        XCTAssertEqual(inertia(Array(pairs), importance, found), best.inertia, accuracy: 1e-9 * best.inertia)
    }

    func testLeavesOthersAlone() throws {
        let (_, values, importance) = cases()[0]
        XCTAssertNil(try stream(Array(values.prefix(1000)), Array(importance.prefix(1000)), 16, threads: 1))
        XCTAssertNil(try stream(values.map { ($0 * 16).rounded() }, importance, 16, threads: 1))
        XCTAssertNil(try stream(values, importance.map { $0 * 0 }, 16, threads: 1))
        XCTAssertNil(try stream(values, importance, 2, threads: 1))
        // One value far away: the others' costs are lost beside it.
        let outlier = values.dropLast().map { $0 * 1e-3 } + [1e6]
        XCTAssertNil(try stream(outlier, importance, 16, threads: 1))
    }

    func testCancelled() throws {
        let (_, values, importance) = cases()[0]
        let cancellation = Cancellation()
        cancellation.cancel()
        var (centroids, thresholds) = ([Double](repeating: 0, count: 16), [Float](repeating: 0, count: 16))
        XCTAssertThrowsError(
            try Float.streamedClusters(
                values, values.count, importance, 16, WorkPool(threads: 1, cancellation: cancellation), "palettize",
                centroids: &centroids, thresholds: &thresholds)
        ) { XCTAssertEqual(($0 as? CompressionError)?.kind, .cancelled) }
    }
}
