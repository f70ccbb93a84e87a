import ArgumentParser
import ModelCompression
import TensorCompression

/// A name of an option's value: with dashes on the command line, with underscores in JSON and Python. Both are read.
public protocol DashedChoice: ExpressibleByArgument, RawRepresentable<String>, CaseIterable {}

extension DashedChoice {
    public init?(argument: String) { self.init(rawValue: String(argument.map { $0 == "-" ? "_" : $0 })) }

    public static var allValueStrings: [String] { allCases.map(\.dashed) }

    public var defaultValueDescription: String { dashed }

    public static var allValueDescriptions: [String: String] { [:] }

    private var dashed: String { String(rawValue.map { $0 == "_" ? "-" : $0 }) }
}

extension PalettizerConfig.Granularity: DashedChoice {}
extension QuantizerConfig.DataType: DashedChoice {}

extension QuantizationMode: DashedChoice {
    public static var allValueDescriptions: [String: String] {
        [
            "linear": "from the least to the greatest value, 0 included, with a zero point",
            "linear-symmetric": "from -R to R, R the largest magnitude",
        ]
    }
}

extension QuantizerConfig.Granularity: DashedChoice {
    public static var allValueDescriptions: [String: String] {
        [
            "per-tensor": "one scale per weight", "per-channel": "one for each output channel",
            "per-block": "one for each block of --block-size elements",
        ]
    }
}

extension CompressionOptions.Compatibility: DashedChoice {}

extension DeploymentTarget: ExpressibleByArgument {
    public init?(argument: String) { self.init(name: argument) }

    public static var allValueStrings: [String] { allCases.map(\.name) }
}

/// `32`, or one size for each axis: `1,32,0,0`.
extension QuantizerConfig.BlockSize: ExpressibleByArgument {
    public init?(argument: String) {
        let sizes = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        let known = sizes.compactMap(\.self)
        guard known.count == sizes.count else { return nil }
        self = known.count == 1 ? .input(known[0]) : .perAxis(known)
    }
}

/// `2:4`.
extension MagnitudePrunerConfig.Ratio: ExpressibleByArgument {
    public init?(argument: String) {
        let numbers = argument.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
        guard numbers.count == 2, let n = numbers[0], let m = numbers[1] else { return nil }
        self.init(n: n, m: m)
    }
}

/// Messages of the library with the command line's names.
enum FlagText {
    private static let names = ["num_threads": "threads", "minimum_sparsity_percentile": "minimum-sparsity"]

    /// "group_size: found 0, ..." becomes "--group-size: found 0, ...".
    static func message(_ text: String) -> String {
        let name = text.prefix { $0 != ":" }
        return "--" + (names[String(name)] ?? dashed(name)) + text.dropFirst(name.count)
    }

    private static func dashed(_ name: Substring) -> String { String(name.map { $0 == "_" ? "-" : $0 }) }
}
