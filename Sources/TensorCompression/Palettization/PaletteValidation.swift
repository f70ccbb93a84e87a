/// The numbers of bits a code can have.
let allowedBits = [1, 2, 3, 4, 6, 8]

/// The fewest bits whose palette holds `entries` entries; nil above 256.
func bitsFor(entries: Int) -> Int? { allowedBits.first { entries <= 1 << $0 } }

/// Checks everything that does not depend on the elements, and finds the geometry.
func groupGeometry(
    _ tensor: TensorView, _ options: PalettizationOptions
) throws(CompressionError) -> GroupGeometry {
    try tensor.validate("palettize")
    let rank = tensor.shape.count
    guard rank > 0 else { throw .invalid("[palettize] weight: found rank 0, allowed 1 and above") }
    guard tensor.elementCount > 0 else {
        throw .invalid("[palettize] weight: found shape \(tensor.shape), allowed shapes with at least one element")
    }
    if let nbits = options.nbits, !allowedBits.contains(nbits) {
        throw .invalid("[palettize] nbits: found \(nbits), allowed 1, 2, 3, 4, 6, 8")
    }
    if options.nbits == nil, options.mode == .kmeans || options.mode == .uniform {
        throw .invalid(
            "[palettize] nbits: found none, allowed 1, 2, 3, 4, 6, 8 with mode \(options.mode.rawValue)")
    }
    guard options.channelAxis >= -rank, options.channelAxis < rank else {
        throw .invalid("[palettize] channel_axis: found \(options.channelAxis), allowed \(-rank) to \(rank - 1)")
    }
    let axis = options.channelAxis < 0 ? options.channelAxis + rank : options.channelAxis
    guard options.clusterDim >= 1 else {
        throw .invalid("[palettize] cluster_dim: found \(options.clusterDim), allowed 1 and above")
    }
    if options.mode == .uniform, options.clusterDim > 1 {
        throw CompressionError(
            kind: .notImplemented,
            message: "[palettize] cluster_dim: found \(options.clusterDim), allowed 1 with mode uniform")
    }
    let channels = tensor.shape[axis]
    var groupSize = channels
    if case .perGroupedChannel(let size) = options.granularity {
        guard size >= 1 else { throw .invalid("[palettize] group_size: found \(size), allowed 1 and above") }
        groupSize = size
    }
    guard channels % groupSize == 0 else {
        throw .declined(
            "[palettize] group_size: \(groupSize) does not divide the \(channels) channels of axis \(axis)")
    }
    guard groupSize % options.clusterDim == 0 else {
        throw .declined(
            "[palettize] cluster_dim: \(options.clusterDim) does not divide the \(groupSize) channels of a group")
    }
    let geometry = GroupGeometry(
        shape: tensor.shape, axis: axis, groupSize: groupSize, clusterDim: options.clusterDim)
    guard geometry.groupElements <= Int(UInt32.max) else {
        throw .declined("[palettize] a group of \(geometry.groupElements) elements is too large, at most 4294967295")
    }
    return geometry
}

extension GroupGeometry {
    func layout(nbits: Int, _ scale: PerChannelScale) -> PaletteLayout {
        PaletteLayout(
            nbits: nbits, groups: groups, clusterDim: clusterDim, channelAxis: axis, shape: shape,
            perChannelScale: scale)
    }
}

/// Throws `.declined` with the first element that is NaN or, with `infinities`, infinite. Masked-out elements may be.
func requireFinite<Element: WeightElement>(
    _ elements: UnsafePointer<Element>, _ count: Int, _ mask: UnsafePointer<UInt8>?, infinities: Bool,
    _ pool: WorkPool, _ operation: String, _ purpose: String
) throws(CompressionError) {
    guard let index = try findNonFinite(elements, count, mask, infinities: infinities, pool, operation) else { return }
    let value = elements[index]
    let name = value.isNaN ? "nan" : (value.double < 0 ? "-inf" : "inf")
    throw .declined("[\(operation)] weight: element \(index) is \(name), \(purpose) needs finite values")
}

extension Importance {
    func validate(
        _ count: Int, _ pool: WorkPool, _ operation: String, name: String = "importance"
    ) throws(CompressionError) {
        let pieces = (count + pieceLength - 1) / pieceLength
        let firsts = try Scratch<Int>(pieces, operation: operation)
        let places = firsts.pointer
        pool.forEachPiece(count) { start, end in
            let found = firstBad(start, end)
            places[start / pieceLength] = found < 0 ? -1 : start + found
        }
        try pool.checkCancellation(operation)
        for piece in 0..<pieces where places[piece] >= 0 {
            let index = places[piece]
            let value =
                switch self {
                case .float32(let pointer): Double(pointer[index])
                case .float64(let pointer): pointer[index]
                }
            throw .invalid(
                "[\(operation)] \(name): element \(index) is \(value), allowed finite numbers that are not negative")
        }
    }

    private func firstBad(_ start: Int, _ end: Int) -> Int {
        switch self {
        case .float32(let pointer): firstBadImportance(pointer + start, end - start)
        case .float64(let pointer): firstBadImportance(pointer + start, end - start)
        }
    }
}
