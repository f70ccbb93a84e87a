import JSONText
import TensorCompression
import XCTest

@testable import ModelCompression

/// What coremltools' `OptimizationConfig.from_yaml` reads, as a tree.
final class ConfigurationFileTests: XCTestCase {
    private func options(
        _ json: String, for operation: CompressionOptions.Operation? = nil
    ) throws -> CompressionOptions {
        try CompressionOptions(configurationFile: JSONValue.parse(Array(json.utf8)), operation: operation)
    }

    func testAWholeFile() throws {
        let options = try options(
            """
            {"config_type": "OpPalettizerConfig",
             "global_config": {"mode": "KMEANS", "nbits": 4, "num_kmeans_workers": 3},
             "op_type_configs": {"conv": {"mode": "uniform", "nbits": 1, "weight_threshold": 0}, "linear": null},
             "op_name_configs": {"head": {"config_type": "OpPalettizerConfig", "mode": "unique"}}}
            """)
        XCTAssertEqual(options.operation, .palettize)
        XCTAssertEqual(options.global, .palettizer(PalettizerConfig(nbits: 4)))
        XCTAssertEqual(
            options.opTypes,
            ["conv": .palettizer(PalettizerConfig(mode: .uniform, nbits: 1, weightThreshold: 0)), "linear": nil])
        XCTAssertEqual(options.opNames, ["head": .palettizer(PalettizerConfig(mode: .unique))])
    }

    func testTheTypeSaysTheOperation() throws {
        let quantize = try options(
            """
            {"config_type": "OpLinearQuantizerConfig",
             "global_config": {"mode": "linear", "dtype": "uint4", "granularity": "per_block", "block_size": [0, 16]}}
            """)
        XCTAssertEqual(quantize.operation, .quantize)
        XCTAssertEqual(
            quantize.global,
            .quantizer(
                QuantizerConfig(mode: .linear, dtype: .uint4, granularity: .perBlock, blockSize: .perAxis([0, 16]))))
        let prune = try options(
            """
            {"config_type": "OpThresholdPrunerConfig",
             "global_config": {"threshold": 0.001, "minimum_sparsity_percentile": 0.25},
             "op_type_configs": {"conv": {"config_type": "OpMagnitudePrunerConfig", "n_m_ratio": [2, 4]}}}
            """)
        XCTAssertEqual(prune.operation, .prune)
        XCTAssertEqual(prune.global, .thresholdPruner(ThresholdPrunerConfig(threshold: 0.001, minimumSparsity: 0.25)))
        XCTAssertEqual(
            prune.opTypes, ["conv": .magnitudePruner(MagnitudePrunerConfig(ratio: .init(n: 2, m: 4)))])
    }

    func testAnEmptyConfigurationIsAllowed() throws {
        let options = try options(#"{"config_type": "OpPalettizerConfig", "op_type_configs": null}"#, for: .palettize)
        XCTAssertNil(options.global)
        XCTAssertEqual(options.opTypes, [:])
    }

    func testWhatIsWrongIsNamed() {
        let types = "OpPalettizerConfig, OpLinearQuantizerConfig, OpMagnitudePrunerConfig, OpThresholdPrunerConfig"
        let start = #"{"config_type": "OpPalettizerConfig", "#
        let prune = #"{"config_type": "OpMagnitudePrunerConfig", "#
        let cases: [(String, CompressionOptions.Operation?, String)] = [
            ("[1]", nil, "options: found a list, allowed an object"),
            ("{}", nil, "config_type: found nothing, allowed \(types)"),
            (#"{"config_type": "Palettizer"}"#, nil, "config_type: found \"Palettizer\", allowed \(types)"),
            (
                #"{"config_type": "OpLinearQuantizerConfig"}"#, .palettize,
                "config_type: found \"OpLinearQuantizerConfig\", allowed OpPalettizerConfig for palettize"
            ),
            (
                start + #""globals": {}}"#, nil,
                "globals: found an unknown option, allowed config_type, global_config, op_type_configs, op_name_configs"
            ),
            (start + #""global_config": 4}"#, nil, "global_config: found 4, allowed null or an object"),
            (start + #""op_type_configs": [1]}"#, nil, "op_type_configs: found a list, allowed null or an object"),
            (
                start + #""op_type_configs": {"conv": {"nbits": 5}}}"#, nil,
                #"op_type_configs["conv"].nbits: found 5, allowed 1, 2, 3, 4, 6, 8"#
            ),
            (
                start + #""global_config": {"nbits": "4"}}"#, nil,
                #"global_config.nbits: found "4", allowed 1, 2, 3, 4, 6, 8"#
            ),
            (start + #""global_config": {"type": "palettizer"}}"#, nil, "global_config.type: found an unknown option"),
            (
                start + #""global_config": {"lut_function": 1}}"#, nil,
                "global_config.lut_function: found 1, allowed nothing: a file cannot hold a function"
            ),
            (
                start + #""global_config": {"nbits": 4, "num_kmeans_workers": 0}}"#, nil,
                "global_config.num_kmeans_workers: found 0, allowed a whole number of 1 or more"
            ),
            (
                start + #""op_name_configs": {"a": {"config_type": "OpThresholdPrunerConfig"}}}"#, .palettize,
                #"op_name_configs["a"].config_type: found "OpThresholdPrunerConfig""#
            ),
            (
                prune + #""op_type_configs": {"matmul": {"n_m_ratio": [2, 4]}}}"#, nil,
                #"op_type_configs["matmul"].n_m_ratio: found it for matmul, allowed conv, linear"#
            ),
        ]
        for (json, operation, text) in cases {
            XCTAssertThrowsError(try options(json, for: operation), json) { error in
                let message = (error as? CompressionError)?.plainMessage ?? "\(error)"
                XCTAssertTrue(message.hasPrefix(text), message)
            }
        }
    }
}
