import XCTest

@testable import TensorCompression

/// Linear quantization against coremltools 9.0 (make_parts_fixtures.py), byte for byte, and what it refuses.
final class QuantizeTests: XCTestCase {
    private func options(_ fixture: FixtureCase) throws -> QuantizationOptions {
        QuantizationOptions(
            mode: try XCTUnwrap(QuantizationMode(rawValue: try XCTUnwrap(fixture.mode))),
            type: try XCTUnwrap(IntegerType(name: try XCTUnwrap(fixture.type))),
            blockSizes: try XCTUnwrap(fixture.blockSizes), referenceArithmetic: fixture.reference ?? false)
    }

    private func check(_ fixture: FixtureCase, threads: Int) throws {
        let weight = try XCTUnwrap(fixture.weight)
        let pool = WorkPool(threads: threads)
        let options = try options(fixture)
        let layout = try quantizationLayout(weight.tensor, options)
        let scale = Bytes(layout.blockCount * weight.itemSize)
        let (data, zero) = (Bytes(layout.count), Bytes(layout.blockCount))
        let zeros = layout.hasZeroPoint ? zero.pointer.assumingMemoryBound(to: UInt8.self) : nil
        let before = weight.bytes
        try quantize(
            weight.tensor, options, layout, pool: pool, data: data.pointer.assumingMemoryBound(to: UInt8.self),
            scale: scale.pointer, zeroPoint: zeros)
        XCTAssertEqual(weight.bytes, before, "the weight changed: \(fixture.name)")
        XCTAssertEqual(layout.scaleShape, fixture.scale?.shape, fixture.name)
        XCTAssertEqual(scale.array, fixture.scale?.bytes, fixture.name)
        XCTAssertEqual(layout.hasZeroPoint ? zero.array : nil, fixture.zeroPoint?.bytes, fixture.name)
        XCTAssertEqual(data.array, fixture.data?.bytes, fixture.name)
        guard let decoded = fixture.decoded else { return }
        let output = Bytes(weight.byteCount)
        let type = options.type
        let packed = Bytes(try packedByteCount(count: layout.count, nbits: type.bits))
        try packBits(
            data.bytePointer, count: layout.count, nbits: type.bits, signed: type.isSigned,
            into: packed.pointer.assumingMemoryBound(to: UInt8.self), pool: pool)
        for codes in [IntegerCodes.bytes(data.bytePointer), .packed(packed.bytePointer)] {
            try dequantize(
                codes: codes, type: type, shape: layout.shape,
                scale: DecodingScale(elements: scale.pointer, shape: layout.scaleShape),
                floatType: weight.tensor.type, zeroPoint: zeros.map { UnsafePointer($0) }, into: output.pointer,
                pool: pool)
            XCTAssertEqual(output.array, decoded.bytes, fixture.name)
        }
        let error = try quantizationError(
            weight.tensor, layout, type: type, data: data.bytePointer, scale: scale.pointer,
            zeroPoint: zeros.map { UnsafePointer($0) }, pool: pool)
        let expected = try errorStatistics(weight.tensor, decoded: output.pointer, pool: pool)
        if expected.squaredError.isFinite { XCTAssertEqual(error, expected, fixture.name) }
        let (rounded, factors) = (Bytes(weight.byteCount), Bytes(layout.blockCount * weight.itemSize))
        let points = Bytes(layout.blockCount)
        let inOne = try roundToCodes(
            weight.tensor, options, layout, pool: pool, dense: rounded.pointer, scale: factors.pointer,
            zeroPoint: layout.hasZeroPoint ? points.pointer.assumingMemoryBound(to: UInt8.self) : nil)
        XCTAssertEqual(rounded.array, decoded.bytes, fixture.name)
        XCTAssertEqual(factors.array, scale.array, fixture.name)
        if layout.hasZeroPoint { XCTAssertEqual(points.array, zero.array, fixture.name) }
        if expected.squaredError.isFinite { assertEqual(inOne, expected, fixture.name) }
    }

    /// Sums may have been added in another order.
    private func assertEqual(_ found: ErrorStatistics, _ expected: ErrorStatistics, _ name: String) {
        XCTAssertEqual(found.count, expected.count, name)
        XCTAssertEqual(found.maxError, expected.maxError, name)
        XCTAssertEqual(found.squaredError, expected.squaredError, accuracy: 1e-12 * expected.squaredError, name)
        XCTAssertEqual(found.sumOfSquares, expected.sumOfSquares, accuracy: 1e-12 * expected.sumOfSquares, name)
    }

    /// Blocks that lie one after the other, in pieces that are no powers of 2; blocks across rows; one block.
    func testRoundToCodesInManyPieces() throws {
        let shape = [480, 720]
        let weight = [Float](unsafeUninitializedCapacity: 480 * 720) { buffer, count in
            count = buffer.count
            for i in 0..<count { buffer[i] = Float((i * 7919) % 10_007) / 5003 - 0.9 }
        }
        try weight.withUnsafeBytes { bytes in
            let base = try XCTUnwrap(bytes.baseAddress)
            let tensor = TensorView(base: base, type: .float32, shape: shape)
            for sizes in [[1, 48], [1, 0], [16, 1], [0, 24], [0, 0]] {
                let options = QuantizationOptions(mode: .linear, type: .int4, blockSizes: sizes)
                let layout = try quantizationLayout(tensor, options)
                let (data, zero) = (Bytes(layout.count), Bytes(layout.blockCount))
                let (scale, dense) = (Bytes(4 * layout.blockCount), Bytes(4 * layout.count))
                let zeros = zero.pointer.assumingMemoryBound(to: UInt8.self)
                try quantize(
                    tensor, options, layout, pool: WorkPool(threads: 2),
                    data: data.pointer.assumingMemoryBound(to: UInt8.self), scale: scale.pointer, zeroPoint: zeros)
                try dequantize(
                    codes: .bytes(data.bytePointer), type: .int4, shape: shape,
                    scale: DecodingScale(elements: scale.pointer, shape: layout.scaleShape), floatType: .float32,
                    zeroPoint: UnsafePointer(zeros), into: dense.pointer, pool: WorkPool(threads: 2))
                let expected = try errorStatistics(tensor, decoded: dense.pointer, pool: WorkPool(threads: 1))
                var errors: [ErrorStatistics] = []
                for threads in [1, 2, 3, 8] {
                    let (rounded, factors, points) = (
                        Bytes(dense.array.count), Bytes(scale.array.count), Bytes(zero.array.count)
                    )
                    errors.append(
                        try roundToCodes(
                            tensor, options, layout, pool: WorkPool(threads: threads), dense: rounded.pointer,
                            scale: factors.pointer, zeroPoint: points.pointer.assumingMemoryBound(to: UInt8.self)))
                    XCTAssertEqual(rounded.array, dense.array, "\(sizes)")
                    XCTAssertEqual(factors.array, scale.array, "\(sizes)")
                    XCTAssertEqual(points.array, zero.array, "\(sizes)")
                }
                XCTAssertEqual(Set(errors.map(\.squaredError)).count, 1, "\(sizes)")
                assertEqual(errors[0], expected, "\(sizes)")
            }
        }
    }

    func testQuantize() throws {
        for fixture in FixtureFile.cases("quantize") { try check(fixture, threads: 1) }
    }

    func testQuantizeOnThreeThreads() throws {
        for fixture in FixtureFile.cases("quantize") { try check(fixture, threads: 3) }
    }

    func testBaselineKernels() throws {
        let chosen = usesV3Kernels
        usesV3Kernels = false
        defer { usesV3Kernels = chosen }
        for fixture in FixtureFile.cases("quantize") { try check(fixture, threads: 1) }
    }

    func testTypes() {
        XCTAssertEqual(IntegerType(name: "uint6")?.bits, 6)
        XCTAssertEqual(IntegerType(name: "int3")?.isSigned, true)
        for name in ["int5", "uint16", "int", "int08", "float16", "int-4", " int8", ""] {
            XCTAssertNil(IntegerType(name: name), name)
        }
        for bits in [2, 3, 4, 6, 8] {
            for isSigned in [false, true] {
                let type = IntegerType(bits: bits, isSigned: isSigned)
                XCTAssertEqual(type.flatMap { IntegerType(name: $0.name) }, type)
            }
        }
    }

    private func run(
        _ values: [Float], _ options: QuantizationOptions, shape: [Int]? = nil
    ) throws -> (summary: QuantizationSummary, data: [UInt8], scale: [Float], zero: [UInt8]) {
        let weight = Bytes(values)
        let tensor = TensorView(base: weight.pointer, type: .float32, shape: shape ?? [values.count])
        let layout = try quantizationLayout(tensor, options)
        let (data, scale, zero) = (Bytes(layout.count), Bytes(4 * layout.blockCount), Bytes(layout.blockCount))
        let summary = try quantize(
            tensor, options, layout, pool: WorkPool(threads: 2),
            data: data.pointer.assumingMemoryBound(to: UInt8.self), scale: scale.pointer,
            zeroPoint: zero.pointer.assumingMemoryBound(to: UInt8.self))
        return (summary, data.array, scale.elements(Float.self), zero.array)
    }

    func testZerosAndExtremes() throws {
        let most = Float.greatestFiniteMagnitude
        let values: [Float] = [0, -0.0, 0, -most, most, 0, 1e-45, 0, -3e-45]
        for mode in QuantizationMode.allCases {
            for type in [IntegerType.int8, .uint4] {
                let found = try run(values, .init(mode: mode, type: type, blockSizes: [1, 0]), shape: [3, 3])
                XCTAssertEqual(found.summary.constantBlocks, 1)
                XCTAssertEqual(found.data[..<3], [0, 0, 0])
                XCTAssertEqual(found.scale[0], 0)
                XCTAssertTrue(found.scale[1].isFinite && found.scale[2] > 0)
            }
        }
    }

    func testRefusals() throws {
        func kind(_ values: [Float], _ options: QuantizationOptions) -> CompressionError.Kind? {
            do {
                _ = try run(values, options)
                return nil
            } catch { return (error as? CompressionError)?.kind }
        }
        XCTAssertEqual(kind([1, 2, 3], .init(blockSizes: [2])), .declined)
        XCTAssertEqual(kind([1, 2, 3], .init(blockSizes: [])), .invalidArgument)
        XCTAssertEqual(kind([1, 2, 3], .init(blockSizes: [-1])), .invalidArgument)
        XCTAssertEqual(kind([1, .infinity, 3], .init(blockSizes: [0])), .declined)
        XCTAssertEqual(kind([1, -.nan, 3], .init(mode: .linear, blockSizes: [1])), .declined)
        let weight = Bytes([Float](repeating: 1, count: 4))
        let tensor = TensorView(base: weight.pointer, type: .float32, shape: [4])
        XCTAssertThrowsError(
            try dequantize(
                codes: .bytes(weight.bytePointer), type: .int8, shape: [4],
                scale: DecodingScale(elements: weight.pointer, shape: [3]), floatType: .float32,
                into: weight.pointer, pool: WorkPool(threads: 1)))
        XCTAssertNoThrow(try quantizationLayout(tensor, .init(blockSizes: [4])))
    }

    func testEmpty() throws {
        let found = try run([], .init(type: .uint8, blockSizes: [1, 0]), shape: [3, 0])
        XCTAssertEqual(found.scale, [0, 0, 0])
        XCTAssertEqual(found.zero, [127, 127, 127])
        XCTAssertEqual(found.data, [])
    }
}
