/// A constant to be written into a program: an immediate value, or a reference into a weight file.
public struct NewValue: Sendable, Equatable {
    public let type: MILValueType
    /// The `Value` message.
    let encoded: [UInt8]

    private init(type: MILValueType, _ content: (inout WireWriter) -> Void) {
        self.type = type
        var writer = WireWriter()
        writer.message(2) { type.encode(&$0) }
        content(&writer)
        encoded = writer.bytes
    }

    private init(type: MILValueType, storage: MILTensorValue.Storage, _ elements: (inout WireWriter) -> Void) {
        self.init(type: type) { value in
            value.message(3) { immediate in
                immediate.message(1) { tensor in tensor.message(storage.rawValue, elements) }
            }
        }
    }

    // MARK: - Immediate values

    /// A string scalar.
    public static func string(_ text: String) -> NewValue {
        NewValue(type: .tensor(.string, []), storage: .strings) { $0.string(1, text) }
    }

    /// A vector of strings.
    public static func strings(_ texts: [String]) -> NewValue {
        NewValue(type: .tensor(.string, [texts.count]), storage: .strings) { writer in
            for text in texts { writer.string(1, text) }
        }
    }

    /// A bool scalar.
    public static func bool(_ value: Bool) -> NewValue {
        NewValue(type: .tensor(.bool, []), storage: .bools) { $0.data(1, [value ? 1 : 0]) }
    }

    /// An int32 scalar.
    public static func int32(_ value: Int32) -> NewValue {
        NewValue(type: .tensor(.int32, []), storage: .ints) { $0.data(1, varints([Int64(value)])) }
    }

    /// A vector of int32.
    public static func int32s(_ values: [Int32]) -> NewValue {
        NewValue(type: .tensor(.int32, [values.count]), storage: .ints) { writer in
            if !values.isEmpty { writer.data(1, varints(values.map { Int64($0) })) }
        }
    }

    /// A vector of uint32, the type of an iOS 16 `constexpr` operation's `shape`.
    public static func uint32s(_ values: [UInt32]) -> NewValue {
        let bytes = values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        return NewValue(type: .tensor(.uint32, [values.count]), storage: .bytes) { writer in
            if !bytes.isEmpty { writer.data(1, bytes) }
        }
    }

    /// A tensor written into the program, in the storage coremltools chooses for its type: numbers for fp32, fp64,
    /// bool, int16, uint16, int32 and the 64-bit integers, bytes for everything else.
    /// - Parameters:
    ///   - shape: sizes of 0 or more; [] for a scalar.
    ///   - bytes: the elements in C order as a weight file holds them (little endian; sub-byte types packed).
    /// - Throws: `.invalidArgument` when the number of bytes does not fit the shape, or for strings.
    public static func tensor(
        _ dataType: MILDataType, shape: [Int], bytes: UnsafeRawBufferPointer
    ) throws(PackageError) -> NewValue {
        let type = MILTensorType(dataType, shape: shape)
        guard let count = type.elementCount, let size = dataType.byteCount(elements: count), size == bytes.count else {
            throw PackageError(
                .invalidArgument, file: "",
                "found \(bytes.count) bytes for a constant of type \(dataType.name) and shape \(shape)")
        }
        let storage: MILTensorValue.Storage
        switch dataType {
        case .float32: storage = .floats
        case .float64: storage = .doubles
        case .bool: storage = .bools
        case .int16, .uint16, .int32: storage = .ints
        case .int64, .uint64: storage = .longInts
        default: storage = .bytes
        }
        let packed: [UInt8]
        switch dataType {
        case .int16: packed = varints(load(bytes, Int16.self))
        case .uint16: packed = varints(load(bytes, UInt16.self))
        case .int32: packed = varints(load(bytes, Int32.self))
        case .int64, .uint64: packed = varints(load(bytes, Int64.self))
        case .bool: packed = bytes.map { $0 == 0 ? 0 : 1 }
        default: packed = Array(bytes)
        }
        return NewValue(type: .tensor(type), storage: storage) { if !packed.isEmpty { $0.data(1, packed) } }
    }

    // MARK: - Others

    /// A tensor in a weight file.
    /// - Parameter offset: what `PackageWriter.appendBlob` or `keepBlob` returned for this file.
    public static func blob(_ dataType: MILDataType, shape: [Int], file: String, offset: UInt64) -> NewValue {
        NewValue(type: .tensor(dataType, shape)) { value in
            value.message(5) {
                $0.string(1, file)
                $0.integer(2, offset)
            }
        }
    }

    /// An immediate value of the program, byte for byte.
    /// - Throws: `.invalidArgument` for a blob reference, whose offset changes: use `blob` with a kept blob's offset.
    public static func copy(_ value: MILValue) throws(PackageError) -> NewValue {
        if case .blob = value.content {
            throw PackageError(
                .invalidArgument, file: value.view.file.path, offset: UInt64(value.range.lowerBound),
                "found a blob reference, expected an immediate value to copy")
        }
        return NewValue(type: value.type, encoded: Array(value.view.file.bytes(value.range)))
    }

    private init(type: MILValueType, encoded: [UInt8]) {
        self.type = type
        self.encoded = encoded
    }

    private static func load<T: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, _: T.Type) -> [Int64] {
        stride(from: 0, to: bytes.count, by: MemoryLayout<T>.size).map {
            Int64(truncatingIfNeeded: T(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: T.self)))
        }
    }
}

private func varints(_ values: [Int64]) -> [UInt8] {
    var writer = WireWriter()
    for value in values { writer.varint(UInt64(bitPattern: value)) }
    return writer.bytes
}
