import ArgumentParser
import ModelCompression
import TensorCompression

/// `swiftcompress palettize`.
struct PalettizeCommand: CompressingCommand {
    static let configuration = CommandConfiguration(
        commandName: "palettize",
        abstract: "Replace weights by lookup tables and codes of 1 to 8 bits.",
        discussion: """
            A weight is compressed when it has more elements than --weight-threshold, rank 2 or more, and an operation \
            uses it. The report says what was done with every weight, and why the others were left as they are.

            Models below iOS18 (specification version 9) have one lookup table per weight of 1, 2, 4, 6 or 8 bits; \
            groups, vectors, 3 bits and the per-channel scale need iOS18.

            Examples:
              swiftcompress palettize Model.mlpackage -o Small.mlpackage --nbits 4
              swiftcompress palettize Model.mlpackage -o Small.mlpackage --nbits 3 \\
                  --granularity per-grouped-channel --group-size 16 --html report.html
              swiftcompress palettize Model.mlpackage -o Small.mlpackage \\
                  --config palettize.yaml
            """)
    static let operation = CompressionOptions.Operation.palettize

    enum Mode: String, CaseIterable, ExpressibleByArgument {
        case kmeans
        case uniform
        case unique

        static var allValueDescriptions: [String: String] {
            [
                "kmeans": "the least squared error, exactly", "uniform": "entries at equal distances",
                "unique": "the weight's own values, at most 256, with no error",
            ]
        }
    }

    @OptionGroup var paths: PackagePaths

    @Option(parsing: .unconditional, help: "Bits per code: 1, 2, 3, 4, 6 or 8. Required unless --mode is unique.")
    var nbits: Int?

    @Option(help: "How the tables are made. (default: kmeans)")
    var mode: Mode?

    @Option(help: "One lookup table per weight, or one per group of channels. (default: per-tensor)")
    var granularity: PalettizerConfig.Granularity?

    @Option(
        parsing: .unconditional,
        help: "Channels per group, 0 for all, with --granularity per-grouped-channel. (default: 32)")
    var groupSize: Int?

    @Option(
        name: .customLong("channel-axis"), parsing: .unconditional,
        help: "Axis of the groups, with --granularity per-grouped-channel. (default: the output channels)")
    var channelAxis: Int?

    @Option(parsing: .unconditional, help: "Neighbouring channels that share a code as one vector. (default: 1)")
    var clusterDim: Int?

    @Flag(help: "Scale each output channel to a largest magnitude of 1 first, and keep the scales.")
    var perChannelScale = false

    @Option(parsing: .unconditional, help: "Element count that a weight must exceed. (default: 2048)")
    var weightThreshold: Int?

    @Option(help: "Do as coremltools does where its result is wrong: the axis of the per-channel scale.")
    var compat: CompressionOptions.Compatibility?

    @OptionGroup var selection: SelectionOptions
    @OptionGroup var common: RunOptions

    var describingFlags: [(name: String, isGiven: Bool)] {
        [
            ("--nbits", nbits != nil), ("--mode", mode != nil), ("--granularity", granularity != nil),
            ("--group-size", groupSize != nil), ("--channel-axis", channelAxis != nil),
            ("--cluster-dim", clusterDim != nil), ("--per-channel-scale", perChannelScale),
            ("--weight-threshold", weightThreshold != nil),
        ]
    }

    func configuration() throws -> WeightConfig {
        var config = PalettizerConfig(nbits: nbits, enablePerChannelScale: perChannelScale)
        if granularity != .perGroupedChannel {
            try requireUnset(groupSize, "--group-size", "with --granularity per-grouped-channel")
            try requireUnset(channelAxis, "--channel-axis", "with --granularity per-grouped-channel")
        }
        if let mode { config.mode = PalettizationMode(rawValue: mode.rawValue) ?? .kmeans }
        config.granularity = granularity ?? config.granularity
        config.groupSize = groupSize ?? config.groupSize
        config.channelAxis = channelAxis
        config.clusterDim = clusterDim ?? config.clusterDim
        config.weightThreshold = weightThreshold ?? config.weightThreshold
        return .palettizer(config)
    }
}
