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
    let found = try quantize(tensor, options, layout, pool, data: data, scale: scale, zeroPoint: zeroPoint, dense: nil)
    return QuantizationSummary(constantBlocks: found.zeroBlocks)
}

/// Rounds a tensor to what its codes stand for: `quantize`, `dequantize` and the error, with the same bits. Blocks that lie one
/// after the other go through the memory once.
///
/// - Parameters:
///   - layout, scale, zeroPoint: see `quantize`.
///   - dense: receives `layout.count` elements of the tensor's type; other memory than the tensor's.
/// - Throws: as `quantize`.
public func roundToCodes(
    _ tensor: TensorView, _ options: QuantizationOptions, _ layout: QuantizationLayout, pool: WorkPool,
    dense: UnsafeMutableRawPointer, scale: UnsafeMutableRawPointer, zeroPoint: UnsafeMutablePointer<UInt8>? = nil
) throws(CompressionError) -> ErrorStatistics {
    try quantize(tensor, options, layout, pool, data: nil, scale: scale, zeroPoint: zeroPoint, dense: dense).error
}

private func quantize(
    _ tensor: TensorView, _ options: QuantizationOptions, _ layout: QuantizationLayout, _ pool: WorkPool,
    data: UnsafeMutablePointer<UInt8>?, scale: UnsafeMutableRawPointer, zeroPoint: UnsafeMutablePointer<UInt8>?,
    dense: UnsafeMutableRawPointer?
) throws(CompressionError) -> BlockFindings {
    guard try quantizationLayout(tensor, options) == layout else {
        throw .invalid("[quantize] layout: found one of another tensor or other options")
    }
    for (name, place) in [("scale", scale), ("dense", dense)] {
        guard Int(bitPattern: place) % tensor.type.byteCount == 0 else {
            throw .invalid("[quantize] \(name): not aligned to \(tensor.type.byteCount) bytes")
        }
    }
    guard zeroPoint != nil || !layout.hasZeroPoint else {
        throw .invalid("[quantize] zero_point: found no place for it, required with \(options.mode.rawValue)")
    }
    return switch tensor.type {
    case .float16: try run(UInt16.self)
    case .float32: try run(Float.self)
    case .float64: try run(Double.self)
    }

    func run<Element: QuantizableElement>(_: Element.Type) throws(CompressionError) -> BlockFindings {
        let elements = tensor.base.assumingMemoryBound(to: Element.self)
        let zeros = try Scratch<UInt8>(layout.hasZeroPoint ? 0 : layout.blockCount, operation: "quantize")
        let job = QuantizationJob<Element>(
            elements: elements, layout: layout, options: options, pool: pool, codes: data,
            scale: scale.assumingMemoryBound(to: Element.self), zero: zeroPoint ?? zeros.pointer,
            dense: dense?.assumingMemoryBound(to: Element.self))
        let found = try job.run()
        if found.nonFinite {
            try requireFinite(
                elements, layout.count, nil, infinities: true, pool, "quantize", "linear quantization")
        }
        return found
    }
}
