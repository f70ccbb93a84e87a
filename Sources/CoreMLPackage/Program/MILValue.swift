/// A constant in a program: in place, or a reference into a weight file. Decoded each time it is asked.
public struct MILValue: @unchecked Sendable {
    public enum Content: Sendable {
        /// `file` is the name in the program ("@model_path/weights/weight.bin"), `offset` that of the metadata record.
        case blob(file: String, offset: UInt64)
        case immediate(MILImmediate)
        /// The file holds neither.
        case none
    }

    let view: MessageView

    public var type: MILValueType { MILValueType(view.last(2).map(view.view)) }

    public var docString: String { view.string(1) }

    public var content: Content {
        var content = Content.none
        for field in view.fields where field.encoding == .lengthDelimited {
            let inner = view.view(field)
            switch field.number {
            case 3: content = .immediate(MILImmediate(inner))
            case 5: content = .blob(file: inner.string(1), offset: inner.integer(2) ?? 0)
            default: break
            }
        }
        return content
    }

    /// Bytes in `model.mlmodel`.
    public var range: Range<Int> { view.range }

    /// Those bytes.
    public var encodedBytes: UnsafeRawBufferPointer { view.file.bytes(view.range) }

    /// Both are written with the same bytes. Equal values may be written differently, and a reference into a weight file
    /// says nothing about what is there.
    public func isWritten(like other: MILValue) -> Bool {
        encodedBytes.elementsEqual(other.encodedBytes)
    }

    /// The immediate tensor, when this is one.
    public var immediateTensor: MILTensorValue? {
        if case .immediate(.tensor(let tensor)) = content { tensor } else { nil }
    }

    /// The text of an immediate string scalar, such as an operation's `name` attribute.
    public var string: String? { immediateTensor?.strings.first }

    /// An immediate integer or bool scalar.
    public var integer: Int? {
        guard let tensor = immediateTensor, let type = type.tensor?.dataType else { return nil }
        return tensor.integers(as: type)?.first.flatMap { Int(exactly: $0) }
    }
}

/// A value written into the program itself.
public enum MILImmediate: Sendable {
    case tensor(MILTensorValue)
    case tuple([MILValue])
    case list([MILValue])
    case dictionary([(key: MILValue, value: MILValue)])
    case none

    init(_ view: MessageView) {
        self = .none
        for field in view.fields where field.encoding == .lengthDelimited {
            let inner = view.view(field)
            switch field.number {
            case 1: self = .tensor(MILTensorValue(view: inner))
            case 2: self = .tuple(inner.messages(1).map { MILValue(view: $0) })
            case 3: self = .list(inner.messages(1).map { MILValue(view: $0) })
            case 4:
                let empty = MessageView(file: view.file, range: inner.range.upperBound..<inner.range.upperBound)
                self = .dictionary(
                    inner.messages(1).map { pair in
                        (
                            key: MILValue(view: pair.last(1).map(pair.view) ?? empty),
                            value: MILValue(view: pair.last(2).map(pair.view) ?? empty)
                        )
                    })
            default: break
            }
        }
    }
}

/// The elements of an immediate tensor, in the representation the file chose.
public struct MILTensorValue: @unchecked Sendable {
    /// How `MIL.proto` stores the elements.
    public enum Storage: Int, Sendable {
        case none = 0
        case floats = 1
        case ints = 2
        case bools = 3
        case strings = 4
        case longInts = 5
        case doubles = 6
        case bytes = 7
    }

    let view: MessageView

    private var chosen: WireField? {
        var found: WireField?
        for field in view.fields where field.encoding == .lengthDelimited && (1...7).contains(field.number) {
            found = field
        }
        return found
    }

    public var storage: Storage { chosen.flatMap { Storage(rawValue: $0.number) } ?? .none }

    /// The strings; empty for every other storage.
    public var strings: [String] {
        guard let chosen, chosen.number == Storage.strings.rawValue else { return [] }
        return view.view(chosen).strings(1)
    }

    /// The elements as integers; nil for strings, floating-point types and payloads that do not fit the type.
    /// - Parameter type: the element type of the value around this tensor, which tells how `bytes` are read.
    public func integers(as type: MILDataType) -> [Int64]? {
        guard let chosen, let storage = Storage(rawValue: chosen.number) else { return [] }
        let inner = view.view(chosen)
        switch storage {
        case .ints: return inner.integers(1).map { Int64(Int32(truncatingIfNeeded: $0)) }
        case .longInts: return inner.integers(1).map { Int64(bitPattern: $0) }
        case .bools: return inner.integers(1).map { $0 == 0 ? 0 : 1 }
        case .bytes: return Self.integers(rawBytes ?? UnsafeRawBufferPointer(start: nil, count: 0), type)
        case .none, .floats, .strings, .doubles: return nil
        }
    }

    /// The payload of `bytes` storage, as it lies in the file (not aligned); nil for every other storage.
    var rawBytes: UnsafeRawBufferPointer? {
        guard let chosen, chosen.number == Storage.bytes.rawValue else { return nil }
        let inner = view.view(chosen)
        return inner.file.bytes(inner.last(1)?.payload ?? inner.range.upperBound..<inner.range.upperBound)
    }

    private static func integers(_ bytes: UnsafeRawBufferPointer, _ type: MILDataType) -> [Int64]? {
        let width = type.bitWidth
        guard !type.isFloatingPoint, width >= 8, bytes.count % (width / 8) == 0 else { return nil }
        func all<T: FixedWidthInteger>(_: T.Type) -> [Int64] {
            stride(from: 0, to: bytes.count, by: width / 8).map {
                Int64(truncatingIfNeeded: T(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: T.self)))
            }
        }
        switch type {
        case .int8: return all(Int8.self)
        case .bool, .uint8: return all(UInt8.self)
        case .int16: return all(Int16.self)
        case .uint16: return all(UInt16.self)
        case .int32: return all(Int32.self)
        case .uint32: return all(UInt32.self)
        case .int64, .uint64: return all(Int64.self)
        default: return nil
        }
    }
}
