/// The uniform palette: 2^n values at equal distances from the least to the greatest element.
///
/// Codes: round-half-even(((w - min) / (max - min)) * (2^n - 1)), every step rounded to the type of the data, as NumPy
/// does it in `compress_uniform`. A binary16 step is the binary32 step rounded once to binary16.
/// The palette itself, i * scale + min, is built by the caller in binary64, as NumPy's promotion has it.
/// Where coremltools divides 0 by 0 (all elements equal) it prints a warning and gets code 0; here code 0 without one.

/// The least and greatest element as order-preserving signed integers; see `halfFromOrder`. No NaN among them; count >= 1.
public func orderRange(_ source: UnsafePointer<UInt16>, _ count: Int) -> (least: Int16, greatest: Int16) {
    var least = Int16.max
    var greatest = Int16.min
    for i in 0..<count {
        let bits = Int16(bitPattern: source[i])
        let order = bits ^ ((bits &>> 15) & 0x7fff)
        least = min(least, order)
        greatest = max(greatest, order)
    }
    return (least, greatest)
}

/// As above, for binary32.
public func orderRange(_ source: UnsafePointer<Float>, _ count: Int) -> (least: Int32, greatest: Int32) {
    var least = Int32.max
    var greatest = Int32.min
    for i in 0..<count {
        let bits = Int32(bitPattern: source[i].bitPattern)
        let order = bits ^ ((bits &>> 31) & 0x7fff_ffff)
        least = min(least, order)
        greatest = max(greatest, order)
    }
    return (least, greatest)
}

/// As above, for binary64.
public func orderRange(_ source: UnsafePointer<Double>, _ count: Int) -> (least: Int64, greatest: Int64) {
    var least = Int64.max
    var greatest = Int64.min
    for i in 0..<count {
        let bits = Int64(bitPattern: source[i].bitPattern)
        let order = bits ^ ((bits &>> 63) & 0x7fff_ffff_ffff_ffff)
        least = min(least, order)
        greatest = max(greatest, order)
    }
    return (least, greatest)
}

/// The binary16 pattern of an order-preserving integer.
@inline(__always)
public func halfFromOrder(_ order: Int16) -> UInt16 { UInt16(bitPattern: order ^ ((order &>> 15) & 0x7fff)) }

/// The binary32 value of an order-preserving integer.
@inline(__always)
public func floatFromOrder(_ order: Int32) -> Float {
    Float(bitPattern: UInt32(bitPattern: order ^ ((order &>> 31) & 0x7fff_ffff)))
}

/// The binary64 value of an order-preserving integer.
@inline(__always)
public func doubleFromOrder(_ order: Int64) -> Double {
    Double(bitPattern: UInt64(bitPattern: order ^ ((order &>> 63) & 0x7fff_ffff_ffff_ffff)))
}

/// Codes of binary16 data; `least`, `range` and `levels` = 2^n - 1 are binary16 values. range > 0 and finite.
public func uniformCodes(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ least: Float, _ range: Float, _ levels: Float,
    _ codes: UnsafeMutablePointer<UInt8>
) {
    for i in 0..<count {
        let shifted = floatValue(half: halfBits(float: floatValue(half: source[i]) - least))
        let part = floatValue(half: halfBits(float: shifted / range))
        let level = floatValue(half: halfBits(float: part * levels))
        // Adding and taking 1.5 * 2^23 rounds half to even.
        codes[i] = UInt8(truncatingIfNeeded: (level + 12_582_912).bitPattern)
    }
}

/// Codes of binary32 data.
public func uniformCodes(
    _ source: UnsafePointer<Float>, _ count: Int, _ least: Float, _ range: Float, _ levels: Float,
    _ codes: UnsafeMutablePointer<UInt8>
) {
    for i in 0..<count {
        let level = ((source[i] - least) / range) * levels
        codes[i] = UInt8(truncatingIfNeeded: (level + 12_582_912).bitPattern)
    }
}

/// Codes of binary64 data.
public func uniformCodes(
    _ source: UnsafePointer<Double>, _ count: Int, _ least: Double, _ range: Double, _ levels: Double,
    _ codes: UnsafeMutablePointer<UInt8>
) {
    for i in 0..<count {
        let level = ((source[i] - least) / range) * levels
        codes[i] = UInt8(truncatingIfNeeded: (level + 6_755_399_441_055_744).bitPattern)
    }
}
