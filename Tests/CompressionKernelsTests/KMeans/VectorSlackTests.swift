import CompressionKernels
import TestSupport
import XCTest

/// Passing over points whose nearest centroid cannot have changed gives what looking at all of them gives.
final class VectorSlackTests: XCTestCase {
    func testLabelsAndSumsAreThoseOfAllPoints() {
        for (dim, k, count) in [(1, 3, 500), (2, 16, 999), (3, 1, 64), (4, 16, 4001), (4, 300, 2000), (7, 20, 1003)] {
            var run = SlackCase(dim: dim, k: k, count: count)
            run.begin()
            var looked = 0
            for _ in 0..<12 {
                run.moveCentroids(by: 0.004)
                looked += run.lookAtDue()
                run.check()
            }
            if k > 1, k < 100 {
                XCTAssertGreaterThan(looked, 0)
                XCTAssertLessThan(looked, 12 * count / 2, "dim \(dim), k \(k)")
            }
        }
    }

    func testEveryPointIsDueAfterALargeMove() {
        var run = SlackCase(dim: 4, k: 16, count: 1000)
        run.begin()
        run.moveCentroids(by: 10)
        XCTAssertEqual(run.lookAtDue(), 1000)
        run.check()
    }

    func testNothingIsDueWithoutAMove() {
        var run = SlackCase(dim: 2, k: 16, count: 1000)
        run.begin()
        XCTAssertEqual(run.lookAtDue(), 0)
    }
}

private struct SlackCase {
    let (dim, k, count, stride): (Int, Int, Int, Int)
    var points: [Float]
    var centroids: [Float] = []
    var labels: [Int32]
    var slacks: [Float]
    var sums: [Double]
    var passed: Float = 0
    var generator = SeededGenerator(seed: 11)

    init(dim: Int, k: Int, count: Int) {
        (self.dim, self.k, self.count, stride) = (dim, k, count, (count + 15) / 16 * 16)
        points = [Float](repeating: 0, count: stride * dim)
        for d in 0..<dim {
            for i in 0..<count { points[d * stride + i] = Float.random(in: -1...1, using: &generator) }
        }
        labels = [Int32](repeating: -1, count: stride)
        slacks = [Float](repeating: 0, count: stride)
        sums = [Double](repeating: 0, count: k * (dim + 1) + 8)
        for _ in 0..<k * dim { centroids.append(Float.random(in: -1...1, using: &generator)) }
    }

    private var halfNorms: [Float] {
        (0..<k).map { j in (0..<dim).reduce(0) { $0 + centroids[j * dim + $1] * centroids[j * dim + $1] } / 2 }
    }

    mutating func begin() {
        let norms = halfNorms
        XCTAssertTrue(
            vectorKMeansAssignWithSlacks(
                points, stride, 0, count, dim, centroids, norms, k, &labels, &sums, &slacks, passed))
        check()
    }

    mutating func moveCentroids(by way: Float) {
        var largest: Float = 0
        for j in 0..<k {
            var square: Float = 0
            for d in 0..<dim {
                let step = Float.random(in: -way...way, using: &generator)
                centroids[j * dim + d] += step
                square += step * step
            }
            largest = max(largest, square.squareRoot())
        }
        passed += 2 * largest
    }

    mutating func lookAtDue() -> Int {
        let norms = halfNorms
        var scratch = [UInt8](repeating: 0, count: vectorKMeansDueScratch(dim: dim) + 64)
        let before = labels
        let found = scratch.withUnsafeMutableBytes { memory in
            let aligned = UnsafeMutableRawPointer(
                bitPattern: (UInt(bitPattern: memory.baseAddress!) + 63) / 64 * 64)!
            return vectorKMeansAssignDue(
                points, stride, 0, count, dim, centroids, norms, k, &labels, &sums, &slacks, passed, aligned)
        }
        XCTAssertEqual(found.hasChanged, before[..<count] != labels[..<count])
        return found.due
    }

    /// Labels may differ only between centroids that are equally near but for rounding; sums are those of the labels.
    func check() {
        var nearest = [Int32](repeating: -1, count: stride)
        _ = vectorKMeansAssign(points, stride, 0, count, dim, centroids, halfNorms, k, &nearest, nil)
        var expected = [Double](repeating: 0, count: k * (dim + 1))
        for i in 0..<count {
            XCTAssertEqual(distance(i, labels[i]), distance(i, nearest[i]), accuracy: 1e-5)
            for d in 0..<dim { expected[Int(labels[i]) * (dim + 1) + d] += Double(points[d * stride + i]) }
            expected[Int(labels[i]) * (dim + 1) + dim] += 1
        }
        for s in expected.indices { XCTAssertEqual(sums[s], expected[s], accuracy: 1e-9) }
    }

    private func distance(_ i: Int, _ j: Int32) -> Float {
        var sum: Float = 0
        for d in 0..<dim {
            let difference = points[d * stride + i] - centroids[Int(j) * dim + d]
            sum += difference * difference
        }
        return sum.squareRoot()
    }
}
