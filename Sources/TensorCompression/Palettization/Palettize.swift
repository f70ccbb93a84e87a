/// Turns a tensor into lookup tables and a code for each element (or vector of `clusterDim` channels).
///
/// The tensor is only read. Groups run in parallel; the result does not depend on the number of threads.
/// Where this differs from coremltools 9.0: scalar k-means is exact for every type and size (coremltools falls back to
/// an approximation for float32 and below 10,000 elements); uniform palettes of constant data print no warning and never
/// hold infinities.
///
/// - Parameters:
///   - layout: what `paletteLayout` returned for the same tensor, options and mask.
///   - importance: for mode `kmeans` only: how much each element counts.
///   - mask: one byte for each element, 0 = masked out: the element takes no part, and its code is 0.
///   - customLUT: for mode `custom`.
///   - lut: receives `layout.lutElementCount` elements of the tensor's type.
///   - indices: receives `layout.indicesCount` codes, one in each byte.
///   - scale: receives `layout.scaleElementCount` elements of the tensor's type; may be nil when that is 0.
/// - Returns: `layout`, but for mode `custom` without `nbits`, where it has the bits that were needed; `lut` is laid out
///   accordingly.
/// - Throws: what `paletteLayout` throws; `.declined` for NaN or infinite elements (`unique`: NaN), naming the first;
///   `.invalidArgument` for a layout that does not fit, negative importances, or codes out of range from `customLUT`.
@discardableResult
public func palettize(
    _ tensor: TensorView, _ options: PalettizationOptions, _ layout: PaletteLayout, importance: Importance? = nil,
    mask: UnsafePointer<UInt8>? = nil, pool: WorkPool, customLUT: CustomLookupTable? = nil,
    lut: UnsafeMutableRawPointer, indices: UnsafeMutablePointer<UInt8>, scale: UnsafeMutableRawPointer? = nil
) throws(CompressionError) -> PaletteLayout {
    let geometry = try groupGeometry(tensor, options)
    try checkMask(mask, options)
    guard allowedBits.contains(layout.nbits), layout == geometry.layout(nbits: layout.nbits, options.perChannelScale),
        options.mode == .unique ? layout.nbits >= options.nbits ?? 1 : layout.nbits == options.nbits ?? 8
    else { throw .invalid("[palettize] layout: found one of another tensor or other options") }
    guard Int(bitPattern: lut) % tensor.type.byteCount == 0,
        Int(bitPattern: scale ?? lut) % tensor.type.byteCount == 0
    else { throw .invalid("[palettize] lut, scale: not aligned to \(tensor.type.byteCount) bytes") }
    if let importance {
        guard options.mode == .kmeans else {
            throw .invalid("[palettize] importance: found with mode \(options.mode.rawValue), allowed with kmeans")
        }
        try importance.validate(tensor.elementCount, pool, "palettize")
    }
    let task = PaletteTask(
        mode: options.mode, nbits: layout.nbits, clusterDim: options.clusterDim, seed: options.seed,
        anyOptimum: options.anyOptimum, starts: options.starts, pool: pool)
    let call = PaletteCall(
        tensor: tensor, options: options, layout: layout, geometry: geometry, task: task, importance: importance,
        mask: mask, customLUT: customLUT)
    return switch tensor.type {
    case .float16: try call.run(UInt16.self, lut, indices, scale)
    case .float32: try call.run(Float.self, lut, indices, scale)
    case .float64: try call.run(Double.self, lut, indices, scale)
    }
}

private struct PaletteCall {
    let tensor: TensorView
    let options: PalettizationOptions
    let layout: PaletteLayout
    let geometry: GroupGeometry
    let task: PaletteTask
    let importance: Importance?
    let mask: UnsafePointer<UInt8>?
    let customLUT: CustomLookupTable?

    func run<Element: WeightElement>(
        _ element: Element.Type, _ lut: UnsafeMutableRawPointer, _ indices: UnsafeMutablePointer<UInt8>,
        _ scale: UnsafeMutableRawPointer?
    ) throws(CompressionError) -> PaletteLayout {
        let job = PaletteJob<Element>(geometry: geometry, task: task, importance: importance, mask: mask)
        let table = lut.assumingMemoryBound(to: Element.self)
        var result = layout
        try job.withElements(tensor, options.perChannelScale, scale?.assumingMemoryBound(to: Element.self)) {
            elements throws(CompressionError) in
            if options.mode == .custom {
                result = try callCustom(elements, table, indices)
                return
            }
            zeroBytes(lut, layout.lutElementCount * tensor.type.byteCount)
            try job.forEachGroup { group, scratch throws(CompressionError) in
                try job.fill(elements, group, scratch, table, indices)
            }
        }
        return result
    }

    /// Calls the function for each group, on this thread.
    private func callCustom<Element: WeightElement>(
        _ elements: UnsafePointer<Element>, _ lut: UnsafeMutablePointer<Element>,
        _ indices: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) -> PaletteLayout {
        guard let customLUT else { throw .invalid("[palettize] lut_function: found none, required with mode custom") }
        let stride = 256 * options.clusterDim
        let tables = try Scratch<Element>(zeroed: geometry.groups * stride, operation: "palettize")
        let values = try Scratch<Element>(geometry.groupElements, operation: "palettize")
        let codes = try Scratch<UInt8>(zeroed: geometry.groupCodes, operation: "palettize")
        let limit = options.nbits.map { 1 << $0 } ?? 256
        var entries = 0
        for group in 0..<geometry.groups {
            try task.pool.checkCancellation("palettize")
            geometry.gatherSwapped(group, elements, values.pointer)
            let found = try customLUT(
                group, values.pointer, geometry.swappedShape, tables.pointer + group * stride, codes.pointer)
            guard found >= 1, found <= limit, group == 0 || found == entries else {
                let allowed = group == 0 ? "1 to \(limit)" : "\(entries) as for the first group"
                throw .invalid(
                    "[palettize] lut_function: found \(found) entries for group \(group), allowed \(allowed)")
            }
            entries = found
            for i in 0..<geometry.groupCodes where codes.pointer[i] >= found {
                throw .invalid(
                    "[palettize] lut_function: found index \(codes.pointer[i]) in group \(group), "
                        + "allowed 0 to \(found - 1)")
            }
            geometry.scatterSwappedCodes(group, codes.pointer, indices)
        }
        guard let bits = options.nbits ?? bitsFor(entries: entries) else {
            throw CompressionError(kind: .internal, message: "[palettize] lut_function: \(entries) entries")
        }
        let used = geometry.layout(nbits: bits, options.perChannelScale)
        let width = used.entries * options.clusterDim
        zeroBytes(lut, used.lutElementCount * MemoryLayout<Element>.size)
        for group in 0..<geometry.groups {
            let filled = entries * options.clusterDim
            for i in 0..<filled { lut[group * width + i] = tables.pointer[group * stride + i] }
        }
        return used
    }
}
