/// A group of neighbouring columns of a weight matrix, and what the layer's inputs say about them.
public struct ColumnGroup: @unchecked Sendable {
    /// The elements, in rows that are `stride` apart; replaced by what they become.
    public let weight: UnsafeMutablePointer<Float>
    public let stride: Int
    public let rows: Int
    public let columns: Int
    /// The group's square on the diagonal of the upper factor of the inverse Hessian, in rows that are `factorStride` apart.
    public let factor: UnsafePointer<Float>
    public let factorStride: Int

    public init(
        weight: UnsafeMutablePointer<Float>, stride: Int, rows: Int, columns: Int, factor: UnsafePointer<Float>,
        factorStride: Int
    ) {
        self.weight = weight
        self.stride = stride
        self.rows = rows
        self.columns = columns
        self.factor = factor
        self.factorStride = factorStride
    }
}

/// What a column may become.
public enum ColumnGrid: @unchecked Sendable {
    /// Anything.
    case free
    /// Whole multiples of a scale.
    case linear(LinearGrid)
    /// Entries of a table.
    case table(TableGrid)
}

/// (code - zero) * scale for the codes 0 to `limit`. Each column has one of `sets` sets of parameters, each set one pair of
/// them for each row.
public struct LinearGrid: @unchecked Sendable {
    public let sets: Int
    public let scale: UnsafePointer<Float>
    public let zero: UnsafePointer<Float>
    /// For each column.
    public let setOfColumn: UnsafePointer<Int32>
    public let limit: Float

    public init(
        sets: Int, scale: UnsafePointer<Float>, zero: UnsafePointer<Float>, setOfColumn: UnsafePointer<Int32>,
        limit: Float
    ) {
        self.sets = sets
        self.scale = scale
        self.zero = zero
        self.setOfColumn = setOfColumn
        self.limit = limit
    }
}

/// Scale times an entry of a table. Each column has one of `sets` sets; a set has a scale for each row, and a table for every
/// `rowsPerTable` rows.
public struct TableGrid: @unchecked Sendable {
    /// What "nearest" means.
    public enum Distance: Sendable {
        /// The least |w - entry|.
        case plain
        /// As coremltools compares normal floats, see `ColumnGrids.swift`.
        case expanded
    }

    public let sets: Int
    /// None: 1.
    public let scale: UnsafePointer<Float>?
    /// For each column.
    public let setOfColumn: UnsafePointer<Int32>
    public let tables: UnsafePointer<Float>
    public let entries: Int
    public let rowsPerTable: Int
    public let distance: Distance

    public init(
        sets: Int, scale: UnsafePointer<Float>?, setOfColumn: UnsafePointer<Int32>, tables: UnsafePointer<Float>,
        entries: Int, rowsPerTable: Int, distance: Distance
    ) {
        self.sets = sets
        self.scale = scale
        self.setOfColumn = setOfColumn
        self.tables = tables
        self.entries = entries
        self.rowsPerTable = rowsPerTable
        self.distance = distance
    }
}

/// Which elements of a group become zero.
public enum ColumnPruning: Sendable, Equatable {
    case none
    /// Everything up to the saliency of rank count * share (from 0 on, rounded down) among all elements of the group.
    case share(Double)
    /// Of every `m` neighbouring columns the `n` of least saliency; of equal ones the first.
    case nOfM(n: Int, m: Int)
}

// MARK: - Checks

private let operation = "layerwise"

extension ColumnGroup {
    func validate() throws(CompressionError) {
        let allowed = 1...(1 << 31)
        guard allowed.contains(rows) else { throw .invalid("[\(operation)] rows: found \(rows), allowed 1 to 2^31") }
        guard allowed.contains(columns) else {
            throw .invalid("[\(operation)] columns: found \(columns), allowed 1 to 2^31")
        }
        guard stride >= columns, factorStride >= columns else {
            throw .invalid(
                "[\(operation)] strides of weight and factor: found \(stride) and \(factorStride), allowed \(columns), "
                    + "the number of columns, and above")
        }
        for column in 0..<columns {
            let value = factor[column * factorStride + column]
            guard value > 0, value.isFinite else {
                throw .invalid(
                    "[\(operation)] factor: found \(value) at place \(column) of the diagonal, allowed above 0")
            }
        }
    }
}

extension ColumnGrid {
    func validate(_ group: ColumnGroup) throws(CompressionError) {
        switch self {
        case .free: break
        case .linear(let grid):
            guard grid.limit >= 1, grid.limit <= 65_535 else {
                throw .invalid("[\(operation)] max_code: found \(grid.limit), allowed 1 to 65535")
            }
            try validateSets(grid.sets, grid.setOfColumn, group)
            try validateNumbers("scale", grid.scale, grid.sets * group.rows, "above 0") { $0 > 0 && $0.isFinite }
            try validateNumbers("zero_point", grid.zero, grid.sets * group.rows, "-2^20 to 2^20") {
                abs($0) <= 1_048_576
            }
        case .table(let grid):
            guard (1...256).contains(grid.entries) else {
                throw .invalid("[\(operation)] entries: found \(grid.entries), allowed 1 to 256")
            }
            guard grid.rowsPerTable >= 1 else {
                throw .invalid("[\(operation)] rows_per_table: found \(grid.rowsPerTable), allowed 1 and above")
            }
            try validateSets(grid.sets, grid.setOfColumn, group)
            if let scale = grid.scale {
                try validateNumbers("scale", scale, grid.sets * group.rows, "above 0") { $0 > 0 && $0.isFinite }
            }
            let tables = grid.sets * grid.tablesOfSet(group.rows)
            try validateNumbers("table", grid.tables, tables * grid.entries, "finite numbers") { $0.isFinite }
        }
    }

    private func validateSets(
        _ sets: Int, _ setOfColumn: UnsafePointer<Int32>, _ group: ColumnGroup
    ) throws(CompressionError) {
        guard (1...(1 << 24)).contains(sets) else {
            throw .invalid("[\(operation)] sets: found \(sets), allowed 1 to 2^24")
        }
        for column in 0..<group.columns where setOfColumn[column] < 0 || Int(setOfColumn[column]) >= sets {
            throw .invalid(
                "[\(operation)] set_of_column: found \(setOfColumn[column]) for column \(column), allowed 0 to \(sets - 1)"
            )
        }
    }

    private func validateNumbers(
        _ name: String, _ numbers: UnsafePointer<Float>, _ count: Int, _ allowed: String, _ isGood: (Float) -> Bool
    ) throws(CompressionError) {
        for i in 0..<count where !isGood(numbers[i]) {
            throw .invalid("[\(operation)] \(name): found \(numbers[i]) at place \(i), allowed \(allowed)")
        }
    }
}

extension TableGrid {
    /// Tables that the rows of one set have.
    func tablesOfSet(_ rows: Int) -> Int { (rows - 1) / rowsPerTable + 1 }
}

extension ColumnPruning {
    func validate(_ group: ColumnGroup) throws(CompressionError) {
        switch self {
        case .none: break
        case .share(let share):
            guard share >= 0, share < 1 else {
                throw .invalid("[\(operation)] target_sparsity: found \(share), allowed 0 to 1, 1 excluded")
            }
        case .nOfM(let n, let m):
            guard m >= 1, n >= 0, n <= m else {
                throw .invalid("[\(operation)] n_m_ratio: found \(n):\(m), allowed n:m with 0 <= n <= m and 1 <= m")
            }
            guard m <= 4096, group.columns % m == 0 else {
                throw .invalid(
                    "[\(operation)] n_m_ratio: found m = \(m), allowed up to 4096 and a divisor of the group's "
                        + "\(group.columns) columns")
            }
        }
    }
}
