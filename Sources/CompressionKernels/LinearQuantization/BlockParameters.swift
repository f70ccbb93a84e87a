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

/// 0 where all is well, otherwise 1. No branch, unlike `&&`, so that loops vectorise; for the same reason each loop below
/// writes few arrays.
@inline(__always)
private func flag(_ plain: Bool) -> UInt8 { plain ? 0 : 1 }

/// Symmetric ranges of binary16.
/// - levels: qmax - qmin.
public func symmetricScales(
    _ high: UnsafePointer<UInt16>, _ count: Int, _ levels: Float, _ scale: UnsafeMutablePointer<UInt16>,
    _ divisor: UnsafeMutablePointer<Float>, _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    for i in 0..<count {
        let most = floatValue(half: high[i])
        divisor[i] = roundedToHalf(roundedToHalf(most + most) / levels)
    }
    for i in 0..<count { scale[i] = halfBits(float: divisor[i]) }
    let reach = levels / 2 + 0.5
    var any: UInt8 = 0
    for i in 0..<count {
        let most = floatValue(half: high[i])
        let outside = flag(divisor[i] > 0) | flag(divisor[i] <= 65504) | flag(most <= reach * divisor[i])
        odd[i] = outside
        any |= outside
    }
    return any
}

/// As above, for binary32.
public func symmetricScales(
    _ high: UnsafePointer<Float>, _ count: Int, _ levels: Float, _ scale: UnsafeMutablePointer<Float>,
    _ divisor: UnsafeMutablePointer<Float>, _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    for i in 0..<count {
        let most = high[i]
        divisor[i] = (most + most) / levels
    }
    for i in 0..<count { scale[i] = divisor[i] }
    let reach = levels / 2 + 0.5
    var any: UInt8 = 0
    for i in 0..<count {
        let most = high[i]
        let outside =
            flag(divisor[i] > 0) | flag(divisor[i] <= .greatestFiniteMagnitude) | flag(most / divisor[i] <= reach)
        odd[i] = outside
        any |= outside
    }
    return any
}

/// As above, for binary64.
public func symmetricScales(
    _ high: UnsafePointer<Double>, _ count: Int, _ levels: Double, _ scale: UnsafeMutablePointer<Double>,
    _ divisor: UnsafeMutablePointer<Double>, _ odd: UnsafeMutablePointer<UInt8>
) -> UInt8 {
    for i in 0..<count {
        let most = high[i]
        divisor[i] = (most + most) / levels
    }
    for i in 0..<count { scale[i] = divisor[i] }
    let reach = levels / 2 + 0.5
    var any: UInt8 = 0
    for i in 0..<count {
        let most = high[i]
        let outside =
            flag(divisor[i] > 0) | flag(divisor[i] <= .greatestFiniteMagnitude) | flag(most / divisor[i] <= reach)
        odd[i] = outside
        any |= outside
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
    for i in 0..<count {
        let (negative, positive) = (floatValue(half: low[i]), floatValue(half: high[i]))
        let range = roundedToHalf(positive + negative)
        let numerator = roundedToHalf(roundedToHalf(qmin * positive) + roundedToHalf(qmax * negative))
        divisor[i] = roundedToHalf(range / levels)
        offset[i] = clampedRound(roundedToHalf(numerator / range), qmin, qmax)
    }
    for i in 0..<count { scale[i] = halfBits(float: divisor[i]) }
    for i in 0..<count { zero[i] = UInt8(truncatingIfNeeded: (offset[i] + 12_582_912).bitPattern) }
    var any: UInt8 = 0
    for i in 0..<count {
        let (negative, positive) = (floatValue(half: low[i]), floatValue(half: high[i]))
        let step = divisor[i]
        let numerator = roundedToHalf(roundedToHalf(qmin * positive) + roundedToHalf(qmax * negative))
        let short =
            flag(positive <= (qmax - offset[i] + 0.5) * step) | flag(negative <= (offset[i] - qmin + 0.5) * step)
        let outside =
            flag(step > 0) | (flag(step >= 0x1p-14) & short) | flag(abs(numerator) <= 65504)
            | flag(positive <= 32752) | flag(negative <= 32752)
        odd[i] = outside
        any |= outside
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
    for i in 0..<count {
        let (negative, positive) = (low[i], high[i])
        let range = positive + negative
        let numerator = qmin * positive + qmax * negative
        divisor[i] = range / levels
        offset[i] = clampedRound(numerator / range, qmin, qmax)
    }
    for i in 0..<count { scale[i] = divisor[i] }
    for i in 0..<count { zero[i] = UInt8(truncatingIfNeeded: (offset[i] + 12_582_912).bitPattern) }
    let half = Float.greatestFiniteMagnitude / 2
    var any: UInt8 = 0
    for i in 0..<count {
        let (negative, positive) = (low[i], high[i])
        let step = divisor[i]
        let numerator = qmin * positive + qmax * negative
        let short = flag(positive / step <= qmax - offset[i] + 0.5) | flag(negative / step <= offset[i] - qmin + 0.5)
        let outside =
            flag(step > 0) | (flag(step >= .leastNormalMagnitude) & short)
            | flag(abs(numerator) <= .greatestFiniteMagnitude)
            | flag(positive <= half) | flag(negative <= half)
        odd[i] = outside
        any |= outside
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
    for i in 0..<count {
        let (negative, positive) = (low[i], high[i])
        let range = positive + negative
        let numerator = qmin * positive + qmax * negative
        divisor[i] = range / levels
        offset[i] = clampedRound(numerator / range, qmin, qmax)
    }
    for i in 0..<count { scale[i] = divisor[i] }
    for i in 0..<count { zero[i] = UInt8(truncatingIfNeeded: (offset[i] + 6_755_399_441_055_744).bitPattern) }
    let half = Double.greatestFiniteMagnitude / 2
    var any: UInt8 = 0
    for i in 0..<count {
        let (negative, positive) = (low[i], high[i])
        let step = divisor[i]
        let numerator = qmin * positive + qmax * negative
        let short = flag(positive / step <= qmax - offset[i] + 0.5) | flag(negative / step <= offset[i] - qmin + 0.5)
        let outside =
            flag(step > 0) | (flag(step >= .leastNormalMagnitude) & short)
            | flag(abs(numerator) <= .greatestFiniteMagnitude)
            | flag(positive <= half) | flag(negative <= half)
        odd[i] = outside
        any |= outside
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
