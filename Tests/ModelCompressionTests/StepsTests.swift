import CoreMLPackage
import XCTest

@testable import ModelCompression

/// Quantization, pruning and joint compression against packages that coremltools wrote (`make_fixtures.py`): what we make
/// of the same source expands to the same bits, and so does what coremltools made.
final class StepsTests: TemporaryFolderTestCase {
    private typealias Step = (operation: CompressionOptions.Operation, config: WeightConfig)

    private static let linear: Step = (.quantize, .quantizer(QuantizerConfig(mode: .linear, dtype: .uint8)))
    private static let int8: Step = (.quantize, .quantizer(QuantizerConfig()))
    private static let table: Step = (.quantize, .quantizer(QuantizerConfig(granularity: .perTensor)))
    private static let block: Step = (
        .quantize, .quantizer(QuantizerConfig(dtype: .int4, granularity: .perBlock, blockSize: .input(16)))
    )
    private static let half: Step = (.prune, .magnitudePruner(MagnitudePrunerConfig(targetSparsity: 0.5)))
    private static let ratio: Step = (
        .prune, .magnitudePruner(MagnitudePrunerConfig(ratio: MagnitudePrunerConfig.Ratio(n: 2, m: 4)))
    )
    private static let threshold: Step = (
        .prune, .thresholdPruner(ThresholdPrunerConfig(threshold: 0.5, minimumSparsity: 0.2))
    )
    private static let uniform: Step = (.palettize, .palettizer(PalettizerConfig(mode: .uniform, nbits: 4)))

    private static let cases: [(name: String, source: String, steps: [Step])] = [
        ("reference_ios15_linear_uint8", "mixed_ios15", [linear]), ("reference_ios16_int8", "mixed_ios16", [int8]),
        ("reference_ios16_sparse", "mixed_ios16", [half]), ("reference_ios18_int4_block", "mixed_ios18", [block]),
        ("reference_ios18_ratio", "mixed_ios18", [ratio]), ("reference_ios18_threshold", "mixed_ios18", [threshold]),
        ("reference_ios18_sparse_palette", "mixed_ios18", [half, uniform]),
        ("reference_ios18_sparse_int8", "mixed_ios18", [half, linear]),
        ("reference_ios18_sparse_palette_int8", "mixed_ios18", [half, uniform, table]),
        ("reference_ios18_int8_palette", "mixed_ios18", [int8, uniform]),
        ("reference_ios18_int8_sparse", "mixed_ios18", [int8, half]),
        ("reference_ios18_palette_int8", "mixed_ios18", [uniform, table]),
        ("reference_ios18_palette_sparse", "mixed_ios18", [uniform, half]),
    ]

    func testWhatCoremltoolsWroteExpandsToItsValues() throws {
        for (name, _, _) in Self.cases {
            let reader = WeightReader(try Fixtures.package(name))
            let expected = try Fixtures.expected(name)
            XCTAssertEqual(reader.compressedWeights.count, expected.count, name)
            for (_, weight) in reader.compressedWeights {
                XCTAssertEqual(
                    crc32(try reader.decodedWeight(weight).bytes), expected[Fixtures.plainName(weight)],
                    "\(name) \(weight)")
            }
        }
    }

    /// The reference cuts integer tables off, so its arithmetic is asked for.
    func testTheSameStepsGiveTheSameValues() throws {
        for (name, source, steps) in Self.cases {
            let path = try run(steps, on: Fixtures.path(source), compat: .coremltools)
            let reader = WeightReader(try ModelPackage(path: path))
            let expected = try Fixtures.expected(name)
            XCTAssertEqual(Set(reader.compressedWeights.map(\.name)), Set(expected.keys), name)
            for (weight, crc) in expected {
                XCTAssertEqual(crc32(try reader.decodedWeight(weight).bytes), crc, "\(name) \(weight)")
            }
        }
    }

    func testDecompressionGivesTheSameValuesAsConstants() throws {
        for (name, _, _) in Self.cases {
            let package = try Fixtures.package(name)
            let report = try compressWeights(
                of: package, to: output("dense"), options: CompressionOptions(operation: .decompress))
            let expected = try Fixtures.expected(name)
            XCTAssertEqual(report.weights.filter { $0.action == .decompressed }.count, expected.count, name)
            let written = try ModelPackage(path: output("dense"))
            let reader = WeightReader(written)
            XCTAssertTrue(reader.compressedWeights.isEmpty, name)
            for (_, weight) in WeightReader(package).compressedWeights {
                XCTAssertEqual(
                    crc32(try reader.decodedWeight(weight).bytes), expected[Fixtures.plainName(weight)],
                    "\(name) \(weight)")
            }
            XCTAssertEqual(written.model.specificationVersion, package.model.specificationVersion)
            let info = try PackageInfo(written)
            XCTAssertTrue(info.functions[0].operationTypes.keys.allSatisfy { !$0.hasPrefix("constexpr_") }, name)
        }
    }

    /// Integer tables are rounded by default: never a larger error than cutting them off.
    func testIntegerTablesAreRounded() throws {
        func error(_ compat: CompressionOptions.Compatibility?) throws -> [Double] {
            let first = try run([Self.int8], on: Fixtures.path("mixed_ios18"))
            let report = try compressWeights(
                of: try ModelPackage(path: first), to: output("rounded"),
                options: CompressionOptions(
                    operation: .palettize, joint: true,
                    global: .palettizer(PalettizerConfig(mode: .kmeans, nbits: 4)), compat: compat))
            return report.weights.filter { $0.action == .palettized }.map { $0.meanSquaredError ?? .infinity }
        }
        let (ours, theirs) = (try error(nil), try error(.coremltools))
        XCTAssertEqual(ours.count, 11)
        for (a, b) in zip(ours, theirs) { XCTAssertLessThanOrEqual(a, b) }
        // All but the weight of seven values, which is exact either way.
        XCTAssertEqual(zip(ours, theirs).count { $0 < $1 }, 10)
    }

    func testNothingOfAChainIsLeftBehind() throws {
        let path = try run([Self.half, Self.uniform, Self.table], on: Fixtures.path("mixed_ios18"))
        let dense = output("dense")
        _ = try compressWeights(
            of: try ModelPackage(path: path), to: dense, options: CompressionOptions(operation: .decompress))
        let (before, after) = (
            try PackageInfo(Fixtures.package("mixed_ios18")), try PackageInfo(ModelPackage(path: dense))
        )
        XCTAssertEqual(before.functions, after.functions)
        XCTAssertEqual(before.weights.map(\.name), after.weights.map(\.name))
    }

    func testJointCompressionNeedsIOS18AndSaysSo() throws {
        let first = try run([Self.half], on: Fixtures.path("mixed_ios16"))
        let text = message {
            _ = try compressWeights(
                of: try ModelPackage(path: first), to: output("never"),
                options: CompressionOptions(operation: .quantize, joint: true, global: Self.int8.config))
        }
        XCTAssertTrue(text.hasPrefix("[quantize] joint_compression needs deployment target iOS18"), text)
        XCTAssertTrue(text.contains("first weight concerned: 'conv_weight'"), text)
    }

    private func run(
        _ steps: [Step], on source: String, compat: CompressionOptions.Compatibility? = nil
    ) throws -> String {
        var path = source
        for (number, step) in steps.enumerated() {
            var options = CompressionOptions(
                operation: step.operation, joint: number > 0, global: step.config, compat: compat)
            for name in ["shared_linear", "shared_matmul", "masked"] { options.opNames.updateValue(nil, forKey: name) }
            let next = output("step\(number)")
            let report = try compressWeights(of: try ModelPackage(path: path), to: next, options: options)
            let verified = try verifyCompression(
                of: try ModelPackage(path: next), against: try ModelPackage(path: path), report: report)
            XCTAssertEqual(verified.problems, [])
            path = next
        }
        return path
    }
}
