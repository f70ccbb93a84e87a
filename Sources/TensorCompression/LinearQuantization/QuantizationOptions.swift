/// Where the integers of a linear quantization lie.
public enum QuantizationMode: String, Sendable, Codable, CaseIterable {
    /// From the least to the greatest element, and 0 always among them; with a zero point.
    case linear
    /// From -a to a, a being the greatest magnitude. Unsigned types have the fixed zero point in their middle.
    case linearSymmetric = "linear_symmetric"
}

/// An integer type of 2, 3, 4, 6 or 8 bits.
public struct IntegerType: Sendable, Hashable, CustomStringConvertible {
    public let bits: Int
    public let isSigned: Bool

    /// Nil unless `bits` is 2, 3, 4, 6 or 8.
    public init?(bits: Int, isSigned: Bool) {
        guard [2, 3, 4, 6, 8].contains(bits) else { return nil }
        self.bits = bits
        self.isSigned = isSigned
    }

    /// "int4", "uint8" and so on; nil for any other text.
    public init?(name: String) {
        let unsigned = name.hasPrefix("uint")
        guard unsigned || name.hasPrefix("int"), let bits = Int(name.dropFirst(unsigned ? 4 : 3)),
            name == "\(unsigned ? "u" : "")int\(bits)"
        else { return nil }
        self.init(bits: bits, isSigned: !unsigned)
    }

    /// Makes unsigned bytes in the same order of the bytes of codes.
    var flip: UInt8 { isSigned ? 0x80 : 0 }

    public var name: String { "\(isSigned ? "" : "u")int\(bits)" }
    public var description: String { name }

    public static let int8 = IntegerType(knownBits: 8, isSigned: true)
    public static let uint8 = IntegerType(knownBits: 8, isSigned: false)
    public static let int4 = IntegerType(knownBits: 4, isSigned: true)
    public static let uint4 = IntegerType(knownBits: 4, isSigned: false)

    private init(knownBits: Int, isSigned: Bool) {
        bits = knownBits
        self.isSigned = isSigned
    }

    /// The codes that are used: a symmetric range leaves one out, so that it has a middle.
    func range(_ mode: QuantizationMode) -> (least: Int, greatest: Int) {
        let least = isSigned ? -(1 << (bits - 1)) : 0
        let greatest = least + (1 << bits) - 1
        guard mode == .linearSymmetric else { return (least, greatest) }
        return isSigned ? (least + 1, greatest) : (least, greatest - 1)
    }
}

/// What to do with a tensor.
public struct QuantizationOptions: Sendable, Hashable {
    public var mode: QuantizationMode
    public var type: IntegerType
    /// For each axis, how many neighbouring elements share a scale; 0: the whole axis.
    public var blockSizes: [Int]
    /// coremltools' arithmetic also where it overflows, underflows or divides by 0, for the same bits; otherwise such a
    /// block gets a scale that is finite and right.
    public var referenceArithmetic: Bool

    public init(
        mode: QuantizationMode = .linearSymmetric, type: IntegerType = .int8, blockSizes: [Int],
        referenceArithmetic: Bool = false
    ) {
        self.mode = mode
        self.type = type
        self.blockSizes = blockSizes
        self.referenceArithmetic = referenceArithmetic
    }
}

/// The sizes of a quantized tensor, in the form of the iOS18 operation `constexpr_blockwise_shift_scale`.
public struct QuantizationLayout: Sendable, Hashable {
    /// The tensor's shape, and that of its codes.
    public let shape: [Int]
    /// Blocks along each axis: the shape of the scales and of the zero points.
    public let scaleShape: [Int]
    /// Elements.
    public let count: Int
    /// Scales.
    public let blockCount: Int
    /// Whether there are zero points: always but for symmetric ranges of signed types.
    public let hasZeroPoint: Bool
}

/// What `quantize` came across.
public struct QuantizationSummary: Sendable, Hashable {
    /// Blocks in which every element is zero. Their scale and their codes are 0.
    public let constantBlocks: Int
}

/// The sizes that `quantize` will need.
///
/// - Throws: `.invalidArgument` for an impossible shape, a number of block sizes that is not the rank, or a negative one;
///   `.declined` for an axis that its block size does not divide.
public func quantizationLayout(
    _ tensor: TensorView, _ options: QuantizationOptions
) throws(CompressionError) -> QuantizationLayout {
    try tensor.validate("quantize")
    let (shape, sizes) = (tensor.shape, options.blockSizes)
    guard sizes.count == shape.count else {
        throw .invalid(
            "[quantize] block_size: found \(sizes.count) numbers, allowed \(shape.count), one for each axis")
    }
    var parts: [Int] = []
    for (axis, size) in sizes.enumerated() {
        guard size >= 0 else { throw .invalid("[quantize] block_size: found \(size), allowed 0 and above") }
        guard size == 0 || shape[axis] % size == 0 else {
            throw .declined(
                "[quantize] block_size: \(size) does not divide the \(shape[axis]) elements of axis \(axis)")
        }
        parts.append(size == 0 ? 1 : shape[axis] / size)
    }
    return QuantizationLayout(
        shape: shape, scaleShape: parts, count: tensor.elementCount, blockCount: parts.reduce(1, *),
        hasZeroPoint: options.mode == .linear || !options.type.isSigned)
}
