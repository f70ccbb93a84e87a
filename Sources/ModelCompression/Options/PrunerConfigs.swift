import JSONText
import TensorCompression

/// Zeroes the weights of least magnitude: coremltools' `OpMagnitudePrunerConfig`, with its defaults and rules.
public struct MagnitudePrunerConfig: Sendable, Equatable {
    public struct Ratio: Sendable, Equatable {
        /// Zeros in every `m` elements.
        public var n: Int
        public var m: Int

        public init(n: Int, m: Int) {
            self.n = n
            self.m = m
        }
    }

    /// The part of the elements that become zero, 0 to 1. Either this or `ratio` is given.
    public var targetSparsity: Double?
    /// Channels that are zeroed together, by their L2 norm; 2 or more.
    public var blockSize: Int?
    public var ratio: Ratio?
    /// Axis of the blocks (0 unless given) or of the ratio (1 unless given): 0 or 1.
    public var dim: Int?
    /// Element count a weight must exceed to be compressed.
    public var weightThreshold: Int

    public init(
        targetSparsity: Double? = nil, blockSize: Int? = nil, ratio: Ratio? = nil, dim: Int? = nil,
        weightThreshold: Int = 2048
    ) {
        self.targetSparsity = targetSparsity
        self.blockSize = blockSize
        self.ratio = ratio
        self.dim = dim
        self.weightThreshold = weightThreshold
    }

    /// Blocks and ratios are for the weights of `conv` and `linear` only.
    var isStructural: Bool { blockSize != nil || ratio != nil }

    /// Checks every rule that does not depend on a weight.
    /// - Parameters:
    ///   - path: what to call this configuration in messages; empty for a plain one.
    ///   - operationType: the type of operation it was given for, if any.
    public func validate(path: String = "", operationType: String? = nil) throws {
        func fail(_ key: String, _ found: String, _ allowed: String) -> CompressionError {
            OptionError.make(path.isEmpty ? key : path + "." + key, found: found, allowed: allowed, operation: .prune)
        }
        switch (targetSparsity, ratio) {
        case (nil, nil): throw fail("target_sparsity", "nothing", "0 to 1, unless n_m_ratio is given")
        case (.some, .some): throw fail("n_m_ratio", "a ratio beside target_sparsity", "one of the two")
        case (let sparsity?, nil) where !(0...1).contains(sparsity):
            throw fail("target_sparsity", String(sparsity), "0 to 1")
        default: break
        }
        if let blockSize {
            if ratio != nil { throw fail("block_size", String(blockSize), "nothing when n_m_ratio is given") }
            if blockSize <= 1 { throw fail("block_size", String(blockSize), "a whole number of 2 or more") }
        }
        if let ratio, ratio.n < 0 || ratio.m < 1 || ratio.n > ratio.m {
            throw fail("n_m_ratio", "\(ratio.n):\(ratio.m)", "two whole numbers n and m, n at most m")
        }
        if let dim {
            if !isStructural { throw fail("dim", String(dim), "nothing unless block_size or n_m_ratio is given") }
            if dim != 0, dim != 1 { throw fail("dim", String(dim), "0, 1") }
        }
        if weightThreshold < 0 {
            throw fail("weight_threshold", String(weightThreshold), "a whole number of 0 or more")
        }
        if isStructural, let operationType, !["conv", "linear"].contains(operationType) {
            throw fail(
                blockSize != nil ? "block_size" : "n_m_ratio", "it for \(operationType)",
                "conv, linear: no other operation's weights are pruned in blocks or ratios")
        }
    }
}

/// Zeroes the weights up to a magnitude: coremltools' `OpThresholdPrunerConfig`, with its defaults and rules.
public struct ThresholdPrunerConfig: Sendable, Equatable {
    /// Elements of this magnitude or less become zero.
    public var threshold: Double
    /// A weight of which a smaller part is zero stays as it is; 0 to 1.
    public var minimumSparsity: Double
    /// Element count a weight must exceed to be compressed.
    public var weightThreshold: Int

    public init(threshold: Double = 1e-12, minimumSparsity: Double = 0.5, weightThreshold: Int = 2048) {
        self.threshold = threshold
        self.minimumSparsity = minimumSparsity
        self.weightThreshold = weightThreshold
    }

    /// Checks every rule that does not depend on a weight.
    /// - Parameter path: what to call this configuration in messages; empty for a plain one.
    public func validate(path: String = "") throws {
        func fail(_ key: String, _ found: String, _ allowed: String) -> CompressionError {
            OptionError.make(path.isEmpty ? key : path + "." + key, found: found, allowed: allowed, operation: .prune)
        }
        if !(threshold >= 0) { throw fail("threshold", String(threshold), "0 or more") }
        if !(0...1).contains(minimumSparsity) {
            throw fail("minimum_sparsity_percentile", String(minimumSparsity), "0 to 1")
        }
        if weightThreshold < 0 {
            throw fail("weight_threshold", String(weightThreshold), "a whole number of 0 or more")
        }
    }
}

// MARK: - JSON

extension MagnitudePrunerConfig {
    static let keys = ["type", "target_sparsity", "block_size", "n_m_ratio", "dim", "weight_threshold"]

    init(json: JSONValue, path: String) throws {
        let fields = try OptionFields(json, path: path, allowed: Self.keys, operation: .prune)
        self.init()
        targetSparsity = try fields.double("target_sparsity", allowed: "null or 0 to 1", nullable: true)
        blockSize = try fields.int("block_size", allowed: "null or a whole number of 2 or more", nullable: true)
        let ratioText = "null or two whole numbers n and m, n at most m"
        if let values = try fields.ints("n_m_ratio", allowed: ratioText, nullable: true) {
            guard values.count == 2 else { throw fields.error("n_m_ratio", "\(values)", ratioText) }
            ratio = Ratio(n: values[0], m: values[1])
        }
        dim = try fields.int("dim", allowed: "null, 0, 1", nullable: true)
        weightThreshold =
            try fields.int("weight_threshold", allowed: "a whole number of 0 or more") ?? weightThreshold
        try validate(path: path)
    }

    var json: JSONValue {
        func optional(_ value: Int?) -> JSONValue { value.map { .int($0) } ?? .null }
        return .object([
            "type": .string("magnitude_pruner"), "target_sparsity": targetSparsity.map { .double($0) } ?? .null,
            "block_size": optional(blockSize),
            "n_m_ratio": ratio.map { .array([.int($0.n), .int($0.m)]) } ?? .null, "dim": optional(dim),
            "weight_threshold": .int(weightThreshold),
        ])
    }
}

extension ThresholdPrunerConfig {
    static let keys = ["type", "threshold", "minimum_sparsity_percentile", "weight_threshold"]

    init(json: JSONValue, path: String) throws {
        let fields = try OptionFields(json, path: path, allowed: Self.keys, operation: .prune)
        self.init()
        threshold = try fields.double("threshold", allowed: "0 or more") ?? threshold
        minimumSparsity = try fields.double("minimum_sparsity_percentile", allowed: "0 to 1") ?? minimumSparsity
        weightThreshold =
            try fields.int("weight_threshold", allowed: "a whole number of 0 or more") ?? weightThreshold
        try validate(path: path)
    }

    var json: JSONValue {
        .object([
            "type": .string("threshold_pruner"), "threshold": .double(threshold),
            "minimum_sparsity_percentile": .double(minimumSparsity), "weight_threshold": .int(weightThreshold),
        ])
    }
}
