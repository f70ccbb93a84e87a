/// The value that a grid has for each of 16 elements, in place.
///
/// Linear: (clip(round(w / scale) + zero, 0, limit) - zero) * scale, a true division, halves to even, each operation rounded
/// to binary32, as coremltools 9.0 does it. The quotient is cut to one step beyond the grid before it is rounded, so
/// adding and taking off 1.5 * 2^23 rounds it.
/// Table: the entry at the least distance, of several the first. The distance is |w - entry|; or, expanded, what coremltools
/// compares for its normal floats in layers of more than 25 rows: `torch.cdist` then computes
/// sqrt(max(((-2 w) entry + w^2) + entry^2, 0)), in which close entries can look equally far. A layer of fewer rows gets
/// sqrt((w - entry)^2), which is |w - entry| again. Normal floats: Dettmers et al., QLoRA (arXiv:2305.14314).
/// Cost: one division an element and a few operations; of tables five operations an entry, expanded a square root more.
/// Vectorised.

/// - scale, zero: 16 numbers each, one for each row; scales above 0, zeros of a magnitude of at most 2^20.
@inline(__always)
func snapLinear(
    _ column: UnsafeMutablePointer<Float>, _ scale: UnsafePointer<Float>, _ zero: UnsafePointer<Float>, _ limit: Float
) {
    for r in 0..<16 {
        let point = zero[r]
        let (low, high) = (-1 - point, limit + 1 - point)
        let quotient = column[r] / scale[r]
        let above = quotient < low ? low : quotient
        let inside = above > high ? high : above
        let whole = ((inside + 12_582_912) - 12_582_912) + point
        let raised = whole < 0 ? 0 : whole
        column[r] = ((raised > limit ? limit : raised) - point) * scale[r]
    }
}

/// - table: 16 numbers an entry, one for each row.
/// - work: room for 32 numbers.
@inline(__always)
func snapTable(
    _ column: UnsafeMutablePointer<Float>, _ table: UnsafePointer<Float>, _ entries: Int, _ expanded: Bool,
    _ work: UnsafeMutablePointer<Float>
) {
    let (best, value) = (work, work + 16)
    for r in 0..<16 {
        best[r] = .infinity
        value[r] = table[r]
    }
    for entry in 0..<entries {
        let places = table + 16 &* entry
        if expanded {
            for r in 0..<16 {
                let (w, e) = (column[r], places[r])
                let square = (((w * -2) * e) + w * w) + e * e
                let distance = (square > 0 ? square : 0).squareRoot()
                let nearer = distance < best[r]
                best[r] = nearer ? distance : best[r]
                value[r] = nearer ? e : value[r]
            }
        } else {
            for r in 0..<16 {
                let distance = abs(column[r] - places[r])
                let nearer = distance < best[r]
                best[r] = nearer ? distance : best[r]
                value[r] = nearer ? places[r] : value[r]
            }
        }
    }
    for r in 0..<16 { column[r] = value[r] }
}
