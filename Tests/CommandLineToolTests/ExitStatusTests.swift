import CommandLineTool
import XCTest

/// The exit status, as scripts see it.
final class ExitStatusTests: XCTestCase {
    func testHelpAndVersionSucceed() {
        XCTAssertEqual(SwiftcompressCommand.run(["--version"]), 0)
        XCTAssertEqual(SwiftcompressCommand.run(["help", "palettize"]), 0)
    }

    func testWrongUsageIs64() {
        XCTAssertEqual(SwiftcompressCommand.run(["palettize"]), 64)
        XCTAssertEqual(SwiftcompressCommand.run(["palettise", "in.mlpackage"]), 64)
    }

    func testFailureIs1() {
        XCTAssertEqual(SwiftcompressCommand.run(["info", "/nowhere/missing.mlpackage"]), 1)
    }
}
