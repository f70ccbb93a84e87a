import ArgumentParser
import ModelCompression
import TensorCompression

/// `swiftcompress quantize`.
struct QuantizeCommand: CompressingCommand {
    static let configuration = CommandConfiguration(
        commandName: "quantize",
        abstract: "Store weights as integers of 8 or 4 bits with scales.",
        discussion: """
            A weight is compressed when it has more elements than --weight-threshold, rank 2 or more, and an operation \
            uses it. The report says what was done with every weight, and why the others were left as they are.

            Models below iOS18 (specification version 9) have 8 bits, and one scale per weight or per channel; 4 bits \
            and blocks need iOS18. --minimum-deployment-target iOS18 raises a model to it.

            Examples:
              swiftcompress quantize Model.mlpackage -o Small.mlpackage
              swiftcompress quantize Model.mlpackage -o Small.mlpackage --dtype int4 \\
                  --granularity per-block --block-size 32
              swiftcompress quantize Sparse.mlpackage -o Small.mlpackage --joint
            """)
    static let operation = CompressionOptions.Operation.quantize

    @OptionGroup var paths: PackagePaths

    @Option(help: "The integer that stores one element. (default: int8)")
    var dtype: QuantizerConfig.DataType?

    @Option(help: "How the range is chosen. (default: linear-symmetric)")
    var mode: QuantizationMode?

    @Option(help: "Which elements share a scale. (default: per-channel)")
    var granularity: QuantizerConfig.Granularity?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Elements per block, with --granularity per-block. (default: 32)",
            discussion: "One number: so many along the input channels, of one output channel. Or one for each axis, "
                + "as in 1,32,0,0; 0 is the whole axis.",
            valueName: "n or n,n,..."))
    var blockSize: QuantizerConfig.BlockSize?

    @Option(parsing: .unconditional, help: "Element count that a weight must exceed. (default: 2048)")
    var weightThreshold: Int?

    @Option(help: "Do as coremltools does where its result is wrong: arithmetic in half precision.")
    var compat: CompressionOptions.Compatibility?

    @OptionGroup var selection: SelectionOptions
    @OptionGroup var common: RunOptions

    var describingFlags: [(name: String, isGiven: Bool)] {
        [
            ("--dtype", dtype != nil), ("--mode", mode != nil), ("--granularity", granularity != nil),
            ("--block-size", blockSize != nil), ("--weight-threshold", weightThreshold != nil),
        ]
    }

    func configuration() throws -> WeightConfig {
        var config = QuantizerConfig()
        if granularity != .perBlock {
            let found = blockSize.map { size in
                switch size {
                case .input(let size): String(size)
                case .perAxis(let sizes): sizes.map(String.init).joined(separator: ",")
                }
            }
            try requireUnset(found, "--block-size", "with --granularity per-block")
        }
        config.mode = mode ?? config.mode
        config.dtype = dtype ?? config.dtype
        config.granularity = granularity ?? config.granularity
        config.blockSize = blockSize ?? config.blockSize
        config.weightThreshold = weightThreshold ?? config.weightThreshold
        return .quantizer(config)
    }
}
