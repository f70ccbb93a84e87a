import CoreMLPackage
import Foundation
import JSONText
import TensorCompression
import XCTest

@testable import ModelCompression

/// Palettizing real packages, against what coremltools made of the same ones.
/// Over 400 lines: every case runs and checks the same packages with the helpers at its top.
final class PalettizeTests: TemporaryFolderTestCase {
    private func run(
        _ source: String, _ options: CompressionOptions, to target: String = "out",
        progress: ((CompressionProgress) -> Bool)? = nil, custom: CustomPaletteFunction? = nil
    ) throws -> (report: CompressionReport, package: ModelPackage) {
        let report = try compressWeights(
            of: try ModelPackage(path: source), to: output(target), options: options, progress: progress,
            custom: custom)
        return (report, try ModelPackage(path: output(target)))
    }

    private func options(_ config: PalettizerConfig, strict: Bool = false) -> CompressionOptions {
        CompressionOptions(global: .palettizer(config), strict: strict)
    }

    // MARK: - Against coremltools

    /// The same weights are compressed, to the same values; `verifyCompression` finds nothing.
    private func compare(
        _ source: String, _ reference: String, _ options: CompressionOptions, sameValues: Bool = true,
        file: StaticString = #filePath, line: UInt = #line
    ) throws {
        let (report, package) = try run(Fixtures.path(source), options, to: reference)
        let expected = try Fixtures.expected(reference)
        let names = report.weights.filter { $0.action == .palettized }.map(\.name)
        XCTAssertEqual(names.sorted(), expected.keys.sorted(), file: file, line: line)
        let reader = WeightReader(package)
        if sameValues {
            for (name, checksum) in expected {
                XCTAssertEqual(
                    crc32(try reader.decodedWeight(name).bytes), checksum, "\(reference) \(name)", file: file,
                    line: line)
            }
        }
        let written = try Fixtures.package(reference).model.specificationVersion
        XCTAssertEqual(package.model.specificationVersion, written, file: file, line: line)
        let verification = try verifyCompression(of: package, against: Fixtures.package(source), report: report)
        XCTAssertEqual(verification.problems, [], file: file, line: line)
    }

    /// `mask` holds infinities, which the reference has no answer for: it is left out by name there and here.
    private func withoutMask(_ config: PalettizerConfig) -> CompressionOptions {
        CompressionOptions(global: .palettizer(config), opNames: ["masked": nil])
    }

    func testIOS15IsRaisedToIOS16() throws {
        try compare("mixed_ios15", "reference_ios15_uniform4", withoutMask(PalettizerConfig(mode: .uniform, nbits: 4)))
    }

    func testPackedForm() throws {
        try compare("mixed_ios16", "reference_ios16_uniform6", withoutMask(PalettizerConfig(mode: .uniform, nbits: 6)))
    }

    func testGroups() throws {
        let config = PalettizerConfig(mode: .uniform, nbits: 3, granularity: .perGroupedChannel, groupSize: 16)
        try compare("mixed_ios18", "reference_ios18_uniform3_grouped", withoutMask(config))
    }

    func testUnique() throws {
        try compare("mixed_ios18", "reference_ios18_unique", options(PalettizerConfig(mode: .unique)))
    }

    /// Seven values need 3 bits, which this form does not have.
    func testUniqueBeforeIOS18TakesFourBits() throws {
        let (report, package) = try run(Fixtures.path("mixed_ios16"), options(PalettizerConfig(mode: .unique)))
        let record = try XCTUnwrap(report.weights.first { $0.name == "lattice_weight" })
        XCTAssertEqual(record.nbits, 4)
        XCTAssertEqual(record.meanSquaredError, 0)
        let verification = try verifyCompression(of: package, against: Fixtures.package("mixed_ios16"), report: report)
        XCTAssertEqual(verification.problems, [])
    }

    func testVectorsAreChosenAsTheReferenceDoes() throws {
        let config = PalettizerConfig(nbits: 2, clusterDim: 4, weightThreshold: 5000)
        try compare("mixed_ios18", "reference_ios18_vector", withoutMask(config), sameValues: false)
    }

    func testTheReferencesScaleOnRequest() throws {
        var asked = withoutMask(
            PalettizerConfig(mode: .uniform, nbits: 4, enablePerChannelScale: true, weightThreshold: 100))
        asked.compat = .coremltools
        try compare("mixed_ios18", "reference_ios18_uniform4_scaled", asked)
    }

    func testOurScaleIsPerOutputChannelAndBetter() throws {
        let config = PalettizerConfig(nbits: 4, enablePerChannelScale: true)
        let (report, package) = try run(Fixtures.path("mixed_ios18"), withoutMask(config))
        let reader = WeightReader(package)
        // As the consumer's result takes it: linear and matmul have their channels last, conv_transpose on axis 1.
        for (name, shape) in [("linear_weight", [48]), ("matmul_y", [48]), ("transpose_weight", [1, 32, 1, 1])] {
            XCTAssertEqual(try reader.decodedWeight(name + "_scale").shape, shape)
        }
        let verification = try verifyCompression(of: package, against: Fixtures.package("mixed_ios18"), report: report)
        XCTAssertEqual(verification.problems, [])
    }

    func testScaledVectorsAreValid() throws {
        let config = PalettizerConfig(nbits: 4, clusterDim: 2, enablePerChannelScale: true)
        let (report, package) = try run(Fixtures.path("mixed_ios18"), withoutMask(config))
        XCTAssertTrue(report.weights.contains { $0.name == "linear_weight" && $0.action == .palettized })
        let verification = try verifyCompression(of: package, against: Fixtures.package("mixed_ios18"), report: report)
        XCTAssertEqual(verification.problems, [])
    }

    // MARK: - The report

    func testEveryWeightHasARecordWithItsReason() throws {
        let (report, _) = try run(Fixtures.path("mixed_ios18"), options(PalettizerConfig(nbits: 4)))
        let records = Dictionary(report.weights.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        XCTAssertEqual(records.count, 23)
        XCTAssertEqual(records["linear_bias"]?.reason, "rank 1, only rank 2 or more")
        XCTAssertEqual(records["small_weight"]?.reason, "1280 elements, weight_threshold is 2048")
        XCTAssertTrue(records["shared_weight"]?.reason?.hasPrefix("its consumers disagree") ?? false)
        XCTAssertTrue(records["mask"]?.reason?.contains("inf") ?? false, records["mask"]?.reason ?? "")
        let conv = try XCTUnwrap(records["conv_weight"])
        XCTAssertEqual(conv.action, .palettized)
        XCTAssertEqual(conv.consumer, "conv")
        XCTAssertEqual(conv.bytesBefore, 32768)
        XCTAssertEqual(conv.bytesAfter, 8192 + 32)
        XCTAssertEqual(conv.bitsPerWeight, Double(8224 * 8) / 16384)
        XCTAssertEqual(conv.scheme, "kmeans per_tensor 4 bit")
        // The best 4 bit quantizer of a Gaussian has 20.22 dB.
        XCTAssertEqual(try XCTUnwrap(conv.snrDecibel), 20.22, accuracy: 0.2)
        XCTAssertEqual(records["lattice_weight"]?.snrDecibel, nil)
        XCTAssertEqual(records["lattice_weight"]?.meanSquaredError, 0)
        let json = try XCTUnwrap(JSONValue.parse(encodeJSON(report)).fields["weights"])
        guard case .array(let list) = json, let first = list.first else { return XCTFail("no records") }
        XCTAssertEqual(
            first.fields.keys.sorted(),
            [
                "action", "bits_per_weight", "bytes_after", "bytes_before", "consumer", "consumer_type", "dtype",
                "function", "max_error", "mse", "name", "nbits", "note", "output_scale", "planned", "reason", "scheme",
                "seconds",
                "shape", "snr_db",
            ])
    }

    // MARK: - Structure

    func testSharedDataIsCompressedOnceAndStaysShared() throws {
        let (report, package) = try run(Fixtures.path("multifunction"), options(PalettizerConfig(nbits: 4)))
        XCTAssertEqual(report.weights.filter { $0.action == .palettized }.count, 2)
        let info = try PackageInfo(package)
        XCTAssertEqual(info.weights.map(\.isShared).filter { $0 }.count, 2)
        // The codes (2,048 bytes), the table (32) and the bias (128), each once, with their records and alignment.
        XCTAssertLessThan(package.weightFiles[0].byteCount, 2900)
    }

    func testEveryStageOfAPipeline() throws {
        let (report, package) = try run(Fixtures.path("pipeline"), options(PalettizerConfig(nbits: 4)))
        XCTAssertEqual(report.weights.filter { $0.action == .palettized }.map(\.function), ["0/main", "1/main"])
        let verification = try verifyCompression(of: package, against: Fixtures.package("pipeline"), report: report)
        XCTAssertEqual(verification.problems, [])
    }

    func testOverTheInput() throws {
        let path = try copy("mixed_ios16")
        let source = try ModelPackage(path: path)
        let report = try compressWeights(of: source, to: path, options: options(PalettizerConfig(nbits: 4)))
        let verification = try verifyCompression(of: ModelPackage(path: path), against: source, report: report)
        XCTAssertEqual(verification.problems, [])
        XCTAssertEqual(try contents(), ["mixed_ios16.mlpackage"])
        XCTAssertLessThan(report.packageBytes.after, report.packageBytes.before)
    }

    func testThreadsDoNotMatter() throws {
        let config = PalettizerConfig(nbits: 2, granularity: .perGroupedChannel, groupSize: 8, clusterDim: 2)
        var files: [Data] = []
        for threads in [1, 2, 5] {
            var asked = withoutMask(config)
            asked.numThreads = threads
            let (_, package) = try run(Fixtures.path("mixed_ios18"), asked, to: "threads\(threads)")
            files.append(try Data(contentsOf: URL(fileURLWithPath: package.weightFiles[0].path)))
            files.append(try Data(contentsOf: URL(fileURLWithPath: package.model.path)))
        }
        XCTAssertEqual(files[0], files[2])
        XCTAssertEqual(files[0], files[4])
        XCTAssertEqual(files[1], files[3])
        XCTAssertEqual(files[1], files[5])
    }

    func testPalettizingTwiceLeavesTheFirstResult() throws {
        let first = try run(Fixtures.path("mixed_ios16"), options(PalettizerConfig(nbits: 4)), to: "first")
        let second = try run(first.package.path, options(PalettizerConfig(nbits: 2)), to: "second")
        XCTAssertFalse(second.report.weights.contains { $0.action == .palettized })
        XCTAssertTrue(
            second.report.warnings.contains { $0.contains("compressed already") }, "\(second.report.warnings)")
    }

    func testVectorsOfDistinctValuesAreLossless() throws {
        let config = PalettizerConfig(mode: .unique, clusterDim: 2)
        let (report, package) = try run(
            Fixtures.path("mixed_ios18"), CompressionOptions(opNames: ["lattice_weight": .palettizer(config)]))
        XCTAssertEqual(report.weights.first { $0.name == "lattice_weight" }?.nbits, 6)
        let source = try Fixtures.package("mixed_ios18")
        XCTAssertEqual(
            try WeightReader(package).decodedWeight("lattice_weight"),
            try WeightReader(source).decodedWeight("lattice_weight"))
    }

    // MARK: - Custom palettes

    func testCustomPalettesComeFromTheCallingThread() throws {
        let config = PalettizerConfig(
            mode: .custom, granularity: .perGroupedChannel, groupSize: 32, lutFunction: 3)
        let asked = CompressionOptions(opNames: [
            "matmul_yt": nil, "linear_weight": nil, "agreeing_weight": .palettizer(config),
        ])
        var shapes: [[Int]] = []
        let caller = pthread_self()
        let (report, package) = try run(
            Fixtures.path("mixed_ios18"), asked,
            custom: { function, values, type, shape in
                XCTAssertEqual(function, 3)
                XCTAssertEqual(type, .float16)
                XCTAssertNotEqual(pthread_equal(caller, pthread_self()), 0)
                shapes.append(shape)
                // Three entries, -1, 0 and 1, by sign: two bits.
                let halves = values.bindMemory(to: UInt16.self)
                let codes = halves.map { half in half & 0x7fff == 0 ? UInt8(1) : half & 0x8000 == 0 ? 2 : 0 }
                return CustomPalette(lut: [0x00, 0xbc, 0, 0, 0x00, 0x3c], indices: codes)
            })
        XCTAssertEqual(shapes, [[32, 64], [32, 64]])
        let record = try XCTUnwrap(report.weights.first { $0.name == "agreeing_weight" })
        XCTAssertEqual(record.nbits, 2)
        let decoded = try WeightReader(package).decodedWeight("agreeing_weight").floats() ?? []
        let original = try WeightReader(Fixtures.package("mixed_ios18")).decodedWeight("agreeing_weight").floats() ?? []
        XCTAssertEqual(decoded, original.map { $0 == 0 ? 0 : $0 < 0 ? -1 : 1 })
    }

    /// Every vector has two scales then: the scale's last axis is as long as the vector.
    func testScaledCustomVectors() throws {
        let config = PalettizerConfig(
            mode: .custom, granularity: .perGroupedChannel, groupSize: 16, clusterDim: 2, enablePerChannelScale: true,
            lutFunction: 0)
        let names = ["linear_weight", "matmul_y", "transpose_weight"]
        let asked = CompressionOptions(
            opNames: Dictionary(uniqueKeysWithValues: names.map { ($0, .palettizer(config)) }))
        let (report, package) = try run(
            Fixtures.path("mixed_ios18"), asked,
            custom: { _, values, _, _ in
                // Entries (0.5, -0.25), (-1, 0.75), (0.125, 1).
                let lut: [UInt16] = [0x3800, 0xb400, 0xbc00, 0x3a00, 0x3000, 0x3c00]
                return CustomPalette(
                    lut: lut.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] },
                    indices: (0..<(values.count / 4)).map { UInt8($0 % 3) })
            })
        XCTAssertEqual(report.weights.filter { $0.action == .palettized }.map(\.name).sorted(), names.sorted())
        let source = try Fixtures.package("mixed_ios18")
        let verification = try verifyCompression(of: package, against: source, report: report)
        XCTAssertEqual(verification.problems, [])
        // By hand: rows 0 and 1 of linear_weight hold the entries in turn, to be scaled by each row's largest magnitude.
        let original = try XCTUnwrap(WeightReader(source).decodedWeight("linear_weight").floats())
        let decoded = try XCTUnwrap(WeightReader(package).decodedWeight("linear_weight").floats())
        let name = try XCTUnwrap(report.weights.first { $0.name == "linear_weight" }?.outputScale)
        let scale = try XCTUnwrap(WeightReader(package).decodedWeight(name).floats())
        let entries: [[Float]] = [[0.5, -1, 0.125], [-0.25, 0.75, 1]]
        for row in 0..<2 {
            XCTAssertEqual(scale[row], original[(row * 64)..<(row * 64 + 64)].map(\.magnitude).max())
            for column in 0..<64 {
                XCTAssertEqual(decoded[row * 64 + column], entries[row][column % 3], "\(row) \(column)")
            }
        }
    }

    func testACustomPaletteOfEightEntriesTakesFourBitsBeforeIOS18() throws {
        let asked = CompressionOptions(
            opNames: ["agreeing_weight": .palettizer(PalettizerConfig(mode: .custom, lutFunction: 0))])
        let (report, package) = try run(
            Fixtures.path("mixed_ios16"), asked,
            custom: { _, values, _, shape in
                let lut = (0..<8).flatMap { [UInt8(0), 0x30 + UInt8($0)] }
                return CustomPalette(lut: lut, indices: (0..<(values.count / 2)).map { UInt8($0 % 8) })
            })
        XCTAssertEqual(report.weights.first { $0.name == "agreeing_weight" }?.nbits, 4)
        let verification = try verifyCompression(of: package, against: Fixtures.package("mixed_ios16"), report: report)
        XCTAssertEqual(verification.problems, [])
    }

    func testTheFunctionsOwnErrorComesOut() throws {
        struct Mine: Error {}
        let asked = options(PalettizerConfig(mode: .custom, lutFunction: 0))
        XCTAssertThrowsError(
            try run(Fixtures.path("mixed_ios18"), asked, custom: { _, _, _, _ in throw Mine() })
        ) { XCTAssertTrue($0 is Mine, "\($0)") }
        XCTAssertEqual(try contents(), [])
        let text = message {
            _ = try run(
                Fixtures.path("mixed_ios18"), asked, custom: { _, _, _, _ in CustomPalette(lut: [1, 2], indices: []) })
        }
        XCTAssertTrue(text.hasPrefix("[palettize] lut_function: found 0 indices, allowed"), text)
        XCTAssertEqual(try contents(), [])
        XCTAssertTrue(
            message { _ = try run(Fixtures.path("mixed_ios18"), asked) }.hasPrefix(
                "[palettize] lut_function: found nothing"))
    }

    // MARK: - Errors

    func testWhatIsRefusedBeforeAnyWork() throws {
        let grouped = options(PalettizerConfig(nbits: 4, granularity: .perGroupedChannel, groupSize: 16))
        let text = message { _ = try run(Fixtures.path("mixed_ios16"), grouped) }
        XCTAssertTrue(text.contains("first weight concerned: 'conv_weight'"), text)
        XCTAssertTrue(
            message { _ = try run(Fixtures.path("neural_network"), options(PalettizerConfig(nbits: 4))) }
                .contains("found a model of type neuralNetwork, the format before ML Program"))
        XCTAssertEqual(try contents(), [])
    }

    func testStrict() throws {
        let strict = options(PalettizerConfig(nbits: 4), strict: true)
        let text = message { _ = try run(Fixtures.path("mixed_ios18"), strict) }
        XCTAssertTrue(text.hasPrefix("strict: weight 'shared_weight': its consumers disagree"), text)
        // The mask's infinities are only seen once its data is read.
        var late = strict
        late.opNames = ["shared_weight": nil]
        let second = message { _ = try run(Fixtures.path("mixed_ios18"), late) }
        XCTAssertTrue(second.hasPrefix("strict: weight 'mask'"), second)
        XCTAssertEqual(try contents(), [])
        late.opNames.updateValue(nil, forKey: "mask")
        XCTAssertNoThrow(try run(Fixtures.path("mixed_ios18"), late))
        late.opNames.updateValue(nil, forKey: "no_such_name")
        let nothing = message { _ = try run(Fixtures.path("weightless"), strict) }
        XCTAssertEqual(nothing, "strict: the options leave nothing to palettize")
        let third = message { _ = try run(Fixtures.path("mixed_ios18"), late) }
        XCTAssertEqual(third, "strict: op_names[\"no_such_name\"]: no constant and no operation has this name")
    }

    func testCancellationLeavesNothing() throws {
        var calls = 0
        XCTAssertThrowsError(
            try run(
                Fixtures.path("mixed_ios18"), options(PalettizerConfig(nbits: 8)),
                progress: { _ in
                    calls += 1
                    return false
                })
        ) { XCTAssertEqual(($0 as? CompressionError)?.kind, .cancelled) }
        XCTAssertGreaterThan(calls, 0)
        XCTAssertEqual(try contents(), [])
    }

    func testProgressEndsComplete() throws {
        var last: CompressionProgress?
        _ = try run(
            Fixtures.path("mixed_ios18"), options(PalettizerConfig(nbits: 4)),
            progress: { progress in
                last = progress
                return true
            })
        XCTAssertEqual(last?.weightsDone, last?.weightsTotal)
        XCTAssertEqual(last?.bytesDone, last?.bytesTotal)
        XCTAssertEqual(last?.weightsTotal, 12)
    }

    func testAPackageWithoutWeights() throws {
        let (report, package) = try run(Fixtures.path("weightless"), options(PalettizerConfig(nbits: 4)))
        XCTAssertEqual(report.weights, [])
        XCTAssertEqual(report.warnings, ["nothing was compressed"])
        XCTAssertEqual(
            try Data(contentsOf: URL(fileURLWithPath: package.model.path)),
            try Data(contentsOf: URL(fileURLWithPath: Fixtures.package("weightless").model.path)))
    }

    func testTheJSONDoor() throws {
        let json = #"{"operation": "palettize", "global": {"type": "palettizer", "nbits": 4}, "num_threads": 2}"#
        var seen = 0
        let report = try runCompression(
            input: Fixtures.path("mixed_ios16"), output: output(), optionsJSON: Array(json.utf8),
            progress: { done, total, _ in
                XCTAssertLessThanOrEqual(done, total)
                seen += 1
                return true
            })
        XCTAssertGreaterThan(seen, 0)
        let fields = try JSONValue.parse(report).fields
        XCTAssertEqual(
            fields.keys.sorted(),
            [
                "added_operations", "input", "operation", "output", "package_bytes", "seconds",
                "specification_version", "warnings", "weights",
            ])
        XCTAssertEqual(fields["specification_version"], .object(["before": .int(7), "after": .int(7)]))
    }
}

extension JSONValue {
    /// The fields of an object; none for everything else.
    fileprivate var fields: [String: JSONValue] {
        if case .object(let fields) = self { fields } else { [:] }
    }
}
