import Foundation
import XCTest

@testable import CoreMLPackage

final class WeightFileTests: FolderTestCase {
    /// The sequence of `every_blob_sequence` in `Fixtures/make_fixtures.py`: the same bytes as coremltools' writer.
    func testWriterMakesTheBytesOfTheReference() throws {
        let types: [MILDataType] = [
            .float16, .float32, .uint8, .int8, .int16, .uint16, .int32, .uint32, .int4, .uint4, .uint1, .uint2, .uint3,
            .uint6,
        ]
        let path = folder + "/weight.bin"
        let writer = try BlobFileWriter(path: path)
        for count in [1, 5, 0, 3, 64, 7] {
            for type in types {
                let codes = (0..<count).map { ($0 * 7 + count) % (1 << min(type.bitWidth, 7)) }
                let bytes = type == .int4 ? pack(codes.map { $0 - 8 }, .int4) : pack(codes, type)
                _ = try bytes.withUnsafeBytes { buffer in
                    try writer.append(type, buffer, count: count)
                }
            }
        }
        try writer.finish()
        let expected = try Data(contentsOf: Fixtures.folder.appendingPathComponent("blob_sequence.bin"))
        XCTAssertEqual(try Data(contentsOf: URL(fileURLWithPath: path)), expected)

        let file = try WeightFile(name: "w", path: path)
        let blobs = try file.allBlobs()
        XCTAssertEqual(blobs.count, 84)
        XCTAssertEqual(blobs.prefix(14).map(\.dataType), types)
    }

    private func pack(_ values: [Int], _ type: MILDataType) -> [UInt8] {
        if type == .float32 { return values.flatMap { withUnsafeBytes(of: Float($0), Array.init) } }
        var bytes = [UInt8](repeating: 0, count: type.byteCount(elements: values.count)!)
        for (index, value) in values.enumerated() {
            for bit in 0..<type.bitWidth where value >> bit & 1 == 1 {
                let position = index * type.bitWidth + bit
                bytes[position / 8] |= 1 << UInt8(position % 8)
            }
        }
        return bytes
    }

    /// coremltools 6 and 7 left garbage in the padding and in reserved words, and files end anywhere.
    func testGarbageInPaddingAndReservedWordsIsNotRead() throws {
        let package = try Fixtures.open("garbage")
        let operations = package.model.programs[0].functions[0].block!.operations
        let values = operations.compactMap { $0.attribute("val") }
        let bytes = try package.tensorBytes(of: values[0])
        XCTAssertEqual(Array(bytes.bindMemory(to: UInt16.self)), Array(1000..<1020))
        XCTAssertEqual(try package.blob(of: values[0])?.paddingBits, 0)
        XCTAssertEqual(try package.tensorBytes(of: values[1]).baseAddress, bytes.baseAddress, "one blob, two constants")
        XCTAssertEqual(try package.tensorBytes(of: values[2]).bindMemory(to: Float.self).last, 4)
        XCTAssertEqual(try package.tensorBytes(of: values[3]).bindMemory(to: Float.self).last, 1)
    }

    func testEveryTensorIsAlignedForItsType() throws {
        let package = try Fixtures.open("dtypes")
        var checked = 0
        for operation in package.model.programs[0].functions[0].block!.operations {
            guard let value = operation.attribute("val"), let type = value.type.tensor?.dataType else { continue }
            let address = Int(bitPattern: try package.tensorBytes(of: value).baseAddress)
            XCTAssertEqual(address % max(1, type.bitWidth / 8), 0, operation.outputs[0].name)
            checked += 1
        }
        XCTAssertEqual(checked, 44)
    }
}
