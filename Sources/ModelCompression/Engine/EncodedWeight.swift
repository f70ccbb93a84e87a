import CoreMLPackage
import TensorCompression

/// One weight after compression, ready to be written: its arrays and the operations that restore it. Every pass ends
/// in this form, so that writing is the same for all.
struct EncodedWeight: Sendable {
    var action: WeightRecord.Action
    /// In order; each may use the outputs of those before it. The last gives the weight, under the weight's own name.
    var operations: [EncodedOperation]
    /// The operations multiply the weight by a per-channel scale.
    var isScaledInside = false
    /// The same weight without its per-channel scale, which then multiplies what the consumers compute.
    var outputScaled: OutputScaledWeight?
    /// For people, e.g. `kmeans per_tensor 4 bit`.
    var scheme: String
    var nbits: Int?
    var measures: ErrorMeasures
    var note: String?

    /// Stored bytes of all arrays, without the padding between them in the file.
    var byteCount: Int { operations.byteCount }
}

extension [EncodedOperation] {
    /// Stored bytes of all arrays.
    var byteCount: Int {
        reduce(0) { sum, operation in operation.parameters.reduce(sum) { $0 + $1.value.byteCount } }
    }
}

/// A weight whose per-channel scale is applied after the operations that use it.
struct OutputScaledWeight: Sendable {
    var operations: [EncodedOperation]
    /// One factor for each output channel, a vector.
    var scale: EncodedArray
}

/// One operation: a `constexpr_*` or a `const`.
struct EncodedOperation: Sendable {
    var type: String
    /// Follows the weight's name in names of operations that are not the last of their weight.
    var suffix: String
    /// Parameters are attributes (iOS16, and every `const`) or inputs (iOS18).
    var usesAttributes: Bool
    var parameters: [(key: String, value: EncodedParameter)]
    var outputs: [(type: MILDataType, shape: [Int])]

    init(
        _ type: String, suffix: String = "", usesAttributes: Bool = false,
        _ parameters: [(key: String, value: EncodedParameter)], outputs: [(type: MILDataType, shape: [Int])]
    ) {
        self.type = type
        self.suffix = suffix
        self.usesAttributes = usesAttributes
        self.parameters = parameters
        self.outputs = outputs
    }
}

enum EncodedParameter: Sendable {
    case array(EncodedArray)
    /// A scalar int32.
    case int32(Int32)
    /// A vector of uint32.
    case uint32s([Int])
    /// An output of an earlier operation of the same weight.
    case output(of: Int, number: Int = 0)
    /// What an operation of the package is bound to already, and its stored bytes.
    case kept(MILBinding, byteCount: Int)

    var byteCount: Int {
        switch self {
        case .array(let array): array.bytes.count
        case .kept(_, let byteCount): byteCount
        case .int32, .uint32s, .output: 0
        }
    }
}

/// A constant array. Elements narrower than a byte are packed, least significant bit first.
struct EncodedArray: @unchecked Sendable {
    var type: MILDataType
    var shape: [Int]
    var bytes: UnsafeRawBufferPointer
    /// Keeps `bytes` alive.
    private var owner: AnyObject?

    init(_ stored: StoredTensor) {
        type = stored.type
        shape = stored.shape
        bytes = stored.bytes
        owner = stored.owner
    }

    init(type: MILDataType, shape: [Int], memory: TensorMemory) {
        self.init(StoredTensor(type: type, shape: shape, memory: memory))
    }

    var count: Int { shape.reduce(1, *) }

    var stored: StoredTensor { StoredTensor(type: type, shape: shape, bytes: bytes, owner: owner) }
}

extension EncodedArray {
    /// The same bytes as another type or shape.
    func reinterpreted(as type: MILDataType, shape: [Int]) -> EncodedArray {
        EncodedArray(StoredTensor(type: type, shape: shape, bytes: bytes, owner: owner))
    }

    /// Codes, one in each byte, in the width of `type`; the same memory where that is a byte.
    init(
        codes: StoredTensor, type: MILDataType, shape: [Int], pool: WorkPool
    ) throws(CompressionError) {
        guard type.isSubByte else {
            self = EncodedArray(codes).reinterpreted(as: type, shape: shape)
            return
        }
        let count = shape.reduce(1, *)
        let memory = try TensorMemory(byteCount: type.byteCount(elements: count) ?? 0, pool: pool)
        try packBits(
            codes.start(as: UInt8.self), count: count, nbits: type.bitWidth, signed: type == .int4,
            into: memory.start(as: UInt8.self), pool: pool)
        withExtendedLifetime(codes) {}
        self.init(type: type, shape: shape, memory: memory)
    }
}

extension MILDataType {
    /// The unsigned type of 1, 2, 3, 4, 6 or 8 bits.
    static func unsigned(bits: Int) -> MILDataType {
        switch bits {
        case 1: .uint1
        case 2: .uint2
        case 3: .uint3
        case 4: .uint4
        case 6: .uint6
        default: .uint8
        }
    }
}

// MARK: - Evaluation

/// An operation that is about to be written, with those before it.
struct EncodedSource: ConstexprSource {
    let operations: [EncodedOperation]
    let number: Int
    /// Resolves what is kept of the package.
    let original: StoredOperation?
    let pool: WorkPool

    private var operation: EncodedOperation { operations[number] }

    var type: String { operation.type }
    var isPacked: Bool { operation.usesAttributes }

    /// The dense tensor that the operations give together.
    func result() throws -> StoredTensor { try ConstexprArithmetic(pool: pool).evaluate(self) }

    private func parameter(_ key: String) -> EncodedParameter? {
        operation.parameters.first { $0.key == key }?.value
    }

    private func source(_ number: Int) -> EncodedSource {
        EncodedSource(operations: operations, number: number, original: original, pool: pool)
    }

    func tensor(_ key: String) throws -> StoredTensor? {
        switch parameter(key) {
        case nil: return nil
        case .array(let array): return array.stored
        case .output(let number, let output):
            return try ConstexprArithmetic(pool: pool).evaluate(source(number), output: output)
        case .kept(let binding, _): return try original?.tensor(binding, key)
        case .uint32s(let values):
            let memory = try TensorMemory(byteCount: 4 * values.count)
            for (position, value) in values.enumerated() {
                memory.start(as: UInt32.self)[position] = UInt32(truncatingIfNeeded: value)
            }
            return StoredTensor(type: .uint32, shape: [values.count], memory: memory)
        case .int32: return nil
        }
    }

    func integer(_ key: String) throws -> Int? {
        switch parameter(key) {
        case .int32(let value): Int(value)
        case .kept(let binding, _): try original?.value(binding, key)?.integer
        default: nil
        }
    }

    func text(_ key: String) throws -> String? { nil }

    func declaredShape(output: Int) -> [Int]? { operation.outputs[output].shape }

    func operation(_ key: String) throws -> (any ConstexprSource)? {
        if case .output(let number, _) = parameter(key) { source(number) } else { nil }
    }
}
