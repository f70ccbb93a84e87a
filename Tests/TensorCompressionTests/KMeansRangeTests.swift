import TensorCompression
import TestSupport
import XCTest

/// Numbers whose squares or sums leave the range of binary64 in the reference's order of operations.
final class KMeansRangeTests: XCTestCase {
    private let pool = WorkPool(threads: 1)

    func testWeightsOfManyDecadesGiveFiniteAscendingMeans() throws {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<50 {
            let count = Int.random(in: 5...200, using: &generator)
            let values = (0..<count).map { _ in Double.random(in: -2...2, using: &generator) }
            let weights = (0..<count).map { _ in
                Double(sign: .plus, exponent: Int.random(in: -60...60, using: &generator), significand: 1.5)
            }
            let result = try exactKMeans1D(values, weights: weights, count: count, k: 5, pool: pool)
            XCTAssertTrue(result.centroids.allSatisfy(\.isFinite), "\(result.centroids)")
            XCTAssertEqual(result.centroids, result.centroids.sorted())
            XCTAssertTrue(result.inertia.isFinite)
        }
    }

    func testScalingByPowersOfTwoChangesNoBit() throws {
        var generator = SeededGenerator(seed: 4)
        let values = (0..<300).map { _ in Double.random(in: -2...2, using: &generator) }
        let plain = try exactKMeans1D(values, count: values.count, k: 7, pool: pool)
        for exponent in [1000, 1021] {
            let large = values.map { Double(sign: .plus, exponent: exponent, significand: $0) }
            let result = try exactKMeans1D(large, count: large.count, k: 7, pool: pool)
            let expected = plain.centroids.map { Double(sign: .plus, exponent: exponent, significand: $0) }
            XCTAssertEqual(result.centroids.map(\.bitPattern), expected.map(\.bitPattern))
        }
    }
}
