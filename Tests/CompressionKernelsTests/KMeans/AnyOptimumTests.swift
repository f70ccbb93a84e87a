import CompressionKernels
import TestSupport
import XCTest

/// `anyOptimalKMeans1D`: the least cost, whichever split has it.
final class AnyOptimumTests: XCTestCase {
    /// Weights of many sizes, where the reference's choice among equal splits is seldom known in advance.
    func testItCostsWhatTheLevelsCost() {
        for seed in 0..<UInt64(6) {
            var generator = SeededGenerator(seed: seed)
            for n in [300, 2000, 5000] {
                let values = (0..<n).map { _ in Double.random(in: -1...1, using: &generator) }.sorted()
                let weights = values.map { _ in
                    Double(sign: .plus, exponent: -Int.random(in: 0...30, using: &generator), significand: 1)
                        * Double.random(in: 0.5...1, using: &generator)
                }
                for k in [1, 2, 4, 16] {
                    let any = cluster(values, weights, k, anyOptimalKMeans1D)
                    let levels = cluster(values, weights, k, exactKMeans1DByLevels)
                    XCTAssertEqual(any[0], 0)
                    XCTAssertEqual(any, any.sorted(), "seed \(seed), n \(n), k \(k)")
                    let costs = [any, levels].map { cost(values, weights, $0) }
                    XCTAssertEqual(
                        costs[0], costs[1], accuracy: 1e-9 * costs[1] + 1e-14, "seed \(seed), n \(n), k \(k)")
                }
            }
        }
    }

    func testCancellation() {
        let values = (0..<3000).map { Double($0 * $0 % 4001) }.sorted()
        let distinct = Array(Set(values)).sorted()
        var centroids = [Double](repeating: 0, count: 16)
        var firstIndex = [Int32](repeating: 0, count: 16)
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: exactKMeans1DScratchBytes(distinct.count, 16), alignment: 64)
        defer { memory.deallocate() }
        var flag: Int32 = 1
        XCTAssertFalse(
            anyOptimalKMeans1D(
                distinct, distinct.map { _ in 1 }, distinct.count, 16, memory, &centroids, &firstIndex, &flag))
    }
}

private typealias Solver = (
    UnsafePointer<Double>, UnsafePointer<Double>, Int, Int, UnsafeMutableRawPointer, UnsafeMutablePointer<Double>,
    UnsafeMutablePointer<Int32>, UnsafePointer<Int32>?
) -> Bool

private func cluster(_ values: [Double], _ weights: [Double], _ k: Int, _ solver: Solver) -> [Int] {
    var centroids = [Double](repeating: 0, count: k)
    var firstIndex = [Int32](repeating: 0, count: k)
    let memory = UnsafeMutableRawPointer.allocate(
        byteCount: exactKMeans1DScratchBytes(values.count, k), alignment: 64)
    defer { memory.deallocate() }
    XCTAssertTrue(solver(values, weights, values.count, k, memory, &centroids, &firstIndex, nil))
    return firstIndex.map(Int.init)
}

/// The weighted sum of squared distances to the means of the clusters.
private func cost(_ values: [Double], _ weights: [Double], _ firstIndex: [Int]) -> Double {
    var total = 0.0
    for c in firstIndex.indices {
        let range = firstIndex[c]..<(c + 1 < firstIndex.count ? firstIndex[c + 1] : values.count)
        if range.isEmpty { continue }
        var (sum, weight) = (0.0, 0.0)
        for i in range {
            sum += weights[i] * values[i]
            weight += weights[i]
        }
        for i in range { total += weights[i] * (values[i] - sum / weight) * (values[i] - sum / weight) }
    }
    return total
}
