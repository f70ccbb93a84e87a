import CompressionKernels
import CompressionKernelsV3

/// What `eliminateColumns` did.
public struct ColumnSummary: Sendable, Hashable {
    /// Whether n:m had to choose among equal elements that are not zero.
    public let hasTies: Bool
}

/// Puts a group of columns on a grid, or zeroes elements of it, and takes each column's error out of those behind it: the
/// inner loop of GPTQ and SparseGPT. What it does to the columns behind the group is the product of `errors` and the factor's
/// rows, which the caller subtracts.
///
/// Rows go through in panels of 16, in parallel; results do not depend on the number of threads. Numbers that are not finite
/// stay so and spoil their rows only.
///
/// - Parameters:
///   - errors: receives one number for each element, in dense rows.
///   - losses: receives for each row what the change of its elements adds to the layer's squared error.
/// - Throws: `.invalidArgument`, `.cancelled` (the weight is then in between), `.outOfMemory`.
public func eliminateColumns(
    _ group: ColumnGroup, grid: ColumnGrid, pruning: ColumnPruning, pool: WorkPool,
    errors: UnsafeMutablePointer<Float>, losses: UnsafeMutablePointer<Double>
) throws(CompressionError) -> ColumnSummary {
    try group.validate()
    try grid.validate(group)
    try pruning.validate(group)
    let job = try EliminationJob(group, grid, pruning, pool, errors, losses)
    return try job.run()
}

private let operation = "layerwise"
private let panelRows = CompressionKernels.panelRows

private final class EliminationJob {
    let group: ColumnGroup
    let grid: ColumnGrid
    let pruning: ColumnPruning
    let pool: WorkPool
    let errors: UnsafeMutablePointer<Float>
    let losses: UnsafeMutablePointer<Double>
    let diagonal: Scratch<Float>
    /// Elements up to this saliency become zero.
    let limit: Float
    /// Columns that are finished before the rest of a panel is brought up to date.
    let batch: Int

    init(
        _ group: ColumnGroup, _ grid: ColumnGrid, _ pruning: ColumnPruning, _ pool: WorkPool,
        _ errors: UnsafeMutablePointer<Float>, _ losses: UnsafeMutablePointer<Double>
    ) throws(CompressionError) {
        (self.group, self.grid, self.pruning, self.pool) = (group, grid, pruning, pool)
        (self.errors, self.losses) = (errors, losses)
        diagonal = try Scratch(group.columns, operation: operation)
        for column in 0..<group.columns {
            diagonal.pointer[column] = group.factor[column * group.factorStride + column]
        }
        let usual = 8
        if case .nOfM(_, let m) = pruning { batch = (usual + m - 1) / m * m } else { batch = usual }
        guard case .share(let share) = pruning else {
            limit = 0
            return
        }
        limit = try Self.threshold(group, share, diagonal.pointer, pool)
    }

    /// The saliency of the rank that a share asks for.
    private static func threshold(
        _ group: ColumnGroup, _ share: Double, _ diagonal: UnsafePointer<Float>, _ pool: WorkPool
    ) throws(CompressionError) -> Float {
        let count = group.rows * group.columns
        let saliency = try Scratch<Float>(count, operation: operation)
        let places = saliency.pointer
        pool.forEachPiece(group.rows, length: max(1, pieceLength / group.columns)) { start, end in
            variant(CompressionKernels.findSaliency, CompressionKernelsV3.findSaliency)(
                group.weight + start * group.stride, group.stride, end - start, group.columns, diagonal,
                places + start * group.columns)
        }
        try pool.checkCancellation(operation)
        let part = WeightedElements(elements: UnsafePointer(places), count: count, weight: 1)
        let rank = Int(Double(count) * share)
        let found = try MagnitudePercentile(parts: [part], pool: pool).select(rank)
        return Float(magnitudePattern: found.pattern)
    }

    func run() throws(CompressionError) -> ColumnSummary {
        let panels = (group.rows + panelRows - 1) / panelRows
        // Few enough for all threads to have some, many enough for the work space to be worth making.
        let each = max(1, min(8, panels / (4 * pool.threadCount)))
        let tasks = (panels + each - 1) / each
        let ties = try Scratch<UInt32>(zeroed: tasks, operation: operation)
        let found = ties.pointer
        try forEachTask(tasks) { task throws(CompressionError) in
            let space = try PanelSpace(group, grid, pruning)
            for panel in task * each..<min(panels, (task + 1) * each) { found[task] |= eliminate(panel, space) }
        }
        var any: UInt32 = 0
        for task in 0..<tasks { any |= found[task] }
        return ColumnSummary(hasTies: any != 0)
    }

    private func forEachTask(
        _ tasks: Int, _ body: (Int) throws(CompressionError) -> Void
    ) throws(CompressionError) {
        try pool.tryForEach(tasks, operation: operation, body)
    }

    private func eliminate(_ number: Int, _ space: PanelSpace) -> UInt32 {
        let first = number * panelRows
        let rows = min(panelRows, group.rows - first)
        let (panel, moved, sums) = (space.panel.pointer, space.errors.pointer, space.losses.pointer)
        variant(CompressionKernels.loadPanel, CompressionKernelsV3.loadPanel)(
            group.weight + first * group.stride, group.stride, rows, group.columns, panel)
        for r in 0..<panelRows { sums[r] = 0 }
        var keep: UnsafeMutablePointer<UInt32>? = space.keep.pointer
        var (n, m) = (0, 0)
        switch pruning {
        case .none: keep = nil
        case .share:
            variant(CompressionKernels.keepAbove, CompressionKernelsV3.keepAbove)(
                panel, group.columns, diagonal.pointer, limit, space.keep.pointer)
        case .nOfM(let least, let size): (n, m) = (least, size)
        }
        var ties: UInt32 = 0
        switch grid {
        case .free:
            // Without pruning nothing changes; all elements are kept.
            if keep == nil { for i in 0..<panelRows * group.columns { space.keep.pointer[i] = .max } }
            ties = variant(CompressionKernels.eliminatePruned, CompressionKernelsV3.eliminatePruned)(
                panel, moved, group.columns, group.factor, group.factorStride, batch, sums, space.keep.pointer, n, m,
                space.work.pointer)
        case .linear(let grid):
            space.fill(grid, first, rows, group.rows)
            ties = variant(CompressionKernels.eliminateLinear, CompressionKernelsV3.eliminateLinear)(
                panel, moved, group.columns, group.factor, group.factorStride, batch, sums, keep, n, m,
                space.work.pointer, space.scale.pointer, space.zero.pointer, panelRows, grid.setOfColumn, grid.limit)
        case .table(let grid):
            space.fill(grid, first, rows, group.rows)
            ties = variant(CompressionKernels.eliminateTable, CompressionKernelsV3.eliminateTable)(
                panel, moved, group.columns, group.factor, group.factorStride, batch, sums, keep, n, m,
                space.work.pointer, grid.scale == nil ? nil : UnsafePointer(space.scale.pointer), panelRows,
                grid.setOfColumn, space.tables.pointer, grid.entries, grid.distance == .expanded)
        }
        let store = variant(CompressionKernels.storePanel, CompressionKernelsV3.storePanel)
        store(panel, rows, group.columns, group.weight + first * group.stride, group.stride)
        store(moved, rows, group.columns, errors + first * group.columns, group.columns)
        for r in 0..<rows { losses[first + r] = Double(sums[r]) / 2 }
        return ties
    }
}

/// Where one thread works on a panel.
private final class PanelSpace {
    let panel: Scratch<Float>
    let errors: Scratch<Float>
    let losses: Scratch<Float>
    let keep: Scratch<UInt32>
    let work: Scratch<Float>
    let scale: Scratch<Float>
    let zero: Scratch<Float>
    let tables: Scratch<Float>

    init(_ group: ColumnGroup, _ grid: ColumnGrid, _ pruning: ColumnPruning) throws(CompressionError) {
        var (sets, entries, wide) = (0, 0, 2)
        switch grid {
        case .free: break
        case .linear(let grid): sets = grid.sets
        case .table(let grid): (sets, entries) = (grid.sets, grid.sets * grid.entries)
        }
        if case .nOfM(_, let m) = pruning { wide = max(wide, m) }
        panel = try Scratch(panelRows * group.columns, operation: operation)
        errors = try Scratch(panelRows * group.columns, operation: operation)
        losses = try Scratch(panelRows, operation: operation)
        keep = try Scratch(panelRows * group.columns, operation: operation)
        work = try Scratch(panelRows * wide, operation: operation)
        scale = try Scratch(panelRows * sets, operation: operation)
        zero = try Scratch(panelRows * sets, operation: operation)
        tables = try Scratch(panelRows * entries, operation: operation)
    }

    /// The parameters of the panel's rows, side by side; rows that are not there are zeros on the grid of whole numbers.
    func fill(_ grid: LinearGrid, _ first: Int, _ rows: Int, _ allRows: Int) {
        for set in 0..<grid.sets {
            for r in 0..<panelRows {
                let place = set * allRows + first + r
                scale.pointer[set * panelRows + r] = r < rows ? grid.scale[place] : 1
                zero.pointer[set * panelRows + r] = r < rows ? grid.zero[place] : 0
            }
        }
    }

    func fill(_ grid: TableGrid, _ first: Int, _ rows: Int, _ allRows: Int) {
        let tablesOfSet = grid.tablesOfSet(allRows)
        for set in 0..<grid.sets {
            for r in 0..<panelRows {
                let row = first + min(r, rows - 1)
                if let steps = grid.scale { scale.pointer[set * panelRows + r] = steps[set * allRows + row] }
                let source = grid.tables + (set * tablesOfSet + row / grid.rowsPerTable) * grid.entries
                let target = tables.pointer + set * grid.entries * panelRows + r
                for entry in 0..<grid.entries { target[entry * panelRows] = source[entry] }
            }
        }
    }
}
