import CompressionKernels
import Foundation
import TestSupport
import XCTest

/// The solver's short way against its long one, which is the reference's: the same bits wherever the short way decides.
final class PenaltyPathTests: XCTestCase {
    func testSameBitsOnRandomData() {
        var tally = Tally()
        for seed in 0..<UInt64(isDebugBuild ? 20 : 300) {
            var generator = SeededGenerator(seed: seed)
            let n = 200 + Int(generator.next() % (isDebugBuild ? 400 : 3000))
            for shape in Shape.allCases where seed % 3 == 0 || shape != .integers {
                let (values, weights) = shape.make(n, seed % 4, &generator)
                let k = 4 + Int(generator.next() % UInt64([8, 60, 300][Int(seed % 3)]))
                if k > values.count { continue }
                compare(values, weights, k, "\(shape) seed \(seed)", &tally)
            }
        }
        XCTAssertGreaterThan(tally.decided, tally.tried / 3)
    }

    /// Few clusters of few values: every k that the short way takes.
    func testSameBitsForEveryK() {
        var tally = Tally()
        for count in [256, 257, 300, 512, 777] {
            for shape in Shape.allCases {
                var generator = SeededGenerator(seed: UInt64(count))
                let (values, weights) = shape.make(count, UInt64(count % 4), &generator)
                for k in stride(from: 3, through: values.count / 7, by: isDebugBuild ? 17 : 3) {
                    compare(values, weights, k, "\(shape) of \(count)", &tally)
                }
            }
        }
        XCTAssertGreaterThan(tally.decided, 0)
    }

    /// Ties are the rule here: symmetric data, steps of one size, repeated patterns.
    func testSameBitsOnTies() {
        var tally = Tally()
        for half in stride(from: 128, through: isDebugBuild ? 200 : 1200, by: 61) {
            let line = (-half...half).map(Double.init)
            let broken = line.map { $0 < 0 ? $0 - 40 : $0 + 40 }
            let squares = line.map { $0 * abs($0) }
            let groups = line.map { $0 + 50 * ($0 / 25).rounded() }
            for values in [line, broken, squares, groups] {
                let even = values.map { _ in 1.0 }
                let peaked = values.map { 1 + Double(half) - min(abs($0), Double(half)).rounded() }
                for weights in [even, peaked] {
                    for k in [4, 5, 7, 8, 15, 16, 17, 31, 32] { compare(values, weights, k, "half \(half)", &tally) }
                }
            }
        }
        XCTAssertGreaterThan(tally.decided, tally.tried * 3 / 4)
    }

    /// What networks hold is decided the short way.
    func testOrdinaryDataIsDecided() {
        for (n, ks) in [(2000, [4, 16]), (8192, [8, 16, 64, 256]), (30_000, [4, 8, 16, 64, 256])] {
            if isDebugBuild, n > 2000 { continue }
            for seed in 0..<UInt64(3) {
                for shape in [Shape.gaussHalf, .gauss, .laplace] {
                    var generator = SeededGenerator(seed: seed)
                    let (values, weights) = shape.make(n, 0, &generator)
                    var tally = Tally()
                    for k in ks { compare(values, weights, k, "\(shape) seed \(seed)", &tally) }
                    XCTAssertEqual(tally.decided, tally.tried, "\(shape) seed \(seed), n \(n)")
                }
            }
        }
    }

    /// More values than are checked: decided, at the cost of the levels; a cut may differ by what rounding hides.
    func testManyValues() throws {
        try XCTSkipIf(isDebugBuild, "6 million values take minutes in a debug build")
        var generator = SeededGenerator(seed: 3)
        let (values, weights) = Shape.gauss.make(6_000_000, 0, &generator)
        XCTAssertGreaterThan(values.count, 1 << 22)
        let short = Run(values, weights, 8, cancelled: 0)
        XCTAssertEqual(short.status, 1)
        let long = Run(values, weights, 8, cancelled: nil)
        for (mine, other) in zip(short.firstIndex, long.firstIndex) { XCTAssertLessThanOrEqual(abs(mine - other), 4) }
        let (cost, least) = (short.cost(values, weights), long.cost(values, weights))
        XCTAssertLessThanOrEqual(abs(cost - least), 1e-13 * least)
    }

    func testWhatItLeavesAlone() {
        var tally = Tally()
        let values = (0..<2000).map(Double.init)
        compare(values, values.map { _ in 1 }, 3, "k below 4", &tally)
        compare(Array(values[..<255]), values[..<255].map { _ in 1 }, 8, "few values", &tally)
        compare(values, values.map { _ in 1 }, 300, "many clusters", &tally)
        // Weights that vanish in the sums, squares that overflow, squares that vanish, squares that cancel.
        compare(values, values.map { $0 == 0 ? 1e300 : 1 }, 8, "weights", &tally)
        compare(values.map { $0 * 1e153 }, values.map { _ in 1e5 }, 8, "large", &tally)
        compare(values.map { $0 * 1e-170 }, values.map { _ in 1 }, 8, "small", &tally)
        compare(values.map { 1e12 + $0 }, values.map { _ in 1 }, 8, "near", &tally)
        XCTAssertEqual(tally.decided, 0)
    }

    func testCancellation() {
        var generator = SeededGenerator(seed: 1)
        let (values, weights) = Shape.gauss.make(3000, 0, &generator)
        let flag: Int32 = 1
        XCTAssertEqual(Run(values, weights, 16, cancelled: flag).status, -1)
    }
}

// MARK: - Data

private enum Shape: CaseIterable {
    case gauss, gaussHalf, laplace, uniform, uniformHalf, decades, clustered, integers, shifted, trained

    /// Distinct ascending values and their weights: 0 counts of equal values, 1 ones, 2 fractions, 3 many sizes.
    func make(_ count: Int, _ weighting: UInt64, _ generator: inout SeededGenerator) -> ([Double], [Double]) {
        let drawn = (0..<count).map { _ in value(&generator) }.sorted()
        var values: [Double] = []
        var weights: [Double] = []
        for x in drawn {
            if x == values.last {
                weights[weights.count - 1] += 1
            } else {
                values.append(x)
                weights.append(1)
            }
        }
        for i in weights.indices {
            switch weighting {
            case 1: weights[i] = 1
            case 2: weights[i] *= unit(&generator)
            case 3: weights[i] = Foundation.exp(12 * unit(&generator))
            default: break
            }
        }
        return (values, weights)
    }

    private func unit(_ generator: inout SeededGenerator) -> Double {
        (Double(generator.next() >> 11) + 0.5) * 0x1p-53
    }

    private func normal(_ generator: inout SeededGenerator) -> Double {
        (-2 * Foundation.log(unit(&generator))).squareRoot() * Foundation.cos(2 * .pi * unit(&generator))
    }

    private func value(_ generator: inout SeededGenerator) -> Double {
        switch self {
        case .gauss: Double(Float(normal(&generator)))
        case .gaussHalf: half(normal(&generator))
        case .laplace:
            Double(Float(Foundation.log(unit(&generator)) * (generator.next() & 1 == 0 ? 1 : -1)))
        case .uniform: unit(&generator)
        case .uniformHalf: half(unit(&generator))
        case .decades: Foundation.exp(40 * unit(&generator) - 20) * (generator.next() & 1 == 0 ? 1 : -1)
        case .clustered: Double(generator.next() % 20) + 0.01 * normal(&generator)
        case .integers: Double(generator.next() % 4001) - 2000
        case .shifted: 100 + half(normal(&generator))
        case .trained: half(0.02 * normal(&generator) * (generator.next() % 20 == 0 ? 4 : 1))
        }
    }

    private func half(_ x: Double) -> Double { Double(floatValue(half: halfBits(double: x))) }
}

// MARK: - Running both

private struct Tally {
    var tried = 0
    var decided = 0
}

private struct Run {
    let status: Int32
    let centroids: [UInt64]
    let firstIndex: [Int32]

    /// - Parameter cancelled: nil: level by level.
    init(_ values: [Double], _ weights: [Double], _ k: Int, cancelled: Int32?) {
        let guardBytes = 256
        let bytes = exactKMeans1DScratchBytes(values.count, k)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes + 2 * guardBytes, alignment: 64)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0xa5, count: bytes + 2 * guardBytes)
        var centroids = [Double](repeating: .nan, count: k)
        var firstIndex = [Int32](repeating: -1, count: k)
        let scratch = memory + guardBytes
        if var flag = cancelled {
            status = exactKMeans1DByPenalty(
                values, weights, values.count, k, scratch, &centroids, &firstIndex, &flag)
        } else {
            status =
                exactKMeans1DByLevels(values, weights, values.count, k, scratch, &centroids, &firstIndex, nil) ? 1 : -1
        }
        for i in 0..<guardBytes {
            XCTAssertEqual(memory.load(fromByteOffset: i, as: UInt8.self), 0xa5)
            XCTAssertEqual(memory.load(fromByteOffset: guardBytes + bytes + i, as: UInt8.self), 0xa5)
        }
        self.centroids = centroids.map(\.bitPattern)
        self.firstIndex = firstIndex
    }

    /// The weighted sum of squared distances to the centroids.
    func cost(_ values: [Double], _ weights: [Double]) -> Double {
        var sum = 0.0
        for (cluster, bits) in centroids.enumerated() {
            let end = cluster + 1 < firstIndex.count ? Int(firstIndex[cluster + 1]) : values.count
            let centroid = Double(bitPattern: bits)
            for i in Int(firstIndex[cluster])..<end {
                let distance = values[i] - centroid
                sum += weights[i] * (distance * distance)
            }
        }
        return sum
    }
}

private func compare(_ values: [Double], _ weights: [Double], _ k: Int, _ name: String, _ tally: inout Tally) {
    let short = Run(values, weights, k, cancelled: 0)
    tally.tried += 1
    if short.status != 1 { return XCTAssertEqual(short.status, 0, name) }
    tally.decided += 1
    let long = Run(values, weights, k, cancelled: nil)
    XCTAssertEqual(short.firstIndex, long.firstIndex, "\(name), k \(k)")
    XCTAssertEqual(short.centroids, long.centroids, "\(name), k \(k)")
}

private let isDebugBuild: Bool = {
    var debug = false
    assert({ debug = true }() == ())
    return debug
}()
