/// Scales and zero points of many blocks at once, in the arithmetic of coremltools 9.0 (`quantize_weight_by_dtype`).
///
/// With min = -low, max = high, every operation rounded to the type of the weight (binary16: computed in binary32, which
/// holds enough digits, and rounded once):
/// - symmetric: a = max |w|, scale = (a - -a) / (qmax - qmin);
/// - linear: scale = (max - min) / (qmax - qmin), zero point = clip(round((qmin max - qmax min) / (max - min))).
///
/// Where that overflows, underflows or divides by 0 the numbers written are the reference's own, and `odd` is set: the
/// caller decides. It is also set where a subnormal scale is so coarse that a code would have to be cut by more than half a
/// step, and in linear mode above half the largest number, where a decoded value might overflow. Cost: a few operations a block, vectorised.
///
/// Outputs, for each block: `scale`; `divisor`, the scale in the type of the computation; in linear mode `zero`, the zero
/// point as a byte, and `offset`, the same as a number. `odd[i]` is 1 for a block to look at. Returns 1 if there is one.

/// The binary32 number nearest to `value` among those of binary16, ties to even.
@inline(__always)
func roundedToHalf(_ value: Float) -> Float { floatValue(half: halfBits(float: value)) }

/// Symmetric ranges of binary16.
/// - levels: qmax - qmin.
public func symmetricScales(
    _ high: UnsafePointer<UInt16>, _ count: Int, _ levels: Float, _ scale: UnsafeMutablePointer<UInt16>,
    _ divisor: UnsafeMutablePointer<Float>, _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    let reach = levels / 2 + 0.5
    var any: UInt8 = 0
    for i in 0..<count {
        let most = floatValue(half: high[i])
        let bits = halfBits(float: roundedToHalf(most + most) / levels)
        let step = floatValue(half: bits)
        scale[i] = bits
        divisor[i] = step
        let plain = (step > 0) && (step <= 65504) && (most <= reach * step)
        odd[i] = plain ? 0 : 1
        any |= plain ? 0 : 1
    }
    return any
}

/// As above, for binary32.
public func symmetricScales(
    _ high: UnsafePointer<Float>, _ count: Int, _ levels: Float, _ scale: UnsafeMutablePointer<Float>,
    _ divisor: UnsafeMutablePointer<Float>, _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    let reach = levels / 2 + 0.5
    var any: UInt8 = 0
    for i in 0..<count {
        let step = (high[i] + high[i]) / levels
        scale[i] = step
        divisor[i] = step
        let plain = (step > 0) && (step <= .greatestFiniteMagnitude) && (high[i] / step <= reach)
        odd[i] = plain ? 0 : 1
        any |= plain ? 0 : 1
    }
    return any
}

/// As above, for binary64.
public func symmetricScales(
    _ high: UnsafePointer<Double>, _ count: Int, _ levels: Double, _ scale: UnsafeMutablePointer<Double>,
    _ divisor: UnsafeMutablePointer<Double>, _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    let reach = levels / 2 + 0.5
    var any: UInt8 = 0
    for i in 0..<count {
        let step = (high[i] + high[i]) / levels
        scale[i] = step
        divisor[i] = step
        let plain = (step > 0) && (step <= .greatestFiniteMagnitude) && (high[i] / step <= reach)
        odd[i] = plain ? 0 : 1
        any |= plain ? 0 : 1
    }
    return any
}

/// Linear ranges of binary16.
public func linearParameters(
    _ low: UnsafePointer<UInt16>, _ high: UnsafePointer<UInt16>, _ count: Int, _ qmin: Float, _ qmax: Float,
    _ scale: UnsafeMutablePointer<UInt16>, _ zero: UnsafeMutablePointer<UInt8>,
    _ divisor: UnsafeMutablePointer<Float>, _ offset: UnsafeMutablePointer<Float>,
    _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    let levels = qmax - qmin
    var any: UInt8 = 0
    for i in 0..<count {
        let negative = floatValue(half: low[i])
        let positive = floatValue(half: high[i])
        let range = roundedToHalf(positive + negative)
        let bits = halfBits(float: range / levels)
        let step = floatValue(half: bits)
        let numerator = roundedToHalf(roundedToHalf(qmin * positive) + roundedToHalf(qmax * negative))
        let point = clampedRound(roundedToHalf(numerator / range), qmin, qmax)
        scale[i] = bits
        divisor[i] = step
        offset[i] = point
        zero[i] = UInt8(truncatingIfNeeded: (point + 12_582_912).bitPattern)
        let inReach = (positive <= (qmax - point + 0.5) * step) && (negative <= (point - qmin + 0.5) * step)
        let plain =
            (step > 0) && (inReach || step >= 0x1p-14) && (abs(numerator) <= 65504) && (positive <= 32752)
            && (negative <= 32752)
        odd[i] = plain ? 0 : 1
        any |= plain ? 0 : 1
    }
    return any
}

/// As above, for binary32.
public func linearParameters(
    _ low: UnsafePointer<Float>, _ high: UnsafePointer<Float>, _ count: Int, _ qmin: Float, _ qmax: Float,
    _ scale: UnsafeMutablePointer<Float>, _ zero: UnsafeMutablePointer<UInt8>,
    _ divisor: UnsafeMutablePointer<Float>, _ offset: UnsafeMutablePointer<Float>,
    _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    let levels = qmax - qmin
    let half = Float.greatestFiniteMagnitude / 2
    var any: UInt8 = 0
    for i in 0..<count {
        let range = high[i] + low[i]
        let step = range / levels
        let numerator = qmin * high[i] + qmax * low[i]
        let point = clampedRound(numerator / range, qmin, qmax)
        scale[i] = step
        divisor[i] = step
        offset[i] = point
        zero[i] = UInt8(truncatingIfNeeded: (point + 12_582_912).bitPattern)
        let inReach = (high[i] / step <= qmax - point + 0.5) && (low[i] / step <= point - qmin + 0.5)
        let plain =
            (step > 0) && (inReach || step >= Float.leastNormalMagnitude)
            && (abs(numerator) <= .greatestFiniteMagnitude) && (high[i] <= half) && (low[i] <= half)
        odd[i] = plain ? 0 : 1
        any |= plain ? 0 : 1
    }
    return any
}

/// As above, for binary64.
public func linearParameters(
    _ low: UnsafePointer<Double>, _ high: UnsafePointer<Double>, _ count: Int, _ qmin: Double, _ qmax: Double,
    _ scale: UnsafeMutablePointer<Double>, _ zero: UnsafeMutablePointer<UInt8>,
    _ divisor: UnsafeMutablePointer<Double>, _ offset: UnsafeMutablePointer<Double>,
    _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    let levels = qmax - qmin
    let half = Double.greatestFiniteMagnitude / 2
    var any: UInt8 = 0
    for i in 0..<count {
        let range = high[i] + low[i]
        let step = range / levels
        let numerator = qmin * high[i] + qmax * low[i]
        let point = clampedRound(numerator / range, qmin, qmax)
        scale[i] = step
        divisor[i] = step
        offset[i] = point
        zero[i] = UInt8(truncatingIfNeeded: (point + 6_755_399_441_055_744).bitPattern)
        let inReach = (high[i] / step <= qmax - point + 0.5) && (low[i] / step <= point - qmin + 0.5)
        let plain =
            (step > 0) && (inReach || step >= Double.leastNormalMagnitude)
            && (abs(numerator) <= .greatestFiniteMagnitude) && (high[i] <= half) && (low[i] <= half)
        odd[i] = plain ? 0 : 1
        any |= plain ? 0 : 1
    }
    return any
}

/// `value` cut to `low...high` and rounded to a whole number, ties to even. The limits are whole numbers, so it does not
/// matter which comes first. NaN stays NaN.
@inline(__always)
func clampedRound(_ value: Float, _ low: Float, _ high: Float) -> Float {
    let above = value < low ? low : value
    let inside = above > high ? high : above
    // At this magnitude neighbouring numbers are 1 apart.
    return (inside + 12_582_912) - 12_582_912
}

@inline(__always)
func clampedRound(_ value: Double, _ low: Double, _ high: Double) -> Double {
    let above = value < low ? low : value
    let inside = above > high ? high : above
    return (inside + 6_755_399_441_055_744) - 6_755_399_441_055_744
}
