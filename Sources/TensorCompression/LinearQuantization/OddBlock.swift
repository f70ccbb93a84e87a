/// Scale and zero point of one block, and the numbers that its codes are computed with.
struct BlockParameters {
    var scale: Double
    var zero: Double
    /// Codes are clip(round(w / divisor) + offset).
    var divisor: Double
    var offset: Double
}

/// The blocks that the kernels leave to their caller: those in which the reference's arithmetic overflows, underflows,
/// divides 0 by 0 or cuts codes by more than half a step.
///
/// A block of zeros has scale 0 and codes 0, and a zero point of 0 (in a symmetric unsigned range its middle, as always):
/// these are the bits that coremltools comes to on x86-64, where a NaN becomes 0 when it is cast to an integer.
/// Elsewhere the scale is the real quotient range / levels, rounded to the type of the weight, and then
/// - the next number above it while a code would have to be cut by more than half a step (scales near the least number),
/// - smaller or greater, so that no code stands for a value beyond the largest number (elements near it).
/// Scales that the reference gets right are kept, whatever became of its zero points.
struct OddBlock<Element: QuantizableElement> {
    /// Magnitudes of the most negative and the greatest element; of a symmetric range both are the greatest magnitude.
    let low: Double
    let high: Double
    let mode: QuantizationMode
    let least: Double
    let greatest: Double

    init(low: Double, high: Double, options: QuantizationOptions) {
        let range = options.type.range(options.mode)
        (self.low, self.high, mode) = (low, high, options.mode)
        (least, greatest) = (Double(range.least), Double(range.greatest))
    }

    var isZero: Bool { low == 0 && high == 0 }

    private var levels: Double { greatest - least }
    /// The zero point of a symmetric range.
    private var middle: Double { least < 0 ? 0 : (levels / 2).rounded(.down) }
    private func rounded(_ value: Double) -> Double { Element(nearest: value).double }
    private func isDecodable(_ value: Double) -> Bool { rounded(value).isFinite }

    /// The block of zeros.
    private func zeros() -> BlockParameters {
        BlockParameters(scale: 0, zero: mode == .linear ? 0 : middle, divisor: 1, offset: 0)
    }

    // MARK: - What serves

    /// - reference: the scale of the reference's arithmetic; 0 or infinite where that has none.
    func right(reference: Double) -> BlockParameters {
        if isZero { return zeros() }
        // Halves, so that binary64 does not overflow either.
        let halfRange = mode == .linear ? low / 2 + high / 2 : high
        var scale = reference
        if !(scale > 0 && scale.isFinite) { scale = rounded(halfRange / levels * 2) }
        if scale == 0 { scale = Element.leastMagnitude }
        while halfRange / scale > (levels + 0.5) / 2 { scale = Element.above(scale) }
        if mode == .linearSymmetric {
            if !isDecodable(levels / 2 * scale) { scale = Element.below(scale) }
            return BlockParameters(scale: scale, zero: middle, divisor: scale, offset: middle)
        }
        for side in [high, low, high, low] {
            let steps = (side / scale).rounded(.toNearestOrEven)
            guard !isDecodable(steps * scale) else { continue }
            // One step fewer reaches the side exactly.
            let fewer = max(1, steps - 1)
            scale = rounded(side / fewer)
            if scale * fewer > side { scale = Element.below(scale) }
        }
        let ideal: Double
        if halfRange / scale > (levels - 0.5) / 2 {
            ideal = least * (high / 2 / halfRange) + greatest * (low / 2 / halfRange)
        } else {
            ideal = least + low / scale
        }
        let point = min(max(ideal.rounded(.toNearestOrEven), least), greatest)
        return BlockParameters(scale: scale, zero: point, divisor: scale, offset: point)
    }

    // MARK: - What the reference does

    /// Every operation in the type of the weight, with what comes of infinities and NaN.
    func asReference() -> BlockParameters {
        if isZero { return zeros() }
        let range = rounded(mode == .linear ? high + low : high + high)
        let scale = rounded(range / levels)
        guard mode == .linear else {
            return BlockParameters(scale: scale, zero: middle, divisor: scale, offset: middle)
        }
        let numerator = rounded(rounded(least * high) + rounded(greatest * low))
        let point = rounded(numerator / range).rounded(.toNearestOrEven)
        // A NaN becomes 0 when it is cast, and so do all codes that it is added to.
        if point.isNaN { return BlockParameters(scale: scale, zero: 0, divisor: .infinity, offset: 0) }
        let clipped = min(max(point, least), greatest)
        return BlockParameters(scale: scale, zero: clipped, divisor: scale, offset: clipped)
    }
}
