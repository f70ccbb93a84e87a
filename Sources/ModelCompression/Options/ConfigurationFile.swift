import JSONText
import TensorCompression

/// The configuration classes that a file names, by coremltools' names.
private enum ConfigurationType: String, CaseIterable {
    case palettizer = "OpPalettizerConfig"
    case quantizer = "OpLinearQuantizerConfig"
    case magnitudePruner = "OpMagnitudePrunerConfig"
    case thresholdPruner = "OpThresholdPrunerConfig"

    /// The value of `type` in our own JSON.
    var typeName: String {
        switch self {
        case .palettizer: "palettizer"
        case .quantizer: "linear_quantizer"
        case .magnitudePruner: "magnitude_pruner"
        case .thresholdPruner: "threshold_pruner"
        }
    }

    var operation: CompressionOptions.Operation {
        switch self {
        case .palettizer: .palettize
        case .quantizer: .quantize
        case .magnitudePruner, .thresholdPruner: .prune
        }
    }

    /// The keys of one configuration, as coremltools has them.
    var keys: [String] {
        let own =
            switch self {
            case .palettizer: PalettizerConfig.keys + [Self.workers]
            case .quantizer: QuantizerConfig.keys
            case .magnitudePruner: MagnitudePrunerConfig.keys
            case .thresholdPruner: ThresholdPrunerConfig.keys
            }
        return ["config_type"] + own.filter { $0 != "type" && $0 != "lut_function" }
    }

    /// Accepted for coremltools' sake; `numThreads` says how many threads work.
    static let workers = "num_kmeans_workers"

    static func names(_ operation: CompressionOptions.Operation?) -> String {
        let fitting = allCases.filter { operation == nil || $0.operation == operation }
        return fitting.map(\.rawValue).joined(separator: ", ") + (operation.map { " for \($0.rawValue)" } ?? "")
    }
}

extension CompressionOptions {
    /// Reads the content of a configuration file: what coremltools' `OptimizationConfig.from_yaml` reads.
    ///
    /// `config_type` names the class of the configurations; `global_config` is one, `op_type_configs` and
    /// `op_name_configs` are tables of them. An entry may have a `config_type` of its own, and null leaves its weights
    /// alone. The values and rules are those of `init(json:)`.
    /// - Parameters:
    ///   - tree: the parsed file; YAML and JSON have the same.
    ///   - operation: what the file must be for; nil: what its `config_type` says.
    /// - Throws: `CompressionError`: the key, what was found, what is allowed.
    package init(configurationFile tree: JSONValue, operation: Operation? = nil) throws {
        let named = operation ?? .palettize
        let keys = ["config_type", "global_config", "op_type_configs", "op_name_configs"]
        let fields = try OptionFields(tree, path: "", allowed: keys, operation: named)
        guard let type = fields["config_type"] else {
            throw fields.error("config_type", "nothing", ConfigurationType.names(operation))
        }
        let reader = try ConfigurationReader(type, operation: operation)
        self.init(operation: reader.operation)
        global = try reader.config(fields["global_config"] ?? .null, path: "global_config", operationType: nil)
        opTypes = try reader.table(fields, "op_type_configs", isType: true)
        opNames = try reader.table(fields, "op_name_configs", isType: false)
        try validate()
    }
}

private struct ConfigurationReader {
    let standard: ConfigurationType
    var operation: CompressionOptions.Operation { standard.operation }

    init(_ type: JSONValue, operation: CompressionOptions.Operation?) throws {
        standard = try Self.type(type, path: "config_type", operation)
    }

    private static func type(
        _ value: JSONValue, path: String, _ operation: CompressionOptions.Operation?
    ) throws -> ConfigurationType {
        guard case .string(let name) = value, let type = ConfigurationType(rawValue: name),
            operation == nil || type.operation == operation
        else {
            throw OptionError.make(
                path, found: value.text, allowed: ConfigurationType.names(operation),
                operation: operation ?? .palettize)
        }
        return type
    }

    func table(_ fields: OptionFields, _ key: String, isType: Bool) throws -> [String: WeightConfig?] {
        switch fields[key] {
        case nil, .null: return [:]
        case .object(let entries):
            var result: [String: WeightConfig?] = [:]
            for name in entries.keys.sorted() {
                let config = try config(
                    entries[name] ?? .null, path: "\(key)[\"\(name)\"]", operationType: isType ? name : nil)
                result.updateValue(config, forKey: name)
            }
            return result
        case let other?: throw fields.error(key, other.text, "null or an object")
        }
    }

    /// nil for null, which leaves weights alone.
    func config(_ value: JSONValue, path: String, operationType: String?) throws -> WeightConfig? {
        if value == .null { return nil }
        guard case .object(var fields) = value else {
            throw OptionError.make(path, found: value.text, allowed: "null or an object", operation: operation)
        }
        let type =
            try fields["config_type"].map { try Self.type($0, path: path + ".config_type", operation) } ?? standard
        if let function = fields["lut_function"] {
            throw OptionError.make(
                path + ".lut_function", found: function.text, allowed: "nothing: a file cannot hold a function",
                operation: operation)
        }
        let checked = try OptionFields(value, path: path, allowed: type.keys, operation: operation)
        if let workers = try checked.int(ConfigurationType.workers, allowed: "a whole number of 1 or more"), workers < 1
        {
            throw checked.error(ConfigurationType.workers, String(workers), "a whole number of 1 or more")
        }
        fields["config_type"] = nil
        fields[ConfigurationType.workers] = nil
        fields["type"] = .string(type.typeName)
        let config = try WeightConfig(json: .object(fields), path: path, operation: operation)
        try config.validate(path: path, operationType: operationType)
        return config
    }
}
