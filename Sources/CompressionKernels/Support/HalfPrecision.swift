/// IEEE 754 binary16 as bit patterns. Where a processor converts by one instruction (`HARDWARE_HALF`: x86-64-v3, but not on
/// macOS, whose Intel `Float16` does not exist; arm64) that is used; elsewhere Swift's `Float16` would call a library
/// function for each number, and integer arithmetic that compilers can vectorise gives the same bits.
///
/// Numerical goals: every conversion rounds once, half to even, as NumPy's `astype` does. A signalling NaN becomes quiet
/// (NumPy keeps it signalling in software conversions); nothing else differs.

/// The binary32 bit pattern with the value of the binary16 pattern `half`; a signalling NaN becomes quiet.
@inline(__always)
public func floatBits(half: UInt16) -> UInt32 {
    #if HARDWARE_HALF
    return Float(Float16(bitPattern: half)).bitPattern
    #else
    let wide = UInt32(half)
    let shifted = (wide & 0x7fff) &<< 13
    let scaled = (Float(bitPattern: shifted) * Float(bitPattern: 0x7780_0000)).bitPattern
    let special: UInt32 = shifted >= 0x0f80_0000 ? (shifted > 0x0f80_0000 ? 0x7fc0_0000 : 0x7f80_0000) : 0
    return (scaled | special) | ((wide & 0x8000) &<< 16)
    #endif
}

/// The binary16 pattern nearest to the binary32 pattern, ties to even; NaN becomes quiet.
@inline(__always)
public func halfBits(floatBits bits: UInt32) -> UInt16 {
    #if HARDWARE_HALF
    return Float16(Float(bitPattern: bits)).bitPattern
    #else
    let sign = (bits >> 16) & 0x8000
    let magnitude = bits & 0x7fff_ffff
    // Normal: a new exponent bias, half a unit less one, and the odd bit.
    let normal = (magnitude &+ 0xc800_0fff &+ ((magnitude >> 13) & 1)) >> 13
    // Subnormal or zero: the adder aligns and rounds.
    let subnormal = (Float(bitPattern: magnitude) + 0.5).bitPattern &- 0x3f00_0000
    let special: UInt32 = magnitude > 0x7f80_0000 ? (0x7e00 | ((magnitude >> 13) & 0x1ff)) : 0x7c00
    let finite = magnitude < 0x3880_0000 ? subnormal : normal
    return UInt16(truncatingIfNeeded: (magnitude >= 0x4780_0000 ? special : finite) | sign)
    #endif
}

/// The binary16 pattern nearest to `value`, ties to even, rounded once: the binary32 value in between is rounded to odd,
/// which loses nothing that the second rounding needs (24 >= 11 + 2 digits).
@inline(__always)
public func halfBits(double value: Double) -> UInt16 {
    let nearest = Float(value)
    var bits = nearest.bitPattern
    let back = Double(nearest)
    if back != value, value == value {
        if abs(back) > abs(value) { bits &-= 1 }
        bits |= 1
    }
    return halfBits(floatBits: bits)
}

/// The value of a binary16 pattern.
@inline(__always)
public func floatValue(half: UInt16) -> Float { Float(bitPattern: floatBits(half: half)) }

/// The binary16 pattern nearest to a value.
@inline(__always)
public func halfBits(float value: Float) -> UInt16 { halfBits(floatBits: value.bitPattern) }

/// `target[i] = Float(source[i])`.
public func halfToFloat(_ source: UnsafePointer<UInt16>, _ count: Int, _ target: UnsafeMutablePointer<Float>) {
    for i in 0..<count { target[i] = floatValue(half: source[i]) }
}

/// `target[i] = Double(source[i])`.
public func halfToDouble(_ source: UnsafePointer<UInt16>, _ count: Int, _ target: UnsafeMutablePointer<Double>) {
    for i in 0..<count { target[i] = Double(floatValue(half: source[i])) }
}

/// `target[i] = Double(source[i])`.
public func floatToDouble(_ source: UnsafePointer<Float>, _ count: Int, _ target: UnsafeMutablePointer<Double>) {
    for i in 0..<count { target[i] = Double(source[i]) }
}

/// `target[i]` = the binary16 nearest to `source[i]`.
public func floatToHalf(_ source: UnsafePointer<Float>, _ count: Int, _ target: UnsafeMutablePointer<UInt16>) {
    for i in 0..<count { target[i] = halfBits(floatBits: source[i].bitPattern) }
}

/// `target[i]` = the binary16 nearest to `source[i]`, rounded once.
public func doubleToHalf(_ source: UnsafePointer<Double>, _ count: Int, _ target: UnsafeMutablePointer<UInt16>) {
    for i in 0..<count { target[i] = halfBits(double: source[i]) }
}

/// `target[i]` = the binary32 nearest to `source[i]`.
public func doubleToFloat(_ source: UnsafePointer<Double>, _ count: Int, _ target: UnsafeMutablePointer<Float>) {
    for i in 0..<count { target[i] = Float(source[i]) }
}
