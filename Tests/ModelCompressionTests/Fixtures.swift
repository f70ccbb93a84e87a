import CoreMLPackage
import Foundation
import XCTest

@testable import ModelCompression

/// The packages beside this file; `make_fixtures.py` writes them.
enum Fixtures {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

    static func path(_ name: String) -> String { folder.appendingPathComponent("\(name).mlpackage").path }

    static func package(_ name: String) throws -> ModelPackage { try ModelPackage(path: path(name)) }

    /// The name of a weight before coremltools compressed it.
    static func plainName(_ name: String) -> String {
        var result = Substring(name)
        while let suffix = ["_palettized", "_pcs", "_quantized", "_sparsified"].first(where: result.hasSuffix) {
            result = result.dropLast(suffix.count)
        }
        return String(result)
    }

    /// CRC-32 of what coremltools expands the weights of a reference package to.
    static func expected(_ name: String) throws -> [String: UInt32] {
        let data = try Data(contentsOf: folder.appendingPathComponent("expected.json"))
        return try XCTUnwrap(JSONDecoder().decode([String: [String: UInt32]].self, from: data)[name])
    }
}

/// zlib's CRC-32.
func crc32(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = ~0
    for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = (crc >> 1) ^ (0xedb8_8320 & (0 &- (crc & 1))) }
    }
    return ~crc
}

/// A fresh folder for one test.
class TemporaryFolderTestCase: XCTestCase {
    private(set) var folder = URL(fileURLWithPath: "/")

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("swiftcompress-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws { try FileManager.default.removeItem(at: folder) }

    func output(_ name: String = "out") -> String { folder.appendingPathComponent("\(name).mlpackage").path }

    /// A copy of a fixture that a test may change.
    func copy(_ name: String) throws -> String {
        let target = output(name)
        try FileManager.default.copyItem(atPath: Fixtures.path(name), toPath: target)
        return target
    }

    /// Names of everything in the folder, hidden entries too.
    func contents() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }
}

/// The message of the error that `body` throws.
func message(of body: () throws -> Void, file: StaticString = #filePath, line: UInt = #line) -> String {
    do {
        try body()
        XCTFail("nothing was thrown", file: file, line: line)
        return ""
    } catch {
        return "\(error)"
    }
}
