import JSONText
import TensorCompression

/// What a run did: one record per weight, in program order.
public struct CompressionReport: Codable, Sendable, Equatable {
    public struct Change<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
        public var before: Value
        public var after: Value
    }

    public var input: String
    public var output: String
    public var operation: String
    public var specificationVersion: Change<Int>
    public var weights: [WeightRecord]
    /// Operations that the program did not have, but for those that restore weights: the multiplications by a scale.
    public var addedOperations: [String]
    public var warnings: [String]
    /// Bytes of all files of the package.
    public var packageBytes: Change<Int>
    public var seconds: Double

    enum CodingKeys: String, CodingKey {
        case input
        case output
        case operation
        case specificationVersion = "specification_version"
        case weights
        case addedOperations = "added_operations"
        case warnings
        case packageBytes = "package_bytes"
        case seconds
    }
}

extension CompressionReport {
    /// Reads a report that `encodeJSON` or the command wrote.
    public init(json bytes: [UInt8]) throws {
        do {
            self = try JSONValue(json: bytes).decoded(as: CompressionReport.self)
        } catch {
            throw CompressionError(
                kind: .invalidArgument, message: "[report] found text that is no report, allowed the JSON of one")
        }
    }

    /// Of the name of an operation, e.g. `pruned`.
    package static func pastTense(_ operation: String) -> String {
        operation.hasSuffix("e") ? operation + "d" : operation + "ed"
    }
}

/// What happened to one constant.
public struct WeightRecord: Codable, Sendable, Equatable {
    public enum Action: String, Codable, Sendable {
        case palettized
        case quantized
        case pruned
        case decompressed
        case declined
    }

    public var name: String
    public var function: String
    /// The first operation that uses it; empty when none does.
    public var consumer: String
    public var consumerType: String
    /// MIL type name of its elements, e.g. `fp16`.
    public var dtype: String
    public var shape: [Int]
    public var action: Action
    /// Why it was declined.
    public var reason: String?
    /// Whether the configuration says so: it is below a threshold, excluded, or of a kind that is not addressed. False
    /// for what nobody asked for, which is an error in a strict run. Nil when it was not declined.
    public var isPlanned: Bool?
    /// What is worth knowing about how it was done.
    public var note: String?
    /// E.g. `kmeans per_grouped_channel(16, axis 0) 4 bit`.
    public var scheme: String?
    public var nbits: Int?
    /// Stored bits over element count, lookup tables and scales included.
    public var bitsPerWeight: Double
    public var bytesBefore: Int
    public var bytesAfter: Int
    /// 10 log10 of the weight's energy over the error's; nil for a declined or exactly restored weight.
    public var snrDecibel: Double?
    public var maxError: Double?
    public var meanSquaredError: Double?
    /// The constant that multiplies what the consumer computes, where a per-channel scale is there instead of in the
    /// weight.
    public var outputScale: String?
    /// Wall-clock time of its compression; a weight that shares its data with an earlier one takes none.
    public var seconds: Double

    enum CodingKeys: String, CodingKey {
        case name
        case function
        case consumer
        case consumerType = "consumer_type"
        case dtype
        case shape
        case action
        case reason
        case isPlanned = "planned"
        case note
        case scheme
        case nbits
        case bitsPerWeight = "bits_per_weight"
        case bytesBefore = "bytes_before"
        case bytesAfter = "bytes_after"
        case snrDecibel = "snr_db"
        case maxError = "max_error"
        case meanSquaredError = "mse"
        case outputScale = "output_scale"
        case seconds
    }

    // Written by hand so that what is missing is null instead of absent.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(function, forKey: .function)
        try container.encode(consumer, forKey: .consumer)
        try container.encode(consumerType, forKey: .consumerType)
        try container.encode(dtype, forKey: .dtype)
        try container.encode(shape, forKey: .shape)
        try container.encode(action, forKey: .action)
        try container.encode(reason, forKey: .reason)
        try container.encode(isPlanned, forKey: .isPlanned)
        try container.encode(note, forKey: .note)
        try container.encode(scheme, forKey: .scheme)
        try container.encode(nbits, forKey: .nbits)
        try container.encode(bitsPerWeight, forKey: .bitsPerWeight)
        try container.encode(bytesBefore, forKey: .bytesBefore)
        try container.encode(bytesAfter, forKey: .bytesAfter)
        try container.encode(snrDecibel, forKey: .snrDecibel)
        try container.encode(maxError, forKey: .maxError)
        try container.encode(meanSquaredError, forKey: .meanSquaredError)
        try container.encode(outputScale, forKey: .outputScale)
        try container.encode(seconds, forKey: .seconds)
    }
}
