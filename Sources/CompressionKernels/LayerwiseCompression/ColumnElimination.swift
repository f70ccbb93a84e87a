/// One group of columns of GPTQ and SparseGPT: each column is put on its grid, or zeroed, and the error of that is taken out
/// of the columns behind it.
///
/// With U the upper factor of the inverse Hessian (inverse of H = transpose of U times U), for the columns i in order:
/// - q = the grid's value for w[i], or 0 where the element is pruned; e[i] = (w[i] - q) / U[i, i];
/// - w[j] -= e[i] U[i, j] for the columns j > i of the group; the loss grows by (w[i] - q)^2 / U[i, i]^2.
/// The columns behind the group are the caller's: W -= E U, a product of matrices.
///
/// Papers: Frantar et al., GPTQ (arXiv:2210.17323); Frantar and Alistarh, SparseGPT (arXiv:2301.00774).
/// Goals, in this order: the bits of coremltools 9.0, which makes one call of torch for each of these steps; that the number
/// of rows, and how they are cut into panels, never shows in a row's result; speed.
/// Rounding: all in binary32; each product and each difference is rounded by itself, and an element's errors are taken
/// off in the order of the columns, as there. So all of an element's work may be put off until its column's turn is near:
/// `batch` columns are finished, then their errors go into the rest at once, which loads and stores it once a batch.
/// Losses are summed in binary32 over a group.
/// Layout: a panel has 16 rows, turned: the 16 elements of one column are one vector.
/// Cost for each element: half the group's length of multiplications and subtractions, in vectors of 16, and two divisions.

/// Rows of a panel.
public let panelRows = 16

// MARK: - Panels

/// Turns `rows` rows (1 to 16, `stride` apart) of `count` elements into a panel; rows that are not there are zeros.
public func loadPanel(
    _ source: UnsafePointer<Float>, _ stride: Int, _ rows: Int, _ count: Int, _ panel: UnsafeMutablePointer<Float>
) {
    if rows < 16 { for i in 0..<16 &* count { panel[i] = 0 } }
    for row in 0..<rows {
        let (values, places) = (source + row &* stride, panel + row)
        for i in 0..<count { places[16 &* i] = values[i] }
    }
}

/// Writes a panel's rows back.
public func storePanel(
    _ panel: UnsafePointer<Float>, _ rows: Int, _ count: Int, _ target: UnsafeMutablePointer<Float>, _ stride: Int
) {
    for row in 0..<rows {
        let (places, values) = (panel + row, target + row &* stride)
        for i in 0..<count { values[i] = places[16 &* i] }
    }
}

// MARK: - Elimination

@inline(__always)
private func eliminate(
    _ panel: UnsafeMutablePointer<Float>, _ errors: UnsafeMutablePointer<Float>, _ count: Int,
    _ factor: UnsafePointer<Float>, _ stride: Int, _ batch: Int, _ losses: UnsafeMutablePointer<Float>,
    _ snap: (Int, UnsafeMutablePointer<Float>) -> Void
) {
    let columns = UnsafeMutableRawPointer(panel).assumingMemoryBound(to: SIMD16<Float>.self)
    let moved = UnsafeMutableRawPointer(errors).assumingMemoryBound(to: SIMD16<Float>.self)
    let loss = UnsafeMutableRawPointer(losses).assumingMemoryBound(to: SIMD16<Float>.self)
    var start = 0
    while start < count {
        let end = min(count, start &+ batch)
        for i in start..<end {
            let row = factor + i &* stride
            let before = columns[i]
            snap(i, panel + 16 &* i)
            let gap = before - columns[i]
            loss.pointee += gap * gap / (row[i] * row[i])
            let error = gap / row[i]
            moved[i] = error
            for j in (i &+ 1)..<end { columns[j] -= error * row[j] }
        }
        for j in end..<count {
            var rest = columns[j]
            for k in start..<end { rest -= moved[k] * factor[k &* stride &+ j] }
            columns[j] = rest
        }
        start = end
    }
}

/// Zeroes what is pruned.
@inline(__always)
private func clear(_ column: UnsafeMutablePointer<Float>, _ keep: UnsafePointer<UInt32>) {
    for r in 0..<16 { column[r] = Float(bitPattern: column[r].bitPattern & keep[r]) }
}

/// The columns of a panel without a grid: what `keep` has as 0 becomes 0, the rest stays.
///
/// - panel: the columns; receives the result. Aligned to 64 bytes, as are `errors`, `losses` and `keep`.
/// - errors: receives e, laid out as the panel.
/// - factor: U of the group's columns, rows `stride` apart; the diagonal is above 0.
/// - batch: columns to finish before the rest is brought up to date.
/// - losses: 16 sums to be raised.
/// - keep: all ones or 0 for each element; a group of `m` columns is chosen here when its first one is reached, see
///   `keepLargest`, unless `m` is 0. `batch` is a multiple of `m`.
/// - work: room for 16 * m numbers.
/// - Returns: 1 where a choice among equal elements was made, otherwise 0.
public func eliminatePruned(
    _ panel: UnsafeMutablePointer<Float>, _ errors: UnsafeMutablePointer<Float>, _ count: Int,
    _ factor: UnsafePointer<Float>, _ stride: Int, _ batch: Int, _ losses: UnsafeMutablePointer<Float>,
    _ keep: UnsafeMutablePointer<UInt32>, _ n: Int, _ m: Int, _ work: UnsafeMutablePointer<Float>
) -> UInt32 {
    var ties: UInt32 = 0
    eliminate(panel, errors, count, factor, stride, batch, losses) { i, column in
        if m > 0 && i % m == 0 { ties |= keepLargest(column, i, factor, stride, n, m, work, keep + 16 &* i) }
        clear(column, keep + 16 &* i)
    }
    return ties
}

/// The columns of a panel on linear grids: (clip(round(w / scale) + zero, 0, limit) - zero) * scale.
///
/// - scale, zero: the parameters of the panel's 16 rows; those of the set with number s are `setStride` * s behind.
/// - set: the set of each column.
/// - keep: as above; null: nothing is pruned.
public func eliminateLinear(
    _ panel: UnsafeMutablePointer<Float>, _ errors: UnsafeMutablePointer<Float>, _ count: Int,
    _ factor: UnsafePointer<Float>, _ stride: Int, _ batch: Int, _ losses: UnsafeMutablePointer<Float>,
    _ keep: UnsafeMutablePointer<UInt32>?, _ n: Int, _ m: Int, _ work: UnsafeMutablePointer<Float>,
    _ scale: UnsafePointer<Float>, _ zero: UnsafePointer<Float>, _ setStride: Int, _ set: UnsafePointer<Int32>,
    _ limit: Float
) -> UInt32 {
    var ties: UInt32 = 0
    eliminate(panel, errors, count, factor, stride, batch, losses) { i, column in
        if let keep {
            if m > 0 && i % m == 0 { ties |= keepLargest(column, i, factor, stride, n, m, work, keep + 16 &* i) }
            clear(column, keep + 16 &* i)
        }
        let place = Int(set[i]) &* setStride
        snapLinear(column, scale + place, zero + place, limit)
    }
    return ties
}

/// The columns of a panel on tables: scale * the entry nearest to w / scale.
///
/// - scale: as above; null: 1.
/// - tables: 16 numbers an entry, one for each row; the tables of the set with number s are 16 * entries * s behind.
/// - expanded: how distances are computed, see `snapTable`.
/// - work: room for 32 numbers, and for 16 * m.
public func eliminateTable(
    _ panel: UnsafeMutablePointer<Float>, _ errors: UnsafeMutablePointer<Float>, _ count: Int,
    _ factor: UnsafePointer<Float>, _ stride: Int, _ batch: Int, _ losses: UnsafeMutablePointer<Float>,
    _ keep: UnsafeMutablePointer<UInt32>?, _ n: Int, _ m: Int, _ work: UnsafeMutablePointer<Float>,
    _ scale: UnsafePointer<Float>?, _ setStride: Int, _ set: UnsafePointer<Int32>, _ tables: UnsafePointer<Float>,
    _ entries: Int, _ expanded: Bool
) -> UInt32 {
    var ties: UInt32 = 0
    eliminate(panel, errors, count, factor, stride, batch, losses) { i, column in
        if let keep {
            if m > 0 && i % m == 0 { ties |= keepLargest(column, i, factor, stride, n, m, work, keep + 16 &* i) }
            clear(column, keep + 16 &* i)
        }
        let number = Int(set[i])
        let table = tables + 16 &* entries &* number
        if let scale {
            let steps = scale + number &* setStride
            for r in 0..<16 { column[r] /= steps[r] }
            snapTable(column, table, entries, expanded, work)
            for r in 0..<16 { column[r] *= steps[r] }
        } else {
            snapTable(column, table, entries, expanded, work)
        }
    }
    return ties
}
