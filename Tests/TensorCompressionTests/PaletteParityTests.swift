import XCTest

@testable import TensorCompression

/// Palettes, codes and decoded tensors against coremltools 9.0 (make_fixtures.py), byte for byte; zeros of either sign are
/// equal, as in `numpy.array_equal`.
final class PaletteParityTests: XCTestCase {
    private func options(_ fixture: FixtureCase) throws -> PalettizationOptions {
        let scale: PerChannelScale =
            switch fixture.scaleKind {
            case "outputChannel": .outputChannel
            case "reference": .reference
            default: .none
            }
        let group = fixture.group ?? 0
        return PalettizationOptions(
            mode: try XCTUnwrap(PalettizationMode(rawValue: try XCTUnwrap(fixture.mode))), nbits: fixture.nbits,
            granularity: group == 0 ? .perTensor : .perGroupedChannel(groupSize: group),
            channelAxis: fixture.axis ?? 0, clusterDim: fixture.dim ?? 1, perChannelScale: scale)
    }

    private func check(_ fixture: FixtureCase, threads: Int) throws {
        let weight = try XCTUnwrap(fixture.weight)
        let type = try XCTUnwrap(weight.type)
        let before = weight.bytes
        let result = try runPalettize(weight.tensor, try options(fixture), threads: threads)
        let lut = try XCTUnwrap(fixture.lut)
        XCTAssertEqual(result.layout.lutShape, lut.shape, fixture.name)
        XCTAssertEqual(
            withoutNegativeZeros(result.lut, type), withoutNegativeZeros(lut.bytes, type), fixture.name)
        XCTAssertEqual(result.layout.indicesShape, fixture.indices?.shape, fixture.name)
        XCTAssertEqual(result.indices, fixture.indices?.bytes, fixture.name)
        XCTAssertEqual(result.layout.scaleShape, fixture.scale?.shape, fixture.name)
        XCTAssertEqual(result.scale, fixture.scale?.bytes ?? [], fixture.name)
        XCTAssertEqual(weight.bytes, before, "the weight changed: \(fixture.name)")

        let (lutBytes, indexBytes, scaleBytes) = (Bytes(result.lut), Bytes(result.indices), Bytes(result.scale))
        let output = Bytes(weight.byteCount)
        try decodePalette(
            result.layout, type, lut: lutBytes.pointer, indices: indexBytes.bytePointer,
            scale: result.scale.isEmpty ? nil : UnsafeRawPointer(scaleBytes.pointer), into: output.pointer,
            pool: WorkPool(threads: threads))
        let decoded = try XCTUnwrap(fixture.decoded)
        XCTAssertEqual(
            withoutNegativeZeros(output.array, type), withoutNegativeZeros(decoded.bytes, type), fixture.name)
    }

    func testPalettize() throws {
        for fixture in FixtureFile.cases("palettize") { try check(fixture, threads: 1) }
    }

    func testPalettizeOnThreeThreads() throws {
        for fixture in FixtureFile.cases("palettize") { try check(fixture, threads: 3) }
    }

    func testBaselineKernels() throws {
        let chosen = usesV3Kernels
        usesV3Kernels = false
        defer { usesV3Kernels = chosen }
        for fixture in FixtureFile.cases("palettize") { try check(fixture, threads: 1) }
    }

    func testUniformByTable() throws {
        for fixture in FixtureFile.cases("uniformLarge") {
            let result = try runPalettize(
                try XCTUnwrap(fixture.weight).tensor, .init(mode: .uniform, nbits: 6), threads: 2)
            XCTAssertEqual(result.lut, fixture.lut?.bytes)
            XCTAssertEqual(result.indices, fixture.indices?.bytes)
        }
    }

    func testDecode() throws {
        for fixture in FixtureFile.cases("decode") {
            let (lut, indices) = (try XCTUnwrap(fixture.lut), try XCTUnwrap(fixture.indices))
            let expected = try XCTUnwrap(fixture.decoded)
            for codes in [PaletteCodes.bytes(indices.bytePointer), .packed(try XCTUnwrap(fixture.packed).bytePointer)] {
                let output = Bytes(expected.byteCount)
                try expandPalette(
                    lut: lut.pointer, lutShape: lut.shape, elementByteCount: lut.itemSize, codes: codes,
                    indicesShape: indices.shape, vectorAxis: fixture.axis, into: output.pointer,
                    pool: WorkPool(threads: 2))
                XCTAssertEqual(output.array, expected.bytes, fixture.name)
                guard let type = lut.type else { continue }
                let again = Bytes(expected.byteCount)
                try decodePalette(
                    lut: lut.pointer, lutShape: lut.shape, type: type, codes: codes, indicesShape: indices.shape,
                    vectorAxis: fixture.axis, into: again.pointer, pool: WorkPool(threads: 1))
                XCTAssertEqual(again.array, expected.bytes, fixture.name)
            }
        }
    }

    func testPacking() throws {
        let pool = WorkPool(threads: 1)
        for fixture in FixtureFile.cases("pack") {
            let nbits = try XCTUnwrap(fixture.nbits)
            for (codes, packed, signed) in [
                (fixture.codes, fixture.packed, false), (fixture.signed, fixture.packedSigned, true),
            ] {
                let codes = try XCTUnwrap(codes)
                let packed = try XCTUnwrap(packed)
                let bytes = Bytes(packed.count)
                try packBits(
                    codes.bytePointer, count: codes.count, nbits: nbits, signed: signed,
                    into: bytes.pointer.assumingMemoryBound(to: UInt8.self), pool: pool)
                XCTAssertEqual(bytes.array, packed.bytes, fixture.name)
                let back = Bytes(codes.count)
                try unpackBits(
                    packed.bytePointer, byteCount: packed.count, count: codes.count, nbits: nbits, signed: signed,
                    into: back.pointer.assumingMemoryBound(to: UInt8.self), pool: pool)
                XCTAssertEqual(back.array, codes.bytes, fixture.name)
            }
        }
    }
}
