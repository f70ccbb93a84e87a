import CoreMLPackage

/// What a package holds. Reads the program, never the weights' data.
public struct PackageInfo: Codable, Sendable, Equatable {
    public struct Function: Codable, Sendable, Equatable {
        public var name: String
        public var opset: String
        /// Operations that are not constants, nested blocks included.
        public var operations: Int
        /// Their number by type.
        public var operationTypes: [String: Int]

        enum CodingKeys: String, CodingKey {
            case name
            case opset
            case operations
            case operationTypes = "operation_types"
        }
    }

    public struct Feature: Codable, Sendable, Equatable {
        public var name: String
        public var kind: String
        public var dtype: String
        public var shape: [Int]
    }

    /// A constant of 10 or more elements.
    public struct Weight: Codable, Sendable, Equatable {
        public var name: String
        public var function: String
        public var consumer: String
        public var consumerType: String
        /// MIL type name of its elements, once expanded.
        public var dtype: String
        public var shape: [Int]
        /// Stored bytes, lookup tables and scales included.
        public var bytes: Int
        public var bitsPerWeight: Double
        /// How it is compressed, e.g. `palettized 4 bit, 16 lookup tables`; nil when it is not.
        public var compression: String?
        /// Its data is that of a weight listed before.
        public var isShared: Bool

        enum CodingKeys: String, CodingKey {
            case name
            case function
            case consumer
            case consumerType = "consumer_type"
            case dtype
            case shape
            case bytes
            case bitsPerWeight = "bits_per_weight"
            case compression
            case isShared = "shared"
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .name)
            try container.encode(function, forKey: .function)
            try container.encode(consumer, forKey: .consumer)
            try container.encode(consumerType, forKey: .consumerType)
            try container.encode(dtype, forKey: .dtype)
            try container.encode(shape, forKey: .shape)
            try container.encode(bytes, forKey: .bytes)
            try container.encode(bitsPerWeight, forKey: .bitsPerWeight)
            try container.encode(compression, forKey: .compression)
            try container.encode(isShared, forKey: .isShared)
        }
    }

    public struct Metadata: Codable, Sendable, Equatable {
        public var description: String
        public var version: String
        public var author: String
        public var license: String
        public var userDefined: [String: String]

        enum CodingKeys: String, CodingKey {
            case description
            case version
            case author
            case license
            case userDefined = "user_defined"
        }
    }

    public var path: String
    public var modelType: String
    public var specificationVersion: Int
    /// The earliest system that loads it, e.g. `iOS18`.
    public var deploymentTarget: String
    public var packageBytes: Int
    public var metadata: Metadata
    public var inputs: [Feature]
    public var outputs: [Feature]
    public var states: [Feature]
    /// A pipeline's are named `stage/function`.
    public var functions: [Function]
    public var weights: [Weight]

    enum CodingKeys: String, CodingKey {
        case path
        case modelType = "model_type"
        case specificationVersion = "specification_version"
        case deploymentTarget = "deployment_target"
        case packageBytes = "package_bytes"
        case metadata
        case inputs
        case outputs
        case states
        case functions
        case weights
    }
}

// MARK: - Reading

extension PackageInfo {
    public init(_ package: ModelPackage) throws(PackageError) {
        let index = ProgramIndex(package.model)
        let description = package.model.description
        path = package.path
        modelType = package.modelType
        specificationVersion = package.model.specificationVersion
        deploymentTarget = DeploymentTarget.name(specificationVersion: package.model.specificationVersion)
        packageBytes = try directorySize(package.path)
        let author = description.metadata
        metadata = Metadata(
            description: author.shortDescription, version: author.versionString, author: author.author,
            license: author.license,
            userDefined: Dictionary(author.userDefined.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }))
        let features: ([FeatureDescription]) -> [Feature] = { list in
            list.map { Feature(name: $0.name, kind: $0.kind, dtype: $0.elementType, shape: $0.shape) }
        }
        // A multi-function model states them by function; those of the default one are shown.
        let main =
            description.functions.first { $0.name == description.defaultFunctionName }
            ?? description.functions.first
        inputs = features(main?.inputs ?? description.inputs)
        outputs = features(main?.outputs ?? description.outputs)
        states = features(main?.states ?? description.states)
        functions = index.functions.map { name in
            let operations = index.operationTypes[name] ?? [:]
            return Function(
                name: name, opset: index.opsets[name] ?? "", operations: operations.values.reduce(0, +),
                operationTypes: operations)
        }
        weights = StoredWeight.all(index).map(\.info)
    }
}
