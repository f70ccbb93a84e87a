import CoreMLPackage
import TensorCompression
import XCTest

@testable import ModelCompression

/// A per-channel scale multiplies what the consumers of a weight compute.
final class OutputScaleTests: TemporaryFolderTestCase {
    private func palettize(
        _ fixture: String = "mixed_ios18", compat: CompressionOptions.Compatibility? = nil
    ) throws -> CompressionReport {
        try compressWeights(
            of: try Fixtures.package(fixture), to: output(),
            options: CompressionOptions(
                global: .palettizer(PalettizerConfig(mode: .uniform, nbits: 4, enablePerChannelScale: true)),
                compat: compat))
    }

    func testAMultiplicationFollowsEachConsumer() throws {
        let report = try palettize()
        let written = try ModelPackage(path: output())
        let operations = ProgramIndex(written.model).operations
        for record in report.weights where record.action == .palettized && record.name != "returned" {
            XCTAssertNotNil(record.outputScale, record.name)
            XCTAssertNil(record.note, record.name)
        }
        // What is no multiplication cannot be followed by one.
        let returned = try XCTUnwrap(report.weights.first { $0.name == "returned" })
        XCTAssertNil(returned.outputScale)
        XCTAssertEqual(
            returned.note,
            "its scale multiplies the weight itself, not what its consumers compute: a scale cannot follow identity "
                + "'identity_0'")
        XCTAssertEqual(
            report.addedOperations.sorted(),
            operations.filter { $0.type == "mul" }.map(\.name).sorted())
        XCTAssertTrue(report.addedOperations.contains("linear_scaled"))
        XCTAssertEqual(operations.count { $0.type == "constexpr_blockwise_shift_scale" }, 1)
        let verified = try verifyCompression(of: written, against: try Fixtures.package("mixed_ios18"), report: report)
        XCTAssertEqual(verified.problems, [])
    }

    /// bias / scale, times scale, is the bias again but for rounding.
    func testTheBiasIsDividedByTheScale() throws {
        let report = try palettize()
        let source = WeightReader(try Fixtures.package("mixed_ios18"))
        let reader = WeightReader(try ModelPackage(path: output()))
        let name = try XCTUnwrap(report.weights.first { $0.name == "linear_weight" }?.outputScale)
        let (scale, old) = (floats(try reader.decodedWeight(name)), floats(try source.decodedWeight("linear_bias")))
        let new = floats(try reader.decodedWeight("linear_bias_unscaled"))
        for channel in old.indices {
            XCTAssertEqual(new[channel] * scale[channel], old[channel], accuracy: abs(old[channel]) * 0x1p-10)
        }
    }

    func testTheReferenceScalesTheWeight() throws {
        let report = try palettize(compat: .coremltools)
        XCTAssertEqual(report.addedOperations, [])
        XCTAssertTrue(report.weights.allSatisfy { $0.outputScale == nil && $0.note == nil })
    }

    private func floats(_ tensor: DenseTensor) -> [Float] {
        stride(from: 0, to: tensor.bytes.count, by: 2).map {
            Half.toFloat(UInt16(tensor.bytes[$0]) | UInt16(tensor.bytes[$0 + 1]) << 8)
        }
    }
}
