import CoreMLPackage
import Foundation
import XCTest

final class EditingTests: FolderTestCase {
    // MARK: - Nothing edited

    func testOpenAndSaveChangesNoByte() throws {
        for name in Fixtures.names {
            let output = "\(folder)/\(name).mlpackage"
            try Fixtures.open(name).save(to: output)
            XCTAssertEqual(try Fixtures.contents(output), try Fixtures.contents(Fixtures.path(name)), name)
        }
        XCTAssertEqual(try names(folder), Fixtures.names.map { $0 + ".mlpackage" }.sorted())
    }

    /// A writer that edits nothing but versions leaves the weight files alone, garbage and unused blobs included.
    func testRaisingVersionsLeavesWeightFilesAlone() throws {
        let package = try Fixtures.open("garbage")
        let writer = try PackageWriter(package, output: folder + "/out.mlpackage")
        try writer.setSpecificationVersion(7)
        try writer.setOpset(from: "CoreML5", to: "CoreML6")
        try writer.finish()
        var (found, expected) = (try Fixtures.contents(writer.outputPath), try Fixtures.contents(package.path))
        let (model, original) = (
            found.removeValue(forKey: Fixtures.modelPath), expected.removeValue(forKey: Fixtures.modelPath)
        )
        XCTAssertEqual(found, expected)
        XCTAssertEqual(model?.count, original?.count)
        let difference = zip(model!, original!).filter { $0 != $1 }
        XCTAssertEqual(difference.map(\.0), [7, UInt8(ascii: "6"), UInt8(ascii: "6")])
    }

    func testAVersionIsNeverLowered() throws {
        let writer = try PackageWriter(Fixtures.open("ios18"), output: folder + "/out.mlpackage")
        try writer.setSpecificationVersion(7)
        try writer.finish()
        XCTAssertEqual(try ModelPackage(path: writer.outputPath).model.specificationVersion, 9)
    }

    // MARK: - The edit of edit_fixtures.py

    /// Every second constant replaced, blobs appended, versions raised: the same model and the same weight files as
    /// Google's protobuf and coremltools' blob writer make of the same edit.
    func testEditsMatchTheReference() throws {
        for name in Fixtures.names {
            try checkEdit(name)
        }
    }

    /// The blobs nobody asked to keep are kept by `finish()`, in the order of first reference.
    func testBlobsStillReferredToAreKeptWithoutAsking() throws {
        let package = try Fixtures.open("garbage")
        let writer = try PackageWriter(package, output: folder + "/out.mlpackage")
        let operations = package.model.programs[0].functions[0].block!.operations
        try writer.replace(operationAt: operations[1].range, with: [])
        try writer.finish()
        let edited = try ModelPackage(path: writer.outputPath)
        let blobs = try edited.weightFiles[0].allBlobs()
        XCTAssertEqual(blobs.map(\.dataType), [.float16, .float32], "the unused blob is gone")
        XCTAssertEqual(edited.weightFiles[0].byteCount, 192 + 64 + 20)
        let names = edited.model.programs[0].functions[0].block!.operations.map { $0.outputs[0].name }
        XCTAssertEqual(names, ["one", "last", "large", "y"])
    }

    private func checkEdit(_ name: String) throws {
        let package = try Fixtures.open(name)
        let writer = try PackageWriter(package, output: "\(folder)/\(name).mlpackage")
        var count = 0
        for program in package.model.programs {
            for function in program.functions.sorted(by: { $0.name < $1.name }) {
                try writer.setOpset(from: function.opset, to: "CoreML9")
                for (_, block) in function.blockSpecializations { try edit(block, writer, &count) }
            }
        }
        try writer.setSpecificationVersion(10)
        try writer.finish()

        let edited = try ModelPackage(path: writer.outputPath)
        let reference = Fixtures.folder.appendingPathComponent("edited")
        let expected = try String(contentsOf: reference.appendingPathComponent(name + ".txt"), encoding: .utf8)
        XCTAssertEqual(try ProgramText.of(edited), expected, name)
        for file in edited.weightFiles {
            let leaf = URL(fileURLWithPath: file.path).lastPathComponent
            XCTAssertEqual(
                try Data(contentsOf: URL(fileURLWithPath: file.path)),
                try Data(contentsOf: reference.appendingPathComponent("\(name)-\(leaf)")), "\(name) \(leaf)")
        }
        try checkWithGooglesProtobuf(edited, expected)
    }

    private func edit(_ block: MILBlock, _ writer: PackageWriter, _ count: inout Int) throws {
        for operation in block.operations {
            for inner in operation.blocks { try edit(inner, writer, &count) }
            guard operation.type == "const", case .blob(let file, let offset) = operation.attribute("val")?.content
            else { continue }
            if count % 2 == 1 {
                try writer.keepBlob(file: file, offset: offset)
            } else {
                try replace(operation, file, count, writer)
            }
            count += 1
        }
    }

    private func replace(_ operation: MILOperation, _ file: String, _ number: Int, _ writer: PackageWriter) throws {
        var packed = [UInt8](repeating: 0, count: MILDataType.uint3.byteCount(elements: number + 3)!)
        for index in 0..<(number + 3) {
            for bit in 0..<3 where (index % 8) >> bit & 1 == 1 {
                packed[(index * 3 + bit) / 8] |= 1 << UInt8((index * 3 + bit) % 8)
            }
        }
        let offset = try packed.withUnsafeBytes {
            try writer.appendBlob(file: file, type: .uint3, bytes: $0, count: number + 3)
        }
        let name = operation.outputs[0].name
        let lut = try [Float(number), 0.5, -1, 2].withUnsafeBytes {
            try NewValue.tensor(.float32, shape: [2, 2], bytes: $0)
        }
        let new = NewOperation(
            type: "constexpr_lut_to_dense",
            inputs: [
                ("indices", [.value(.blob(.uint3, shape: [number + 3], file: file, offset: offset))]),
                ("lut", [.name(name + "_lut")]),
            ],
            outputs: operation.outputs,
            attributes: [
                ("name", try .copy(operation.attribute("name")!)), ("shape", .uint32s([UInt32(number), 1 << 31])),
                ("flags", .bool(true)), ("axis", .int32(-1 - Int32(number))),
            ])
        try writer.replace(operationAt: operation.range, with: [.const(name + "_lut", lut), new])
    }

    /// With `SWIFTCOMPRESS_ORACLE_PYTHON` naming a Python that has coremltools, it reads our file too.
    private func checkWithGooglesProtobuf(_ package: ModelPackage, _ expected: String) throws {
        guard let python = ProcessInfo.processInfo.environment["SWIFTCOMPRESS_ORACLE_PYTHON"] else { return }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: python)
        process.arguments = [Fixtures.folder.appendingPathComponent("program_text.py").path, package.model.path]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        XCTAssertEqual(String(decoding: output, as: UTF8.self), expected, "read by Google's protobuf")
    }

    // MARK: - Insertions and inputs

    /// Operations before others, one of them nested and one itself replaced; inputs bound anew and added.
    func testInsertionsAndInputs() throws {
        let package = try Fixtures.open("loops")
        let block = package.model.programs[0].functions[0].block!
        let loop = block.operations.first { !$0.blocks.isEmpty }!
        let place = try XCTUnwrap(loop.blocks[1].operations.firstIndex { !$0.inputs.isEmpty && $0.blocks.isEmpty })
        let inner = loop.blocks[1].operations[place]
        let first = block.operations[0]
        let writer = try PackageWriter(package, output: folder + "/out.mlpackage")
        try writer.insert([.const("one", .int32(1)), .const("two", .bool(true))], before: first)
        try writer.replace(operationAt: first.range, with: [.const("first", .int32(7))])
        try writer.insert([.const("three", .string("x"))], before: inner)
        let key = try XCTUnwrap(inner.inputs.first?.key)
        try writer.setInput(key, of: inner, to: [.name("three")])
        try writer.setInput("added", of: inner, to: [.name("one"), .value(.int32(5))])
        try writer.insert([.const("four", .int32(4))], before: inner)
        try writer.finish()

        let edited = try ModelPackage(path: writer.outputPath).model.programs[0].functions[0].block!
        XCTAssertEqual(edited.operations.prefix(3).map { $0.outputs[0].name }, ["one", "two", "first"])
        XCTAssertEqual(edited.operations.count, block.operations.count + 2)
        let newLoop = edited.operations.first { !$0.blocks.isEmpty }!
        let body = newLoop.blocks[1].operations
        XCTAssertEqual(body.count, loop.blocks[1].operations.count + 2)
        XCTAssertEqual(body[place..<(place + 2)].map { $0.outputs[0].name }, ["three", "four"])
        let changed = body[place + 2]
        XCTAssertEqual(changed.type, inner.type)
        XCTAssertEqual(changed.inputs.count, inner.inputs.count + 1)
        guard case .name("three")? = changed.input(key).first else { return XCTFail("\(key) is not bound to three") }
        let added = changed.input("added")
        guard added.count == 2, case .name("one") = added[0], case .value(let value) = added[1] else {
            return XCTFail("found \(added)")
        }
        XCTAssertEqual(value.integer, 5)
        let others = zip(body.dropFirst(place + 3), loop.blocks[1].operations.dropFirst(place + 1))
        for (one, other) in others { XCTAssertEqual(one.range.count, other.range.count) }
    }

    func testInputsOfAReplacedOperationAreRefused() throws {
        let package = try Fixtures.open("ios15")
        let operation = package.model.programs[0].functions[0].block!.operations.first { !$0.inputs.isEmpty }!
        assertThrows(.invalidArgument) {
            let writer = try PackageWriter(package, output: folder + "/out.mlpackage")
            try writer.replace(operationAt: operation.range, with: [])
            try writer.setInput(operation.inputs[0].key, of: operation, to: [.name("x")])
            try writer.finish()
        }
    }

    // MARK: - Refused edits

    func testImpossibleEditsAreRefused() throws {
        let package = try Fixtures.open("loops")
        let operations = package.model.programs[0].functions[0].block!.operations
        let loop = operations.first { !$0.blocks.isEmpty }!
        let inner = loop.blocks[1].operations[0]
        for ranges in [[loop.range, inner.range], [inner.range, inner.range], [0..<3], [5..<(1 << 40)]] {
            assertThrows(.invalidArgument) {
                let writer = try PackageWriter(package, output: folder + "/out.mlpackage")
                for range in ranges { try writer.replace(operationAt: range, with: []) }
                try writer.finish()
            }
        }
        for count in [-1, 3, Int.max] {
            assertThrows(.invalidArgument) {
                let writer = try PackageWriter(package, output: folder + "/out.mlpackage")
                try [UInt8](repeating: 0, count: 5).withUnsafeBytes {
                    _ = try writer.appendBlob(file: Fixtures.weights, type: .float16, bytes: $0, count: count)
                }
            }
        }
        assertThrows(.damaged) {
            try PackageWriter(package, output: folder + "/out.mlpackage").keepBlob(file: Fixtures.weights, offset: 65)
        }
        XCTAssertEqual(try names(folder), [])
    }
}
