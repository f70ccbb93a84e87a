import XCTest

@testable import TensorCompression

/// Pruning against coremltools 9.0 (make_parts_fixtures.py), byte for byte, and what it refuses.
final class PruneTests: XCTestCase {
    private func method(_ fixture: FixtureCase) throws -> PruningMethod {
        switch fixture.method {
        case "magnitude": .magnitude(targetSparsity: try XCTUnwrap(fixture.share))
        case "blocks":
            .blockMagnitude(
                targetSparsity: try XCTUnwrap(fixture.share), blockSize: try XCTUnwrap(fixture.blockSize),
                dim: try XCTUnwrap(fixture.dim))
        case "n_of_m":
            .nOfM(n: try XCTUnwrap(fixture.n), m: try XCTUnwrap(fixture.m), dim: try XCTUnwrap(fixture.dim))
        default: .threshold(try XCTUnwrap(fixture.threshold))
        }
    }

    private func check(_ fixture: FixtureCase, threads: Int) throws {
        let weight = try XCTUnwrap(fixture.weight)
        let (expected, nonzero) = (try XCTUnwrap(fixture.mask), try XCTUnwrap(fixture.nonzero))
        let pool = WorkPool(threads: threads)
        let mask = Bytes(weight.count)
        let summary = try prune(
            weight.tensor, try method(fixture), pool: pool, mask: mask.pointer.assumingMemoryBound(to: UInt8.self))
        XCTAssertEqual(mask.array, expected.bytes, fixture.name)
        XCTAssertEqual(summary.nonzeroCount, nonzero.count, fixture.name)
        let kept = Bytes(nonzero.byteCount)
        try gatherNonzero(weight.tensor, mask: mask.bytePointer, into: kept.pointer, pool: pool)
        XCTAssertEqual(kept.array, nonzero.bytes, fixture.name)

        let packed = Bytes(try packedByteCount(count: weight.count, nbits: 1))
        try packBits(
            mask.bytePointer, count: weight.count, nbits: 1, into: packed.pointer.assumingMemoryBound(to: UInt8.self),
            pool: pool)
        let output = Bytes(weight.byteCount)
        for form in [SparseMask.bytes(mask.bytePointer), .packed(packed.bytePointer)] {
            try scatterNonzero(
                elementByteCount: weight.itemSize, count: weight.count, mask: form, nonzero: kept.pointer,
                nonzeroCount: nonzero.count, into: output.pointer, pool: pool)
            let original = weight.bytes
            for i in 0..<weight.byteCount {
                let isKept = expected.bytes[i / weight.itemSize] == 1
                XCTAssertEqual(output.array[i], isKept ? original[i] : 0, fixture.name)
            }
        }
        XCTAssertEqual(
            try pruningError(weight.tensor, mask: mask.bytePointer, pool: pool),
            try errorStatistics(weight.tensor, decoded: output.pointer, pool: pool), fixture.name)
    }

    func testPrune() throws {
        for fixture in FixtureFile.cases("prune") { try check(fixture, threads: 1) }
    }

    func testPruneOnThreeThreads() throws {
        for fixture in FixtureFile.cases("prune") { try check(fixture, threads: 3) }
    }

    func testBaselineKernels() throws {
        let chosen = usesV3Kernels
        usesV3Kernels = false
        defer { usesV3Kernels = chosen }
        for fixture in FixtureFile.cases("prune") { try check(fixture, threads: 1) }
    }

    private func mask(_ values: [Float], _ method: PruningMethod, shape: [Int]? = nil) throws -> [UInt8] {
        let weight = Bytes(values)
        let mask = Bytes(values.count)
        let tensor = TensorView(base: weight.pointer, type: .float32, shape: shape ?? [values.count])
        let summary = try prune(
            tensor, method, pool: WorkPool(threads: 2), mask: mask.pointer.assumingMemoryBound(to: UInt8.self))
        XCTAssertEqual(summary.nonzeroCount, mask.array.reduce(0) { $0 + Int($1) })
        return mask.array
    }

    func testTiesGoToTheFirst() throws {
        let values: [Float] = [1, -1, 1, 1, 2, -2, 0, 2]
        XCTAssertEqual(
            try mask(values, .nOfM(n: 2, m: 4, dim: 1), shape: [1, 8]), [0, 0, 1, 1, 0, 1, 0, 1])
        let equal = [Float](repeating: -3, count: 200)
        let found = try mask(equal, .nOfM(n: 30, m: 100, dim: 1), shape: [1, 200])
        for i in 0..<200 { XCTAssertEqual(found[i], i % 100 < 30 ? 0 : 1) }
    }

    func testRefusals() throws {
        func kind(_ method: PruningMethod, _ shape: [Int] = [4, 4], _ first: Float = 1) -> CompressionError.Kind? {
            do {
                _ = try mask([first] + [Float](repeating: 2, count: shape.reduce(1, *) - 1), method, shape: shape)
                return nil
            } catch { return (error as? CompressionError)?.kind }
        }
        XCTAssertNil(kind(.magnitude(targetSparsity: 0.5)))
        XCTAssertEqual(kind(.magnitude(targetSparsity: 0.5), [4, 4], .nan), .declined)
        XCTAssertEqual(kind(.magnitude(targetSparsity: 1.5)), .invalidArgument)
        XCTAssertEqual(kind(.magnitude(targetSparsity: .nan)), .invalidArgument)
        XCTAssertEqual(kind(.blockMagnitude(targetSparsity: 0.5, blockSize: 3, dim: 0)), .declined)
        XCTAssertEqual(kind(.blockMagnitude(targetSparsity: 0.5, blockSize: 0, dim: 0)), .invalidArgument)
        XCTAssertEqual(kind(.blockMagnitude(targetSparsity: 0.5, blockSize: .max / 2 + 1, dim: 0)), .declined)
        XCTAssertEqual(kind(.blockMagnitude(targetSparsity: 0.5, blockSize: 2, dim: 0), [16]), .declined)
        XCTAssertEqual(kind(.blockMagnitude(targetSparsity: 0.5, blockSize: 2, dim: 2)), .invalidArgument)
        XCTAssertEqual(kind(.nOfM(n: 3, m: 2, dim: 0)), .invalidArgument)
        XCTAssertEqual(kind(.nOfM(n: 0, m: 0, dim: 0)), .invalidArgument)
        XCTAssertEqual(kind(.nOfM(n: 1, m: 3, dim: 1)), .declined)
        XCTAssertEqual(kind(.threshold(-1)), .invalidArgument)
        XCTAssertEqual(kind(.threshold(.nan)), .invalidArgument)
        XCTAssertEqual(kind(.threshold(1, minimumSparsity: 0.5)), .declined)
    }
}
