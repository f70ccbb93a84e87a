import JSONText
import TensorCompression

/// How to quantize a weight linearly: coremltools' `OpLinearQuantizerConfig`, with its defaults and rules.
public struct QuantizerConfig: Sendable, Equatable {
    /// The integer that stores one element.
    public enum DataType: String, Codable, Sendable, CaseIterable {
        case int8
        case uint8
        case int4
        case uint4

        public var bits: Int { self == .int8 || self == .uint8 ? 8 : 4 }
        public var isSigned: Bool { self == .int8 || self == .int4 }
    }

    /// Elements that share one scale.
    public enum Granularity: String, Codable, Sendable, CaseIterable {
        case perTensor = "per_tensor"
        case perChannel = "per_channel"
        case perBlock = "per_block"
    }

    /// The size of a block when `granularity` is `.perBlock`.
    public enum BlockSize: Sendable, Equatable {
        /// So many elements along the input channels, and one output channel.
        case input(Int)
        /// One size per axis; 0: the whole axis.
        case perAxis([Int])
    }

    public var mode: QuantizationMode
    public var dtype: DataType
    public var granularity: Granularity
    public var blockSize: BlockSize
    /// Element count a weight must exceed to be compressed.
    public var weightThreshold: Int

    public init(
        mode: QuantizationMode = .linearSymmetric, dtype: DataType = .int8, granularity: Granularity = .perChannel,
        blockSize: BlockSize = .input(32), weightThreshold: Int = 2048
    ) {
        self.mode = mode
        self.dtype = dtype
        self.granularity = granularity
        self.blockSize = blockSize
        self.weightThreshold = weightThreshold
    }

    private static let blockSizeText = "a whole number of 0 or more, or one for each axis"

    /// Checks every rule that does not depend on a weight.
    /// - Parameter path: what to call this configuration in messages; empty for a plain one.
    public func validate(path: String = "") throws {
        func fail(_ key: String, _ found: String, _ allowed: String) -> CompressionError {
            OptionError.make(
                path.isEmpty ? key : path + "." + key, found: found, allowed: allowed, operation: .quantize)
        }
        switch blockSize {
        case .input(let size) where size < 0: throw fail("block_size", String(size), Self.blockSizeText)
        case .perAxis(let sizes) where sizes.contains { $0 < 0 }:
            throw fail("block_size", "\(sizes)", Self.blockSizeText)
        default: break
        }
        if weightThreshold < 0 {
            throw fail("weight_threshold", String(weightThreshold), "a whole number of 0 or more")
        }
    }
}

// MARK: - JSON

extension QuantizerConfig {
    static let keys = ["type", "mode", "dtype", "granularity", "block_size", "weight_threshold"]

    init(json: JSONValue, path: String) throws {
        let fields = try OptionFields(json, path: path, allowed: Self.keys, operation: .quantize)
        self.init()
        mode = try fields.choice("mode", QuantizationMode.self) ?? mode
        dtype = try fields.choice("dtype", DataType.self) ?? dtype
        granularity = try fields.choice("granularity", Granularity.self) ?? granularity
        if case .array = fields["block_size"] {
            blockSize = .perAxis(try fields.ints("block_size", allowed: Self.blockSizeText) ?? [])
        } else if let size = try fields.int("block_size", allowed: Self.blockSizeText) {
            blockSize = .input(size)
        }
        weightThreshold =
            try fields.int("weight_threshold", allowed: "a whole number of 0 or more") ?? weightThreshold
        try validate(path: path)
    }

    var json: JSONValue {
        let size: JSONValue =
            switch blockSize {
            case .input(let size): .int(size)
            case .perAxis(let sizes): .array(sizes.map { .int($0) })
            }
        return .object([
            "type": .string("linear_quantizer"), "mode": .string(mode.rawValue), "dtype": .string(dtype.rawValue),
            "granularity": .string(granularity.rawValue), "block_size": size,
            "weight_threshold": .int(weightThreshold),
        ])
    }
}
