import CompressionKernels
import CompressionKernelsV3

/// Integer codes in memory.
public enum IntegerCodes: @unchecked Sendable {
    /// One in each byte; of a signed type as two's complement of 8 bits.
    case bytes(UnsafePointer<UInt8>)
    /// n-bit codes without gaps, least significant bit first.
    case packed(UnsafePointer<UInt8>)
}

/// Turns integers back into a dense tensor, as iOS18's `constexpr_blockwise_shift_scale` does.
///
/// output = (code - zero point) * scale. The product is rounded to binary32 and then to the type of the output, which is
/// one rounding for float16 and float32; float64 is multiplied in binary64.
///
/// - Parameters:
///   - type: the type of the codes. Codes in bytes may use more bits than it has.
///   - shape: that of the codes and of the output.
///   - scale: elements of `floatType`; each of its dimensions divides that of the codes.
///   - zeroPoint: none, or one for each scale, in bytes like codes.
///   - output: receives all elements in C order, in `floatType`.
/// - Throws: `.invalidArgument` for shapes that do not fit; `.cancelled`; `.outOfMemory`.
public func dequantize(
    codes: IntegerCodes, type: IntegerType, shape: [Int], scale: DecodingScale, floatType: FloatType,
    zeroPoint: UnsafePointer<UInt8>? = nil, into output: UnsafeMutableRawPointer, pool: WorkPool
) throws(CompressionError) {
    switch floatType {
    case .float16: try decode(UInt16.self)
    case .float32: try decode(Float.self)
    case .float64: try decode(Double.self)
    }

    func decode<Element: QuantizableElement>(_: Element.Type) throws(CompressionError) {
        let decoder = try IntegerDecoder<Element>(
            codes: codes, type: type, shape: shape, scale: scale, zeroPoint: zeroPoint, output: output)
        let target = output.assumingMemoryBound(to: Element.self)
        try decoder.forEachPiece(pool) { start, end, scratch in
            decoder.decode(start, end, scratch, target + start)
        }
    }
}

/// The error of a quantized tensor against the original, without a dense copy of it.
///
/// - Throws: as `dequantize`.
public func quantizationError(
    _ tensor: TensorView, _ layout: QuantizationLayout, type: IntegerType, data: UnsafePointer<UInt8>,
    scale: UnsafeRawPointer, zeroPoint: UnsafePointer<UInt8>? = nil, pool: WorkPool
) throws(CompressionError) -> ErrorStatistics {
    try tensor.validate("decompress")
    guard tensor.shape == layout.shape else {
        throw .invalid("[decompress] layout: found shape \(layout.shape), the tensor has \(tensor.shape)")
    }
    return switch tensor.type {
    case .float16: try measure(UInt16.self)
    case .float32: try measure(Float.self)
    case .float64: try measure(Double.self)
    }

    func measure<Element: QuantizableElement>(_: Element.Type) throws(CompressionError) -> ErrorStatistics {
        try decodingError(
            tensor.base.assumingMemoryBound(to: Element.self), layout, type, codes: data, scale: scale,
            zeroPoint: zeroPoint, pool: pool, into: nil)
    }
}

/// The error of codes in bytes against the original.
/// - dense: where the decoded elements go, or nil.
func decodingError<Element: QuantizableElement>(
    _ original: UnsafePointer<Element>, _ layout: QuantizationLayout, _ type: IntegerType,
    codes: UnsafePointer<UInt8>, scale: UnsafeRawPointer, zeroPoint: UnsafePointer<UInt8>?, pool: WorkPool,
    into dense: UnsafeMutablePointer<Element>?
) throws(CompressionError) -> ErrorStatistics {
    let decoder = try IntegerDecoder<Element>(
        codes: .bytes(codes), type: type, shape: layout.shape,
        scale: DecodingScale(elements: scale, shape: layout.scaleShape), zeroPoint: zeroPoint, output: nil)
    let sums = try ErrorSums(decoder.count, "decompress")
    let places = sums.place(0)
    try decoder.forEachPiece(pool) { start, end, scratch in
        let target = dense.map { $0 + start } ?? scratch.decoded
        decoder.decode(start, end, scratch, target)
        Element.sumErrors(original + start, target, end - start, scratch.work, places + start / pieceLength * 3)
    }
    return sums.total()
}

/// Working memory of one task.
private struct IntegerScratch<Element>: ~Copyable {
    private let memory: Scratch<UInt8>

    init() throws(CompressionError) { memory = try Scratch(pieceLength * 25, operation: "decompress") }

    private func place<Value>(_ type: Value.Type, _ bytes: Int) -> UnsafeMutablePointer<Value> {
        UnsafeMutableRawPointer(memory.pointer + bytes * pieceLength).assumingMemoryBound(to: type)
    }

    var decoded: UnsafeMutablePointer<Element> { place(Element.self, 0) }
    /// Two numbers for each element.
    var work: UnsafeMutablePointer<Float> { place(Float.self, 8) }
    var codes: UnsafeMutablePointer<UInt8> { place(UInt8.self, 16) }
    var zeros: UnsafeMutablePointer<UInt8> { place(UInt8.self, 24) }
}

private struct IntegerDecoder<Element: QuantizableElement>: @unchecked Sendable {
    let count: Int
    private let codes: IntegerCodes
    private let type: IntegerType
    private let map: BlockMap
    private let scale: UnsafePointer<Element>
    private let zeroPoint: UnsafePointer<UInt8>?
    private var flip: UInt8 { type.flip }

    init(
        codes: IntegerCodes, type: IntegerType, shape: [Int], scale: DecodingScale, zeroPoint: UnsafePointer<UInt8>?,
        output: UnsafeMutableRawPointer?
    ) throws(CompressionError) {
        try TensorView(
            base: output ?? UnsafeMutableRawPointer(mutating: scale.elements), type: Element.type, shape: shape
        )
        .validate("decompress")
        guard Int(bitPattern: scale.elements) % Element.type.byteCount == 0 else {
            throw .invalid("[decompress] scale: not aligned to \(Element.type.byteCount) bytes")
        }
        guard scale.shape.count == shape.count,
            zip(shape, scale.shape).allSatisfy({ $1 > 0 ? $0 % $1 == 0 : $0 == 0 && $1 == 0 })
        else {
            throw .invalid(
                "[decompress] scale: found shape \(scale.shape), allowed one whose dimensions divide those of \(shape)")
        }
        count = shape.reduce(1, *)
        map = BlockMap(shape: count == 0 ? [] : shape, parts: count == 0 ? [] : scale.shape)
        (self.codes, self.type, self.zeroPoint) = (codes, type, zeroPoint)
        self.scale = scale.elements.assumingMemoryBound(to: Element.self)
    }

    func forEachPiece(
        _ pool: WorkPool, _ body: (Int, Int, borrowing IntegerScratch<Element>) -> Void
    ) throws(CompressionError) {
        let pieces = (count + pieceLength - 1) / pieceLength
        let batch = max(1, min(16, pieces / (4 * pool.threadCount)))
        try pool.tryForEach((pieces + batch - 1) / batch, operation: "decompress") {
            index throws(CompressionError) in
            let scratch = try IntegerScratch<Element>()
            for piece in index * batch..<min(pieces, (index + 1) * batch) {
                body(piece * pieceLength, min(count, (piece + 1) * pieceLength), scratch)
            }
        }
    }

    /// Decodes the elements `start..<end`; `start` is a multiple of 8.
    func decode(
        _ start: Int, _ end: Int, _ scratch: borrowing IntegerScratch<Element>, _ target: UnsafeMutablePointer<Element>
    ) {
        let bytes: UnsafePointer<UInt8>
        switch codes {
        case .bytes(let pointer): bytes = pointer + start
        case .packed(let pointer):
            variant(CompressionKernels.unpackCodes, CompressionKernelsV3.unpackCodes)(
                pointer + start / 8 * type.bits, end - start, type.bits, type.isSigned, scratch.codes)
            bytes = UnsafePointer(scratch.codes)
        }
        let middle = Int32(flip)
        let none = scratch.zeros
        var cleared = false
        map.forEachRun(start, end) { position, length, block, step in
            let (from, out) = (bytes + (position - start), target + (position - start))
            if step == 0 {
                let zero = zeroPoint.map { Int32($0[block] ^ flip) } ?? middle
                Element.dequantizeBlock(from, length, flip, zero, scale[block], out)
                return
            }
            if zeroPoint == nil, !cleared {
                zeroBytes(none, end - start)
                cleared = true
            }
            Element.dequantizeRow(
                from, length, flip, zeroPoint.map { $0 + block } ?? UnsafePointer(none), scale + block, out)
        }
    }
}
