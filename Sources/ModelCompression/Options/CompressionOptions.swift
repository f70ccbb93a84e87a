import TensorCompression

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What to do with one weight. Every compression has its case.
public enum WeightConfig: Sendable, Equatable {
    case palettizer(PalettizerConfig)

    /// Element count a weight must exceed to be compressed.
    var weightThreshold: Int {
        switch self {
        case .palettizer(let config): config.weightThreshold
        }
    }

    /// The value of `type` in JSON.
    var typeName: String {
        switch self {
        case .palettizer: "palettizer"
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

        /// The `type` of the configurations that the operation takes.
        var configTypes: [String] {
            switch self {
            case .palettize: ["palettizer"]
            }
        }
    }

    /// Where the reference's result is wrong, ours is right; this asks for the reference's.
    public enum Compatibility: String, Codable, Sendable, CaseIterable {
        /// The per-channel scale reduces over the output channels, as coremltools 9.0 does.
        case coremltools
    }

    public var operation: Operation
    public var global: WeightConfig?
    public var opTypes: [String: WeightConfig?]
    public var opNames: [String: WeightConfig?]
    /// At most this many threads; 0: one per core.
    public var numThreads: Int
    /// Make an error of what would otherwise be a warning or a weight declined for a reason nobody asked for.
    public var strict: Bool
    public var compat: Compatibility?
    /// For the modes that use random numbers (vector k-means).
    public var seed: UInt64

    public init(
        operation: Operation = .palettize, global: WeightConfig? = nil, opTypes: [String: WeightConfig?] = [:],
        opNames: [String: WeightConfig?] = [:], numThreads: Int = 0, strict: Bool = false,
        compat: Compatibility? = nil, seed: UInt64 = 0
    ) {
        self.operation = operation
        self.global = global
        self.opTypes = opTypes
        self.opNames = opNames
        self.numThreads = numThreads
        self.strict = strict
        self.compat = compat
        self.seed = seed
    }

    /// Checks every rule that does not depend on a package.
    public func validate() throws {
        if numThreads < 0 {
            throw OptionError.make("num_threads", found: String(numThreads), allowed: "a whole number of 0 or more")
        }
        for (path, config) in configurations {
            guard operation.configTypes.contains(config.typeName) else {
                throw OptionError.make(
                    path + ".type", found: config.typeName,
                    allowed: operation.configTypes.joined(separator: ", ") + " for \(operation.rawValue)")
            }
            switch config {
            case .palettizer(let palettizer): try palettizer.validate(path: path == "global" ? "" : path)
            }
        }
        if opTypes["const"] != nil {
            throw OptionError.make(
                "op_types", found: "\"const\"",
                allowed: "the type of an operation that uses weights; "
                    + "for all constants use the global configuration")
        }
    }

    /// Whether a configuration asks for a function of the caller.
    var usesCustomFunctions: Bool {
        configurations.contains { entry in
            switch entry.config {
            case .palettizer(let config): config.mode == .custom
            }
        }
    }

    /// Every configuration with its name in messages, in a fixed order.
    private var configurations: [(path: String, config: WeightConfig)] {
        var result: [(path: String, config: WeightConfig)] = []
        if let global { result.append(("global", global)) }
        for (name, table) in [("op_types", opTypes), ("op_names", opNames)] {
            for key in table.keys.sorted() {
                if let config = table[key] ?? nil { result.append(("\(name)[\"\(key)\"]", config)) }
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

    private init(json: JSONValue) throws {
        let fields = try OptionFields(
            json, path: "",
            allowed: ["operation", "global", "op_types", "op_names", "num_threads", "strict", "compat", "seed"])
        self.init()
        operation = try Self.choice(fields, "operation", Operation.allCases) ?? .palettize
        compat = try Self.choice(fields, "compat", Compatibility.allCases, nullable: true)
        numThreads = try fields.int("num_threads", allowed: "a whole number of 0 or more", nullable: true) ?? 0
        strict = try fields.bool("strict") ?? false
        let seedText = "a whole number of 0 or more"
        let givenSeed = try fields.int("seed", allowed: seedText) ?? 0
        if givenSeed < 0 { throw OptionError.make("seed", found: String(givenSeed), allowed: seedText) }
        seed = UInt64(givenSeed)
        global = try fields["global"].flatMap { try Self.config($0, path: "global", default: operation) }
        opTypes = try Self.table(fields, "op_types", default: operation)
        opNames = try Self.table(fields, "op_names", default: operation)
        try validate()
    }

    private static func choice<Choice: RawRepresentable<String>>(
        _ fields: OptionFields, _ key: String, _ cases: [Choice], nullable: Bool = false
    ) throws -> Choice? {
        let allowed = (nullable ? ["null"] : []) + cases.map(\.rawValue)
        guard let text = try fields.string(key, allowed: allowed.joined(separator: ", "), nullable: nullable) else {
            return nil
        }
        guard let value = Choice(rawValue: text) else {
            throw OptionError.make(fields.name(key), found: "\"\(text)\"", allowed: allowed.joined(separator: ", "))
        }
        return value
    }

    private static func table(
        _ fields: OptionFields, _ key: String, default operation: Operation
    ) throws -> [String: WeightConfig?] {
        switch fields[key] {
        case nil, .null: return [:]
        case .object(let entries):
            var result: [String: WeightConfig?] = [:]
            for (name, value) in entries {
                result.updateValue(
                    try config(value, path: "\(key)[\"\(name)\"]", default: operation), forKey: name)
            }
            return result
        case let other?: throw OptionError.make(key, found: other.text, allowed: "an object")
        }
    }

    private static func config(
        _ value: JSONValue, path: String, default operation: Operation
    ) throws -> WeightConfig? {
        guard value != .null else { return nil }
        guard case .object(let fields) = value else {
            throw OptionError.make(path, found: value.text, allowed: "null or an object")
        }
        let type = fields["type"] ?? .string(operation.configTypes[0])
        switch type {
        case .string("palettizer"):
            return .palettizer(try PalettizerConfig(json: value, path: path == "global" ? "" : path))
        default: throw OptionError.make(path + ".type", found: type.text, allowed: "palettizer")
        }
    }
}

extension CompressionOptions: Codable {
    public init(from decoder: any Decoder) throws { try self.init(json: JSONValue(from: decoder)) }

    public func encode(to encoder: any Encoder) throws {
        func encoded(_ config: WeightConfig?) -> JSONValue {
            switch config {
            case nil: .null
            case .palettizer(let palettizer): palettizer.json
            }
        }
        let value = JSONValue.object([
            "operation": .string(operation.rawValue), "global": encoded(global),
            "op_types": .object(opTypes.mapValues(encoded)), "op_names": .object(opNames.mapValues(encoded)),
            "num_threads": .int(numThreads), "strict": .bool(strict),
            "compat": compat.map { .string($0.rawValue) } ?? .null, "seed": .int(Int(clamping: seed)),
        ])
        try value.encode(to: encoder)
    }
}
