import TestSupport
import XCTest

@testable import CompressionKernels
@testable import TensorCompression

/// Weighted k-means in little memory against the solver that keeps all sums.
final class StreamedClustersTests: XCTestCase {
    private let count = 1 << 18

    private struct Found: Equatable {
        var centroids: [Double]
        var thresholds: [Float]
    }

    private enum Outcome: Equatable {
        case done(Found)
        case merged(Int)
        case undecided

        var found: Found? { if case .done(let found) = self { found } else { nil } }
    }

    private func outcome(_ values: [Float], _ importance: [Float], _ limit: Int, threads: Int) throws -> Outcome {
        var found = Found(
            centroids: Array(repeating: 0, count: limit), thresholds: Array(repeating: 0, count: limit - 1))
        return try found.centroids.withUnsafeMutableBufferPointer { centroids in
            try found.thresholds.withUnsafeMutableBufferPointer { thresholds in
                switch try Float.streamedClusters(
                    values, values.count, importance, limit, WorkPool(threads: threads), "palettize",
                    centroids: XCTUnwrap(centroids.baseAddress), thresholds: XCTUnwrap(thresholds.baseAddress))
                {
                case .done: .done(Found(centroids: Array(centroids), thresholds: Array(thresholds)))
                case .merged(let distinct): .merged(distinct.count)
                case .undecided: .undecided
                }
            }
        }
    }

    private func stream(_ values: [Float], _ importance: [Float], _ limit: Int, threads: Int = 1) throws -> Found {
        try XCTUnwrap(try outcome(values, importance, limit, threads: threads).found)
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
                let found = try stream(values, importance, limit)
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
        let found = try stream(values, importance, 16)
        for (value, weight) in zip(values, importance) where weight == 0 {
            let cluster = found.thresholds.filter { $0 <= value }.count
            let own = abs(Double(value) - found.centroids[cluster])
            for centroid in found.centroids { XCTAssertLessThanOrEqual(own, abs(Double(value) - centroid)) }
        }
    }

    func testThreadsAndKernels() throws {
        let (_, values, importance) = cases()[0]
        let expected = try stream(values, importance, 16)
        for threads in [2, 3, 8] {
            XCTAssertEqual(try stream(values, importance, 16, threads: threads), expected)
        }
        let chosen = usesV3Kernels
        usesV3Kernels = false
        defer { usesV3Kernels = chosen }
        XCTAssertEqual(try stream(values, importance, 16), expected)
    }

    /// Many equal values at a cut, half of them with next to no weight: what rounding says of those is not for the others.
    func testEqualValuesAtACut() throws {
        var generator = SeededGenerator(seed: 5)
        for place: Float in [100.8, 101, 101.5, 102, 102.5] {
            var (values, importance): ([Float], [Float]) = ([], [])
            for i in 0..<count {
                let share = Float(i) / Float(count)
                if share < 0.6 {
                    values.append(Float.random(in: 100...101, using: &generator))
                } else {
                    values.append(share < 0.7 ? place : Float.random(in: 103...104, using: &generator))
                }
                importance.append(share >= 0.65 && share < 0.7 ? 1e-10 : 1)
            }
            let found = try stream(values, importance, 4)
            let best = try exactKMeans1D(
                values.map(Double.init), weights: importance.map(Double.init), count: count, k: 4,
                pool: WorkPool(threads: 1))
            XCTAssertEqual(inertia(values, importance, found), best.inertia, accuracy: 1e-7 * best.inertia, "\(place)")
        }
    }

    /// The kernel itself: of equal values around a cut, the heavier side stays where it was.
    func testCut() {
        let keys: [UInt32] = [1, 5, 5, 5, 9].map { $0 | 0x8000_0000 }
        for (weights, expected) in [([1, 1, 1, 3, 1] as [Float], 1), ([1, 9, 1, 3, 1], 4), ([1, 2, 1, 1, 1], 1)] {
            let values = StreamedValues(keys, weights, 5)
            XCTAssertEqual(cut(values, 1), 1)
            XCTAssertEqual(cut(values, 2), expected)
            XCTAssertEqual(cut(values, 4), 4)
        }
    }

    func testLeavesOthersAlone() throws {
        let (_, values, importance) = cases()[0]
        let few = (Array(values.prefix(1000)), Array(importance.prefix(1000)))
        XCTAssertEqual(try outcome(few.0, few.1, 16, threads: 1), .undecided)
        XCTAssertEqual(try outcome(values, importance.map { $0 * 0 }, 16, threads: 1), .undecided)
        XCTAssertEqual(try outcome(values, importance, 2, threads: 1), .undecided)
        // One value far away: the others' costs are lost beside it.
        let outlier = values.dropLast().map { $0 * 1e-3 } + [1e6]
        XCTAssertEqual(try outcome(outlier, importance, 16, threads: 1), .undecided)
        let rounded = values.map { ($0 * 16).rounded() + 0 }
        XCTAssertEqual(try outcome(rounded, importance, 16, threads: 1), .merged(Set(rounded).count))
    }

    func testCancelled() throws {
        let (_, values, importance) = cases()[0]
        let cancellation = Cancellation()
        cancellation.cancel()
        let pool = WorkPool(threads: 1, cancellation: cancellation)
        var (centroids, thresholds) = ([Double](repeating: 0, count: 16), [Float](repeating: 0, count: 16))
        XCTAssertThrowsError(
            try {
                _ = try Float.streamedClusters(
                    values, values.count, importance, 16, pool, "palettize", centroids: &centroids,
                    thresholds: &thresholds)
            }()
        ) { XCTAssertEqual(($0 as? CompressionError)?.kind, .cancelled) }
        // The kernel, whose caller has looked before.
        let keys = (0..<UInt32(count)).map { 0x8000_0000 + 64 * $0 }
        let scratch = Bytes(streamedKMeans1DScratchBytes(count, 16))
        var (starts, firsts) = ([Int32](repeating: 0, count: count + 1), [Int32](repeating: 0, count: 16))
        for (flag, expected) in [(Int32(0), Int32(1)), (1, -1)] {
            let found = withUnsafePointer(to: flag) {
                streamedKMeans1D(keys, importance, count, 16, scratch.pointer, &starts, &centroids, &firsts, $0)
            }
            XCTAssertEqual(found, expected)
        }
    }
}
