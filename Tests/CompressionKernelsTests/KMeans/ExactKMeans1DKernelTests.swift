import CompressionKernels
import Foundation
import TestSupport
import XCTest

/// The fixtures hold the answers of coremltools 9.0's solver (Fixtures/make_fixtures.py); everything else is brute force.
final class ExactKMeans1DKernelTests: XCTestCase {
    func testBitsOfTheReference() throws {
        var checked = 0
        for fixture in try KMeansFixture.all {
            // Without optimisation the largest cases take seconds each; the release run has them all.
            if isDebugBuild, fixture.n * fixture.k > 20_000 { continue }
            let (values, weights) = fixture.makeInput()
            XCTAssertEqual(values.count, fixture.count, "the generator differs: \(fixture.name)")
            let k = fixture.centroids.count
            let solution = try XCTUnwrap(solve(values, weights, k))
            XCTAssertEqual(solution.centroids.map(bits), fixture.centroids, fixture.name)
            XCTAssertEqual(solution.firstIndex, fixture.firstIndex, fixture.name)
            checked += 1
        }
        XCTAssertGreaterThan(checked, 500)
    }

    /// Every set of distinct integers of 0...8, every k, two kinds of weights: no partition into intervals is better.
    func testNoPartitionIsBetter() throws {
        var generator = SeededGenerator(seed: 3)
        for set in 1..<(isDebugBuild ? 128 : 512) {
            var values: [Double] = []
            for i in 0..<9 where (set >> i) & 1 == 1 { values.append(Double(i * i - 9)) }
            for weighted in [false, true] {
                let weights = values.map { _ in weighted ? Double(1 + generator.next() % 9) : 1 }
                for k in 1...values.count {
                    let solution = try XCTUnwrap(solve(values, weights, k))
                    let found = cost(values, weights, solution.firstIndex)
                    let least = leastCost(values, weights, k)
                    XCTAssertLessThanOrEqual(found, least + 1e-9, "\(values) \(weights) k \(k)")
                    XCTAssertEqual(solution.centroids, solution.centroids.sorted())
                }
            }
        }
    }

    func testAsManyClustersAsValues() throws {
        let values = [-3.5, -1, 0, 0.25, 1024]
        let solution = try XCTUnwrap(solve(values, [1, 2, 3, 4, 5], 5))
        XCTAssertEqual(solution.centroids, values)
        XCTAssertEqual(solution.firstIndex, [0, 1, 2, 3, 4])
    }

    /// Linear in count, bounded for any k, and never written outside of.
    func testScratch() throws {
        for count in [1, 2, 7, 64, 1000, 65_536, 1 << 20] {
            let most = exactKMeans1DScratchBytes(count, count)
            XCTAssertLessThanOrEqual(most, 125 * count + 3200)
            for k in [1, 2, 16, 256, 257, 100_000] where k <= count {
                XCTAssertLessThanOrEqual(exactKMeans1DScratchBytes(count, k), most)
                if k >= 257 { XCTAssertEqual(exactKMeans1DScratchBytes(count, k), most) }
            }
        }
        for (count, k) in [(1, 1), (2, 2), (3, 1), (31, 31), (64, 5), (129, 129), (300, 280)] {
            let values = (0..<count).map { Double($0 * $0) }
            // `solve` surrounds the scratch with a pattern and checks it.
            _ = try XCTUnwrap(solve(values, values.map { _ in 1 }, k))
        }
    }

    func testCancellation() {
        let values = (0..<1000).map(Double.init)
        XCTAssertNil(solve(values, values.map { _ in 1 }, 2, cancelled: 1))
        XCTAssertNil(solve(values, values.map { _ in 1 }, 300, cancelled: -1))
        XCTAssertNotNil(solve(values, values.map { _ in 1 }, 1, cancelled: 1), "one cluster needs no search")
    }

    /// A flag raised while the solver runs ends it long before it is done.
    func testCancellationOfRunningWork() {
        let count = isDebugBuild ? 20_000 : 400_000
        let values = (0..<count).map(Double.init)
        nonisolated(unsafe) let flag = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        defer { flag.deallocate() }
        flag.pointee = 0
        Thread.detachNewThread {
            Thread.sleep(forTimeInterval: 0.05)
            flag.pointee = 1
        }
        let start = Date()
        XCTAssertNil(solve(values, values.map { _ in 1 }, 5000, flag: flag))
        XCTAssertLessThan(Date().timeIntervalSince(start), 10)
    }
}

// MARK: - Running the solver

private struct Solution {
    let centroids: [Double]
    let firstIndex: [Int]
}

private let isDebugBuild: Bool = {
    var debug = false
    assert({ debug = true }() == ())
    return debug
}()

private func solve(_ values: [Double], _ weights: [Double], _ k: Int, cancelled: Int32 = 0) -> Solution? {
    withUnsafePointer(to: cancelled) { solve(values, weights, k, flag: $0) }
}

private func solve(_ values: [Double], _ weights: [Double], _ k: Int, flag: UnsafePointer<Int32>) -> Solution? {
    let guardBytes = 256
    let bytes = exactKMeans1DScratchBytes(values.count, k)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes + 2 * guardBytes, alignment: 64)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0xa5, count: bytes + 2 * guardBytes)
    var centroids = [Double](repeating: .nan, count: k)
    var firstIndex = [Int32](repeating: -1, count: k)
    let finished = exactKMeans1D(
        values, weights, values.count, k, memory + guardBytes, &centroids, &firstIndex, flag)
    for i in 0..<guardBytes {
        for offset in [i, guardBytes + bytes + i] {
            guard memory.load(fromByteOffset: offset, as: UInt8.self) == 0xa5 else {
                XCTFail("scratch overrun, n \(values.count), k \(k)")
                return nil
            }
        }
    }
    return finished ? Solution(centroids: centroids, firstIndex: firstIndex.map(Int.init)) : nil
}

private func bits(_ value: Double) -> String { value.isNaN ? "nan" : String(value.bitPattern, radix: 16) }

// MARK: - Brute force

private func cost(_ values: [Double], _ weights: [Double], _ range: Range<Int>) -> Double {
    var weight = 0.0
    var sum = 0.0
    for i in range {
        weight += weights[i]
        sum += weights[i] * values[i]
    }
    var cost = 0.0
    for i in range {
        let difference = values[i] - sum / weight
        cost += weights[i] * difference * difference
    }
    return cost
}

private func cost(_ values: [Double], _ weights: [Double], _ firstIndex: [Int]) -> Double {
    var total = 0.0
    for c in firstIndex.indices {
        let end = c + 1 < firstIndex.count ? firstIndex[c + 1] : values.count
        if firstIndex[c] < end { total += cost(values, weights, firstIndex[c]..<end) }
    }
    return total
}

private func leastCost(_ values: [Double], _ weights: [Double], _ k: Int) -> Double {
    var least = [Double](repeating: .infinity, count: values.count + 1)
    least[0] = 0
    for _ in 0..<k {
        var next = least
        for end in 1...values.count {
            for start in 0..<end { next[end] = min(next[end], least[start] + cost(values, weights, start..<end)) }
        }
        least = next
    }
    return least[values.count]
}
