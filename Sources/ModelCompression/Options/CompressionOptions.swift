import JSONText
import TensorCompression

/// What to do with one weight. Every compression has its case.
public enum WeightConfig: Sendable, Equatable {
    case palettizer(PalettizerConfig)
    case quantizer(QuantizerConfig)
    case magnitudePruner(MagnitudePrunerConfig)
    case thresholdPruner(ThresholdPrunerConfig)

    /// Element count a weight must exceed to be compressed.
    var weightThreshold: Int {
        switch self {
        case .palettizer(let config): config.weightThreshold
        case .quantizer(let config): config.weightThreshold
        case .magnitudePruner(let config): config.weightThreshold
        case .thresholdPruner(let config): config.weightThreshold
        }
    }

    /// The value of `type` in JSON.
    var typeName: String {
        switch self {
        case .palettizer: "palettizer"
        case .quantizer: "linear_quantizer"
        case .magnitudePruner: "magnitude_pruner"
        case .thresholdPruner: "threshold_pruner"
        }
    }

    /// - Parameters:
    ///   - path: what to call this configuration in messages; empty for a plain one.
    ///   - operationType: the type of operation it was given for, if any.
    func validate(path: String, operationType: String?) throws {
        switch self {
        case .palettizer(let config): try config.validate(path: path)
        case .quantizer(let config): try config.validate(path: path)
        case .magnitudePruner(let config): try config.validate(path: path, operationType: operationType)
        case .thresholdPruner(let config): try config.validate(path: path)
        }
    }

    var json: JSONValue {
        switch self {
        case .palettizer(let config): config.json
        case .quantizer(let config): config.json
        case .magnitudePruner(let config): config.json
        case .thresholdPruner(let config): config.json
        }
    }

    /// - Parameter operation: says what a configuration without `type` is.
    init(json value: JSONValue, path: String, operation: CompressionOptions.Operation) throws {
        guard case .object(let fields) = value else {
            throw OptionError.make(path, found: value.text, allowed: "null or an object", operation: operation)
        }
        let inner = path == "global" ? "" : path
        let type = fields["type"] ?? .string(operation.configTypes.first ?? "")
        switch type {
        case .string("palettizer"): self = .palettizer(try PalettizerConfig(json: value, path: inner))
        case .string("linear_quantizer"): self = .quantizer(try QuantizerConfig(json: value, path: inner))
        case .string("magnitude_pruner"): self = .magnitudePruner(try MagnitudePrunerConfig(json: value, path: inner))
        case .string("threshold_pruner"): self = .thresholdPruner(try ThresholdPrunerConfig(json: value, path: inner))
        default:
            throw OptionError.make(
                path + ".type", found: type.text, allowed: operation.configTypes.joined(separator: ", "),
                operation: operation)
        }
    }
}

/// One run over a package: what to do, with which weights. One type for Swift, the command line and Python (as JSON).
///
/// A weight's configuration is looked up by the constant's own name in `opNames`, then by the name of the operation
/// that uses it, then by that operation's type in `opTypes`; `global` is for the rest. A name or type that is present
/// with nil leaves its weights alone.
public struct CompressionOptions: Sendable, Equatable {
    public enum Operation: String, Codable, Sendable, CaseIterable {
        case palettize
        case quantize
        case prune
        case decompress

        /// The `type` of the configurations that the operation takes; the first is meant where none is given.
        var configTypes: [String] {
            switch self {
            case .palettize: ["palettizer"]
            case .quantize: ["linear_quantizer"]
            case .prune: ["magnitude_pruner", "threshold_pruner"]
            case .decompress: []
            }
        }
    }

    /// Where the reference's result is wrong, ours is right; this asks for the reference's.
    public enum Compatibility: String, Codable, Sendable, CaseIterable {
        /// The per-channel scale reduces over the output channels and is applied to the weight; linear quantization
        /// computes in the weight's type throughout, division by zero and overflow included.
        case coremltools
    }

    public var operation: Operation
    /// Also compress what is compressed already, in the forms that iOS18 has for it.
    public var joint: Bool
    public var global: WeightConfig?
    public var opTypes: [String: WeightConfig?]
    public var opNames: [String: WeightConfig?]
    /// At most this many threads; 0: one per core.
    public var numThreads: Int
    /// Make an error of what would otherwise be a warning or a weight declined for a reason nobody asked for.
    public var strict: Bool
    public var compat: Compatibility?
    /// Raise the model to this target first; nil: leave it.
    public var minimumTarget: DeploymentTarget?
    /// For the modes that use random numbers (vector k-means).
    public var seed: UInt64

    public init(
        operation: Operation = .palettize, joint: Bool = false, global: WeightConfig? = nil,
        opTypes: [String: WeightConfig?] = [:], opNames: [String: WeightConfig?] = [:], numThreads: Int = 0,
        strict: Bool = false, compat: Compatibility? = nil, minimumTarget: DeploymentTarget? = nil, seed: UInt64 = 0
    ) {
        self.operation = operation
        self.joint = joint
        self.global = global
        self.opTypes = opTypes
        self.opNames = opNames
        self.numThreads = numThreads
        self.strict = strict
        self.compat = compat
        self.minimumTarget = minimumTarget
        self.seed = seed
    }

    /// Checks every rule that does not depend on a package.
    public func validate() throws {
        if numThreads < 0 {
            throw fail("num_threads", String(numThreads), "a whole number of 0 or more")
        }
        if operation == .decompress, let first = configurations.first {
            throw fail(first.path, "a configuration", "nothing: every compressed weight is decompressed")
        }
        for (path, config, type) in configurations {
            guard operation.configTypes.contains(config.typeName) else {
                throw fail(
                    path + ".type", config.typeName,
                    operation.configTypes.joined(separator: ", ") + " for \(operation.rawValue)")
            }
            try config.validate(path: path == "global" ? "" : path, operationType: type)
        }
        if opTypes["const"] != nil {
            throw fail(
                "op_types", "\"const\"",
                "the type of an operation that uses weights; for all constants use the global configuration")
        }
    }

    private func fail(_ argument: String, _ found: String, _ allowed: String) -> CompressionError {
        OptionError.make(argument, found: found, allowed: allowed, operation: operation)
    }

    /// Whether a configuration asks for a function of the caller.
    var usesCustomFunctions: Bool {
        configurations.contains { entry in
            if case .palettizer(let config) = entry.config { config.mode == .custom } else { false }
        }
    }

    /// Every configuration with its name in messages and the type of operation it is for, in a fixed order.
    private var configurations: [(path: String, config: WeightConfig, type: String?)] {
        var result: [(path: String, config: WeightConfig, type: String?)] = []
        if let global { result.append(("global", global, nil)) }
        for (name, table, isType) in [("op_types", opTypes, true), ("op_names", opNames, false)] {
            for key in table.keys.sorted() {
                if let config = table[key] ?? nil {
                    result.append(("\(name)[\"\(key)\"]", config, isType ? key : nil))
                }
            }
        }
        return result
    }
}

// MARK: - JSON

extension CompressionOptions {
    /// Reads and checks options in JSON; see `docs/` for the keys.
    public init(json bytes: [UInt8]) throws {
        try self.init(json: JSONValue.parse(bytes))
    }

    private static let keys = [
        "operation", "joint_compression", "global", "op_types", "op_names", "num_threads", "strict", "compat",
        "minimum_deployment_target", "seed",
    ]

    private init(json: JSONValue) throws {
        self.init()
        let first = try OptionFields(json, path: "", allowed: Self.keys)
        operation = try first.choice("operation", Operation.self) ?? .palettize
        let fields = try OptionFields(json, path: "", allowed: Self.keys, operation: operation)
        joint = try fields.bool("joint_compression") ?? false
        compat = try fields.choice("compat", Compatibility.self, nullable: true)
        minimumTarget = try fields.target("minimum_deployment_target")
        numThreads = try fields.int("num_threads", allowed: "a whole number of 0 or more", nullable: true) ?? 0
        strict = try fields.bool("strict") ?? false
        let seedText = "a whole number of 0 or more"
        let givenSeed = try fields.int("seed", allowed: seedText) ?? 0
        if givenSeed < 0 { throw fields.error("seed", String(givenSeed), seedText) }
        seed = UInt64(givenSeed)
        global = try fields["global"].flatMap { try Self.config($0, path: "global", operation) }
        opTypes = try Self.table(fields, "op_types", operation)
        opNames = try Self.table(fields, "op_names", operation)
        try validate()
    }

    private static func table(
        _ fields: OptionFields, _ key: String, _ operation: Operation
    ) throws -> [String: WeightConfig?] {
        switch fields[key] {
        case nil, .null: return [:]
        case .object(let entries):
            var result: [String: WeightConfig?] = [:]
            for (name, value) in entries {
                result.updateValue(try config(value, path: "\(key)[\"\(name)\"]", operation), forKey: name)
            }
            return result
        case let other?: throw fields.error(key, other.text, "an object")
        }
    }

    private static func config(_ value: JSONValue, path: String, _ operation: Operation) throws -> WeightConfig? {
        value == .null ? nil : try WeightConfig(json: value, path: path, operation: operation)
    }
}

extension CompressionOptions: Codable {
    public init(from decoder: any Decoder) throws { try self.init(json: JSONValue(from: decoder)) }

    public func encode(to encoder: any Encoder) throws {
        func encoded(_ config: WeightConfig?) -> JSONValue { config?.json ?? .null }
        let value = JSONValue.object([
            "operation": .string(operation.rawValue), "joint_compression": .bool(joint), "global": encoded(global),
            "op_types": .object(opTypes.mapValues(encoded)), "op_names": .object(opNames.mapValues(encoded)),
            "num_threads": .int(numThreads), "strict": .bool(strict),
            "compat": compat.map { .string($0.rawValue) } ?? .null,
            "minimum_deployment_target": minimumTarget.map { .string($0.name) } ?? .null,
            "seed": .int(Int(clamping: seed)),
        ])
        try value.encode(to: encoder)
    }
}
