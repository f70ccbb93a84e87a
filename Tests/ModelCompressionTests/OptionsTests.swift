import Foundation
import TensorCompression
import XCTest

@testable import ModelCompression

final class OptionsTests: XCTestCase {
    private func options(_ json: String) throws -> CompressionOptions { try CompressionOptions(json: Array(json.utf8)) }

    private func error(_ json: String) -> String { message { _ = try options(json) } }

    func testDefaultsAreTheReferences() throws {
        let config = try options(#"{"global": {"nbits": 4}}"#).global
        XCTAssertEqual(config, .palettizer(PalettizerConfig(nbits: 4)))
        guard case .palettizer(let palettizer)? = config else { return XCTFail("no palettizer") }
        XCTAssertEqual(palettizer.mode, .kmeans)
        XCTAssertEqual(palettizer.granularity, .perTensor)
        XCTAssertEqual(palettizer.groupSize, 32)
        XCTAssertNil(palettizer.channelAxis)
        XCTAssertEqual(palettizer.clusterDim, 1)
        XCTAssertFalse(palettizer.enablePerChannelScale)
        XCTAssertEqual(palettizer.weightThreshold, 2048)
    }

    func testEveryOptionSurvivesJSON() throws {
        let text = """
            {"operation": "palettize",
             "global": {"type": "palettizer", "mode": "KMEANS", "nbits": 3, "granularity": "per_grouped_channel",
                        "group_size": 8, "channel_axis": -1, "cluster_dim": 2, "enable_per_channel_scale": true,
                        "weight_threshold": 7},
             "op_types": {"conv": null, "linear": {"mode": "unique"}},
             "op_names": {"a": {"mode": "custom", "lut_function": 5}}, "num_threads": 3, "strict": true,
             "compat": "coremltools", "seed": 9}
            """
        let first = try options(text)
        XCTAssertEqual(first.opTypes["conv"], .some(nil))
        XCTAssertTrue(first.usesCustomFunctions)
        XCTAssertEqual(try CompressionOptions(json: encodeJSON(first)), first)
        XCTAssertEqual(
            first.global,
            .palettizer(
                PalettizerConfig(
                    nbits: 3, granularity: .perGroupedChannel, groupSize: 8, channelAxis: -1, clusterDim: 2,
                    enablePerChannelScale: true, weightThreshold: 7)))
    }

    func testErrorsNameArgumentValueAndAllowedValues() {
        let cases = [
            (#"{"global": {"nbits": 5}}"#, "nbits: found 5, allowed 1, 2, 3, 4, 6, 8"),
            (#"{"global": {"nbits": "4"}}"#, "nbits: found \"4\", allowed 1, 2, 3, 4, 6, 8"),
            (#"{"global": {}}"#, "nbits: found nothing, allowed 1, 2, 3, 4, 6, 8 (required when mode is kmeans)"),
            (
                #"{"global": {"mode": "unique", "nbits": 2}}"#,
                "nbits: found 2, allowed nothing when mode is unique: the values decide"
            ),
            (
                #"{"global": {"mode": "best", "nbits": 2}}"#,
                "mode: found \"best\", allowed kmeans, uniform, unique, custom"
            ),
            (
                #"{"global": {"nbits": 4, "group_size": -3}}"#,
                "group_size: found -3, allowed a whole number of 0 or more"
            ),
            (
                #"{"global": {"nbits": 4, "cluster_dim": 2.5}}"#,
                "cluster_dim: found 2.5, allowed a whole number of 1 or more"
            ),
            (
                #"{"global": {"nbits": 4, "weight_threshold": null}}"#,
                "weight_threshold: found null, allowed a whole number of 0 or more"
            ),
            (
                #"{"global": {"mode": "uniform", "nbits": 4, "cluster_dim": 2}}"#,
                "cluster_dim: found 2, allowed 1 when mode is uniform"
            ),
            (
                #"{"global": {"mode": "custom"}}"#,
                "lut_function: found nothing, allowed a function (required when mode is custom)"
            ),
            (
                #"{"global": {"nbits": 4, "granularity": "per_block"}}"#,
                "granularity: found \"per_block\", allowed per_tensor, per_grouped_channel"
            ),
            (#"{"op_types": {"conv": {"nbits": 7}}}"#, "op_types[\"conv\"].nbits: found 7, allowed 1, 2, 3, 4, 6, 8"),
            (#"{"op_names": 3}"#, "op_names: found 3, allowed an object"),
            (#"{"global": 4}"#, "global: found 4, allowed null or an object"),
            (#"{"num_threads": -1}"#, "num_threads: found -1, allowed a whole number of 0 or more"),
            (
                #"{"operation": "shrink"}"#,
                "operation: found \"shrink\", allowed palettize, quantize, prune, decompress"
            ),
            (#"{"compat": "torch"}"#, "compat: found \"torch\", allowed null, coremltools"),
            (#"{"strict": 1}"#, "strict: found 1, allowed true, false"),
            ("[", "options: found text that is not JSON, allowed a JSON object"),
            ("[]", "options: found a list, allowed an object"),
        ]
        for (json, expected) in cases { XCTAssertEqual(error(json), "[palettize] " + expected, json) }
        XCTAssertTrue(
            error(#"{"glob": {}}"#).hasPrefix("[palettize] glob: found an unknown option, allowed operation,"))
        XCTAssertTrue(
            error(#"{"global": {"nbits": 4, "dtype": "int8"}}"#).hasPrefix("[palettize] dtype: found an unknown option")
        )
        XCTAssertTrue(
            error(#"{"op_types": {"const": {"nbits": 4}}}"#).hasPrefix("[palettize] op_types: found \"const\", allowed")
        )
    }
}
