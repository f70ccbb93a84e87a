/// Codes of linear quantization: clip(round(w / scale) + zero point, qmin, qmax).
///
/// The quotient is a true division rounded to the type of the weight, then to a whole number, ties to even, as NumPy does
/// it. For binary16 the binary32 quotient is rounded to 11 digits by integer arithmetic on its bits; smaller than the
/// least normal half it would have fewer, which rounding to a whole number does not see. The limits are whole numbers, so
/// the quotient may be cut before it is rounded; it is then small, and adding 1.5 * 2^23 leaves the whole number in the low
/// bits of the pattern. A NaN (0 / 0) gives the zero point.
/// Cost: one division an element; vectorised, bound by memory from x86-64-v3 on.

@inline(__always)
private func code(_ quotient: Float, _ low: Float, _ high: Float, toHalf: Bool) -> UInt8 {
    let above = quotient < low ? low : quotient
    var bits = (above > high ? high : above).bitPattern
    if toHalf { bits = (bits &+ 0x0fff &+ ((bits >> 13) & 1)) & 0xffff_e000 }
    return UInt8(truncatingIfNeeded: (Float(bitPattern: bits) + 12_582_912).bitPattern)
}

@inline(__always)
private func code(_ quotient: Double, _ low: Double, _ high: Double) -> UInt8 {
    let above = quotient < low ? low : quotient
    return UInt8(truncatingIfNeeded: ((above > high ? high : above) + 6_755_399_441_055_744).bitPattern)
}

@inline(__always)
private func byte(_ whole: Float) -> UInt8 { UInt8(truncatingIfNeeded: (whole + 12_582_912).bitPattern) }

@inline(__always)
private func byte(_ whole: Double) -> UInt8 {
    UInt8(truncatingIfNeeded: (whole + 6_755_399_441_055_744).bitPattern)
}

/// Calls `body(block, first element, length)` for neighbouring blocks; the usual lengths are known to the compiler.
@inline(__always)
func perBlock(_ blocks: Int, _ length: Int, _ body: (Int, Int, Int) -> Void) {
    switch length {
    case 16: for b in 0..<blocks { body(b, b &* 16, 16) }
    case 32: for b in 0..<blocks { body(b, b &* 32, 32) }
    case 64: for b in 0..<blocks { body(b, b &* 64, 64) }
    case 128: for b in 0..<blocks { body(b, b &* 128, 128) }
    default: for b in 0..<blocks { body(b, b &* length, length) }
    }
}

/// Codes of `blocks` neighbouring blocks of `length` elements.
/// - divisor, offset: scale and zero point of each block.
public func quantizeBlocks(
    _ source: UnsafePointer<UInt16>, _ blocks: Int, _ length: Int, _ divisor: UnsafePointer<Float>,
    _ offset: UnsafePointer<Float>, _ qmin: Float, _ qmax: Float, _ codes: UnsafeMutablePointer<UInt8>
) {
    perBlock(blocks, length) { block, start, count in
        let (step, point) = (divisor[block], offset[block])
        let (low, high, shift) = (qmin - point, qmax - point, byte(point))
        let (values, out) = (source + start, codes + start)
        for i in 0..<count { out[i] = code(floatValue(half: values[i]) / step, low, high, toHalf: true) &+ shift }
    }
}

/// As above, for binary32.
public func quantizeBlocks(
    _ source: UnsafePointer<Float>, _ blocks: Int, _ length: Int, _ divisor: UnsafePointer<Float>,
    _ offset: UnsafePointer<Float>, _ qmin: Float, _ qmax: Float, _ codes: UnsafeMutablePointer<UInt8>
) {
    perBlock(blocks, length) { block, start, count in
        let (step, point) = (divisor[block], offset[block])
        let (low, high, shift) = (qmin - point, qmax - point, byte(point))
        let (values, out) = (source + start, codes + start)
        for i in 0..<count { out[i] = code(values[i] / step, low, high, toHalf: false) &+ shift }
    }
}

/// As above, for binary64.
public func quantizeBlocks(
    _ source: UnsafePointer<Double>, _ blocks: Int, _ length: Int, _ divisor: UnsafePointer<Double>,
    _ offset: UnsafePointer<Double>, _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>
) {
    perBlock(blocks, length) { block, start, count in
        let (step, point) = (divisor[block], offset[block])
        let (low, high, shift) = (qmin - point, qmax - point, byte(point))
        let (values, out) = (source + start, codes + start)
        for i in 0..<count { out[i] = code(values[i] / step, low, high) &+ shift }
    }
}

/// Codes of a row of elements, each with a scale and zero point of its own.
public func quantizeRow(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ divisor: UnsafePointer<Float>, _ offset: UnsafePointer<Float>,
    _ qmin: Float, _ qmax: Float, _ codes: UnsafeMutablePointer<UInt8>
) {
    for i in 0..<count {
        let quotient = floatValue(half: source[i]) / divisor[i]
        codes[i] = code(quotient, qmin - offset[i], qmax - offset[i], toHalf: true) &+ byte(offset[i])
    }
}

/// As above, for binary32.
public func quantizeRow(
    _ source: UnsafePointer<Float>, _ count: Int, _ divisor: UnsafePointer<Float>, _ offset: UnsafePointer<Float>,
    _ qmin: Float, _ qmax: Float, _ codes: UnsafeMutablePointer<UInt8>
) {
    for i in 0..<count {
        let quotient = source[i] / divisor[i]
        codes[i] = code(quotient, qmin - offset[i], qmax - offset[i], toHalf: false) &+ byte(offset[i])
    }
}

/// As above, for binary64.
public func quantizeRow(
    _ source: UnsafePointer<Double>, _ count: Int, _ divisor: UnsafePointer<Double>,
    _ offset: UnsafePointer<Double>, _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>
) {
    for i in 0..<count {
        codes[i] = code(source[i] / divisor[i], qmin - offset[i], qmax - offset[i]) &+ byte(offset[i])
    }
}
