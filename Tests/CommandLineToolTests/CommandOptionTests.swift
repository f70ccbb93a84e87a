import Foundation
import XCTest

/// `quantize`, `prune`, `decompress`, `compare`, and the options `--config` and `--html`.
final class CommandOptionTests: CommandTestCase {
    func testWrongUsageOfTheOtherCommands() throws {
        let cases: [([String], String)] = [
            (["quantize", "--dtype", "int3"], "'int3' is invalid"),
            (["quantize", "--block-size", "16"], "--block-size: found 16, allowed with --granularity per-block only"),
            (["quantize", "--granularity", "per-block", "--block-size", "1,x"], "'1,x' is invalid"),
            (
                ["quantize", "--granularity", "per-block", "--block-size", "-2"],
                "--block-size: found -2, allowed a whole number of 0 or more, or one for each axis"
            ),
            (["quantize", "--weight-threshold", "-1"], "--weight-threshold: found -1"),
            (["quantize", "--minimum-deployment-target", "iOS12"], "'iOS12' is invalid"),
            (["prune"], "found none, allowed one of --target-sparsity, --threshold, --n-m-ratio"),
            (["prune", "--target-sparsity", "0.5", "--threshold", "1"], "found --target-sparsity and --threshold"),
            (["prune", "--target-sparsity", "1.5"], "--target-sparsity: found 1.5, allowed 0 to 1"),
            (["prune", "--threshold", "-1"], "--threshold: found -1.0, allowed 0 or more"),
            (
                ["prune", "--threshold", "1", "--minimum-sparsity", "2"],
                "--minimum-sparsity: found 2.0, allowed 0 to 1"
            ),
            (
                ["prune", "--target-sparsity", "0.5", "--minimum-sparsity", "0.2"],
                "--minimum-sparsity: found 0.2, allowed with --threshold only"
            ),
            (["prune", "--n-m-ratio", "4:2"], "--n-m-ratio: found 4:2, allowed two whole numbers"),
            (["prune", "--n-m-ratio", "2-4"], "'2-4' is invalid"),
            (["prune", "--n-m-ratio", "2:4", "--block-size", "2"], "--block-size: found 2, allowed with"),
            (["prune", "--target-sparsity", "0.5", "--dim", "1"], "--dim: found 1, allowed with --block-size or"),
            (["prune", "--target-sparsity", "0.5", "--block-size", "1"], "--block-size: found 1, allowed"),
            (["decompress", "--nbits", "4"], "Unknown option '--nbits'"),
            (["decompress", "--threads", "-1"], "--threads: found -1, allowed a whole number of 0 or more"),
            (
                ["palettize", "--config", "c.yaml", "--nbits", "4"],
                "--config: found --nbits beside it, allowed one of the two"
            ),
            (["quantize", "--config", "c.yaml", "--mode", "linear"], "--config: found --mode beside it"),
            (["prune", "--config", "c.yaml", "--dim", "1"], "--config: found --dim beside it"),
        ]
        for (arguments, text) in cases {
            let outcome = try start(
                [arguments[0], fixture("mixed_ios18"), "-o", "o.mlpackage"] + arguments.dropFirst()
            ).outcome()
            XCTAssertEqual(outcome.status, 64, "\(arguments): \(outcome.errors)")
            XCTAssertTrue(outcome.errors.contains(text), "\(arguments): \(outcome.errors)")
        }
        XCTAssertEqual(try run("compare", "a.mlpackage").status, 64)
        XCTAssertEqual(try contents(), [])
    }

    // MARK: - Configuration files

    func testConfigurationFile() throws {
        try Data(
            """
            # As coremltools reads it.
            config_type: OpPalettizerConfig
            global_config: &all {mode: kmeans, nbits: 4, weight_threshold: 0}
            op_type_configs:
              linear:
                <<: *all
                nbits: 6
              conv_transpose: null
            op_name_configs:
              nobody: *all
            """.utf8
        ).write(to: folder.appendingPathComponent("c.yaml"))
        let outcome = try run(
            "palettize", fixture("mixed_ios18"), "-o", "o.mlpackage", "--config", "c.yaml", "--json", "--verify")
        XCTAssertEqual(outcome.status, 0, outcome.errors)
        let report = try json(outcome.output)
        let weights = try XCTUnwrap(report["weights"] as? [[String: Any]])
        func bits(_ name: String) -> Int? { weights.first { $0["name"] as? String == name }?["nbits"] as? Int }
        XCTAssertEqual(bits("conv_weight"), 4)
        XCTAssertEqual(bits("linear_weight"), 6)
        XCTAssertNil(bits("transpose_weight"))
        XCTAssertEqual(
            report["warnings"] as? [String], ["op_names[\"nobody\"]: no constant and no operation has this name"])
    }

    func testBadConfigurationFiles() throws {
        let cases = [
            ("a: [1", "c.yaml: line 1, column 6: found no \",\" or \"]\""),
            ("config_type: OpLinearQuantizerConfig", "c.yaml: config_type: found \"OpLinearQuantizerConfig\""),
            (
                "config_type: OpPalettizerConfig\nglobal_config: {bits: 4}",
                "c.yaml: global_config.bits: found an unknown option, allowed config_type, mode, nbits"
            ),
            (
                "config_type: OpPalettizerConfig\nop_type_configs: {conv: {nbits: four}}",
                "c.yaml: op_type_configs[\"conv\"].nbits: found \"four\", allowed 1, 2, 3, 4, 6, 8"
            ),
            ("\u{0}", "c.yaml"),
        ]
        for (text, message) in cases {
            try Data(text.utf8).write(to: folder.appendingPathComponent("c.yaml"))
            let outcome = try run("palettize", fixture("mixed_ios18"), "-o", "o.mlpackage", "--config", "c.yaml")
            XCTAssertEqual(outcome.status, 1, text)
            XCTAssertTrue(outcome.errors.contains(message), "\(text): \(outcome.errors)")
        }
        XCTAssertEqual(try contents(), ["c.yaml"])
        let missing = try run("prune", fixture("mixed_ios18"), "-o", "o.mlpackage", "--config", "none.yaml")
        XCTAssertEqual(missing.status, 1)
        XCTAssertTrue(missing.errors.contains("none.yaml: cannot read the configuration: No such file"), missing.errors)
    }

    // MARK: - Comparison and page

    func testCompare() throws {
        let model = fixture("mixed_ios18")
        let same = try run("compare", model, model, "--exit-code")
        XCTAssertEqual(same.status, 0, same.errors)
        XCTAssertTrue(same.output.contains("The packages are the same: 23 weights"), same.output)
        XCTAssertEqual(try run("palettize", model, "-o", "o.mlpackage", "--nbits", "4").status, 0)
        let text = try run("compare", model, "o.mlpackage")
        XCTAssertEqual(text.status, 0, text.errors)
        for part in [
            "fp16 -> fp16 palettized 4 bit",
            "23 weights in both: 12 the same, 1 stored in another way with the same values, 10 changed",
            "Nothing but weights",
        ] {
            XCTAssertTrue(text.output.contains(part), "\(part): \(text.output)")
        }
        let difference = try json(try run("compare", model, "o.mlpackage", "--json").output)
        XCTAssertEqual((difference["weights"] as? [Any])?.count, 23)
        let differs = try run("compare", model, "o.mlpackage", "--exit-code")
        XCTAssertEqual(differs.status, 2)
        XCTAssertEqual(differs.errors, "")
        let missing = try run("compare", model, "missing.mlpackage", "--exit-code")
        XCTAssertEqual(missing.status, 1)
        XCTAssertTrue(missing.errors.contains("missing.mlpackage: cannot open"), missing.errors)
    }

    func testReportPage() throws {
        let arguments = ["palettize", fixture("mixed_ios18"), "-o", "o.mlpackage", "--nbits", "4", "--html"]
        let outcome = try start(arguments + ["r.html"]).outcome()
        XCTAssertEqual(outcome.status, 0, outcome.errors)
        XCTAssertEqual(try contents(), ["o.mlpackage", "r.html"])
        let page = try String(contentsOf: folder.appendingPathComponent("r.html"), encoding: .utf8)
        XCTAssertTrue(page.hasPrefix("<!DOCTYPE html>"))
        try FileManager.default.removeItem(at: folder.appendingPathComponent("o.mlpackage"))
        // Found out before the work, not after it.
        for target in ["no/r.html", "."] {
            let failed = try start(arguments + [target]).outcome()
            XCTAssertEqual(failed.status, 1)
            XCTAssertTrue(failed.errors.contains(target), failed.errors)
        }
        XCTAssertEqual(try contents(), ["r.html"])
    }
}
