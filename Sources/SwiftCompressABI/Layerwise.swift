// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import TensorCompression

@c @implementation
public func swc_eliminate_columns(
    _ group: UnsafePointer<swc_column_group>, _ grid: UnsafePointer<swc_column_grid>,
    _ pruning: UnsafePointer<swc_column_pruning>, _ run: UnsafePointer<swc_run>, _ errors: UnsafeMutablePointer<Float>,
    _ losses: UnsafeMutablePointer<Double>, _ ties: UnsafeMutablePointer<Int32>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let columns = ColumnGroup(
            weight: group.pointee.weight, stride: Int(group.pointee.weight_stride), rows: Int(group.pointee.rows),
            columns: Int(group.pointee.columns), factor: group.pointee.factor,
            factorStride: Int(group.pointee.factor_stride))
        let target = try ColumnGrid(grid.pointee)
        let zeros = try ColumnPruning(pruning.pointee)
        let (elements, overflow) = columns.rows.multipliedReportingOverflow(by: columns.columns)
        try run.pointee.perform(elements: overflow ? 0 : elements) { pool in
            let summary = try eliminateColumns(
                columns, grid: target, pruning: zeros, pool: pool, errors: errors, losses: losses)
            ties.pointee = summary.hasTies ? 1 : 0
        }
    }
}

extension ColumnGrid {
    fileprivate init(_ grid: swc_column_grid) throws {
        let kind = Int(grid.kind)
        if kind == SWC_GRID_FREE {
            self = .free
            return
        }
        guard kind >= SWC_GRID_LINEAR, kind <= SWC_GRID_TABLE_EXPANDED else {
            throw invalid("[layerwise] grid: found \(grid.kind), allowed 0 to 3")
        }
        guard let sets = grid.set_of_column else {
            throw invalid("[layerwise] set_of_column: found none, allowed a number for each column")
        }
        if kind == SWC_GRID_LINEAR {
            guard let scale = grid.scale, let zero = grid.zero_point else {
                throw invalid("[layerwise] scale, zero_point: found none, allowed numbers for each row of each set")
            }
            self = .linear(
                LinearGrid(
                    sets: Int(grid.sets), scale: scale, zero: zero, setOfColumn: sets, limit: grid.max_code))
            return
        }
        guard let tables = grid.tables else {
            throw invalid("[layerwise] tables: found none, allowed 1 to 256 entries")
        }
        self = .table(
            TableGrid(
                sets: Int(grid.sets), scale: grid.scale, setOfColumn: sets, tables: tables, entries: Int(grid.entries),
                rowsPerTable: Int(grid.rows_per_table), distance: kind == SWC_GRID_TABLE ? .plain : .expanded))
    }
}

extension ColumnPruning {
    fileprivate init(_ pruning: swc_column_pruning) throws {
        switch Int(pruning.kind) {
        case SWC_COLUMNS_ALL: self = .none
        case SWC_COLUMNS_SHARE: self = .share(pruning.share)
        case SWC_COLUMNS_N_OF_M: self = .nOfM(n: Int(pruning.n), m: Int(pruning.m))
        default: throw invalid("[layerwise] pruning: found \(pruning.kind), allowed 0 to 2")
        }
    }
}
