/// Turns a tensor into a code for each element, and a scale (and zero point) for each block.
///
/// The arithmetic is that of coremltools 9.0 in the type of the weight, with the same bits; see `OddBlock` for the blocks
/// in which that has no meaning. The tensor is only read; the result does not depend on the number of threads.
///
/// - Parameters:
///   - layout: what `quantizationLayout` returned for the same tensor and options.
///   - data: receives `layout.count` codes, one in each byte; signed ones as two's complement.
///   - scale: receives `layout.blockCount` elements of the tensor's type.
///   - zeroPoint: receives `layout.blockCount` codes; may be nil when `layout.hasZeroPoint` is false.
/// - Throws: what `quantizationLayout` throws; `.declined` for NaN or infinite elements, naming the first;
///   `.invalidArgument` for a layout that does not fit; `.cancelled`; `.outOfMemory`.
@discardableResult
public func quantize(
    _ tensor: TensorView, _ options: QuantizationOptions, _ layout: QuantizationLayout, pool: WorkPool,
    data: UnsafeMutablePointer<UInt8>, scale: UnsafeMutableRawPointer, zeroPoint: UnsafeMutablePointer<UInt8>? = nil
) throws(CompressionError) -> QuantizationSummary {
    guard try quantizationLayout(tensor, options) == layout else {
        throw .invalid("[quantize] layout: found one of another tensor or other options")
    }
    guard Int(bitPattern: scale) % tensor.type.byteCount == 0 else {
        throw .invalid("[quantize] scale: not aligned to \(tensor.type.byteCount) bytes")
    }
    guard zeroPoint != nil || !layout.hasZeroPoint else {
        throw .invalid("[quantize] zero_point: found no place for it, required with \(options.mode.rawValue)")
    }
    return switch tensor.type {
    case .float16: try run(UInt16.self)
    case .float32: try run(Float.self)
    case .float64: try run(Double.self)
    }

    func run<Element: QuantizableElement>(_: Element.Type) throws(CompressionError) -> QuantizationSummary {
        let elements = tensor.base.assumingMemoryBound(to: Element.self)
        let zeros = try Scratch<UInt8>(layout.hasZeroPoint ? 0 : layout.blockCount, operation: "quantize")
        let job = QuantizationJob<Element>(
            elements: elements, layout: layout, options: options, pool: pool, codes: data,
            scale: scale.assumingMemoryBound(to: Element.self), zero: zeroPoint ?? zeros.pointer)
        let found = try job.run()
        if found.nonFinite {
            try requireFinite(
                elements, layout.count, nil, infinities: true, pool, "quantize", "linear quantization")
        }
        return QuantizationSummary(constantBlocks: found.zeroBlocks)
    }
}
