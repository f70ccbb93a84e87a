import CoreMLPackage
import Foundation
import TensorCompression
import XCTest

@testable import ModelCompression

final class PackageComparisonTests: TemporaryFolderTestCase {
    private func palettized(_ fixture: String, nbits: Int = 4, to name: String = "palettized") throws -> ModelPackage {
        let options = CompressionOptions(global: .palettizer(PalettizerConfig(nbits: nbits)))
        _ = try compressWeights(of: try Fixtures.package(fixture), to: output(name), options: options)
        return try ModelPackage(path: output(name))
    }

    /// A copy of a fixture in which each text of `changes` is another one of the same length, where it stands first.
    private func edited(_ fixture: String, _ changes: [String: String], file: String = "model.mlmodel") throws
        -> ModelPackage
    {
        let path = try copy(fixture)
        let target = URL(fileURLWithPath: path).appendingPathComponent("Data/com.apple.CoreML/" + file)
        var data = try Data(contentsOf: target)
        for (old, new) in changes {
            XCTAssertEqual(old.utf8.count, new.utf8.count)
            let range = try XCTUnwrap(data.range(of: Data(old.utf8)))
            data.replaceSubrange(range, with: Data(new.utf8))
        }
        try data.write(to: target)
        return try ModelPackage(path: path)
    }

    private func changes(_ difference: PackageDifference) -> [String] {
        difference.changes.map { change in
            "\(change.area.rawValue) \(change.name) \(change.what): \(change.first ?? "-") \(change.second ?? "-")"
        }
    }

    func testACopyIsIdentical() throws {
        for name in [
            "mixed_ios15", "mixed_ios16", "mixed_ios18", "multifunction", "pipeline", "weightless",
            "reference_ios18_vector", "reference_ios18_uniform4_scaled",
        ] {
            let package = try Fixtures.package(name)
            let difference = try comparePackages(package, try ModelPackage(path: copy(name)))
            XCTAssertTrue(difference.isIdentical, "\(name): \(changes(difference))")
            XCTAssertEqual(difference.weights.count, try PackageInfo.weightCount(package))
        }
    }

    func testAPalettizedPackage() throws {
        let source = try Fixtures.package("mixed_ios18")
        let options = CompressionOptions(global: .palettizer(PalettizerConfig(nbits: 4)))
        let report = try compressWeights(of: source, to: output(), options: options)
        let written = try ModelPackage(path: output())
        let difference = try comparePackages(source, written, threads: 2)
        XCTAssertFalse(difference.isIdentical)
        XCTAssertEqual(changes(difference), [])
        XCTAssertEqual(difference.onlyInFirst, [])
        XCTAssertEqual(difference.onlyInSecond, [])
        let compressed = report.weights.filter { $0.action == .palettized }
        XCTAssertEqual(difference.weights.count { $0.state == .changed || $0.state == .equal }, compressed.count)
        for record in compressed {
            let weight = try XCTUnwrap(difference.weights.first { $0.first.name == record.name })
            XCTAssertEqual(weight.snrDecibel, record.snrDecibel, record.name)
            XCTAssertEqual(weight.maxError, record.maxError, record.name)
            XCTAssertEqual(weight.meanSquaredError, record.meanSquaredError, record.name)
            XCTAssertEqual(weight.first.bytes, record.bytesBefore)
            XCTAssertEqual(weight.second.bytes, record.bytesAfter)
            XCTAssertNil(weight.first.compression)
            XCTAssertEqual(weight.second.compression, "palettized 4 bit")
        }
        XCTAssertEqual(difference, try comparePackages(source, written, threads: 1))
        XCTAssertEqual(
            try JSONDecoder().decode(PackageDifference.self, from: Data(encodeJSON(difference))), difference)
    }

    func testTwoCompressedPackages() throws {
        let (four, six) = (try palettized("mixed_ios16"), try palettized("mixed_ios16", nbits: 6, to: "six"))
        let difference = try comparePackages(four, six)
        let weight = try XCTUnwrap(difference.weights.first { $0.first.name == "conv_weight" })
        XCTAssertEqual(weight.state, .changed)
        XCTAssertEqual(weight.first.compression, "palettized 4 bit")
        XCTAssertEqual(weight.second.compression, "palettized 6 bit")
        XCTAssertEqual(changes(difference), [])
    }

    func testARenamedWeightIsFoundByItsUse() throws {
        // coremltools calls a palettized weight w_palettized.
        let difference = try comparePackages(
            try Fixtures.package("mixed_ios18"), try Fixtures.package("reference_ios18_uniform3_grouped"))
        let weight = try XCTUnwrap(difference.weights.first { $0.first.name == "conv_weight" })
        XCTAssertEqual(weight.second.name, "conv_weight_palettized")
        XCTAssertEqual(weight.state, .changed)
        // It also puts another operation in the place of this one.
        XCTAssertEqual(
            changes(difference).filter { $0.hasPrefix("operation") && !$0.hasPrefix("operation main/grown ") }, [])
    }

    func testAnotherTarget() throws {
        let difference = try comparePackages(try Fixtures.package("mixed_ios15"), try palettized("mixed_ios15"))
        XCTAssertEqual(
            changes(difference),
            [
                "program main operation set: CoreML5 CoreML6", "program model specification version: 6 7",
            ])
    }

    func testChangedMetadata() throws {
        let difference = try comparePackages(
            try Fixtures.package("mixed_ios18"), try edited("mixed_ios18", ["milinternal": "milexternal"]))
        XCTAssertEqual(
            changes(difference), ["metadata com.github.apple.coremltools.source : milinternal milexternal"])
        XCTAssertTrue(difference.weights.allSatisfy { $0.state == .identical })
    }

    func testAnEditedAttribute() throws {
        let difference = try comparePackages(
            try Fixtures.package("mixed_ios18"), try edited("mixed_ios18", ["valid": "wrong"]))
        XCTAssertEqual(changes(difference), ["operation main/conv input pad_type: \"valid\" \"wrong\""])
    }

    func testAnotherInputName() throws {
        let difference = try comparePackages(
            try Fixtures.package("mixed_ios18"), try edited("mixed_ios18", ["image": "imago"]))
        XCTAssertTrue(
            changes(difference).contains { $0.hasPrefix("interface image input:") }, "\(changes(difference))")
        XCTAssertTrue(
            changes(difference).contains { $0.hasPrefix("interface imago input: -") }, "\(changes(difference))")
    }

    func testChangedValues() throws {
        let path = try copy("mixed_ios18")
        let source = try Fixtures.package("mixed_ios18")
        let weight = try XCTUnwrap(ProgramIndex(source.model).weights.first { $0.site.name == "linear_weight" })
        let blob = try XCTUnwrap(source.blob(of: weight.value))
        let target = URL(fileURLWithPath: path).appendingPathComponent("Data/com.apple.CoreML/weights/weight.bin")
        var data = try Data(contentsOf: target)
        data[Int(blob.data.lowerBound) + 1] ^= 0x80
        try data.write(to: target)
        let difference = try comparePackages(source, try ModelPackage(path: path))
        let changed = difference.weights.filter { $0.state != .identical }
        XCTAssertEqual(changed.map(\.first.name), ["linear_weight"])
        XCTAssertEqual(changed.first?.state, .changed)
        XCTAssertNotNil(changed.first?.snrDecibel)
        XCTAssertEqual(changes(difference), [])
    }

    func testAMissingWeightAndOperation() throws {
        let source = try Fixtures.package("mixed_ios18")
        let writer = try PackageWriter(source, output: output())
        let block = try XCTUnwrap(source.model.programs[0].functions[0].block)
        for operation in block.operations {
            let name = operation.attribute("name")?.string
            if name == "linear" || name == "linear_weight" {
                try writer.replace(operationAt: operation.range, with: [])
            }
        }
        try writer.finish()
        let difference = try comparePackages(source, try ModelPackage(path: output()))
        XCTAssertEqual(difference.onlyInFirst.map(\.stored.name), ["linear_weight"])
        XCTAssertEqual(difference.onlyInSecond, [])
        XCTAssertTrue(changes(difference).contains("operation main/linear : linear -"), "\(changes(difference))")
        let reverse = try comparePackages(try ModelPackage(path: output()), source)
        XCTAssertEqual(reverse.onlyInSecond.map(\.stored.name), ["linear_weight"])
        XCTAssertTrue(changes(reverse).contains("operation main/linear : - linear"), "\(changes(reverse))")
    }

    func testOtherFiles() throws {
        let path = try copy("mixed_ios18")
        let folder = URL(fileURLWithPath: path).appendingPathComponent("Data/com.apple.CoreML")
        try Data("one".utf8).write(to: folder.appendingPathComponent("notes.txt"))
        let more = try ModelPackage(path: path)
        let source = try Fixtures.package("mixed_ios18")
        XCTAssertEqual(
            changes(try comparePackages(source, more)), ["file Data/com.apple.CoreML/notes.txt : - 3 bytes"])
        let other = output("other")
        try FileManager.default.copyItem(atPath: path, toPath: other)
        try Data("two".utf8).write(
            to: URL(fileURLWithPath: other).appendingPathComponent("Data/com.apple.CoreML/notes.txt"))
        XCTAssertEqual(
            changes(try comparePackages(more, try ModelPackage(path: other))),
            ["file Data/com.apple.CoreML/notes.txt content: - -"])
    }

    func testUnrelatedModels() throws {
        let difference = try comparePackages(
            try Fixtures.package("mixed_ios18"), try Fixtures.package("neural_network"))
        XCTAssertFalse(difference.isIdentical)
        XCTAssertEqual(difference.weights, [])
        XCTAssertTrue(changes(difference).contains("program main function: CoreML8 -"), "\(changes(difference))")
        XCTAssertTrue(changes(difference).contains("program model type: mlProgram neuralNetwork"))
    }

    func testCancellation() throws {
        let cancellation = Cancellation()
        cancellation.cancel()
        let package = try Fixtures.package("mixed_ios18")
        XCTAssertThrowsError(try comparePackages(package, package, cancellation: cancellation)) { error in
            XCTAssertEqual((error as? CompressionError)?.kind, .cancelled)
        }
    }
}

extension PackageInfo {
    fileprivate static func weightCount(_ package: ModelPackage) throws -> Int {
        try PackageInfo(package).weights.count
    }
}
