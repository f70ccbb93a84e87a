import CoreMLPackage
import TensorCompression

/// One weight after compression, ready to be written: its arrays and the operations that restore it. Every pass ends
/// in this form, so that writing is the same for all.
struct EncodedWeight: Sendable {
    /// In order; each may use the outputs of those before it. The last gives the weight, under the weight's own name.
    var operations: [EncodedOperation]
    /// For people, e.g. `kmeans per_tensor 4 bit`.
    var scheme: String
    var nbits: Int?
    var measures: ErrorMeasures

    /// Stored bytes of all arrays, without the padding between them in the file.
    var byteCount: Int {
        operations.reduce(0) { sum, operation in
            operation.parameters.reduce(sum) { $0 + $1.value.byteCount }
        }
    }
}

/// One `constexpr_*` operation.
struct EncodedOperation: Sendable {
    var type: String
    /// Follows the weight's name in names of operations that are not the last of their weight.
    var suffix: String
    /// Parameters are attributes (iOS16) or inputs (iOS18).
    var usesAttributes: Bool
    var parameters: [(key: String, value: EncodedParameter)]
    var outputType: MILDataType
    var outputShape: [Int]
}

enum EncodedParameter: Sendable {
    case array(EncodedArray)
    /// A scalar int32.
    case int32(Int32)
    /// A vector of uint32.
    case uint32s([Int])
    /// The output of an earlier operation of the same weight.
    case output(of: Int)

    var byteCount: Int {
        if case .array(let array) = self { array.bytes.count } else { 0 }
    }
}

/// A constant array. Elements narrower than a byte are packed, least significant bit first.
struct EncodedArray: Sendable {
    var type: MILDataType
    var shape: [Int]
    var bytes: [UInt8]

    var count: Int { shape.reduce(1, *) }
}
