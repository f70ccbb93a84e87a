import ArgumentParser
import ModelCompression

/// `swiftcompress prune`.
struct PruneCommand: CompressingCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Set weights of small magnitude to zero, and store only the others.",
        discussion: """
            One of --target-sparsity, --threshold and --n-m-ratio says which become zero. A weight is compressed when it \
            has more elements than --weight-threshold, rank 2 or more, and an operation uses it. The report says what \
            was done with every weight, and why the others were left as they are.

            Examples:
              swiftcompress prune Model.mlpackage -o Sparse.mlpackage \\
                  --target-sparsity 0.75
              swiftcompress prune Model.mlpackage -o Sparse.mlpackage \\
                  --threshold 1e-3 --minimum-sparsity 0.4
              swiftcompress prune Model.mlpackage -o Sparse.mlpackage --n-m-ratio 2:4
            """)
    static let operation = CompressionOptions.Operation.prune

    @OptionGroup var paths: PackagePaths

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("The part of each weight's elements that become zero: 0 to 1.", valueName: "part"))
    var targetSparsity: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Elements of this magnitude or less become zero.", valueName: "magnitude"))
    var threshold: Double?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "With --threshold: a weight of which a smaller part is zero stays as it is. (default: 0.5)",
            valueName: "part"))
    var minimumSparsity: Double?

    @Option(
        name: .customLong("n-m-ratio"), parsing: .unconditional,
        help: ArgumentHelp("n zeros in every m elements, for conv and linear.", valueName: "n:m"))
    var ratio: MagnitudePrunerConfig.Ratio?

    @Option(
        parsing: .unconditional,
        help: "With --target-sparsity: channels that become zero together, for conv and linear; 2 or more.")
    var blockSize: Int?

    @Option(
        parsing: .unconditional,
        help:
            "Axis of the blocks (default: 0) or of the ratio (default: 1): 0 the output channels, 1 the input channels."
    )
    var dim: Int?

    @Option(parsing: .unconditional, help: "Element count that a weight must exceed. (default: 2048)")
    var weightThreshold: Int?

    @OptionGroup var selection: SelectionOptions
    @OptionGroup var common: RunOptions

    var describingFlags: [(name: String, isGiven: Bool)] {
        [
            ("--target-sparsity", targetSparsity != nil), ("--threshold", threshold != nil),
            ("--minimum-sparsity", minimumSparsity != nil), ("--n-m-ratio", ratio != nil),
            ("--block-size", blockSize != nil), ("--dim", dim != nil), ("--weight-threshold", weightThreshold != nil),
        ]
    }

    func configuration() throws -> WeightConfig {
        let ways = [
            ("--target-sparsity", targetSparsity != nil), ("--threshold", threshold != nil),
            ("--n-m-ratio", ratio != nil),
        ]
        let given = ways.filter(\.1).map(\.0)
        guard given.count == 1 else {
            throw ValidationError(
                "found \(given.isEmpty ? "none" : given.joined(separator: " and ")), allowed one of "
                    + ways.map(\.0).joined(separator: ", "))
        }
        if let threshold {
            try requireUnset(blockSize, "--block-size", "with --target-sparsity")
            try requireUnset(dim, "--dim", "with --block-size or --n-m-ratio")
            var config = ThresholdPrunerConfig(threshold: threshold)
            config.minimumSparsity = minimumSparsity ?? config.minimumSparsity
            config.weightThreshold = weightThreshold ?? config.weightThreshold
            return .thresholdPruner(config)
        }
        try requireUnset(minimumSparsity, "--minimum-sparsity", "with --threshold")
        if ratio != nil { try requireUnset(blockSize, "--block-size", "with --target-sparsity") }
        if blockSize == nil, ratio == nil { try requireUnset(dim, "--dim", "with --block-size or --n-m-ratio") }
        var config = MagnitudePrunerConfig(
            targetSparsity: targetSparsity, blockSize: blockSize, ratio: ratio, dim: dim)
        config.weightThreshold = weightThreshold ?? config.weightThreshold
        return .magnitudePruner(config)
    }
}
