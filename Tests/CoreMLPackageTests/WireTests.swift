import XCTest

@testable import CoreMLPackage

/// The wire codec on forms that no Core ML tool writes, but that protobuf allows: none may be lost or changed.
final class WireTests: XCTestCase {
    private func document(_ bytes: [UInt8]) throws -> MLModelDocument {
        try MLModelDocument(file: bytes.withUnsafeBytes { MappedFile(path: "memory", bytes: $0) })
    }

    private func applied(_ edits: [Edit], _ document: MLModelDocument) throws -> [UInt8] {
        try Splice.apply(edits, to: document.file).flatMap { segment in
            switch segment {
            case .source(let range): Array(document.file.bytes(range))
            case .bytes(let bytes): bytes
            }
        }
    }

    func testNumbersReadBackAsWritten() throws {
        for value in [0, 1, 127, 128, 16383, 16384, 1 << 32, UInt64(Int64.max), .max] as [UInt64] {
            var writer = WireWriter()
            writer.varint(value)
            try writer.bytes.withUnsafeBytes { bytes in
                var reader = WireReader(bytes.baseAddress!, 0..<bytes.count)
                XCTAssertEqual(try reader.varint(), value)
                XCTAssertEqual(reader.position, bytes.count)
            }
        }
    }

    func testFieldsThatAreNoFields() {
        let cases: [[UInt8]] = [
            [0x00], [0x07], [0x0e], [0x80], [0x0c], [0x0b], [0x0b, 0x14], [0x08], [0x08, 0x80], [0x0d, 1, 2, 3],
            [0x09, 1, 2, 3, 4, 5, 6, 7], [0x0a], [0x0a, 0x02, 0x01], [0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00],
            [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ]
        for bytes in cases { XCTAssertThrowsError(try document(bytes), "\(bytes)") }
    }

    /// A model in which every message carries unknown fields of every kind, and whose lengths are padded.
    private func oddModel(operations: [[UInt8]]) -> [UInt8] {
        let unknown: [UInt8] =
            [0xc0, 0x3e, 0x05]  // 1000: varint
            + [0xc9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8]  // 1001: fixed64
            + [0xd2, 0x3e, 0x02, 0xff, 0xfe]  // 1002: bytes
            + [0xdb, 0x3e, 0x08, 0x01, 0x13, 0x0a, 0x01, 0x41, 0x14, 0xdc, 0x3e]  // 1003: a group with a group
            + [0xe5, 0x3e, 1, 2, 3, 4]  // 1004: fixed32
        func message(_ number: Int, _ parts: [[UInt8]]) -> [UInt8] {
            let payload = unknown + parts.flatMap { $0 + unknown }
            var writer = WireWriter()
            writer.tag(number, .lengthDelimited)
            // The length in five bytes: longer than needed, and still valid.
            let length = payload.count
            let padded = (0..<4).map { UInt8(length >> (7 * $0) & 0x7f) | 0x80 } + [0]
            return writer.bytes + padded + payload
        }
        func text(_ number: Int, _ text: String) -> [UInt8] {
            var writer = WireWriter()
            writer.string(number, text)
            return writer.bytes
        }
        let block = message(2, [text(2, "y")] + operations.map { message(3, [$0]) })
        let specialization = message(3, [text(1, "CoreML7"), block])
        let function = message(2, [text(2, "CoreML7"), specialization])
        let program = message(502, [message(2, [text(1, "main"), function])])
        return unknown + program + [0x08, 0x88, 0x00] + unknown
    }

    func testUnknownFieldsAndPaddedNumbersAreKept() throws {
        let operations = ["first", "second", "third"].map { name -> [UInt8] in
            var writer = WireWriter()
            writer.string(1, name)
            return writer.bytes
        }
        let original = oddModel(operations: operations)
        let model = try document(original)
        XCTAssertEqual(model.specificationVersion, 8)
        XCTAssertEqual(try applied([], model), original)
        let block = try XCTUnwrap(model.programs.first?.functions.first?.block)
        let found = block.operations
        XCTAssertEqual(found.map(\.type), ["first", "second", "third"])
        XCTAssertEqual(block.outputs, ["y"])

        // The same length in, the same length out: nothing else changes, the padded lengths included.
        var same = Array(model.file.bytes(found[1].range))
        same[same.count - 1] ^= 1
        var expected = original
        expected[found[1].range.upperBound - 1] ^= 1
        XCTAssertEqual(try applied([Edit(range: found[1].range, bytes: same)], model), expected)

        // Shorter: the operation goes and its neighbours, unknown fields included, stay.
        let edited = try applied([Edit(range: found[1].range, bytes: [])], model)
        XCTAssertEqual(try document(edited).programs[0].functions[0].block?.operations.map(\.type), ["first", "third"])
        // Between the ends only the five lengths around the edit have changed, from five bytes to their shortest form.
        let removed = original.count - edited.count
        XCTAssertEqual(removed, found[1].range.count + 5 * 5 - shortLengths(model, found[1].range.count))
        XCTAssertEqual(
            Array(edited.suffix(original.count - found[1].range.upperBound)),
            Array(original[found[1].range.upperBound...]))
    }

    private func varintSize(_ value: Int) -> Int {
        var writer = WireWriter()
        writer.varint(UInt64(value))
        return writer.bytes.count
    }

    /// Bytes the lengths of program, entry, function, specialization and block take once `removed` bytes are gone.
    private func shortLengths(_ model: MLModelDocument, _ removed: Int) -> Int {
        var inner = model.programs[0].functions[0].block!.view.range.count - removed
        var total = varintSize(inner)
        // Around each message: the unknown fields (35 bytes) after every part and before the first, the other parts,
        // and the tag and length of the message within.
        for other in [9 + 35, 9 + 35, 6 + 35, 0] {
            inner = 35 + other + 1 + varintSize(inner) + inner + 35
            total += varintSize(inner)
        }
        return total
    }

    func testAMissingVersionIsInserted() throws {
        var stage = WireWriter()
        stage.message(502) { $0.integer(1, 1) }
        for inner in [stage.bytes, []] {
            var outer = WireWriter()
            outer.message(202) { $0.data(1, inner) }
            let model = try document(outer.bytes)
            let payload = model.scanned.models[1].payload
            let edits = [0, payload.lowerBound].map { Edit(range: $0..<$0, bytes: [0x08, 0x09]) }
            let edited = try document(try applied(edits, model))
            XCTAssertEqual(edited.models.map(\.specificationVersion), [9, 9])
        }
    }

    func testAnEditThatIsNoFieldIsRefused() throws {
        let model = try document(oddModel(operations: [[0x0a, 0x01, 0x41]]))
        let range = model.programs[0].functions[0].block!.operations[0].range
        for wrong in [range.lowerBound + 1..<range.upperBound, range.lowerBound..<range.upperBound - 1, 1..<2] {
            XCTAssertThrowsError(try applied([Edit(range: wrong, bytes: [])], model), "\(wrong)")
        }
    }

    /// Packed numbers may come one by one, or in several runs.
    func testNumbersThatAreNotPacked() throws {
        var tensor = WireWriter()
        let first: [UInt8] = [0x0a, 4, 0, 0, 0x80, 0x3f]
        let second: [UInt8] = [0x0d, 0, 0, 0, 0x40]
        let third: [UInt8] = [0x0a, 8, 0, 0, 0x40, 0x40, 0, 0, 0x80, 0x40]
        tensor.data(1, first + second + third)
        let view = tensor.bytes.withUnsafeBytes { bytes in
            MessageView(file: MappedFile(path: "memory", bytes: bytes), range: 0..<bytes.count)
        }
        let value = MILTensorValue(view: view)
        XCTAssertNil(value.packedNumbers(.float32))
        let bytes = try XCTUnwrap(value.convertedNumbers(.float32))
        XCTAssertEqual(bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }, [1, 2, 3, 4])
    }
}
