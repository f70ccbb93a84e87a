import CoreMLPackage
import Foundation
import XCTest

final class ReadingTests: XCTestCase {
    /// The whole model, value by value, against Google's protobuf (`Fixtures/<name>.txt`).
    func testProgramsReadAsGooglesProtobufReadsThem() throws {
        for name in Fixtures.names {
            let expected = try String(
                contentsOf: Fixtures.folder.appendingPathComponent(name + ".txt"), encoding: .utf8)
            let found = try ProgramText.of(Fixtures.open(name))
            if found == expected { continue }
            let lines = zip(found.split(separator: "\n"), expected.split(separator: "\n"))
            let difference = lines.first { $0 != $1 }
            XCTFail("\(name): found \(difference?.0 ?? "other length"), expected \(difference?.1 ?? "")")
        }
    }
}
