import Foundation
import XCTest

/// Runs the built command as a shell does, in a folder of its own.
class CommandTestCase: XCTestCase {
    struct Outcome {
        var status: Int32
        var output: String
        var errors: String
    }

    static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("ModelCompressionTests/Fixtures")

    private(set) var folder = URL(fileURLWithPath: "/")

    override func setUpWithError() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("swiftcompress-cli-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws {
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path)
        try FileManager.default.removeItem(at: folder)
    }

    private static var executable: URL {
        #if os(macOS)
        let products = Bundle(for: CommandTestCase.self).bundleURL.deletingLastPathComponent()
        #else
        let products = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        #endif
        return products.appendingPathComponent("swiftcompress")
    }

    func start(_ arguments: [String]) throws -> (process: Process, outcome: () throws -> Outcome) {
        let process = Process()
        process.executableURL = Self.executable
        process.arguments = arguments
        process.currentDirectoryURL = folder
        let files = ["stdout", "stderr"].map { folder.appendingPathComponent(".\($0)-\(UUID().uuidString)") }
        for file in files { XCTAssertTrue(FileManager.default.createFile(atPath: file.path, contents: nil)) }
        process.standardOutput = try FileHandle(forWritingTo: files[0])
        process.standardError = try FileHandle(forWritingTo: files[1])
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return (
            process,
            {
                process.waitUntilExit()
                let texts = try files.map { try String(contentsOf: $0, encoding: .utf8) }
                for file in files { try FileManager.default.removeItem(at: file) }
                let isSignal = process.terminationReason == .uncaughtSignal
                return Outcome(
                    status: process.terminationStatus + (isSignal ? 1000 : 0), output: texts[0], errors: texts[1])
            }
        )
    }

    func run(_ arguments: String...) throws -> Outcome { try start(arguments).outcome() }

    func fixture(_ name: String) -> String { Self.fixtures.appendingPathComponent("\(name).mlpackage").path }

    func contents() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }

    func json(_ text: String) throws -> [String: Any] {
        try XCTUnwrap(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }
}
