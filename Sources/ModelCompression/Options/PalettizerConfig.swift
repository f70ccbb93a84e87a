import JSONText
import TensorCompression

/// How to palettize a weight: coremltools' `OpPalettizerConfig`, with its defaults and rules.
public struct PalettizerConfig: Sendable, Equatable {
    /// Channels that share one lookup table.
    public enum Granularity: String, Codable, Sendable, CaseIterable {
        case perTensor = "per_tensor"
        case perGroupedChannel = "per_grouped_channel"
    }

    /// How the lookup table is found.
    public var mode: PalettizationMode
    /// Bits per code: 1, 2, 3, 4, 6 or 8. Required for kmeans and uniform, not allowed for unique and custom.
    public var nbits: Int?
    /// Which channels share a lookup table.
    public var granularity: Granularity
    /// Channels per lookup table when `granularity` is `.perGroupedChannel`; must divide the channel count, or be 0 for all.
    public var groupSize: Int
    /// The axis that groups are formed along when `granularity` is `.perGroupedChannel`; nil: the output channels of
    /// the operation that uses the weight.
    public var channelAxis: Int?
    /// Length of one centroid; above 1 consecutive elements along the channel axis share a code.
    public var clusterDim: Int
    /// Divide each output channel by its largest magnitude first, and keep that scale beside the lookup table.
    public var enablePerChannelScale: Bool
    /// Element count a weight must exceed to be compressed.
    public var weightThreshold: Int
    /// Names the caller's function when `mode` is `.custom`.
    public var lutFunction: Int?

    public init(
        mode: PalettizationMode = .kmeans, nbits: Int? = nil, granularity: Granularity = .perTensor,
        groupSize: Int = 32, channelAxis: Int? = nil, clusterDim: Int = 1, enablePerChannelScale: Bool = false,
        weightThreshold: Int = 2048, lutFunction: Int? = nil
    ) {
        self.mode = mode
        self.nbits = nbits
        self.granularity = granularity
        self.groupSize = groupSize
        self.channelAxis = channelAxis
        self.clusterDim = clusterDim
        self.enablePerChannelScale = enablePerChannelScale
        self.weightThreshold = weightThreshold
        self.lutFunction = lutFunction
    }

    /// The code widths Core ML knows.
    public static let allowedBits = [1, 2, 3, 4, 6, 8]

    /// Checks every rule that does not depend on a weight.
    /// - Parameter path: what to call this configuration in messages, e.g. `op_types["conv"]`; empty for a plain one.
    public func validate(path: String = "") throws {
        func fail(_ key: String, _ found: String, _ allowed: String, notImplemented: Bool = false) -> CompressionError {
            OptionError.make(
                path.isEmpty ? key : path + "." + key, found: found, allowed: allowed, notImplemented: notImplemented)
        }
        let widths = Self.allowedBits.map(String.init).joined(separator: ", ")
        switch (mode, nbits) {
        case (.kmeans, nil), (.uniform, nil):
            throw fail("nbits", "nothing", "\(widths) (required when mode is \(mode.rawValue))")
        case (.unique, let bits?), (.custom, let bits?):
            throw fail("nbits", String(bits), "nothing when mode is \(mode.rawValue): the values decide")
        case (_, let bits?) where !Self.allowedBits.contains(bits):
            throw fail("nbits", String(bits), widths)
        default: break
        }
        if groupSize < 0 { throw fail("group_size", String(groupSize), "a whole number of 0 or more") }
        if clusterDim < 1 { throw fail("cluster_dim", String(clusterDim), "a whole number of 1 or more") }
        if weightThreshold < 0 {
            throw fail("weight_threshold", String(weightThreshold), "a whole number of 0 or more")
        }
        if clusterDim > 1, mode == .uniform {
            throw fail("cluster_dim", String(clusterDim), "1 when mode is uniform", notImplemented: true)
        }
        if mode == .custom, lutFunction == nil {
            throw fail("lut_function", "nothing", "a function (required when mode is custom)")
        }
        if mode != .custom, lutFunction != nil {
            throw fail("lut_function", "a function", "nothing unless mode is custom")
        }
    }
}

// MARK: - JSON

extension PalettizerConfig {
    static let keys = [
        "type", "mode", "nbits", "granularity", "group_size", "channel_axis", "cluster_dim",
        "enable_per_channel_scale", "weight_threshold", "lut_function",
    ]

    init(json: JSONValue, path: String) throws {
        let fields = try OptionFields(json, path: path, allowed: Self.keys)
        self.init()
        let modes = ["kmeans", "uniform", "unique", "custom"].joined(separator: ", ")
        if let text = try fields.string("mode", allowed: modes) {
            guard let value = PalettizationMode(rawValue: text.lowercased()) else {
                throw OptionError.make(fields.name("mode"), found: "\"\(text)\"", allowed: modes)
            }
            mode = value
        }
        let granularities = Granularity.allCases.map(\.rawValue).joined(separator: ", ")
        if let text = try fields.string("granularity", allowed: granularities) {
            guard let value = Granularity(rawValue: text) else {
                throw OptionError.make(fields.name("granularity"), found: "\"\(text)\"", allowed: granularities)
            }
            granularity = value
        }
        nbits = try fields.int("nbits", allowed: "1, 2, 3, 4, 6, 8", nullable: true)
        groupSize = try fields.int("group_size", allowed: "a whole number of 0 or more") ?? groupSize
        channelAxis = try fields.int("channel_axis", allowed: "null or a whole number", nullable: true)
        clusterDim = try fields.int("cluster_dim", allowed: "a whole number of 1 or more") ?? clusterDim
        enablePerChannelScale = try fields.bool("enable_per_channel_scale") ?? false
        weightThreshold =
            try fields.int("weight_threshold", allowed: "a whole number of 0 or more") ?? weightThreshold
        lutFunction = try fields.int("lut_function", allowed: "the number of a function", nullable: true)
        try validate(path: path)
    }

    var json: JSONValue {
        func optional(_ value: Int?) -> JSONValue { value.map { .int($0) } ?? .null }
        return .object([
            "type": .string("palettizer"), "mode": .string(mode.rawValue), "nbits": optional(nbits),
            "granularity": .string(granularity.rawValue), "group_size": .int(groupSize),
            "channel_axis": optional(channelAxis), "cluster_dim": .int(clusterDim),
            "enable_per_channel_scale": .bool(enablePerChannelScale), "weight_threshold": .int(weightThreshold),
            "lut_function": optional(lutFunction),
        ])
    }
}

extension PalettizerConfig: Codable {
    public init(from decoder: any Decoder) throws {
        try self.init(json: JSONValue(from: decoder), path: "")
    }

    public func encode(to encoder: any Encoder) throws { try json.encode(to: encoder) }
}

/// Builds the errors about options.
enum OptionError {
    /// - Parameters:
    ///   - argument: the option as the caller wrote it, e.g. `op_types["conv"].nbits`.
    ///   - operation: what was asked for.
    static func make(
        _ argument: String, found: String, allowed: String, operation: CompressionOptions.Operation = .palettize,
        notImplemented: Bool = false
    ) -> CompressionError {
        CompressionError(
            kind: notImplemented ? .notImplemented : .invalidArgument,
            message: "[\(operation.rawValue)] \(argument): found \(found), allowed \(allowed)")
    }
}

extension CompressionError {
    /// The message without the "[operation] " that it begins with.
    public var plainMessage: String {
        guard message.hasPrefix("["), let end = message.firstIndex(of: "]") else { return message }
        return String(message[message.index(after: end)...].drop { $0 == " " })
    }
}
