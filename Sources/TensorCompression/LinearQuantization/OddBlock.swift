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
/// - the next number above it while a code would have to be cut by more than half a step (subnormal scales),
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
        var scale = reference
        if !(scale > 0 && scale.isFinite) { scale = rounded(rangeOver(levels)) }
        if scale == 0 { scale = Element.leastMagnitude }
        while low / scale + high / scale > levels + (mode == .linear ? 0.5 : 1) { scale = Element.above(scale) }
        if mode == .linearSymmetric {
            if !isDecodable(levels / 2 * scale) { scale = Element.below(scale) }
            return BlockParameters(scale: scale, zero: middle, divisor: scale, offset: middle)
        }
        if let kept = referencePoint(scale, reference) { return linear(scale, kept) }
        // At a scale of at least range / levels both ends are in reach.
        while scale < Element.leastNormal, !reaches(scale, point(scale)) { scale = Element.above(scale) }
        for _ in 0..<4 {
            guard let side = [high, low].first(where: { !isDecodable(steps($0, scale) * scale) }) else { break }
            // One step fewer reaches this side exactly.
            let fewer = max(1, steps(side, scale) - 1)
            scale = rounded(side / fewer)
            if scale * fewer > side { scale = Element.below(scale) }
        }
        return linear(scale, point(scale))
    }

    private func linear(_ scale: Double, _ point: Double) -> BlockParameters {
        BlockParameters(scale: scale, zero: point, divisor: scale, offset: point)
    }

    private func steps(_ side: Double, _ scale: Double) -> Double {
        rounded(side / scale).rounded(.toNearestOrEven)
    }

    /// Without overflow in binary64, and without losing digits of its subnormal numbers.
    private func rangeOver(_ levels: Double) -> Double {
        let range = low + high
        return range.isFinite ? range / levels : (low / 2 + high / 2) / levels * 2
    }

    private func point(_ scale: Double) -> Double {
        var ideal = least + low / scale
        if low / scale + high / scale > levels - 0.5 {
            let range = low + high
            let negative = range.isFinite ? low / range : low / 2 / (low / 2 + high / 2)
            ideal = least * (1 - negative) + greatest * negative
        }
        return min(max(ideal.rounded(.toNearestOrEven), least), greatest)
    }

    /// Whether no code is cut by more than half a step.
    private func reaches(_ scale: Double, _ point: Double) -> Bool {
        high / scale <= greatest - point + 0.5 && low / scale <= point - least + 0.5
    }

    /// The zero point of the reference, where it is right for this scale.
    private func referencePoint(_ scale: Double, _ reference: Double) -> Double? {
        let numerator = rounded(rounded(least * high) + rounded(greatest * low))
        guard scale == reference, numerator.isFinite else { return nil }
        let point = asReference().zero
        guard scale >= Element.leastNormal || reaches(scale, point) else { return nil }
        let ends = [min(steps(high, scale), greatest - point), min(steps(low, scale), point - least)]
        return ends.allSatisfy { isDecodable($0 * scale) } ? point : nil
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
