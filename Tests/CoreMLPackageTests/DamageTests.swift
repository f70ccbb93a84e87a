import Foundation
import TestSupport
import XCTest

@testable import CoreMLPackage

/// Damaged files give a `PackageError` or a valid model; nothing traps, and nothing grows beyond the file's size.
final class DamageTests: FolderTestCase {
    // MARK: - Models

    private func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: Fixtures.path(name) + "/" + Fixtures.modelPath)))
    }

    /// Opens a model from memory, decodes all of it and edits it.
    /// - Returns: whether it could be read.
    @discardableResult
    private func exercise(_ bytes: [UInt8]) throws -> Bool {
        let file = bytes.withUnsafeBytes { MappedFile(path: "damaged", bytes: $0) }
        let document: MLModelDocument
        do {
            document = try MLModelDocument(file: file)
        } catch {
            XCTAssertEqual(error.kind, .damaged)
            XCTAssertEqual(error.file, "damaged")
            XCTAssertLessThanOrEqual(try XCTUnwrap(error.offset), UInt64(bytes.count))
            return false
        }
        _ = document.description
        var edits: [Edit] = []
        for function in document.programs.flatMap(\.functions) {
            _ = function.inputs
            for (_, block) in function.blockSpecializations { decode(block, &edits) }
        }
        let segments = try Splice.apply(edits, to: file)
        XCTAssertLessThan(segments.count, 4 * bytes.count + 8)
        return true
    }

    private func decode(_ block: MILBlock, _ edits: inout [Edit]) {
        _ = (block.inputs, block.outputs)
        for value in block.attributes { decode(value.value) }
        for operation in block.operations {
            _ = operation.outputs
            for (_, bindings) in operation.inputs {
                for case .value(let value) in bindings { decode(value) }
            }
            for (_, value) in operation.attributes { decode(value) }
            for inner in operation.blocks { decode(inner, &edits) }
            if operation.blocks.isEmpty { edits.append(Edit(range: operation.range, bytes: [])) }
        }
    }

    private func decode(_ value: MILValue) {
        _ = (value.type.tensor?.elementCount, value.integer, value.string, value.docString)
        switch value.content {
        case .immediate(.tensor(let tensor)):
            for type in MILDataType.allCases {
                _ = (tensor.integers(as: type), tensor.convertedNumbers(type), tensor.packedNumbers(type))
            }
        case .immediate(.tuple(let values)), .immediate(.list(let values)): for inner in values { decode(inner) }
        case .immediate(.dictionary(let pairs)):
            for pair in pairs {
                decode(pair.key)
                decode(pair.value)
            }
        default: break
        }
    }

    func testEveryTruncationOfAModel() throws {
        for name in ["nested_pipeline", "reused_symbol", "dtypes", "stateful"] {
            let whole = try bytes(name)
            XCTAssertTrue(try exercise(whole))
            for count in 0..<whole.count { try exercise(Array(whole[..<count])) }
        }
    }

    func testRandomDamageToAModel() throws {
        var generator = SeededGenerator(seed: 1)
        var readable = 0
        for name in ["nested_pipeline", "reused_symbol", "dtypes", "pipeline", "multifunction"] {
            let whole = try bytes(name)
            for round in 0..<1000 {
                var damaged = whole
                for _ in 0..<(round % 2 == 0 ? 1 : 4) {
                    let index = Int.random(in: 0..<damaged.count, using: &generator)
                    switch Int.random(in: 0..<(round % 2 == 0 ? 2 : 4), using: &generator) {
                    case 0: damaged[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
                    case 1: damaged[index] = UInt8.random(in: 0...255, using: &generator)
                    case 2: damaged.remove(at: index)
                    default: damaged.insert(0xff, at: index)
                    }
                }
                if try exercise(damaged) { readable += 1 }
            }
        }
        // Many flips change a name or a number and leave a readable file: decoding has been exercised, too.
        XCTAssertGreaterThan(readable, 500)
        XCTAssertLessThan(readable, 4500)
    }

    func testHugeLengthsAreRefusedWithoutAllocating() throws {
        for length in [UInt64(1) << 60, .max, UInt64(Int.max), 1 << 32] {
            var writer = WireWriter()
            writer.tag(502, .lengthDelimited)
            writer.varint(length)
            XCTAssertFalse(try exercise(writer.bytes))
        }
    }

    func testDeepNestingIsRefused() throws {
        func nested(_ depth: Int) -> [UInt8] {
            var bytes: [UInt8] = []
            for _ in 0..<depth {
                var writer = WireWriter()
                // An operation holding a block holding an operation...
                writer.message(3) { $0.data(4, bytes) }
                bytes = writer.bytes
            }
            var model = WireWriter()
            model.message(502) { $0.message(2) { $0.message(2) { $0.message(3) { $0.data(2, bytes) } } } }
            return model.bytes
        }
        XCTAssertTrue(try exercise(nested(40)))
        for depth in [60, 1000, 20_000] { XCTAssertFalse(try exercise(nested(depth))) }
        // Groups, and types within types.
        XCTAssertFalse(try exercise([UInt8](repeating: 0x0b, count: 100_000)))
        var type: [UInt8] = []
        for _ in 0..<200 {
            var writer = WireWriter()
            writer.message(5) { $0.data(1, type) }
            type = writer.bytes
        }
        var model = WireWriter()
        model.message(502) { $0.message(2) { $0.message(2) { $0.message(1) { $0.data(2, type) } } } }
        XCTAssertFalse(try exercise(model.bytes))
    }

    func testTextThatIsNotUTF8IsRefused() throws {
        var model = WireWriter()
        model.message(502) { $0.message(2) { $0.data(1, [0x6d, 0xc3, 0x28]) } }
        XCTAssertFalse(try exercise(model.bytes))
    }

    func testAFunctionTwiceIsRefused() throws {
        var model = WireWriter()
        model.message(502) {
            $0.message(2) { $0.string(1, "main") }
            $0.message(2) { $0.string(1, "main") }
        }
        XCTAssertFalse(try exercise(model.bytes))
    }

    // MARK: - Weight files

    private func weights(_ bytes: [UInt8]) throws -> WeightFile {
        let path = folder + "/weight.bin"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return try WeightFile(name: Fixtures.weights, path: path)
    }

    func testEveryTruncationOfAWeightFile() throws {
        let path = Fixtures.path("garbage") + "/" + Fixtures.weightPath
        let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        XCTAssertEqual(try weights(whole).allBlobs().count, 3)
        for count in 0..<whole.count {
            assertThrows(.damaged) { _ = try weights(Array(whole[..<count])).allBlobs() }
        }
    }

    func testRandomDamageToAWeightFile() throws {
        let input = try copy("dtypes")
        let path = input + "/" + Fixtures.weightPath
        let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        var generator = SeededGenerator(seed: 2)
        for round in 0..<300 {
            var damaged = whole
            for _ in 0..<8 {
                let record = 64 + 64 * Int.random(in: 0..<(whole.count / 64 - 1), using: &generator)
                damaged[record + Int.random(in: 0..<32, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            try Data(damaged).write(to: URL(fileURLWithPath: path))
            do {
                let package = try ModelPackage(path: input)
                _ = try? package.weightFiles[0].allBlobs()
                let writer = try PackageWriter(package, output: folder + "/out\(round).mlpackage")
                defer { writer.abandon() }
                for offset in stride(from: UInt64(0), to: UInt64(whole.count), by: 64) {
                    _ = try? writer.keepBlob(file: Fixtures.weights, offset: offset)
                }
                _ = try ProgramText.of(package)
            } catch let error as PackageError {
                XCTAssertEqual(error.kind, .damaged)
            }
        }
        XCTAssertEqual(try names(folder), ["in.mlpackage"])
    }

    func testOffsetsOutsideTheFileAreRefused() throws {
        let file = try Fixtures.open("garbage").weightFiles[0]
        for offset in [0, 1, 63, 65, UInt64(file.byteCount) - 63, UInt64(file.byteCount), 1 << 60, .max] {
            assertThrows(.damaged) { _ = try file.blob(at: offset) }
        }
    }

    func testAnotherWeightFileVersionIsRefused() throws {
        var bytes = [UInt8](repeating: 0, count: 64)
        bytes[4] = 1
        let error = assertThrows(.damaged) { _ = try weights(bytes) }
        XCTAssertEqual(error?.offset, 4)
    }

    /// Many records over the same data would make a large file of a small one.
    func testOverlappingBlobsAreNotMultiplied() throws {
        let records = 200
        var bytes = BlobFormat.header(count: UInt32(records))
        let start = 64 + 64 * records
        for _ in 0..<records {
            bytes += BlobFormat.record(code: 3, size: 6400, dataOffset: start, paddingBits: 0)
        }
        bytes += [UInt8](repeating: 1, count: 6400)
        let input = try copy("garbage")
        try Data(bytes).write(to: URL(fileURLWithPath: input + "/" + Fixtures.weightPath))
        let writer = try PackageWriter(ModelPackage(path: input), output: folder + "/out.mlpackage")
        assertThrows(.damaged) {
            for record in 0..<records {
                try writer.keepBlob(file: Fixtures.weights, offset: UInt64(64 + 64 * record))
            }
        }
    }

    // MARK: - Packages

    func testDamagedManifests() throws {
        let input = try copy("ios18")
        let whole = try Data(contentsOf: URL(fileURLWithPath: input + "/Manifest.json"))
        let text = String(decoding: whole, as: UTF8.self)
        var manifests = (0..<whole.count - 2).map { Data(whole[..<$0]) }
        manifests.append(Data(String(repeating: "[", count: 100_000).utf8))
        manifests.append(Data("{\"fileFormatVersion\": 1}".utf8))
        for path in ["/etc/passwd", "../../x", "a/../b", "", "a//b", "./a"] {
            manifests.append(Data(text.replacingOccurrences(of: "com.apple.CoreML/model.mlmodel", with: path).utf8))
        }
        for manifest in manifests {
            try manifest.write(to: URL(fileURLWithPath: input + "/Manifest.json"))
            let error = assertThrows(.damaged) { _ = try ModelPackage(path: input) }
            XCTAssertEqual(error?.file, input + "/Manifest.json")
        }
    }

    func testThingsThatAreNoPackages() throws {
        assertThrows(.notFound) { _ = try ModelPackage(path: folder + "/none.mlpackage") }
        assertThrows(.notAPackage) { _ = try ModelPackage(path: folder) }
        assertThrows(.notAPackage) { _ = try ModelPackage(path: Fixtures.path("ios15") + "/Manifest.json") }
        assertThrows(.invalidArgument) { _ = try ModelPackage(path: Fixtures.path("ios15") + "\0") }
        let input = try copy("ios15")
        try FileManager.default.removeItem(atPath: input + "/" + Fixtures.weightPath)
        let error = assertThrows(.notFound) { _ = try ModelPackage(path: input) }
        XCTAssertEqual(error?.file, input + "/" + Fixtures.weightPath)
        XCTAssertEqual(mkfifo(input + "/" + Fixtures.weightPath, 0o600), 0)
        assertThrows(.unsupported) { _ = try ModelPackage(path: input) }
    }

    func testWeightFileNamesThatLeaveTheModelFolder() throws {
        for name in ["@model_path/../../x", "/etc/passwd", "@model_path/", "weights/weight.bin", "@model_path//x"] {
            var model = WireWriter()
            model.message(502) { program in
                program.message(2) { entry in
                    entry.message(2) { function in
                        function.message(4) { $0.message(2) { $0.message(5) { $0.string(1, name) } } }
                    }
                }
            }
            let input = try copy("ios15", as: "x.mlpackage")
            try Data(model.bytes).write(to: URL(fileURLWithPath: input + "/" + Fixtures.modelPath))
            assertThrows(.damaged) { _ = try ModelPackage(path: input) }
            try FileManager.default.removeItem(atPath: input)
        }
    }
}
