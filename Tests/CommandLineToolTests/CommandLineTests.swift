import Foundation
import ModelCompression
import XCTest

@testable import CommandLineTool

/// `palettize`, `info`, and what all commands have in common.
final class CommandLineTests: CommandTestCase {
    // MARK: - Deployment target

    func testRaisingTheTarget() throws {
        let grouped = ["--nbits", "3", "--mode", "uniform", "--granularity", "per-grouped-channel"]
        let arguments = ["palettize", fixture("mixed_ios16"), "-o", "out.mlpackage"] + grouped
        let refused = try start(arguments).outcome()
        XCTAssertEqual(refused.status, 1)
        XCTAssertTrue(refused.errors.contains("raise it here by minimum_deployment_target"), refused.errors)
        let raised = try start(arguments + ["--minimum-deployment-target", "macOS15", "--verify"]).outcome()
        XCTAssertEqual(raised.status, 0, raised.errors)
        XCTAssertTrue(raised.output.contains("Specification version: 7 -> 9 (iOS18)"), raised.output)
        let blocked = try run(
            "palettize", fixture("blocked_ios15"), "-o", "no.mlpackage", "--nbits", "4",
            "--minimum-deployment-target", "iOS17")
        XCTAssertEqual(blocked.status, 1)
        XCTAssertTrue(blocked.errors.contains("'crop' (crop_resize, roi)"), blocked.errors)
        let unknown = try start(arguments + ["--minimum-deployment-target", "iOS14"]).outcome()
        XCTAssertEqual(unknown.status, 64)
        XCTAssertTrue(unknown.errors.contains("iOS15"), unknown.errors)
        XCTAssertEqual(try contents(), ["out.mlpackage"])
    }

    // MARK: - Help and usage

    func testHelpAndVersion() throws {
        let version = try run("--version")
        XCTAssertEqual(version.status, 0)
        XCTAssertEqual(version.output, "0.1.0\n")
        let commands = ["palettize", "quantize", "prune", "decompress", "info", "compare"]
        for arguments in [["--help"], ["help", "palettize"], ["info", "-h"]] + commands.map({ [$0, "--help"] }) {
            let help = try start(arguments).outcome()
            XCTAssertEqual(help.status, 0)
            XCTAssertEqual(help.errors, "")
            XCTAssertTrue(help.output.contains("USAGE: swiftcompress"), help.output)
        }
        let palettize = try run("palettize", "--help").output
        let flags = [
            "--output", "--nbits", "--mode", "--granularity", "--group-size", "--channel-axis", "--cluster-dim",
            "--per-channel-scale", "--weight-threshold", "--threads", "--json", "--strict", "--verify", "--config",
            "--joint", "--html", "--minimum-deployment-target", "--compat",
        ]
        for flag in flags { XCTAssertTrue(palettize.contains(flag), flag) }
    }

    func testWrongUsageIs64() throws {
        let model = fixture("mixed_ios18")
        let cases: [([String], String)] = [
            (["palettize", model, "-o", "o.mlpackage"], "--nbits: found nothing, allowed 1, 2, 3, 4, 6, 8"),
            (["palettize", model, "-o", "o.mlpackage", "--nbits", "5"], "--nbits: found 5, allowed 1, 2, 3, 4, 6, 8"),
            (["palettize", model, "-o", "o.mlpackage", "--nbits", "four"], "'four' is invalid for '--nbits"),
            (["palettize", model, "--nbits", "4"], "Missing expected argument '--output"),
            (["palettize", "-o", "o.mlpackage", "--nbits", "4"], "Missing expected argument '<input>'"),
            (["palettize", model, "-o", "o.mlpackage", "--nbits", "4", "--mode", "best"], "'best' is invalid"),
            (
                ["palettize", model, "-o", "o.mlpackage", "--nbits", "4", "--mode", "unique"],
                "--nbits: found 4, allowed nothing when mode is unique"
            ),
            (
                ["palettize", model, "-o", "o.mlpackage", "--nbits", "4", "--group-size", "8"],
                "--group-size: found 8, allowed with --granularity per-grouped-channel only"
            ),
            (
                [
                    "palettize", model, "-o", "o.mlpackage", "--nbits", "4", "--granularity", "per-grouped-channel",
                    "--group-size", "-4",
                ], "--group-size: found -4, allowed a whole number of 0 or more"
            ),
            (
                ["palettize", model, "-o", "o.mlpackage", "--nbits", "4", "--threads", "-1"],
                "--threads: found -1, allowed a whole number of 0 or more"
            ),
            (["compress", model], "unexpected arguments: 'compress'"),
            (["info"], "Missing expected argument '<input>'"),
        ]
        for (arguments, text) in cases {
            let outcome = try start(arguments).outcome()
            XCTAssertEqual(outcome.status, 64, "\(arguments)")
            XCTAssertTrue(outcome.errors.contains(text), "\(arguments): \(outcome.errors)")
            XCTAssertEqual(outcome.output, "")
        }
        XCTAssertEqual(try contents(), [])
    }

    // MARK: - Results

    func testPalettizeForPeople() throws {
        let outcome = try run(
            "palettize", fixture("mixed_ios18"), "-o", "o.mlpackage", "--nbits", "4", "--verify", "--granularity",
            "per-grouped-channel", "--group-size", "16", "--channel-axis", "-1", "--mode", "uniform")
        XCTAssertEqual(outcome.status, 0, outcome.errors)
        XCTAssertTrue(outcome.output.contains("weights palettized:"), outcome.output)
        XCTAssertTrue(outcome.output.contains("Verified:"), outcome.output)
        // No progress bar in a pipe.
        XCTAssertEqual(outcome.errors, "")
        XCTAssertEqual(try contents(), ["o.mlpackage"])
    }

    func testPalettizeForMachines() throws {
        let outcome = try run(
            "palettize", fixture("mixed_ios15"), "-o", "o.mlpackage", "--nbits", "4", "--json", "--verify")
        XCTAssertEqual(outcome.status, 0, outcome.errors)
        XCTAssertEqual(outcome.errors, "")
        let report = try json(outcome.output)
        XCTAssertEqual(report["specification_version"] as? [String: Int], ["before": 6, "after": 7])
        let weights = try XCTUnwrap(report["weights"] as? [[String: Any]])
        XCTAssertTrue(weights.contains { $0["name"] as? String == "conv_weight" && $0["nbits"] as? Int == 4 })
        XCTAssertTrue(weights.contains { $0["reason"] is NSNull })
        let verification = try XCTUnwrap(report["verification"] as? [String: Any])
        XCTAssertEqual((verification["problems"] as? [Any])?.count, 0)
    }

    func testOutputOverTheInput() throws {
        let path = folder.appendingPathComponent("m.mlpackage").path
        try FileManager.default.copyItem(atPath: fixture("mixed_ios16"), toPath: path)
        let first = try run("palettize", path, "-o", path, "--nbits", "6", "--threads", "1", "--verify")
        XCTAssertEqual(first.status, 0, first.errors)
        XCTAssertEqual(try contents(), ["m.mlpackage"])
        let again = try run("palettize", path, "-o", path, "--nbits", "6")
        XCTAssertEqual(again.status, 0, again.errors)
        XCTAssertTrue(again.errors.contains("warning: 11 weights of this model are compressed already"), again.errors)
        XCTAssertTrue(again.errors.contains("warning: nothing was compressed"), again.errors)
    }

    func testInfo() throws {
        let text = try run("info", fixture("mixed_ios18"), "--weights")
        XCTAssertEqual(text.status, 0)
        XCTAssertTrue(text.output.contains("mlProgram, specification version 9 (iOS18)"), text.output)
        XCTAssertTrue(text.output.contains("function main (CoreML8): 23 operations"), text.output)
        XCTAssertTrue(text.output.contains("conv_weight"), text.output)
        let info = try json(try run("info", fixture("reference_ios18_uniform3_grouped"), "--json").output)
        XCTAssertEqual(info["deployment_target"] as? String, "iOS18")
        let weights = try XCTUnwrap(info["weights"] as? [[String: Any]])
        let conv = try XCTUnwrap(weights.first { $0["name"] as? String == "conv_weight_palettized" })
        XCTAssertEqual(conv["compression"] as? String, "palettized 3 bit, 4 lookup tables")
        // 3 bits of each of 16,384 weights and four tables of eight fp16 entries.
        XCTAssertEqual(conv["bytes"] as? Int, 16384 * 3 / 8 + 4 * 8 * 2)
        XCTAssertEqual(try run("info", fixture("weightless")).status, 0)
        XCTAssertEqual(try run("info", fixture("pipeline")).status, 0)
        XCTAssertEqual(try run("info", fixture("neural_network")).status, 0)
    }

    // MARK: - Failures

    func testFailuresAre1AndLeaveNothing() throws {
        let plain = folder.appendingPathComponent("plain.mlpackage")
        try FileManager.default.createDirectory(at: plain, withIntermediateDirectories: true)
        try Data("keep".utf8).write(to: plain.appendingPathComponent("notes.txt"))
        let model = fixture("mixed_ios18")
        let old = Self.fixtures.appendingPathComponent("old.mlmodel").path
        let cases: [([String], String)] = [
            (
                ["palettize", "missing.mlpackage", "-o", "o.mlpackage", "--nbits", "4"],
                "missing.mlpackage: cannot open"
            ),
            (["palettize", old, "-o", "o.mlpackage", "--nbits", "4"], "found a file, expected a .mlpackage folder"),
            (["palettize", "plain.mlpackage", "-o", "o.mlpackage", "--nbits", "4"], "folder without Manifest.json"),
            (["palettize", model, "-o", "plain.mlpackage", "--nbits", "4"], "plain.mlpackage"),
            (["palettize", model, "-o", "nowhere/o.mlpackage", "--nbits", "4"], "nowhere"),
            (["palettize", model, "-o", "o.txt", "--nbits", "4"], "does not end in .mlpackage"),
            (
                ["palettize", fixture("neural_network"), "-o", "o.mlpackage", "--nbits", "4"],
                "convert the original model again with convert_to=\"mlprogram\""
            ),
            (
                ["palettize", fixture("mixed_ios16"), "-o", "o.mlpackage", "--nbits", "3"],
                "nbits 3 needs deployment target iOS18"
            ),
            (
                [
                    "palettize", model, "-o", "o.mlpackage", "--nbits", "4", "--granularity", "per-grouped-channel",
                    "--channel-axis", "3",
                ], "channel_axis: found 3, allowed -2 to 1 for weight 'linear_weight'"
            ),
            (["palettize", model, "-o", "o.mlpackage", "--nbits", "4", "--strict"], "strict: weight 'shared_weight'"),
            (["info", "missing.mlpackage"], "missing.mlpackage: cannot open"),
        ]
        for (arguments, text) in cases {
            let outcome = try start(arguments).outcome()
            XCTAssertEqual(outcome.status, 1, "\(arguments): \(outcome.errors)")
            XCTAssertTrue(outcome.errors.hasPrefix("error: "), outcome.errors)
            XCTAssertTrue(outcome.errors.contains(text), "\(arguments): \(outcome.errors)")
        }
        XCTAssertEqual(try contents(), ["plain.mlpackage"])
        XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: plain.path), ["notes.txt"])
    }

    func testDamagedPackages() throws {
        func damaged(_ file: String, _ change: (inout Data) -> Void) throws -> Outcome {
            let path = folder.appendingPathComponent("damaged.mlpackage")
            try? FileManager.default.removeItem(at: path)
            try FileManager.default.copyItem(atPath: fixture("mixed_ios18"), toPath: path.path)
            let target = path.appendingPathComponent("Data/com.apple.CoreML/" + file)
            var data = try Data(contentsOf: target)
            change(&data)
            try data.write(to: target)
            return try run("palettize", path.path, "-o", "o.mlpackage", "--nbits", "4")
        }
        let outcomes = [
            try damaged("weights/weight.bin") { $0 = $0.prefix($0.count / 2) },
            try damaged("weights/weight.bin") { $0 = Data() },
            try damaged("weights/weight.bin") { for byte in 64..<128 { $0[byte] = 0xff } },
            try damaged("model.mlmodel") { $0 = $0.prefix($0.count / 2) },
            try damaged("model.mlmodel") { $0 = Data() },
        ]
        for outcome in outcomes {
            XCTAssertEqual(outcome.status, 1)
            XCTAssertTrue(outcome.errors.contains("at byte"), outcome.errors)
        }
        XCTAssertEqual(try contents(), ["damaged.mlpackage"])
    }

    func testAReadOnlyFolder() throws {
        try XCTSkipIf(getuid() == 0, "root writes everywhere")
        try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: folder.path)
        let outcome = try run("palettize", fixture("mixed_ios18"), "-o", "o.mlpackage", "--nbits", "4")
        XCTAssertEqual(outcome.status, 1)
        XCTAssertTrue(outcome.errors.contains("Permission denied"), outcome.errors)
    }

    func testControlCStopsAndCleans() throws {
        // 8 bits of a debug build take seconds on this one; the interrupt comes early.
        let path = folder.appendingPathComponent("m.mlpackage")
        try FileManager.default.copyItem(atPath: fixture("mixed_ios15"), toPath: path.path)
        let (process, outcome) = try start([
            "palettize", path.path, "-o", "o.mlpackage", "--nbits", "8", "--threads", "1",
        ])
        let limit = Date().addingTimeInterval(20)
        while try !contents().contains(where: { $0.contains(".tmp-") }), process.isRunning, Date() < limit {
            usleep(1000)
        }
        try XCTSkipUnless(process.isRunning, "the machine was faster than the interrupt")
        process.interrupt()
        let result = try outcome()
        try XCTSkipIf(result.status == 0, "the machine was faster than the interrupt")
        XCTAssertEqual(result.status, 130, result.errors)
        XCTAssertTrue(result.errors.contains("interrupted; nothing was written"), result.errors)
        XCTAssertEqual(try contents(), ["m.mlpackage"])
    }
}
