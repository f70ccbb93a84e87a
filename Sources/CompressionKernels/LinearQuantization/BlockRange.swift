/// The least and greatest element of blocks that will share a scale.
///
/// A range is kept as two magnitudes: `low` of the most negative element and `high` of the greatest, both 0 where there is
/// none, so that 0 is always inside. For a symmetric range only the greatest magnitude is kept.
/// Bit patterns are compared as integers: as signed numbers positive floats are in order, as unsigned numbers negative
/// ones are, larger magnitudes last. Such maxima vectorise, do not depend on the order of the elements, and let an
/// infinity or a NaN through: its pattern is above that of every finite number.
/// coremltools computes `amin`, `amax`, and `minimum`, `maximum` with 0: the same values.

@inline(__always)
private func perBlock<Out>(
    _ blocks: Int, _ length: Int, _ out: UnsafeMutablePointer<Out>, _ reduce: (Int, Int) -> Out
) {
    // The usual lengths as constants: the compiler unrolls them.
    switch length {
    case 16: for b in 0..<blocks { out[b] = reduce(b &* 16, 16) }
    case 32: for b in 0..<blocks { out[b] = reduce(b &* 32, 32) }
    case 64: for b in 0..<blocks { out[b] = reduce(b &* 64, 64) }
    case 128: for b in 0..<blocks { out[b] = reduce(b &* 128, 128) }
    default: for b in 0..<blocks { out[b] = reduce(b &* length, length) }
    }
}

/// The greatest magnitude of each of `blocks` neighbouring blocks of `length` elements, as a bit pattern.
public func blockMagnitudes(
    _ source: UnsafePointer<UInt16>, _ blocks: Int, _ length: Int, _ greatest: UnsafeMutablePointer<UInt16>
) {
    perBlock(blocks, length, greatest) { start, count in
        let block = source + start
        var most: Int16 = 0
        for i in 0..<count { most = max(most, Int16(bitPattern: block[i] & 0x7fff)) }
        return UInt16(bitPattern: most)
    }
}

/// As above, for binary32.
public func blockMagnitudes(
    _ source: UnsafePointer<Float>, _ blocks: Int, _ length: Int, _ greatest: UnsafeMutablePointer<Float>
) {
    perBlock(blocks, length, greatest) { start, count in
        let block = source + start
        var most: Int32 = 0
        for i in 0..<count { most = max(most, Int32(bitPattern: block[i].bitPattern & 0x7fff_ffff)) }
        return Float(bitPattern: UInt32(bitPattern: most))
    }
}

/// As above, for binary64.
public func blockMagnitudes(
    _ source: UnsafePointer<Double>, _ blocks: Int, _ length: Int, _ greatest: UnsafeMutablePointer<Double>
) {
    perBlock(blocks, length, greatest) { start, count in
        let block = source + start
        var most: Int64 = 0
        for i in 0..<count { most = max(most, Int64(bitPattern: block[i].bitPattern & 0x7fff_ffff_ffff_ffff)) }
        return Double(bitPattern: UInt64(bitPattern: most))
    }
}

/// The magnitudes of the most negative and of the greatest element of each block.
public func blockExtremes(
    _ source: UnsafePointer<UInt16>, _ blocks: Int, _ length: Int, _ low: UnsafeMutablePointer<UInt16>,
    _ high: UnsafeMutablePointer<UInt16>
) {
    perBlock(blocks, length, high) { start, count in
        let block = source + start
        var most: Int16 = 0
        for i in 0..<count { most = max(most, Int16(bitPattern: block[i])) }
        return UInt16(bitPattern: most)
    }
    perBlock(blocks, length, low) { start, count in
        let block = source + start
        var most: UInt16 = 0x8000
        for i in 0..<count { most = max(most, block[i]) }
        return most & 0x7fff
    }
}

/// As above, for binary32.
public func blockExtremes(
    _ source: UnsafePointer<Float>, _ blocks: Int, _ length: Int, _ low: UnsafeMutablePointer<Float>,
    _ high: UnsafeMutablePointer<Float>
) {
    perBlock(blocks, length, high) { start, count in
        let block = source + start
        var most: Int32 = 0
        for i in 0..<count { most = max(most, Int32(bitPattern: block[i].bitPattern)) }
        return Float(bitPattern: UInt32(bitPattern: most))
    }
    perBlock(blocks, length, low) { start, count in
        let block = source + start
        var most: UInt32 = 0x8000_0000
        for i in 0..<count { most = max(most, block[i].bitPattern) }
        return Float(bitPattern: most & 0x7fff_ffff)
    }
}

/// As above, for binary64.
public func blockExtremes(
    _ source: UnsafePointer<Double>, _ blocks: Int, _ length: Int, _ low: UnsafeMutablePointer<Double>,
    _ high: UnsafeMutablePointer<Double>
) {
    perBlock(blocks, length, high) { start, count in
        let block = source + start
        var most: Int64 = 0
        for i in 0..<count { most = max(most, Int64(bitPattern: block[i].bitPattern)) }
        return Double(bitPattern: UInt64(bitPattern: most))
    }
    perBlock(blocks, length, low) { start, count in
        let block = source + start
        var most: UInt64 = 0x8000_0000_0000_0000
        for i in 0..<count { most = max(most, block[i].bitPattern) }
        return Double(bitPattern: most & 0x7fff_ffff_ffff_ffff)
    }
}

/// `high[i]` = the greater of itself and |source[i]|: a block for each element.
public func raiseRange(_ source: UnsafePointer<UInt16>, _ count: Int, _ high: UnsafeMutablePointer<UInt16>) {
    for i in 0..<count { high[i] = max(high[i], source[i] & 0x7fff) }
}

/// As above, for binary32.
public func raiseRange(_ source: UnsafePointer<Float>, _ count: Int, _ high: UnsafeMutablePointer<Float>) {
    for i in 0..<count {
        let magnitude = Int32(bitPattern: source[i].bitPattern & 0x7fff_ffff)
        let most = max(Int32(bitPattern: high[i].bitPattern), magnitude)
        high[i] = Float(bitPattern: UInt32(bitPattern: most))
    }
}

/// As above, for binary64.
public func raiseRange(_ source: UnsafePointer<Double>, _ count: Int, _ high: UnsafeMutablePointer<Double>) {
    for i in 0..<count {
        let magnitude = Int64(bitPattern: source[i].bitPattern & 0x7fff_ffff_ffff_ffff)
        let most = max(Int64(bitPattern: high[i].bitPattern), magnitude)
        high[i] = Double(bitPattern: UInt64(bitPattern: most))
    }
}

/// `low[i]`, `high[i]` widened by `source[i]`.
public func raiseRange(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ low: UnsafeMutablePointer<UInt16>,
    _ high: UnsafeMutablePointer<UInt16>
) {
    for i in 0..<count {
        high[i] = UInt16(bitPattern: max(Int16(bitPattern: high[i]), Int16(bitPattern: source[i])))
        low[i] = max(low[i] | 0x8000, source[i]) & 0x7fff
    }
}

/// As above, for binary32.
public func raiseRange(
    _ source: UnsafePointer<Float>, _ count: Int, _ low: UnsafeMutablePointer<Float>,
    _ high: UnsafeMutablePointer<Float>
) {
    for i in 0..<count {
        let bits = source[i].bitPattern
        let most = max(Int32(bitPattern: high[i].bitPattern), Int32(bitPattern: bits))
        high[i] = Float(bitPattern: UInt32(bitPattern: most))
        low[i] = Float(bitPattern: max(low[i].bitPattern | 0x8000_0000, bits) & 0x7fff_ffff)
    }
}

/// As above, for binary64.
public func raiseRange(
    _ source: UnsafePointer<Double>, _ count: Int, _ low: UnsafeMutablePointer<Double>,
    _ high: UnsafeMutablePointer<Double>
) {
    for i in 0..<count {
        let bits = source[i].bitPattern
        let most = max(Int64(bitPattern: high[i].bitPattern), Int64(bitPattern: bits))
        high[i] = Double(bitPattern: UInt64(bitPattern: most))
        low[i] = Double(bitPattern: max(low[i].bitPattern | 0x8000_0000_0000_0000, bits) & 0x7fff_ffff_ffff_ffff)
    }
}
