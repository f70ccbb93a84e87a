/// The floating-point types a weight can have.
public enum FloatType: UInt8, Sendable, Codable {
    case float16 = 0
    case float32 = 1
    case float64 = 2

    /// Bytes of one element.
    public var byteCount: Int { 2 << Int(rawValue) }

    /// NumPy's name.
    public var name: String {
        switch self {
        case .float16: "float16"
        case .float32: "float32"
        case .float64: "float64"
        }
    }
}

/// A dense tensor in C order that somebody else owns. It is only read.
///
/// `base` points at `elementCount * type.byteCount` readable bytes that stay valid during every call the view is given
/// to, aligned to the element size.
public struct TensorView: @unchecked Sendable {
    public let base: UnsafeRawPointer
    public let type: FloatType
    public let shape: [Int]

    public init(base: UnsafeRawPointer, type: FloatType, shape: [Int]) {
        self.base = base
        self.type = type
        self.shape = shape
    }

    /// The number of elements; 1 for rank 0. Meaningful once `validate` passed.
    public var elementCount: Int { shape.reduce(1, &*) }

    /// Throws when a dimension is negative, the byte count overflows or the address is not aligned.
    func validate(_ operation: String) throws(CompressionError) {
        var bytes = type.byteCount
        for dimension in shape {
            guard dimension >= 0 else {
                throw .invalid("[\(operation)] shape: found \(shape), allowed non-negative dimensions")
            }
            let (product, overflow) = bytes.multipliedReportingOverflow(by: max(dimension, 1))
            guard !overflow else { throw .invalid("[\(operation)] shape: \(shape) has too many elements") }
            bytes = product
        }
        guard Int(bitPattern: base) % type.byteCount == 0 else {
            throw .invalid("[\(operation)] data: not aligned to \(type.byteCount) bytes")
        }
    }
}
