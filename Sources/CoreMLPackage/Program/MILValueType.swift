/// One dimension of a tensor type.
public enum MILDimension: Sendable, Equatable {
    case constant(Int)
    /// Known only at run time; `variadic` stands for any number of dimensions.
    case unknown(variadic: Bool)
}

/// Element type and shape of a tensor.
public struct MILTensorType: Sendable, Equatable {
    /// The number in the file; `dataType` is nil when this version does not know it.
    public let rawDataType: Int
    public let dimensions: [MILDimension]
    /// The rank as the file states it, which should be the number of dimensions; below 0 where it is unknown.
    public let declaredRank: Int

    public init(_ dataType: MILDataType, shape: [Int]) {
        self.init(rawDataType: dataType.rawValue, dimensions: shape.map { .constant($0) }, declaredRank: shape.count)
    }

    init(rawDataType: Int, dimensions: [MILDimension], declaredRank: Int) {
        self.rawDataType = rawDataType
        self.dimensions = dimensions
        self.declaredRank = declaredRank
    }

    public var dataType: MILDataType? { MILDataType(rawValue: rawDataType) }

    /// The same dimensions with other elements.
    public func with(_ dataType: MILDataType) -> MILTensorType {
        MILTensorType(rawDataType: dataType.rawValue, dimensions: dimensions, declaredRank: declaredRank)
    }

    /// Every dimension, or nil when one is unknown. A scalar has the shape [].
    public var shape: [Int]? {
        var shape: [Int] = []
        for dimension in dimensions {
            guard case .constant(let size) = dimension else { return nil }
            shape.append(size)
        }
        return shape
    }

    /// Product of the dimensions (1 for a scalar); nil when one is unknown or the product is above 2^59, more than any
    /// memory. That is so without the dimensions of size 0, too: the product of any of them fits.
    public var elementCount: Int? {
        guard let shape else { return nil }
        var count = 1
        for size in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: max(size, 1))
            if overflow || size < 0 || product > 1 << 59 { return nil }
            count = product
        }
        return shape.contains(0) ? 0 : count
    }

    /// Bytes that the elements take as they are stored; 0 where that is not known. What a damaged file states is not cut
    /// to what it holds, but to 2^40, so that sums over a program fit.
    public var storedByteCount: Int {
        min(elementCount.flatMap { count in dataType?.byteCount(elements: count) } ?? 0, 1 << 40)
    }
}

/// A MIL type: tensors nearly everywhere, and the few containers around them.
public indirect enum MILValueType: Sendable, Equatable {
    case tensor(MILTensorType)
    case list(MILValueType, length: MILDimension)
    case tuple([MILValueType])
    case dictionary(key: MILValueType, value: MILValueType)
    case state(MILValueType)
    /// Missing in the file, or of a kind this version does not know.
    case unknown

    /// A tensor type from its element type and shape.
    public static func tensor(_ dataType: MILDataType, _ shape: [Int]) -> MILValueType {
        .tensor(MILTensorType(dataType, shape: shape))
    }

    public var tensor: MILTensorType? {
        if case .tensor(let type) = self { type } else { nil }
    }
}

// MARK: - Wire form

extension MILValueType {
    init(_ view: MessageView?) {
        self = .unknown
        guard let view else { return }
        for field in view.fields where field.encoding == .lengthDelimited {
            let inner = view.view(field)
            switch field.number {
            case 1: self = .tensor(MILTensorType(inner))
            case 2:
                self = .list(
                    MILValueType(inner.last(1).map(inner.view)),
                    length: MILDimension(inner.last(2).map(inner.view)))
            case 3: self = .tuple(inner.messages(1).map { MILValueType($0) })
            case 4:
                self = .dictionary(
                    key: MILValueType(inner.last(1).map(inner.view)),
                    value: MILValueType(inner.last(2).map(inner.view)))
            case 5: self = .state(MILValueType(inner.last(1).map(inner.view)))
            default: break
            }
        }
    }

    func encode(_ writer: inout WireWriter) {
        switch self {
        case .tensor(let type): writer.message(1) { type.encode(&$0) }
        case .list(let element, let length):
            writer.message(2) {
                $0.message(1) { element.encode(&$0) }
                $0.message(2) { length.encode(&$0) }
            }
        case .tuple(let types):
            writer.message(3) { for type in types { $0.message(1) { type.encode(&$0) } } }
        case .dictionary(let key, let value):
            writer.message(4) {
                $0.message(1) { key.encode(&$0) }
                $0.message(2) { value.encode(&$0) }
            }
        case .state(let wrapped): writer.message(5) { $0.message(1) { wrapped.encode(&$0) } }
        case .unknown: break
        }
    }
}

extension MILTensorType {
    init(_ view: MessageView) {
        var dimensions: [MILDimension] = []
        var dataType = 0
        var rank: Int?
        for field in view.fields {
            switch (field.number, field.encoding) {
            case (1, .varint): dataType = Int(Int32(truncatingIfNeeded: field.value))
            case (2, .varint): rank = Int(Int64(bitPattern: field.value))
            case (3, .lengthDelimited): dimensions.append(MILDimension(view.view(field)))
            default: break
            }
        }
        self.init(rawDataType: dataType, dimensions: dimensions, declaredRank: rank ?? dimensions.count)
    }

    func encode(_ writer: inout WireWriter) {
        writer.integer(1, UInt64(bitPattern: Int64(rawDataType)))
        writer.integer(2, UInt64(bitPattern: Int64(declaredRank)))
        for dimension in dimensions { writer.message(3) { dimension.encode(&$0) } }
    }
}

extension MILDimension {
    init(_ view: MessageView?) {
        self = .unknown(variadic: false)
        guard let view else { return }
        for field in view.fields where field.encoding == .lengthDelimited {
            let inner = view.view(field)
            switch field.number {
            case 1:
                // A size beyond Int can belong to no tensor in memory; it reads as unknown.
                let size = Int(exactly: inner.integer(1) ?? 0)
                self = size.map { .constant($0) } ?? .unknown(variadic: false)
            case 2: self = .unknown(variadic: inner.integer(1).map { $0 != 0 } ?? false)
            default: break
            }
        }
    }

    func encode(_ writer: inout WireWriter) {
        switch self {
        case .constant(let size): writer.message(1) { $0.integer(1, UInt64(max(0, size))) }
        case .unknown(let variadic): writer.message(2) { $0.integer(1, variadic ? 1 : 0) }
        }
    }
}
