import Foundation
import TestSupport
import XCTest

@testable import TensorCompression

final class VectorKMeansTests: XCTestCase {
    /// Over 20 seeds, the mean inertia is at most scikit-learn's with the settings of coremltools 9.0.
    func testInertiaBesideScikitLearn() throws {
        for fixture in try VectorFixture.all {
            if isDebugBuild, fixture.n * fixture.k > 10_000 { continue }
            let (points, weights) = fixture.makePoints()
            var sum = 0.0
            for seed in 0..<20 {
                var options = VectorKMeansOptions(k: fixture.k, seed: UInt64(seed))
                options.tolerance = 1e-2
                let found = try cluster(points, fixture.dim, weights: fixture.isWeighted ? weights : nil, options)
                sum += found.result.inertia
            }
            XCTAssertLessThanOrEqual(sum / 20, fixture.inertia, fixture.name)
        }
    }

    /// The same bits for any number of threads and both builds of the kernels, with and without a sample.
    func testThreadsAndProcessorsDoNotMatter() throws {
        // Chunks begin at 4096 points, samples at 32,768 and 262,144; without optimisation those take a minute.
        let large = isDebugBuild ? [] : [(9000, 4, 8), (70_000, 3, 12), (263_000, 2, 5)]
        for (n, dim, k) in [(300, 2, 16), (400, 5, 20), (4200, 2, 3)] + large {
            let points = randomPoints(n * dim, seed: 5)
            let options = VectorKMeansOptions(k: k, seed: 9, starts: 2, maxIterations: 20)
            let one = try cluster(points, dim, options, threads: 1)
            for threads in isDebugBuild ? [3] : [2, 3, 8] {
                let many = try cluster(points, dim, options, threads: threads)
                XCTAssertEqual(one, many, "\(threads) threads, n \(n)")
            }
            let chosen = usesV3Kernels
            usesV3Kernels = false
            defer { usesV3Kernels = chosen }
            XCTAssertEqual(one, try cluster(points, dim, options, threads: 2), "baseline, n \(n)")
        }
    }

    func testResultIsWhatItSays() throws {
        let points = randomPoints(600 * 3, seed: 1)
        let weights = (0..<600).map { Double($0 % 7) }
        let found = try cluster(points, 3, weights: weights, VectorKMeansOptions(k: 24, seed: 2))
        XCTAssertEqual(found.result.clusterCount, 24)
        var inertia = 0.0
        for i in 0..<600 {
            inertia += weights[i] * distance(points, i, found.centroids, Int(found.labels[i]), 3)
            // At rest, every point is with its nearest centroid.
            for j in 0..<24 {
                let other = distance(points, i, found.centroids, j, 3)
                XCTAssertGreaterThan(other, distance(points, i, found.centroids, Int(found.labels[i]), 3) - 1e-3)
            }
        }
        XCTAssertEqual(inertia, found.result.inertia, accuracy: 1e-9 * inertia)
    }

    /// scikit-learn raises here, and so does coremltools: fewer points, or fewer distinct ones, than clusters.
    func testFewerDistinctPointsThanClusters() throws {
        for dim in [1, 2, 3, 4, 8] {
            for distinct in [1, 2, 5, 64] {
                let rows = randomPoints(distinct * dim, seed: 3)
                let points = (0..<3).flatMap { _ in rows }
                let found = try cluster(points, dim, VectorKMeansOptions(k: 256, seed: 0))
                XCTAssertEqual(found.result.clusterCount, distinct)
                XCTAssertEqual(found.result.inertia, 0)
                XCTAssertEqual(Set(found.labels).count, distinct)
                XCTAssertTrue(found.centroids[(distinct * dim)...].allSatisfy { $0 == 0 })
                for i in 0..<points.count {
                    XCTAssertEqual(found.centroids[Int(found.labels[i / dim]) * dim + i % dim], Double(points[i]))
                }
            }
        }
    }

    func testZeroWeightsDoNotPull() throws {
        var points = randomPoints(400 * 2, seed: 8)
        var weights = [Double](repeating: 1, count: 400)
        let plain = try cluster(Array(points[..<400]), 2, VectorKMeansOptions(k: 8, seed: 4))
        for i in 200..<400 {
            weights[i] = 0
            points[2 * i] += 0.001
        }
        let weighted = try cluster(points, 2, weights: weights, VectorKMeansOptions(k: 8, seed: 4))
        XCTAssertEqual(weighted.result.inertia, plain.result.inertia, accuracy: 0.1 * plain.result.inertia)
        let none = try cluster(points, 2, weights: weights.map { _ in 0 }, VectorKMeansOptions(k: 8, seed: 4))
        let unweighted = try cluster(points, 2, VectorKMeansOptions(k: 8, seed: 4))
        XCTAssertEqual(none, unweighted)
    }

    func testMagnitudes() throws {
        let points = randomPoints(200 * 2, seed: 6).map(Double.init)
        let expected = try cluster(points, 2, VectorKMeansOptions(k: 5, seed: 1))
        for exponent in [-1060, -600, -40, 40, 600, 1000] {
            let scaled = points.map { scalbn($0, exponent) }
            let found = try cluster(scaled, 2, VectorKMeansOptions(k: 5, seed: 1))
            if exponent > -1000 { XCTAssertEqual(found.labels, expected.labels, "2^\(exponent)") }
            XCTAssertEqual(found.result.clusterCount, 5)
            XCTAssertTrue(found.centroids.allSatisfy(\.isFinite))
        }
    }

    func testMoreStartsAreNoWorse() throws {
        let points = randomPoints(500 * 2, seed: 2)
        var inertia = Double.infinity
        for starts in [1, 2, 4] {
            let found = try cluster(points, 2, VectorKMeansOptions(k: 20, seed: 7, starts: starts))
            XCTAssertLessThanOrEqual(found.result.inertia, inertia * (1 + 1e-6))
            inertia = found.result.inertia
        }
    }

    func testArguments() {
        let points: [Float] = [1, 2, .nan, 4]
        XCTAssertThrowsError(try cluster(points, 2, VectorKMeansOptions(k: 1))) {
            XCTAssertEqual(($0 as? CompressionError)?.kind, .declined)
            XCTAssertTrue(($0 as? CompressionError)?.message.contains("flat index 2") ?? false)
        }
        let bad: [VectorKMeansOptions] = [
            .init(k: 0), .init(k: 1, starts: 0), .init(k: 1, maxIterations: 0), .init(k: 1, tolerance: .nan),
        ]
        for options in bad {
            XCTAssertThrowsError(try cluster([1, 2] as [Float], 1, options)) {
                XCTAssertEqual(($0 as? CompressionError)?.kind, .invalidArgument)
            }
        }
        XCTAssertThrowsError(try cluster([1, 2] as [Float], 1, weights: [1, -1], VectorKMeansOptions(k: 1)))
    }

    func testCancellation() {
        let cancellation = Cancellation()
        cancellation.cancel()
        let points = randomPoints(4000, seed: 1)
        XCTAssertThrowsError(try cluster(points, 2, VectorKMeansOptions(k: 16), cancellation: cancellation)) {
            XCTAssertEqual(($0 as? CompressionError)?.kind, .cancelled)
        }
    }
}

/// A cancellation in the middle of any loop: an error, and no memory written that is not ours.
final class VectorKMeansCancellationTests: XCTestCase {
    func testInTheMiddle() throws {
        // Fewer distinct points than clusters at first: empty clusters take points of others.
        let points = randomPoints(40_000 * 2, seed: 4).map { ($0 * 6).rounded() / 6 + $0 * 1e-4 }
        var cancelled = 0
        for delay in 0..<UInt32(isDebugBuild ? 4 : 60) {
            let cancellation = Cancellation()
            let thread = Thread {
                usleep(delay * 150)
                cancellation.cancel()
            }
            thread.start()
            do {
                let found = try cluster(
                    points, 2, VectorKMeansOptions(k: 200, seed: 1, maxIterations: 6), cancellation: cancellation)
                XCTAssertEqual(found.result.clusterCount, 200)
            } catch let error as CompressionError {
                XCTAssertEqual(error.kind, .cancelled)
                cancelled += 1
            }
        }
        XCTAssertGreaterThan(cancelled, 0)
    }
}

// MARK: - Support

private struct Found: Equatable {
    let result: VectorKMeansResult
    let centroids: [Double]
    let labels: [Int32]
}

private func cluster<Number: BinaryFloatingPoint>(
    _ points: [Number], _ dim: Int, weights: [Double]? = nil, _ options: VectorKMeansOptions, threads: Int = 2,
    cancellation: Cancellation = Cancellation()
) throws -> Found {
    let count = points.count / dim
    var centroids = [Double](repeating: .nan, count: max(options.k, 0) * dim)
    var labels = [Int32](repeating: -1, count: count)
    let pool = WorkPool(threads: threads, cancellation: cancellation)
    let result = try points.withUnsafeBytes { bytes in
        let type: FloatType = MemoryLayout<Number>.size == 4 ? .float32 : .float64
        let base = try XCTUnwrap(bytes.baseAddress)
        let view = TensorView(base: base, type: type, shape: [count, dim])
        guard let weights else {
            return try vectorKMeans(view, weights: nil, options, pool: pool, centroids: &centroids, labels: &labels)
        }
        return try vectorKMeans(view, weights: weights, options, pool: pool, centroids: &centroids, labels: &labels)
    }
    return Found(result: result, centroids: centroids, labels: labels)
}

private func distance(_ points: [Float], _ i: Int, _ centroids: [Double], _ j: Int, _ dim: Int) -> Double {
    var sum = 0.0
    for d in 0..<dim {
        let difference = Double(points[i * dim + d]) - centroids[j * dim + d]
        sum += difference * difference
    }
    return sum
}

private func randomPoints(_ count: Int, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
}

private let isDebugBuild: Bool = {
    var debug = false
    assert({ debug = true }() == ())
    return debug
}()

/// One line of vector_kmeans.txt. The points are made here as make_fixtures.py of the kernels' tests makes them.
private struct VectorFixture {
    let kind: String
    let seed: UInt64
    let n: Int
    let dim: Int
    let k: Int
    let isWeighted: Bool
    let inertia: Double

    var name: String { "\(kind) n \(n) dim \(dim) k \(k) weighted \(isWeighted)" }

    static var all: [VectorFixture] {
        get throws {
            let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            let file = tests.appendingPathComponent("CompressionKernelsTests/Fixtures/vector_kmeans.txt")
            return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map { line in
                let fields = line.split(separator: " ").map(String.init)
                let numbers = fields.dropFirst().compactMap(Double.init)
                guard numbers.count == 6 else { throw CocoaError(.fileReadCorruptFile) }
                return VectorFixture(
                    kind: fields[0], seed: UInt64(numbers[0]), n: Int(numbers[1]), dim: Int(numbers[2]),
                    k: Int(numbers[3]), isWeighted: numbers[4] == 1, inertia: numbers[5])
            }
        }
    }

    func makePoints() -> (points: [Float], weights: [Double]) {
        var generator = SeededGenerator(seed: seed)
        func unit() -> Double { Double(generator.next() >> 11) * 0x1p-53 }
        func bell() -> Double {
            var sum = 0.0
            for _ in 0..<4 { sum += unit() }
            return sum - 2
        }
        var places: [Double] = []
        for _ in 0..<30 * dim { places.append(8 * unit()) }
        var points: [Float] = []
        for _ in 0..<n {
            let place = Int(generator.next() % 30) * dim
            for d in 0..<dim {
                let x = bell()
                points.append(Float(kind == "bell" ? x : places[place + d] + 0.125 * x))
            }
        }
        return (points, (0..<n).map { _ in Double(1 + generator.next() % 50) })
    }
}
