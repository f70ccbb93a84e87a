/// A copy of a tensor divided by its per-channel scale; the tensor itself is never changed.
struct ScaledTensor<Element: WeightElement>: ~Copyable {
    let elements: Scratch<Element>

    /// - scale: receives the greatest |w| of each channel (see `PerChannelScale`), 1 where that is zero.
    /// - mask: elements masked out do not count, and are 0 in the copy.
    init(
        _ tensor: UnsafePointer<Element>, _ geometry: GroupGeometry, _ kind: PerChannelScale,
        _ mask: UnsafePointer<UInt8>?, _ pool: WorkPool, _ scale: UnsafeMutablePointer<Element>
    ) throws(CompressionError) {
        let count = geometry.shape.reduce(1, *)
        let memory = try Scratch<Element>(count, operation: "palettize")
        let copy = memory.pointer
        var source = tensor
        if let mask {
            pool.forEachPiece(count) { start, end in
                for i in start..<end { copy[i] = mask[i] != 0 ? tensor[i] : Element(nearest: 0) }
            }
            source = UnsafePointer(copy)
        }
        let layout = geometry.layout(nbits: 1, kind)
        let shape = layout.scaleShape ?? geometry.shape.map { _ in 1 }
        if kind == .reference {
            Self.overChannels(source, geometry, pool, scale)
        } else {
            Self.perChannel(source, geometry, pool, scale)
        }
        for i in 0..<shape.reduce(1, *) where scale[i].double == 0 { scale[i] = Element.one }
        let map = BlockMap(shape: geometry.shape, parts: shape)
        let input = source
        pool.forEachPiece(count) { start, end in
            map.forEachRun(start, end) { position, length, block, step in
                Element.divide(input + position, length, scale + block, step, copy + position)
            }
        }
        elements = memory
    }

    private static func perChannel(
        _ source: UnsafePointer<Element>, _ geometry: GroupGeometry, _ pool: WorkPool,
        _ scale: UnsafeMutablePointer<Element>
    ) {
        let (outer, channels, inner) = (geometry.outer, geometry.channels, geometry.inner)
        let zero = Element(nearest: 0)
        for c in 0..<channels { scale[c] = zero }
        if inner == 1 {
            pool.forEachPiece(channels, length: 1024) { start, end in
                for o in 0..<outer {
                    Element.raiseMagnitudes(source + o * channels + start, end - start, scale + start)
                }
            }
            return
        }
        pool.forEachPiece(channels, length: max(1, pieceLength / (outer * inner))) { start, end in
            for c in start..<end {
                for o in 0..<outer {
                    let found = Element.greatestMagnitude(source + (o * channels + c) * inner, inner)
                    if found.double > scale[c].double { scale[c] = found }
                }
            }
        }
    }

    private static func overChannels(
        _ source: UnsafePointer<Element>, _ geometry: GroupGeometry, _ pool: WorkPool,
        _ scale: UnsafeMutablePointer<Element>
    ) {
        let (outer, channels, inner) = (geometry.outer, geometry.channels, geometry.inner)
        if inner == 1 {
            pool.forEachPiece(outer, length: max(1, pieceLength / channels)) { start, end in
                for o in start..<end { scale[o] = Element.greatestMagnitude(source + o * channels, channels) }
            }
            return
        }
        let zero = Element(nearest: 0)
        for i in 0..<outer * inner { scale[i] = zero }
        let stripe = 4096
        let stripes = (inner + stripe - 1) / stripe
        pool.forEach(outer * stripes) { piece in
            let (o, start) = (piece / stripes, piece % stripes * stripe)
            let length = min(stripe, inner - start)
            for c in 0..<channels {
                Element.raiseMagnitudes(
                    source + (o * channels + c) * inner + start, length, scale + o * inner + start)
            }
        }
    }
}
