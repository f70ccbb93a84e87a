import ModelCompression
import XCTest

@testable import CommandLineTool

final class TextTests: XCTestCase {
    func testNumbers() {
        XCTAssertEqual(Text.fixed(3.14159, 2), "3.14")
        XCTAssertEqual(Text.fixed(-0.005, 1), "0.0")
        XCTAssertEqual(Text.fixed(2, 3), "2.000")
        XCTAssertEqual(Text.fixed(1.05, 0), "1")
        XCTAssertEqual(Text.fixed(-12.75, 1), "-12.8")
        XCTAssertEqual(Text.fixed(.infinity, 1), "inf")
        XCTAssertEqual(Text.bytes(999), "999 B")
        XCTAssertEqual(Text.bytes(1500), "1.5 kB")
        XCTAssertEqual(Text.bytes(12_345_678), "12.35 MB")
        XCTAssertEqual(Text.shape([]), "scalar")
        XCTAssertEqual(Text.shape([2, 3]), "2x3")
    }

    func testTableColumns() {
        XCTAssertEqual(
            Text.table(["name", "n"], [["a", "10"], ["long name", "5"]], alignRight: [false, true]),
            "name        n\na          10\nlong name   5")
    }

    func testProgressLineFitsTheTerminal() {
        let progress = CompressionProgress(
            weightsDone: 1, weightsTotal: 2, bytesDone: 500, bytesTotal: 1000, name: String(repeating: "x", count: 200))
        let line = ProgressBar.line("palettize", progress, seconds: 0.1, columns: 80)
        XCTAssertEqual(line.count, 79)
        XCTAssertTrue(
            line.hasPrefix("palettize [############            ]  50%  1/2 weights  500 B of 1.0 kB  xx"), line)
    }

    func testProgressLineTellsSpeedAndTime() {
        let progress = CompressionProgress(
            weightsDone: 3, weightsTotal: 9, bytesDone: 20_000_000, bytesTotal: 80_000_000, name: "w")
        let line = ProgressBar.line("quantize", progress, seconds: 2, columns: 200)
        XCTAssertTrue(line.hasSuffix("3/9 weights  20.00 MB of 80.00 MB  10.00 MB/s  6 s left  w"), line)
        XCTAssertEqual(
            [0, 59.2, 200, 3900].map(ProgressBar.duration), ["0 s", "1 min 00 s", "3 min 20 s", "1 h 05 min"])
    }

    func testShortNumbers() {
        let texts = [0, 0.5, 0.00577, -12.34, 999.9, 123_456, 1_234_567, 4.5678e-7, 9.999].map(Text.short)
        XCTAssertEqual(
            texts, ["0", "0.500", "0.00577", "-12.3", "1000", "123456", "1.23e+06", "4.57e-07", "10.0"])
    }
}
