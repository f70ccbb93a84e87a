import TestSupport
import XCTest

@testable import TensorCompression

/// `eliminateColumns`: any number of threads, rows that fill no panel, what it refuses. Its numbers are tested against
/// coremltools in python/tests.
final class EliminateColumnsTests: XCTestCase {
    private var rows = 0
    private var columns = 0
    private var weight: [Float] = []
    private var factor: [Float] = []
    private var errors: [Float] = []
    private var losses: [Double] = []

    private func make(_ rows: Int, _ columns: Int) {
        var generator = SeededGenerator(seed: 1)
        (self.rows, self.columns) = (rows, columns)
        weight = (0..<rows * columns).map { _ in Float.random(in: -1...1, using: &generator) }
        factor = (0..<columns * columns).map { _ in Float.random(in: -0.3...0.3, using: &generator) }
        for i in 0..<columns { factor[i * columns + i] = 1 }
        errors = [Float](repeating: 0, count: rows * columns)
        losses = [Double](repeating: 0, count: rows)
    }

    @discardableResult
    private func eliminate(
        _ grid: ColumnGrid = .free, _ pruning: ColumnPruning = .none, threads: Int = 1, stride: Int? = nil
    ) throws -> ColumnSummary {
        try weight.withUnsafeMutableBufferPointer { weight in
            try errors.withUnsafeMutableBufferPointer { errors in
                try losses.withUnsafeMutableBufferPointer { losses in
                    try factor.withUnsafeBufferPointer { factor in
                        let group = ColumnGroup(
                            weight: weight.baseAddress!, stride: stride ?? columns, rows: rows, columns: columns,
                            factor: factor.baseAddress!, factorStride: columns)
                        return try eliminateColumns(
                            group, grid: grid, pruning: pruning, pool: WorkPool(threads: threads),
                            errors: errors.baseAddress!, losses: losses.baseAddress!)
                    }
                }
            }
        }
    }

    func testThreadsAndPanelsDoNotShow() throws {
        make(151, 24)
        let original = weight
        let scale = [Float](repeating: 0.1, count: 151)
        let zero = [Float](repeating: 8, count: 151)
        let sets = [Int32](repeating: 0, count: 24)
        try scale.withUnsafeBufferPointer { scale in
            try zero.withUnsafeBufferPointer { zero in
                try sets.withUnsafeBufferPointer { sets in
                    let grid = ColumnGrid.linear(
                        LinearGrid(
                            sets: 1, scale: scale.baseAddress!, zero: zero.baseAddress!, setOfColumn: sets.baseAddress!,
                            limit: 15))
                    for pruning in [ColumnPruning.none, .share(0.4), .nOfM(n: 1, m: 3)] {
                        weight = original
                        try eliminate(grid, pruning)
                        let expected = (weight, errors, losses)
                        XCTAssertNotEqual(weight, original)
                        for threads in [2, 3, 7] {
                            weight = original
                            try eliminate(grid, pruning, threads: threads)
                            XCTAssertEqual(weight, expected.0)
                            XCTAssertEqual(errors, expected.1)
                            XCTAssertEqual(losses, expected.2)
                        }
                        guard pruning != .share(0.4) else { continue }
                        // A row by itself gets what it gets among others.
                        rows = 1
                        weight = Array(original[..<24])
                        try eliminate(grid, pruning)
                        XCTAssertEqual(weight, Array(expected.0[..<24]))
                        rows = 151
                    }
                }
            }
        }
    }

    func testShareIsExact() throws {
        for (share, expected) in [(0.0, 1), (0.25, 151 * 6 + 1), (0.999, 3621)] {
            make(151, 24)
            try eliminate(.free, .share(share))
            XCTAssertEqual(weight.filter { $0 == 0 }.count, expected, "\(share)")
        }
    }

    func testNothingToDo() throws {
        make(20, 6)
        let original = weight
        XCTAssertFalse(try eliminate().hasTies)
        XCTAssertEqual(weight, original)
        XCTAssertEqual(losses, [Double](repeating: 0, count: 20))
    }

    func testInfinitiesSpoilTheirRowOnly() throws {
        make(40, 8)
        let original = weight
        try eliminate(.free, .nOfM(n: 1, m: 2))
        let expected = weight
        weight = original
        weight[3 * 8] = .infinity
        weight[5 * 8 + 2] = .nan
        try eliminate(.free, .nOfM(n: 1, m: 2))
        for row in 0..<40 where row != 3 && row != 5 {
            XCTAssertEqual(weight[row * 8..<row * 8 + 8], expected[row * 8..<row * 8 + 8])
        }
    }

    func testRefusals() throws {
        make(4, 6)
        func refused(_ text: String, _ body: () throws -> Void) {
            XCTAssertThrowsError(try body(), text) { error in
                XCTAssertTrue("\(error)".contains(text), "\(error)")
            }
        }
        refused("target_sparsity: found 1.0") { try eliminate(.free, .share(1)) }
        refused("target_sparsity: found nan") { try eliminate(.free, .share(.nan)) }
        refused("n_m_ratio: found 3:2") { try eliminate(.free, .nOfM(n: 3, m: 2)) }
        refused("n_m_ratio: found m = 4") { try eliminate(.free, .nOfM(n: 1, m: 4)) }
        refused("strides") { try eliminate(stride: 5) }
        factor[7] = 0
        refused("factor: found 0.0 at place 1") { try eliminate() }
        factor[7] = 1
        let (scale, zero): ([Float], [Float]) = ([1, 1, 0, 1], [0, 0, 0, 0])
        for (sets, numbers, text) in [
            ([0, 0, 0, 0, 0, 1], scale, "set_of_column: found 1"), ([0, 0, 0, 0, 0, 0], scale, "scale: found 0.0"),
        ] {
            let sets = sets.map { Int32($0) }
            refused(text) {
                try numbers.withUnsafeBufferPointer { scale in
                    try zero.withUnsafeBufferPointer { zero in
                        try sets.withUnsafeBufferPointer { sets in
                            _ = try eliminate(
                                .linear(
                                    LinearGrid(
                                        sets: 1, scale: scale.baseAddress!, zero: zero.baseAddress!,
                                        setOfColumn: sets.baseAddress!, limit: 15)))
                        }
                    }
                }
            }
        }
    }
}
