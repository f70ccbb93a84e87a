import CompressionKernels

/// The sizes that `palettize` will need, for the same tensor, options and mask.
///
/// With mode `unique` this counts the distinct values of every group: the largest number decides (`nbits`, if given, is a
/// minimum). With mode `custom` and no `nbits` it leaves room for 8 bits; `palettize` returns the layout it used.
///
/// - Throws: `.invalidArgument`, `.notImplemented` for contradicting options; `.declined` when the groups or vectors do
///   not divide the channels, when there are more than 2^8 distinct values, or when a NaN (with a scale, an infinity too) is
///   to be listed; `.cancelled`; `.outOfMemory`.
public func paletteLayout(
    _ tensor: TensorView, _ options: PalettizationOptions, mask: UnsafePointer<UInt8>? = nil, pool: WorkPool
) throws(CompressionError) -> PaletteLayout {
    let geometry = try groupGeometry(tensor, options)
    try checkMask(mask, options)
    switch options.mode {
    case .kmeans, .uniform: break
    case .custom: return geometry.layout(nbits: options.nbits ?? 8, options.perChannelScale)
    case .unique:
        let needed =
            switch tensor.type {
            case .float16: try uniqueBits(tensor, geometry, options, mask, pool, UInt16.self)
            case .float32: try uniqueBits(tensor, geometry, options, mask, pool, Float.self)
            case .float64: try uniqueBits(tensor, geometry, options, mask, pool, Double.self)
            }
        return geometry.layout(nbits: max(needed, options.nbits ?? 1), options.perChannelScale)
    }
    guard let nbits = options.nbits else {
        throw CompressionError(kind: .internal, message: "[palettize] nbits: missing after validation")
    }
    return geometry.layout(nbits: nbits, options.perChannelScale)
}

func checkMask(_ mask: UnsafePointer<UInt8>?, _ options: PalettizationOptions) throws(CompressionError) {
    guard mask != nil else { return }
    if options.clusterDim > 1 {
        throw CompressionError(
            kind: .notImplemented,
            message: "[palettize] cluster_dim: found \(options.clusterDim), allowed 1 with a mask")
    }
    if options.mode == .custom {
        throw CompressionError(
            kind: .notImplemented,
            message: "[palettize] mode: found custom, allowed kmeans, uniform, unique with a mask")
    }
}

private func uniqueBits<Element: WeightElement>(
    _ tensor: TensorView, _ geometry: GroupGeometry, _ options: PalettizationOptions, _ mask: UnsafePointer<UInt8>?,
    _ pool: WorkPool, _ element: Element.Type
) throws(CompressionError) -> Int {
    let scaleCount = geometry.layout(nbits: 8, options.perChannelScale).scaleElementCount
    let scale = try Scratch<Element>(scaleCount, operation: "palettize")
    let job = PaletteJob<Element>(
        geometry: geometry,
        task: PaletteTask(
            mode: .unique, nbits: 8, clusterDim: options.clusterDim, seed: options.seed, anyOptimum: false, starts: 1,
            pool: pool),
        importance: nil, mask: mask)
    let counts = try Scratch<Int>(geometry.groups, operation: "palettize")
    let places = counts.pointer
    try job.withElements(tensor, options.perChannelScale, scale.pointer) { elements throws(CompressionError) in
        try job.forEachGroup { group, scratch throws(CompressionError) in
            places[group] = try job.countDistinct(elements, group, scratch)
        }
    }
    var most = 1
    for group in 0..<geometry.groups { most = max(most, places[group]) }
    guard let bits = bitsFor(entries: most) else {
        throw .declined("[palettize] unique: found more than 256 distinct values in a group, a palette holds 256")
    }
    return bits
}
