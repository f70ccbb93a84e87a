/// What SparseGPT prunes: elements of least w^2 / U[i, i]^2, the growth of the loss if the element alone became zero.
///
/// Each operation is rounded to binary32: w * w, u * u, the quotient. Over a whole group of columns everything up to a
/// threshold goes (the caller finds it), of n:m the n least of m neighbouring columns. coremltools 9.0 asks `torch.topk` for
/// those, whose order among equal elements is that of the C++ library; ours takes those that come first, and says where that
/// decided about an element that is not zero.
/// Cost: one division an element; n:m compares all pairs of m, in vectors of 16.

/// The saliency of `rows` rows of `count` elements, `stride` apart; the output is dense.
/// - diagonal: U[i, i] for each column.
public func findSaliency(
    _ source: UnsafePointer<Float>, _ stride: Int, _ rows: Int, _ count: Int, _ diagonal: UnsafePointer<Float>,
    _ saliency: UnsafeMutablePointer<Float>
) {
    for row in 0..<rows {
        let (values, places) = (source + row &* stride, saliency + row &* count)
        for i in 0..<count { places[i] = values[i] * values[i] / (diagonal[i] * diagonal[i]) }
    }
}

/// Keeps the elements of a panel whose saliency is above `limit`.
/// - keep: receives all ones or 0 for each element.
public func keepAbove(
    _ panel: UnsafePointer<Float>, _ count: Int, _ diagonal: UnsafePointer<Float>, _ limit: Float,
    _ keep: UnsafeMutablePointer<UInt32>
) {
    for i in 0..<count {
        let (column, places) = (panel + 16 &* i, keep + 16 &* i)
        let square = diagonal[i] * diagonal[i]
        for r in 0..<16 { places[r] = column[r] * column[r] / square > limit ? .max : 0 }
    }
}

/// Chooses among `m` columns of a panel, from column `first` on, in each row: the `n` of least saliency are not kept.
///
/// - columns: the first of the columns, up to date.
/// - work: room for 16 * m numbers.
/// - keep: receives all ones or 0 for each element.
/// - Returns: 1 where an element that is not zero was chosen before an equal one, otherwise 0.
@inline(__always)
func keepLargest(
    _ columns: UnsafePointer<Float>, _ first: Int, _ factor: UnsafePointer<Float>, _ stride: Int, _ n: Int, _ m: Int,
    _ work: UnsafeMutablePointer<Float>, _ keep: UnsafeMutablePointer<UInt32>
) -> UInt32 {
    for a in 0..<m {
        let u = factor[(first &+ a) &* stride &+ first &+ a]
        let square = u * u
        for r in 0..<16 { work[16 &* a &+ r] = columns[16 &* a &+ r] * columns[16 &* a &+ r] / square }
    }
    for a in 0..<m {
        let (own, places) = (work + 16 &* a, keep + 16 &* a)
        for r in 0..<16 { places[r] = 0 }
        for b in 0..<a { for r in 0..<16 { places[r] &+= work[16 &* b &+ r] <= own[r] ? 1 : 0 } }
        for b in (a &+ 1)..<max(m, a &+ 1) { for r in 0..<16 { places[r] &+= work[16 &* b &+ r] < own[r] ? 1 : 0 } }
        for r in 0..<16 { places[r] = places[r] >= UInt32(truncatingIfNeeded: n) ? .max : 0 }
    }
    var ties: UInt32 = 0
    for a in 0..<m {
        for b in (a &+ 1)..<max(m, a &+ 1) {
            for r in 0..<16 {
                let differ: UInt32 = keep[16 &* a &+ r] ^ keep[16 &* b &+ r]
                let same: UInt32 = work[16 &* a &+ r] == work[16 &* b &+ r] ? 1 : 0
                let some = columns[16 &* a &+ r].bitPattern | columns[16 &* b &+ r].bitPattern
                ties |= differ & same & (some & 0x7fff_ffff != 0 ? 1 : 0)
            }
        }
    }
    return ties
}
