/// How far decoded data is from the original. Sums are in binary64.
public struct ErrorStatistics: Sendable, Equatable, BitwiseCopyable {
    public private(set) var count: Int
    /// Sum of the squares of original - decoded.
    public private(set) var squaredError: Double
    /// Sum of the squares of the original.
    public private(set) var sumOfSquares: Double
    /// Greatest |original - decoded|.
    public private(set) var maxError: Double

    /// Of no elements.
    static let none = ErrorStatistics(count: 0, squaredError: 0, sumOfSquares: 0, maxError: 0)

    /// Mean squared error; 0 for no elements.
    public var meanSquaredError: Double { count == 0 ? 0 : squaredError / Double(count) }

    /// With more elements.
    mutating func add(_ other: ErrorStatistics) {
        count += other.count
        squaredError += other.squaredError
        sumOfSquares += other.sumOfSquares
        maxError = max(maxError, other.maxError)
    }
}

/// Three sums for each piece of a tensor, added up in order: the total does not depend on the number of threads.
struct ErrorSums: ~Copyable {
    private let count: Int
    private let pieces: Int
    private let sums: Scratch<Double>

    init(_ count: Int, _ operation: String) throws(CompressionError) {
        self.count = count
        pieces = (count + pieceLength - 1) / pieceLength
        sums = try Scratch(zeroed: 3 * pieces, operation: operation)
    }

    /// Where the sums of the piece that begins at `start` belong.
    func place(_ start: Int) -> UnsafeMutablePointer<Double> { sums.pointer + start / pieceLength * 3 }

    func total() -> ErrorStatistics {
        var (squared, squares, greatest) = (0.0, 0.0, 0.0)
        for piece in 0..<pieces {
            squared += sums.pointer[3 * piece]
            squares += sums.pointer[3 * piece + 1]
            greatest = max(greatest, sums.pointer[3 * piece + 2])
        }
        return ErrorStatistics(count: count, squaredError: squared, sumOfSquares: squares, maxError: greatest)
    }
}

/// Compares a tensor with decoded data of the same type and length. All elements finite, or the sums are not.
///
/// - Throws: `.invalidArgument` for an impossible shape or a misaligned address; `.cancelled`; `.outOfMemory`.
public func errorStatistics(
    _ original: TensorView, decoded: UnsafeRawPointer, pool: WorkPool
) throws(CompressionError) -> ErrorStatistics {
    try original.validate("compare")
    guard Int(bitPattern: decoded) % original.type.byteCount == 0 else {
        throw .invalid("[compare] decoded: not aligned to \(original.type.byteCount) bytes")
    }
    return switch original.type {
    case .float16: try measure(UInt16.self)
    case .float32: try measure(Float.self)
    case .float64: try measure(Double.self)
    }

    func measure<Element: WeightElement>(_: Element.Type) throws(CompressionError) -> ErrorStatistics {
        let count = original.elementCount
        let first = original.base.assumingMemoryBound(to: Element.self)
        let second = decoded.assumingMemoryBound(to: Element.self)
        let sums = try ErrorSums(count, "compare")
        let places = sums.place(0)
        try pool.tryForEach((count + pieceLength - 1) / pieceLength, operation: "compare") {
            piece throws(CompressionError) in
            let start = piece * pieceLength
            let length = min(pieceLength, count - start)
            let work = try Scratch<Float>(2 * length, operation: "compare")
            Element.sumErrors(first + start, second + start, length, work.pointer, places + 3 * piece)
        }
        return sums.total()
    }
}

/// The flat index of the first NaN or infinity of a tensor, among the elements that a mask lets take part; nil without one.
public func firstNonFinite(
    _ tensor: TensorView, mask: UnsafePointer<UInt8>? = nil, pool: WorkPool
) throws(CompressionError) -> Int? {
    try tensor.validate("check")
    return switch tensor.type {
    case .float16: try find(UInt16.self)
    case .float32: try find(Float.self)
    case .float64: try find(Double.self)
    }

    func find<Element: WeightElement>(_: Element.Type) throws(CompressionError) -> Int? {
        try findNonFinite(
            tensor.base.assumingMemoryBound(to: Element.self), tensor.elementCount, mask, infinities: true, pool,
            "check")
    }
}

/// The first element that is NaN or, with `infinities`, infinite.
func findNonFinite<Element: WeightElement>(
    _ elements: UnsafePointer<Element>, _ count: Int, _ mask: UnsafePointer<UInt8>?, infinities: Bool,
    _ pool: WorkPool, _ operation: String
) throws(CompressionError) -> Int? {
    let pieces = (count + pieceLength - 1) / pieceLength
    let firsts = try Scratch<Int>(pieces, operation: operation)
    let places = firsts.pointer
    pool.forEachPiece(count) { start, end in
        var found = -1
        if let mask {
            for i in start..<end where mask[i] != 0 && (infinities ? !elements[i].isFinite : elements[i].isNaN) {
                found = i - start
                break
            }
        } else {
            found = Element.firstNonFinite(elements + start, end - start, infinities)
        }
        places[start / pieceLength] = found < 0 ? -1 : start + found
    }
    try pool.checkCancellation(operation)
    for piece in 0..<pieces where places[piece] >= 0 { return places[piece] }
    return nil
}
