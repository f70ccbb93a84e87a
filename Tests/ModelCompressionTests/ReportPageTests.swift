import TensorCompression
import XCTest

@testable import ModelCompression

final class ReportPageTests: XCTestCase {
    private func record(_ name: String, _ change: (inout WeightRecord) -> Void = { _ in }) -> WeightRecord {
        var record = WeightRecord(
            name: name, function: "main", consumer: "c", consumerType: "conv", dtype: "fp16", shape: [64, 32],
            action: .palettized, scheme: "kmeans per_tensor 4 bit", nbits: 4, bitsPerWeight: 4.06, bytesBefore: 4096,
            bytesAfter: 1040, snrDecibel: 18.5, maxError: 0.25, meanSquaredError: 0.01, seconds: 0.01)
        change(&record)
        return record
    }

    private func report(_ weights: [WeightRecord], warnings: [String] = []) -> CompressionReport {
        CompressionReport(
            input: "/models/A & B.mlpackage", output: "out.mlpackage", operation: "palettize",
            specificationVersion: .init(before: 8, after: 9), weights: weights, addedOperations: [], warnings: warnings,
            packageBytes: .init(before: 10_000, after: 2500), seconds: 1.5)
    }

    /// The text of the page without its line break hints, after checking that its elements nest.
    private func page(_ report: CompressionReport) throws -> String {
        let html = report.html()
        var open: [String] = []
        var rest = html[...]
        while let start = rest.firstIndex(of: "<"), let end = rest[start...].firstIndex(of: ">") {
            let tag = rest[rest.index(after: start)..<end]
            rest = rest[rest.index(after: end)...]
            let name = String(tag.drop { $0 == "/" }.prefix { $0.isLetter || $0.isNumber })
            if tag.hasPrefix("!") || ["meta", "wbr"].contains(name) { continue }
            if tag.hasPrefix("/") {
                XCTAssertEqual(open.popLast(), name, "\(tag) closes another element")
            } else {
                open.append(name)
                // Their content is no markup.
                if name == "script" || name == "style", let close = rest.range(of: "</\(name)>") {
                    rest = rest[close.lowerBound...]
                }
            }
        }
        XCTAssertEqual(open, [])
        return html.replacingOccurrences(of: "<wbr>", with: "")
    }

    func testHeadline() throws {
        let page = try page(report([record("w"), record("v") { $0.snrDecibel = 30.25 }]))
        for text in [
            "<title>A &amp; B.mlpackage: palettized</title>", "10.0 kB", "2.5 kB", "4.00× smaller",
            "2 <small>of 2</small>", "4.06", "18.5 <small>dB</small>", "iOS18 <small>was iOS17</small>",
            "1.50 <small>s</small>",
        ] { XCTAssertTrue(page.contains(text), text) }
        XCTAssertFalse(page.contains("http"), "the page loads something")
    }

    func testEveryWeightIsThere() throws {
        let names = (0..<200).map { "layer_\($0)_weight" }
        let weights = names.enumerated().map { number, name in
            record(name) { record in
                guard number % 3 == 0 else { return }
                record.action = .declined
                record.reason = number % 2 == 0 ? "rank 1" : "1000 elements, weight_threshold is 2048"
            }
        }
        let page = try page(report(weights))
        for name in names {
            XCTAssertEqual(page.components(separatedBy: "<code>\(name)</code>").count, 2, name)
        }
        // Declined ones once for each reason.
        XCTAssertEqual(page.components(separatedBy: "<details").count, 3)
    }

    func testTextIsEscaped() throws {
        let evil = "<script>alert(\"1\")</script>&'\u{1}"
        let text = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;\u{fffd}"
        let page = try page(
            report(
                [
                    record(evil) {
                        $0.note = evil
                        $0.scheme = evil
                        $0.consumerType = evil
                    },
                    record("d") {
                        $0.action = .declined
                        $0.reason = evil
                    },
                ], warnings: [evil]))
        XCTAssertFalse(page.contains("<script>alert"))
        XCTAssertEqual(page.components(separatedBy: text).count, 7)
    }

    func testOddValues() throws {
        let weights = [
            record("exact") {
                $0.snrDecibel = nil
                $0.maxError = 0
            },
            record("infinite") {
                $0.snrDecibel = nil
                $0.maxError = nil
            },
            record("larger") { $0.bytesAfter = 9000 }, record("bad") { $0.snrDecibel = -3 },
            record("empty") {
                $0.shape = [0, 4]
                $0.bytesBefore = 0
                $0.bytesAfter = 0
            },
        ]
        let page = try page(report(weights))
        XCTAssertTrue(page.contains("exact</span>"))
        XCTAssertTrue(page.contains("-3.0 dB"))
        XCTAssertFalse(page.contains("nan"))
        _ = try self.page(report([]))
    }

    func testFromJSON() throws {
        let report = report([record("w")])
        XCTAssertEqual(try CompressionReport(json: encodeJSON(report)), report)
        XCTAssertEqual(
            String(decoding: try CompressionReport.html(json: encodeJSON(report)), as: UTF8.self), report.html())
        XCTAssertThrowsError(try CompressionReport.html(json: Array("{}".utf8))) { error in
            XCTAssertEqual((error as? CompressionError)?.kind, .invalidArgument)
        }
    }

    func testPastTense() {
        XCTAssertEqual(
            CompressionOptions.Operation.allCases.map { CompressionReport.pastTense($0.rawValue) },
            ["palettized", "quantized", "pruned", "decompressed"])
    }
}
