import CoreMLPackage
import Foundation
import XCTest

/// The packages in `Fixtures` and scratch folders to work in.
enum Fixtures {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

    static let names = [
        "ios15", "ios16", "ios17", "ios18", "ios26", "stateful", "classifier", "multifunction", "pipeline", "loops",
        "dtypes", "reused_symbol", "garbage", "nested_pipeline",
    ]

    static let weights = "@model_path/weights/weight.bin"
    static let modelPath = "Data/com.apple.CoreML/model.mlmodel"
    static let weightPath = "Data/com.apple.CoreML/weights/weight.bin"

    static func path(_ name: String) -> String { folder.appendingPathComponent(name + ".mlpackage").path }

    static func open(_ name: String) throws -> ModelPackage { try ModelPackage(path: path(name)) }

    /// Every file below a folder with its bytes, by relative path.
    static func contents(_ path: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for case let relative as String in FileManager.default.enumerator(atPath: path)! {
            let attributes = try FileManager.default.attributesOfItem(atPath: path + "/" + relative)
            if attributes[.type] as? FileAttributeType == .typeDirectory { continue }
            files[relative] = try Data(contentsOf: URL(fileURLWithPath: path + "/" + relative))
        }
        return files
    }
}

/// A test with an empty folder of its own.
class FolderTestCase: XCTestCase {
    private(set) var folder = ""

    override func setUpWithError() throws {
        folder = NSTemporaryDirectory() + "CoreMLPackageTests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws { try FileManager.default.removeItem(atPath: folder) }

    func names(_ path: String) throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

    /// A fixture's copy in the folder.
    func copy(_ name: String, as target: String = "in.mlpackage") throws -> String {
        let path = folder + "/" + target
        try FileManager.default.copyItem(atPath: Fixtures.path(name), toPath: path)
        return path
    }

    @discardableResult
    func assertThrows(
        _ kind: PackageError.Kind, _ body: () throws -> Void, file: StaticString = #filePath, line: UInt = #line
    ) -> PackageError? {
        do {
            try body()
            XCTFail("nothing was thrown, expected \(kind)", file: file, line: line)
        } catch let error as PackageError {
            XCTAssertEqual(error.kind, kind, error.description, file: file, line: line)
            return error
        } catch {
            XCTFail("\(error)", file: file, line: line)
        }
        return nil
    }
}
