import CompressionKernels
import CompressionKernelsV3

/// Where the elements of a sparse tensor are.
public enum SparseMask: @unchecked Sendable {
    /// A byte for each element, 0 or 1.
    case bytes(UnsafePointer<UInt8>)
    /// A bit for each element, least significant first.
    case packed(UnsafePointer<UInt8>)
}

/// Copies the elements whose mask is 1, in C order.
///
/// - Parameters:
///   - mask: a byte for each element, 0 or 1.
///   - nonzero: receives as many elements as the mask has ones, in the tensor's type.
/// - Throws: `.invalidArgument` for an impossible shape and other bytes in the mask; `.cancelled`; `.outOfMemory`.
public func gatherNonzero(
    _ tensor: TensorView, mask: UnsafePointer<UInt8>, into nonzero: UnsafeMutableRawPointer, pool: WorkPool
) throws(CompressionError) {
    try tensor.validate("prune")
    try gatherNonzero(
        elementByteCount: tensor.type.byteCount, count: tensor.elementCount, tensor.base, mask: mask, into: nonzero,
        pool: pool)
}

/// The same for elements of any type of 1, 2, 4 or 8 bytes, for example quantized ones.
public func gatherNonzero(
    elementByteCount: Int, count: Int, _ elements: UnsafeRawPointer, mask: UnsafePointer<UInt8>,
    into nonzero: UnsafeMutableRawPointer, pool: WorkPool
) throws(CompressionError) {
    let offsets = try MaskOffsets(.bytes(mask), count, "prune", pool)
    try withElementType(elementByteCount, [elements, UnsafeRawPointer(nonzero)]) { gather($0) }

    func gather<Element: PaletteElement>(_: Element.Type) {
        let source = elements.assumingMemoryBound(to: Element.self)
        let target = nonzero.assumingMemoryBound(to: Element.self)
        pool.forEachPiece(count) { start, _ in
            let piece = start / pieceLength
            Element.gatherKept(
                source + start, mask + start, offsets.kept(piece), target + offsets.before(piece))
        }
    }
    try pool.checkCancellation("prune")
}

/// Puts elements back where the mask is 1, among zeros.
///
/// - Parameters:
///   - elementByteCount: 1, 2, 4 or 8.
///   - count: elements of the output.
///   - nonzeroCount: elements at `nonzero`; as many as the mask has ones.
///   - output: receives `count` elements.
/// - Throws: `.invalidArgument` for numbers that do not fit; `.cancelled`; `.outOfMemory`.
public func scatterNonzero(
    elementByteCount: Int, count: Int, mask: SparseMask, nonzero: UnsafeRawPointer, nonzeroCount: Int,
    into output: UnsafeMutableRawPointer, pool: WorkPool
) throws(CompressionError) {
    let offsets = try MaskOffsets(mask, count, "decompress", pool)
    guard offsets.total == nonzeroCount else {
        throw .invalid("[decompress] nonzero_data: found \(nonzeroCount) elements, the mask has \(offsets.total) ones")
    }
    try withElementType(elementByteCount, [nonzero, UnsafeRawPointer(output)]) { scatter($0) }

    func scatter<Element: PaletteElement>(_: Element.Type) {
        let source = nonzero.assumingMemoryBound(to: Element.self)
        let target = output.assumingMemoryBound(to: Element.self)
        pool.forEachPiece(count) { start, end in
            let piece = start / pieceLength
            mask.withBytes(start, end) { bytes in
                Element.scatterKept(
                    source + offsets.before(piece), offsets.kept(piece), bytes, end - start, target + start)
            }
        }
    }
    try pool.checkCancellation("decompress")
}

/// The error of a pruned tensor against the original: that of the elements whose mask is 0.
///
/// - Throws: `.invalidArgument`, `.cancelled`, `.outOfMemory`.
public func pruningError(
    _ tensor: TensorView, mask: UnsafePointer<UInt8>, pool: WorkPool
) throws(CompressionError) -> ErrorStatistics {
    try tensor.validate("prune")
    return switch tensor.type {
    case .float16: try measure(UInt16.self)
    case .float32: try measure(Float.self)
    case .float64: try measure(Double.self)
    }

    func measure<Element: WeightElement>(_: Element.Type) throws(CompressionError) -> ErrorStatistics {
        let count = tensor.elementCount
        let elements = tensor.base.assumingMemoryBound(to: Element.self)
        let sums = try ErrorSums(count, "prune")
        let places = sums.place(0)
        try pool.tryForEach((count + pieceLength - 1) / pieceLength, operation: "prune") {
            piece throws(CompressionError) in
            let start = piece * pieceLength
            let length = min(pieceLength, count - start)
            let scratch = try Scratch<Element>(length, operation: "prune")
            let work = try Scratch<Float>(2 * length, operation: "prune")
            let (original, kept, decoded) = (elements + start, mask + start, scratch.pointer)
            let zero = Element(nearest: 0)
            // A choice of two values, not a branch: which elements stay cannot be predicted.
            for i in 0..<length {
                let element = original[i]
                decoded[i] = kept[i] != 0 ? element : zero
            }
            Element.sumErrors(original, decoded, length, work.pointer, places + 3 * piece)
        }
        return sums.total()
    }
}

/// Runs `body` with the unsigned integer of this size, after a look at the alignment.
private func withElementType(
    _ byteCount: Int, _ addresses: [UnsafeRawPointer], _ body: (any PaletteElement.Type) -> Void
) throws(CompressionError) {
    let types: [any PaletteElement.Type] = [UInt8.self, UInt16.self, UInt32.self, UInt64.self]
    guard let type = types.first(where: { $0.bitWidth == 8 * byteCount }) else {
        throw .invalid("[decompress] nonzero_data: found elements of \(byteCount) bytes, allowed 1, 2, 4, 8")
    }
    guard addresses.allSatisfy({ Int(bitPattern: $0) % byteCount == 0 }) else {
        throw .invalid("[decompress] nonzero_data, output: not aligned to \(byteCount) bytes")
    }
    body(type)
}

extension SparseMask {
    /// Runs `body` with the bytes of the elements `start..<end`; `start` is a multiple of 8.
    fileprivate func withBytes(_ start: Int, _ end: Int, _ body: (UnsafePointer<UInt8>) -> Void) {
        switch self {
        case .bytes(let pointer): body(pointer + start)
        case .packed(let pointer):
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: end - start) { bytes in
                let place = bytes.baseAddress.unsafelyUnwrapped
                variant(CompressionKernels.unpackCodes, CompressionKernelsV3.unpackCodes)(
                    pointer + start / 8, end - start, 1, false, place)
                body(place)
            }
        }
    }
}

/// How many elements of each piece are kept, and how many before it.
private struct MaskOffsets {
    private let starts: [Int]
    let total: Int

    init(
        _ mask: SparseMask, _ count: Int, _ operation: String, _ pool: WorkPool
    ) throws(CompressionError) {
        guard count >= 0 else { throw .invalid("[\(operation)] count: found \(count), allowed 0 and above") }
        let pieces = (count + pieceLength - 1) / pieceLength
        let counts = try Scratch<Int>(zeroed: pieces, operation: operation)
        let places = counts.pointer
        pool.forEachPiece(count) { start, end in
            mask.withBytes(start, end) { bytes in
                let union = variant(CompressionKernels.unionOfBits, CompressionKernelsV3.unionOfBits)(
                    bytes, end - start)
                places[start / pieceLength] =
                    union > 1
                    ? -1 : variant(CompressionKernels.countOnes, CompressionKernelsV3.countOnes)(bytes, end - start)
            }
        }
        try pool.checkCancellation(operation)
        var starts: [Int] = []
        var total = 0
        for piece in 0..<pieces {
            guard places[piece] >= 0 else { throw .invalid("[\(operation)] mask: found other bytes, allowed 0, 1") }
            starts.append(total)
            total += places[piece]
        }
        starts.append(total)
        (self.starts, self.total) = (starts, total)
    }

    func before(_ piece: Int) -> Int { starts[piece] }
    func kept(_ piece: Int) -> Int { starts[piece + 1] - starts[piece] }
}
