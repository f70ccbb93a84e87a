import CompressionKernels

/// Codes in memory.
public enum PaletteCodes: @unchecked Sendable {
    /// One code in each byte.
    case bytes(UnsafePointer<UInt8>)
    /// n-bit codes without gaps, least significant bit first.
    case packed(UnsafePointer<UInt8>)
}

/// A scale to multiply with: elements of the data's type; each axis of the data is cut into `shape[axis]` equal parts.
public struct DecodingScale: @unchecked Sendable {
    public let elements: UnsafeRawPointer
    public let shape: [Int]
    public init(elements: UnsafeRawPointer, shape: [Int]) {
        self.elements = elements
        self.shape = shape
    }
}

/// Elements that took no part in palettization: where `mask` is 0 the output is the next of `kept` (in C order of the
/// tensor), instead of what the code says.
public struct KeptElements: @unchecked Sendable {
    public let mask: UnsafePointer<UInt8>
    /// As many elements as `mask` has zeros, in the data's type.
    public let elements: UnsafeRawPointer
    public init(mask: UnsafePointer<UInt8>, elements: UnsafeRawPointer) {
        self.mask = mask
        self.elements = elements
    }
}

/// Turns codes back into a dense tensor, as iOS18's `constexpr_lut_to_dense` does.
///
/// output = lut[group of the position][code], and with `scale` the product in the data's type, rounded once.
///
/// - Parameters:
///   - lutShape: the rank of the indices + 2: tables along each axis (dividing it), entries (a power of two, 2 to 256), and
///     the vector length.
///   - type: the type of `lut`, `scale` and the output.
///   - indicesShape: the shape of the codes.
///   - vectorAxis: -rank to rank - 1; the axis of the output that is longer by the vector length. Needed when that is above 1.
///   - output: receives all elements in C order.
/// - Throws: `.invalidArgument` for shapes that do not fit and codes beyond the table; `.cancelled`; `.outOfMemory`.
public func decodePalette(
    lut: UnsafeRawPointer, lutShape: [Int], type: FloatType, codes: PaletteCodes, indicesShape: [Int],
    vectorAxis: Int? = nil, scale: DecodingScale? = nil, kept: KeptElements? = nil,
    into output: UnsafeMutableRawPointer, pool: WorkPool
) throws(CompressionError) {
    let geometry = try DecodingGeometry(lutShape: lutShape, indicesShape: indicesShape, vectorAxis: vectorAxis)
    try checkAlignment([lut, UnsafeRawPointer(output), scale?.elements ?? lut, kept?.elements ?? lut], type)
    switch type {
    case .float16: try decode(UInt16.self)
    case .float32: try decode(Float.self)
    case .float64: try decode(Double.self)
    }

    func decode<Element: WeightElement>(_: Element.Type) throws(CompressionError) {
        let decoder = try PaletteDecoder<Element>(geometry, lut, codes, scale)
        let target = output.assumingMemoryBound(to: Element.self)
        let firstKept = try kept.map { kept throws(CompressionError) in
            try KeptOffsets(kept.mask, geometry.count, pool)
        }
        try forEachDecodedPiece(geometry.count, pool) { start, end, scratch throws(CompressionError) in
            try decoder.decode(start, end, scratch, target + start)
            if let kept, let firstKept {
                var next = kept.elements.assumingMemoryBound(to: Element.self) + firstKept.offset(start)
                for i in start..<end where kept.mask[i] == 0 {
                    target[i] = next.pointee
                    next += 1
                }
            }
        }
    }
}

/// Turns what `palettize` wrote back into a dense tensor in the tensor's type.
public func decodePalette(
    _ layout: PaletteLayout, _ type: FloatType, lut: UnsafeRawPointer, indices: UnsafePointer<UInt8>,
    scale: UnsafeRawPointer? = nil, kept: KeptElements? = nil, into output: UnsafeMutableRawPointer, pool: WorkPool
) throws(CompressionError) {
    try decodePalette(
        lut: lut, lutShape: layout.lutShape, type: type, codes: .bytes(indices), indicesShape: layout.indicesShape,
        vectorAxis: layout.vectorAxis, scale: try layout.decodingScale(scale), kept: kept, into: output, pool: pool)
}

/// Turns codes into elements of any type of 1, 2, 4 or 8 bytes, for example int8 tables under a linear quantization.
///
/// Parameters and errors as `decodePalette`; `elementByteCount` is the size of an element of `lut` and of the output.
public func expandPalette(
    lut: UnsafeRawPointer, lutShape: [Int], elementByteCount: Int, codes: PaletteCodes, indicesShape: [Int],
    vectorAxis: Int? = nil, into output: UnsafeMutableRawPointer, pool: WorkPool
) throws(CompressionError) {
    let geometry = try DecodingGeometry(lutShape: lutShape, indicesShape: indicesShape, vectorAxis: vectorAxis)
    switch elementByteCount {
    case 1: try expand(UInt8.self)
    case 2: try expand(UInt16.self)
    case 4: try expand(UInt32.self)
    case 8: try expand(UInt64.self)
    default:
        throw .invalid("[decompress] lut: found elements of \(elementByteCount) bytes, allowed 1, 2, 4, 8")
    }

    func expand<Element: PaletteElement>(_: Element.Type) throws(CompressionError) {
        guard Int(bitPattern: lut) % elementByteCount == 0, Int(bitPattern: output) % elementByteCount == 0 else {
            throw .invalid("[decompress] lut, output: not aligned to \(elementByteCount) bytes")
        }
        let expander = PaletteExpander(geometry, lut.assumingMemoryBound(to: Element.self), codes)
        let target = output.assumingMemoryBound(to: Element.self)
        try forEachDecodedPiece(geometry.count, pool) { start, end, scratch throws(CompressionError) in
            try expander.expand(start, end, scratch, target + start)
        }
    }
}

/// The error of a palettized tensor against the original, without a dense copy of it.
///
/// - mask: elements masked out keep their value, so they have no error; they count in `sumOfSquares`.
/// - Throws: as `decodePalette`.
public func paletteError(
    _ tensor: TensorView, _ layout: PaletteLayout, lut: UnsafeRawPointer, indices: UnsafePointer<UInt8>,
    scale: UnsafeRawPointer? = nil, mask: UnsafePointer<UInt8>? = nil, pool: WorkPool
) throws(CompressionError) -> ErrorStatistics {
    try tensor.validate("decompress")
    guard tensor.shape == layout.shape else {
        throw .invalid("[decompress] layout: found shape \(layout.shape), the tensor has \(tensor.shape)")
    }
    let geometry = try DecodingGeometry(
        lutShape: layout.lutShape, indicesShape: layout.indicesShape, vectorAxis: layout.vectorAxis)
    let decodingScale = try layout.decodingScale(scale)
    try checkAlignment([lut, scale ?? lut], tensor.type)
    return switch tensor.type {
    case .float16: try measure(UInt16.self)
    case .float32: try measure(Float.self)
    case .float64: try measure(Double.self)
    }

    func measure<Element: WeightElement>(_: Element.Type) throws(CompressionError) -> ErrorStatistics {
        let decoder = try PaletteDecoder<Element>(geometry, lut, .bytes(indices), decodingScale)
        let original = tensor.base.assumingMemoryBound(to: Element.self)
        let sums = try ErrorSums(geometry.count, "decompress")
        try forEachDecodedPiece(geometry.count, pool) { start, end, scratch throws(CompressionError) in
            let decoded = try Scratch<Element>(end - start, operation: "decompress")
            let work = try Scratch<Float>(2 * (end - start), operation: "decompress")
            try decoder.decode(start, end, scratch, decoded.pointer)
            if let mask {
                for i in start..<end where mask[i] == 0 { decoded.pointer[i - start] = original[i] }
            }
            Element.sumErrors(original + start, decoded.pointer, end - start, work.pointer, sums.place(start))
        }
        return sums.total()
    }
}

extension PaletteLayout {
    fileprivate func decodingScale(_ scale: UnsafeRawPointer?) throws(CompressionError) -> DecodingScale? {
        guard let shape = scaleShape else { return nil }
        guard let scale else { throw .invalid("[decompress] scale: found none, the layout has one") }
        return DecodingScale(elements: scale, shape: shape)
    }
}

private func checkAlignment(_ addresses: [UnsafeRawPointer], _ type: FloatType) throws(CompressionError) {
    guard addresses.allSatisfy({ Int(bitPattern: $0) % type.byteCount == 0 }) else {
        throw .invalid("[decompress] lut, scale, kept, output: not aligned to \(type.byteCount) bytes")
    }
}

/// Runs `body(start, end, scratch)` for the pieces of a tensor, each with memory of its own.
private func forEachDecodedPiece(
    _ count: Int, _ pool: WorkPool, _ body: (Int, Int, DecodingScratch) throws(CompressionError) -> Void
) throws(CompressionError) {
    let pieces = (count + pieceLength - 1) / pieceLength
    // A few pieces share the memory of a task.
    let batch = max(1, min(16, pieces / (4 * pool.threadCount)))
    try pool.tryForEach((pieces + batch - 1) / batch, operation: "decompress") { index throws(CompressionError) in
        let scratch = try DecodingScratch()
        for piece in index * batch..<min(pieces, (index + 1) * batch) {
            try body(piece * pieceLength, min(count, (piece + 1) * pieceLength), scratch)
        }
    }
}

/// How many masked-out elements come before each piece.
private struct KeptOffsets {
    private let before: [Int]

    init(_ mask: UnsafePointer<UInt8>, _ count: Int, _ pool: WorkPool) throws(CompressionError) {
        let pieces = (count + pieceLength - 1) / pieceLength
        let counts = try Scratch<Int>(zeroed: pieces, operation: "decompress")
        let places = counts.pointer
        pool.forEachPiece(count) { start, end in
            var zeros = 0
            for i in start..<end { zeros &+= mask[i] == 0 ? 1 : 0 }
            places[start / pieceLength] = zeros
        }
        var total = 0
        before = (0..<pieces).map { piece in
            defer { total += places[piece] }
            return total
        }
    }

    func offset(_ start: Int) -> Int { before[start / pieceLength] }
}
