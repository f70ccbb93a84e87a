import CoreMLPackage
import XCTest

@testable import ModelCompression

final class TargetTests: TemporaryFolderTestCase {
    private func raise(_ name: String, to target: DeploymentTarget) throws -> (TargetReport, ModelPackage) {
        let report = try raiseDeploymentTarget(of: try Fixtures.package(name), to: output(), target: target)
        return (report, try ModelPackage(path: output()))
    }

    private func operations(_ package: ModelPackage) -> [MILOperation] {
        func all(_ block: MILBlock) -> [MILOperation] {
            block.operations.flatMap { [$0] + $0.blocks.flatMap(all) }
        }
        return package.model.programs.flatMap { $0.functions.flatMap { $0.block.map(all) ?? [] } }
    }

    private func bound(_ operation: MILOperation?, _ key: String) -> String? {
        if case .name(let name)? = operation?.input(key).first { name } else { nil }
    }

    // MARK: - What is raised

    func testOnlyOpsetAndVersionChangeWhereNothingDiffers() throws {
        for (target, number) in [(DeploymentTarget.iOS16, 7), (.iOS17, 8), (.iOS18, 9), (.iOS26, 10)] {
            let (report, package) = try raise("mixed_ios15", to: target)
            XCTAssertEqual(report.specificationVersion, .init(before: 6, after: number))
            XCTAssertEqual([report.addedParameters, report.guardedIndices, report.rewrittenWeights], [0, 0, 0])
            XCTAssertEqual(package.model.specificationVersion, number)
            let function = try XCTUnwrap(package.model.programs.first?.functions.first)
            XCTAssertEqual(function.opset, "CoreML\(number - 1)")
            XCTAssertEqual(function.blockSpecializations.map(\.name), ["CoreML\(number - 1)"])
            XCTAssertEqual(package.model.byteCount, try Fixtures.package("mixed_ios15").model.byteCount)
        }
    }

    func testALaterModelStays() throws {
        let source = try Fixtures.package("mixed_ios18")
        for target in [DeploymentTarget.iOS15, .iOS17, .iOS18] {
            XCTAssertFalse(try TargetRaise(source, to: target).isNeeded)
            let (report, package) = try raise("mixed_ios18", to: target)
            XCTAssertEqual(report.specificationVersion, .init(before: 9, after: 9))
            XCTAssertEqual(
                try Data(contentsOf: URL(fileURLWithPath: package.model.path)),
                try Data(contentsOf: URL(fileURLWithPath: source.model.path)))
        }
    }

    func testEveryStageOfAPipeline() throws {
        let (_, package) = try raise("pipeline", to: .iOS18)
        XCTAssertEqual(package.model.models.map(\.specificationVersion), [9, 9, 9])
        XCTAssertEqual(package.model.programs.flatMap { $0.functions.map(\.opset) }, ["CoreML8", "CoreML8"])
    }

    func testIndicesAreCountedFromTheFront() throws {
        let (report, package) = try raise("indexed_ios15", to: .iOS18)
        // rows, nested: what a run brings; last: -1; vectors: what a run brings. front is [0, 2].
        XCTAssertEqual(report.guardedIndices, 4)
        let operations = operations(package)
        let byName = Dictionary(grouping: operations) { $0.attribute("name")?.string ?? "" }.compactMapValues(\.first)
        for name in ["rows", "last", "vectors", "nested"] {
            let counted = try XCTUnwrap(bound(byName[name], "indices"), name)
            XCTAssertEqual(counted, name + "_indices_from_front")
            let select = try XCTUnwrap(byName[counted])
            let added = try XCTUnwrap(byName[bound(select, "b") ?? ""])
            XCTAssertEqual([select.type, added.type], ["select", "add"])
            XCTAssertEqual(bound(select, "a"), bound(added, "x"))
            XCTAssertEqual(byName[bound(select, "cond") ?? ""]?.type, "greater_equal")
            let size = try XCTUnwrap(byName[bound(added, "y") ?? ""]?.attribute("val")?.immediateTensor)
            let expected: [Int64] = ["last": [6], "vectors": [1, 3, 8]][name] ?? [10]
            XCTAssertEqual(size.integers(as: .int32), expected, name)
            XCTAssertEqual(added.outputs[0].type, byName[counted]?.outputs[0].type)
        }
        XCTAssertFalse(bound(byName["front"], "indices")?.contains("from_front") ?? true)
        // batch_dims of the four gather and one gather_nd, their validate_indices, and three parameters of topk.
        XCTAssertEqual(report.addedParameters, 5 + 5 + 3)
        let topk = try XCTUnwrap(byName["largest"])
        XCTAssertTrue(["sort", "return_indices", "output_indices_dtype"].allSatisfy { bound(topk, $0) != nil })
        let names = operations.flatMap { $0.outputs.map(\.name) }
        XCTAssertEqual(names.count, Set(names).count)
    }

    func testTheFormerOpsetsKeepNegativeIndices() throws {
        let (report, _) = try raise("indexed_ios15", to: .iOS16)
        XCTAssertEqual(report.guardedIndices, 0)
        XCTAssertEqual(report.addedParameters, 5 + 2)
    }

    func testCompressedWeightsKeepTheirValues() throws {
        for name in ["reference_ios15_uniform4", "reference_ios16_uniform6"] {
            let (report, package) = try raise(name, to: .iOS18)
            let expected = try Fixtures.expected(name)
            XCTAssertEqual(report.rewrittenWeights, expected.count)
            let reader = WeightReader(package)
            for (_, weight) in reader.compressedWeights {
                let plain = String(weight.prefix(weight.range(of: "_palettized")!.lowerBound.utf16Offset(in: weight)))
                XCTAssertEqual(crc32(try reader.decodedWeight(weight).bytes), expected[plain], weight)
            }
            let rewritten = operations(package).filter { $0.type == "constexpr_lut_to_dense" }
            XCTAssertEqual(rewritten.count, expected.count)
            for operation in rewritten {
                XCTAssertEqual(operation.attributes.map(\.key), ["name"])
                XCTAssertEqual(operation.inputs.map(\.key), ["indices", "lut"])
            }
        }
    }

    // MARK: - With a compression

    private func grouped(_ target: DeploymentTarget?) -> CompressionOptions {
        CompressionOptions(
            global: .palettizer(
                PalettizerConfig(mode: .uniform, nbits: 3, granularity: .perGroupedChannel, groupSize: 16)),
            minimumTarget: target)
    }

    func testRaisedModelsAreCompressedInTheLaterForm() throws {
        let source = try Fixtures.package("mixed_ios16")
        let refusal = message { _ = try compressWeights(of: source, to: output(), options: grouped(nil)) }
        XCTAssertTrue(refusal.contains("raise it here by minimum_deployment_target=\"iOS18\""), refusal)
        XCTAssertEqual(try contents(), [])
        let report = try compressWeights(of: source, to: output(), options: grouped(.iOS18))
        XCTAssertEqual(report.specificationVersion, .init(before: 7, after: 9))
        let expected = try compressWeights(
            of: try Fixtures.package("mixed_ios18"), to: output("other"), options: grouped(nil))
        XCTAssertEqual(report.weights.map(\.action), expected.weights.map(\.action))
        XCTAssertEqual(report.weights.map(\.scheme), expected.weights.map(\.scheme))
        let check = try verifyCompression(of: try ModelPackage(path: output()), against: source, report: report)
        XCTAssertEqual(check.problems, [])
    }

    func testVerificationAcceptsWhatARaiseAdds() throws {
        let source = try Fixtures.package("indexed_ios15")
        let report = try compressWeights(of: source, to: output(), options: grouped(.iOS18))
        XCTAssertTrue(
            report.warnings.contains { $0.contains("operations whose indices are counted from the front: 4") })
        let written = try ModelPackage(path: output())
        XCTAssertEqual(try verifyCompression(of: written, against: source, report: report).problems, [])
    }

    // MARK: - What is refused

    func testWhatHasNoEqualFormIsNamed() throws {
        let source = try Fixtures.package("blocked_ios15")
        XCTAssertEqual(try TargetRaise(source, to: .iOS16).blockers, [])
        let blockers = try TargetRaise(source, to: .iOS17).blockers
        XCTAssertEqual(blockers.map(\.operation), ["crop", "flat"])
        XCTAssertEqual(blockers.map(\.type), ["crop_resize", "clip"])
        XCTAssertEqual(blockers.map(\.parameter), ["roi", "alpha"])
        for run in [
            { _ = try raiseDeploymentTarget(of: source, to: self.output(), target: .iOS18) },
            { _ = try compressWeights(of: source, to: self.output(), options: self.grouped(.iOS18)) },
        ] {
            let text = message(of: run)
            XCTAssertTrue(text.contains("found iOS18"), text)
            XCTAssertTrue(
                text.contains("2 of its operations have no equal form there: 'crop' (crop_resize, roi)"), text)
            XCTAssertTrue(text.contains("iOS17 wants alpha below beta, and these are 1.0 and 1.0"), text)
        }
        XCTAssertEqual(try contents(), [])
    }

    func testModelsWithoutAProgramAreRefused() {
        let text = message {
            _ = try raiseDeploymentTarget(of: try Fixtures.package("neural_network"), to: output(), target: .iOS18)
        }
        XCTAssertTrue(text.contains("only ML Programs"), text)
    }

    /// The table of operations is complete, and no name is in it twice.
    func testTheTable() {
        let names = OpsetChanges.operations.flatMap { $0.names.split(whereSeparator: \.isWhitespace) }
        XCTAssertEqual(names.count, OpsetChanges.firstOpset.count)
        XCTAssertEqual(OpsetChanges.firstOpset["scaled_dot_product_attention"], 8)
        XCTAssertEqual(OpsetChanges.firstOpset["conv"], 5)
        XCTAssertTrue(OpsetChanges.between(8, 9).isEmpty)
        XCTAssertEqual(OpsetChanges.number("CoreML5"), 5)
        for name in ["CoreML", "CoreML4", "coreml5", "CoreMLx"] { XCTAssertNil(OpsetChanges.number(name)) }
    }
}
