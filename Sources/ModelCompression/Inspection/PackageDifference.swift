/// How two packages differ.
public struct PackageDifference: Codable, Sendable, Equatable {
    public struct Package: Codable, Sendable, Equatable {
        public var path: String
        public var specificationVersion: Int
        /// The earliest system that loads it, e.g. `iOS18`.
        public var deploymentTarget: String
        /// Bytes of all files.
        public var packageBytes: Int
        /// Stored bytes of all weights, shared ones once.
        public var weightBytes: Int

        enum CodingKeys: String, CodingKey {
            case path
            case specificationVersion = "specification_version"
            case deploymentTarget = "deployment_target"
            case packageBytes = "package_bytes"
            case weightBytes = "weight_bytes"
        }
    }

    /// A weight as one of the packages has it.
    public struct Stored: Codable, Sendable, Equatable {
        public var name: String
        /// MIL type name of its elements, once expanded.
        public var dtype: String
        public var shape: [Int]
        /// Stored bytes, lookup tables and scales included.
        public var bytes: Int
        public var bitsPerWeight: Double
        /// E.g. `palettized 4 bit, 16 lookup tables`; nil when it is not compressed.
        public var compression: String?

        enum CodingKeys: String, CodingKey {
            case name
            case dtype
            case shape
            case bytes
            case bitsPerWeight = "bits_per_weight"
            case compression
        }

        init(_ weight: PackageInfo.Weight) {
            name = weight.name
            dtype = weight.dtype
            shape = weight.shape
            bytes = weight.bytes
            bitsPerWeight = weight.bitsPerWeight
            compression = weight.compression
        }
    }

    /// A weight that both packages have: under one name, or for the same input of the same operation.
    public struct Weight: Codable, Sendable, Equatable {
        public enum State: String, Codable, Sendable {
            /// Stored in the same way, with the same values.
            case identical
            /// Stored in another way; every expanded value is the same, bit for bit.
            case equal
            case changed
            /// Its values could not be compared; `reason` says why.
            case incomparable
        }

        public var function: String
        /// The first operation that uses it.
        public var consumer: String
        public var consumerType: String
        public var state: State
        public var reason: String?
        /// 10 log10 of the first one's energy over the difference's; nil unless the values differ.
        public var snrDecibel: Double?
        /// nil when infinite elements make it no number, or the values could not be compared.
        public var maxError: Double?
        public var meanSquaredError: Double?
        public var first: Stored
        public var second: Stored

        enum CodingKeys: String, CodingKey {
            case function
            case consumer
            case consumerType = "consumer_type"
            case state
            case reason
            case snrDecibel = "snr_db"
            case maxError = "max_error"
            case meanSquaredError = "mse"
            case first
            case second
        }
    }

    /// A weight that one package has.
    public struct Lone: Codable, Sendable, Equatable {
        public var function: String
        public var consumer: String
        public var consumerType: String
        public var stored: Stored

        enum CodingKeys: String, CodingKey {
            case function
            case consumer
            case consumerType = "consumer_type"
            case stored
        }
    }

    /// Anything that is no weight.
    public struct Change: Codable, Sendable, Equatable {
        public enum Area: String, Codable, Sendable, CaseIterable {
            /// Kind and version of the model, functions and their inputs.
            case program
            case operation
            /// Inputs, outputs, states and their descriptions.
            case interface
            case metadata
            /// Other files of the package, and the manifest.
            case file
        }

        public var area: Area
        /// Whose: `main/conv_1`, `author`.
        public var name: String
        /// What of it, e.g. `input strides`; empty where the whole thing is meant.
        public var what: String
        /// nil where the first package does not have it.
        public var first: String?
        /// nil where the second package does not have it.
        public var second: String?
    }

    public var first: Package
    public var second: Package
    /// In the first package's program order.
    public var weights: [Weight]
    public var onlyInFirst: [Lone]
    public var onlyInSecond: [Lone]
    public var changes: [Change]

    /// Nothing differs: every weight is stored in the same way, and all else is the same.
    public var isIdentical: Bool {
        onlyInFirst.isEmpty && onlyInSecond.isEmpty && changes.isEmpty && weights.allSatisfy { $0.state == .identical }
    }

    enum CodingKeys: String, CodingKey {
        case first
        case second
        case weights
        case onlyInFirst = "only_in_first"
        case onlyInSecond = "only_in_second"
        case changes
    }
}
