import CoreMLPackage
import XCTest

@testable import ModelCompression

/// How `info` describes every compressed form of iOS16 and iOS18.
final class StoredWeightTests: TemporaryFolderTestCase {
    /// linear_weight of the fixture, which these operations take the place of.
    private static let shape = [48, 64]
    private static let count = 48 * 64

    private func tensor(_ type: MILDataType, _ shape: [Int]) throws -> NewBinding {
        let bytes = [UInt8](repeating: 0, count: try XCTUnwrap(type.byteCount(elements: shape.reduce(1, *))))
        return .value(try bytes.withUnsafeBytes { try NewValue.tensor(type, shape: shape, bytes: $0) })
    }

    private func operation(
        _ type: String, _ inputs: [(String, NewBinding)],
        outputs: [(String, MILDataType, [Int])] = [("linear_weight", .float16, shape)]
    ) -> NewOperation {
        NewOperation(
            type: type, inputs: inputs.map { ($0.0, [$0.1]) }, outputs: outputs.map { ($0.0, .tensor($0.1, $0.2)) },
            attributes: [("name", .string(outputs[0].0))])
    }

    private func stored(_ operations: [NewOperation]) throws -> PackageInfo.Weight {
        let source = try Fixtures.package("mixed_ios18")
        let place = try XCTUnwrap(ProgramIndex(source.model).weights.first { $0.site.name == "linear_weight" })
        let writer = try PackageWriter(source, output: output())
        try writer.replace(operationAt: place.range, with: operations)
        try writer.finish()
        let info = try PackageInfo(ModelPackage(path: output()))
        XCTAssertEqual(info.weights.count, 23)
        return try XCTUnwrap(info.weights.first { $0.name == "linear_weight" })
    }

    private func check(
        _ operations: [NewOperation], _ text: String, bytes: Int, file: StaticString = #filePath, line: UInt = #line
    ) throws {
        let weight = try stored(operations)
        XCTAssertEqual(weight.compression, text, file: file, line: line)
        XCTAssertEqual(weight.bytes, bytes, file: file, line: line)
        XCTAssertEqual(weight.shape, Self.shape, file: file, line: line)
        XCTAssertEqual(weight.consumerType, "linear", file: file, line: line)
    }

    func testPalettes() throws {
        try check(
            [
                operation(
                    "constexpr_lut_to_dense",
                    [("indices", try tensor(.uint2, [48, 32])), ("lut", try tensor(.float16, [3, 1, 4, 2]))])
            ], "palettized 2 bit, 3 lookup tables, vectors of 2", bytes: 48 * 32 / 4 + 3 * 4 * 2 * 2)
        // A lookup table of integers, scaled afterwards.
        try check(
            [
                operation(
                    "constexpr_lut_to_dense",
                    [("indices", try tensor(.uint4, Self.shape)), ("lut", try tensor(.int8, [1, 1, 16, 1]))],
                    outputs: [("inner", .int8, Self.shape)]),
                operation(
                    "constexpr_blockwise_shift_scale",
                    [("data", .name("inner")), ("scale", try tensor(.float16, [48, 1]))]),
            ], "48 scales, palettized 4 bit, int8 entries", bytes: Self.count / 2 + 16 + 96)
    }

    func testQuantized() throws {
        try check(
            [
                operation(
                    "constexpr_blockwise_shift_scale",
                    [
                        ("data", try tensor(.int4, Self.shape)), ("scale", try tensor(.float16, [48, 2])),
                        ("offset", try tensor(.int4, [48, 2])),
                    ])
            ], "quantized int4, 96 scales and zero points", bytes: Self.count / 2 + 96 * 2 + 48)
        try check(
            [
                operation(
                    "constexpr_affine_dequantize",
                    [
                        ("quantized_data", try tensor(.uint8, Self.shape)), ("zero_point", try tensor(.uint8, [])),
                        ("scale", try tensor(.float16, [])),
                    ])
            ], "quantized uint8, 1 scale", bytes: Self.count + 3)
    }

    func testSparse() throws {
        let mask = try tensor(.uint1, Self.shape)
        try check(
            [
                operation(
                    "constexpr_sparse_to_dense", [("nonzero_data", try tensor(.float16, [1000])), ("mask", mask)])
            ], "sparse, 67.4 % zeros", bytes: 2000 + Self.count / 8)
        // Both outputs of the inner operation lead to it; its arrays count once.
        try check(
            [
                operation(
                    "constexpr_lut_to_sparse",
                    [
                        ("indices_mask", mask), ("indices_nonzero_data", try tensor(.uint4, [1000])),
                        ("lut", try tensor(.float16, [1, 1, 16, 1])),
                    ], outputs: [("some_mask", .uint1, Self.shape), ("some", .float16, [1000])]),
                operation(
                    "constexpr_sparse_to_dense", [("nonzero_data", .name("some")), ("mask", .name("some_mask"))]),
            ], "sparse, 67.4 % zeros, palettized 4 bit", bytes: 500 + Self.count / 8 + 32)
        try check(
            [
                operation(
                    "constexpr_sparse_blockwise_shift_scale",
                    [
                        ("data_mask", mask), ("nonzero_data", try tensor(.int8, [1536])),
                        ("scale", try tensor(.float16, [48, 1])),
                    ], outputs: [("some_mask", .uint1, Self.shape), ("some", .float16, [1536])]),
                operation(
                    "constexpr_sparse_to_dense", [("nonzero_data", .name("some")), ("mask", .name("some_mask"))]),
            ], "sparse, 50.0 % zeros, quantized int8, 48 scales", bytes: 1536 + Self.count / 8 + 96)
    }

    func testCast() throws {
        try check(
            [
                operation(
                    "constexpr_cast", [("source_val", try tensor(.float16, Self.shape))],
                    outputs: [("linear_weight", .float32, Self.shape)])
            ], "cast from fp16", bytes: Self.count * 2)
    }
}
