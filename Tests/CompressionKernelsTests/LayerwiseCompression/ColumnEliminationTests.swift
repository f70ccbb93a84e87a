import TestSupport
import XCTest

@testable import CompressionKernels

/// The column loop against the plain loops of the papers, one element at a time, bit for bit.
final class ColumnEliminationTests: XCTestCase {
    private final class Floats {
        let pointer: UnsafeMutablePointer<Float>
        let count: Int

        init(_ values: [Float]) {
            let raw = UnsafeMutableRawPointer.allocate(byteCount: max(4 * values.count, 64), alignment: 64)
            pointer = raw.bindMemory(to: Float.self, capacity: values.count)
            count = values.count
            for (i, value) in values.enumerated() { pointer[i] = value }
        }

        deinit { pointer.deallocate() }
        var array: [Float] { (0..<count).map { pointer[$0] } }
    }

    private func numbers(_ count: Int, seed: UInt64, _ range: ClosedRange<Float> = -1...1) -> [Float] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in Float.random(in: range, using: &generator) }
    }

    private func factor(_ count: Int) -> [Float] {
        var values = numbers(count * count, seed: 5)
        for i in 0..<count { values[i * count + i] = 1 + abs(values[i * count + i]) }
        return values
    }

    /// Columns one after the other, each with all that lie behind it; 16 rows turned, as in a panel.
    private func plain(
        _ panel: [Float], _ count: Int, _ factor: [Float], _ snap: (Int, Int, Float) -> Float
    ) -> (panel: [Float], errors: [Float], losses: [Float]) {
        var (panel, errors) = (panel, [Float](repeating: 0, count: panel.count))
        var losses = [Float](repeating: 0, count: 16)
        for i in 0..<count {
            let d = factor[i * count + i]
            for r in 0..<16 {
                let w = panel[16 * i + r]
                let q = snap(i, r, w)
                panel[16 * i + r] = q
                losses[r] += (w - q) * (w - q) / (d * d)
                errors[16 * i + r] = (w - q) / d
                for j in (i + 1)..<max(count, i + 1) { panel[16 * j + r] -= errors[16 * i + r] * factor[i * count + j] }
            }
        }
        return (panel, errors, losses)
    }

    func testLinearGrid() {
        for (count, batch) in [(1, 8), (7, 8), (8, 8), (37, 8), (64, 16), (130, 3)] {
            let (start, u) = (numbers(16 * count, seed: UInt64(count)), factor(count))
            let sets = (0..<count).map { Int32($0 / 5 % 3) }
            let scale = numbers(48, seed: 2, 0.05...0.2)
            let zero = numbers(48, seed: 3, 0...15).map { $0.rounded() }
            let expected = plain(start, count, u) { i, r, w in
                let place = Int(sets[i]) * 16 + r
                let code = min(max((w / scale[place]).rounded(.toNearestOrEven) + zero[place], 0), 15)
                return (code - zero[place]) * scale[place]
            }
            let (panel, errors, losses) = (Floats(start), Floats(start), Floats([Float](repeating: 0, count: 16)))
            let ties = eliminateLinear(
                panel.pointer, errors.pointer, count, u, count, batch, losses.pointer, nil, 0, 0,
                losses.pointer, scale, zero, 16, sets, 15)
            XCTAssertEqual(panel.array, expected.panel, "\(count) columns")
            XCTAssertEqual(errors.array, expected.errors, "\(count) columns")
            XCTAssertEqual(losses.array, expected.losses, "\(count) columns")
            XCTAssertEqual(ties, 0)
        }
    }

    func testTables() {
        let (count, entries) = (40, 5)
        let (start, u) = (numbers(16 * count, seed: 8), factor(count))
        let sets = (0..<count).map { Int32($0 % 2) }
        let tables = numbers(2 * 16 * entries, seed: 9)
        let scale = numbers(32, seed: 10, 0.5...2)
        for scaled in [false, true] {
            let expected = plain(start, count, u) { i, r, w in
                let step = scaled ? scale[Int(sets[i]) * 16 + r] : 1
                let own = (0..<entries).map { tables[(Int(sets[i]) * entries + $0) * 16 + r] }
                var best = own[0]
                for entry in own where abs(w / step - entry) < abs(w / step - best) { best = entry }
                return best * step
            }
            let (panel, errors, losses) = (Floats(start), Floats(start), Floats([Float](repeating: 0, count: 16)))
            let work = Floats([Float](repeating: 0, count: 32))
            scale.withUnsafeBufferPointer { steps in
                _ = eliminateTable(
                    panel.pointer, errors.pointer, count, u, count, 8, losses.pointer, nil, 0, 0,
                    work.pointer, scaled ? steps.baseAddress : nil, 16, sets,
                    tables, entries, false)
            }
            XCTAssertEqual(panel.array, expected.panel)
            XCTAssertEqual(losses.array, expected.losses)
        }
    }

    /// The expanded square loses digits: entries close together look equally far, and the first is taken.
    func testExpandedDistance() {
        let column = Floats([Float](repeating: 3000.26, count: 16))
        let table = Floats([3000.0, 3000.25, 3000.5].flatMap { [Float](repeating: $0, count: 16) })
        let work = Floats([Float](repeating: 0, count: 32))
        snapTable(column.pointer, table.pointer, 3, false, work.pointer)
        XCTAssertEqual(column.array, [Float](repeating: 3000.25, count: 16))
        for r in 0..<16 { column.pointer[r] = 3000.26 }
        snapTable(column.pointer, table.pointer, 3, true, work.pointer)
        XCTAssertEqual(column.array, [Float](repeating: 3000.0, count: 16))
    }

    func testThresholdAndNOfM() {
        let (count, n, m) = (36, 2, 6)
        let (start, u) = (numbers(16 * count, seed: 11), factor(count))
        let diagonal = (0..<count).map { u[$0 * count + $0] }
        var saliency = [Float](repeating: 0, count: 16 * count)
        for r in 0..<16 {
            for i in 0..<count {
                saliency[16 * i + r] = start[16 * i + r] * start[16 * i + r] / (diagonal[i] * diagonal[i])
            }
        }
        let limit = saliency.sorted()[100]
        let keep = UnsafeMutablePointer<UInt32>.allocate(capacity: 16 * count)
        defer { keep.deallocate() }
        keepAbove(start, count, diagonal, limit, keep)
        XCTAssertEqual((0..<16 * count).filter { keep[$0] == 0 }.count, 101)
        let expected = plain(start, count, u) { i, r, w in saliency[16 * i + r] <= limit ? 0 : w }
        let (panel, errors) = (Floats(start), Floats(start))
        let losses = Floats([Float](repeating: 0, count: 16))
        _ = eliminatePruned(
            panel.pointer, errors.pointer, count, u, count, 8, losses.pointer, keep, 0, 0, losses.pointer)
        XCTAssertEqual(panel.array, expected.panel)

        // n:m looks at the columns as they are when the first of them is reached.
        let work = Floats([Float](repeating: 0, count: 16 * m))
        for i in 0..<16 * count { panel.pointer[i] = start[i] }
        let ties = eliminatePruned(
            panel.pointer, errors.pointer, count, u, count, 12, losses.pointer, keep, n, m, work.pointer)
        XCTAssertEqual(ties, 0)
        for r in 0..<16 {
            for first in stride(from: 0, to: count, by: m) {
                XCTAssertEqual((first..<first + m).filter { panel.pointer[16 * $0 + r] == 0 }.count, n)
            }
            let before = (0..<m).map { saliency[16 * $0 + r] }
            let least = Set(before.sorted().prefix(n))
            for i in 0..<m { XCTAssertEqual(panel.pointer[16 * i + r] == 0, least.contains(before[i])) }
        }
    }

    func testTiesAreTold() {
        let u: [Float] = [1, 0, 0, 1]
        let keep = UnsafeMutablePointer<UInt32>.allocate(capacity: 32)
        defer { keep.deallocate() }
        let work = Floats([Float](repeating: 0, count: 32))
        for (value, expected) in [(Float(0), UInt32(0)), (0.5, 1)] {
            let columns = Floats([Float](repeating: value, count: 32))
            XCTAssertEqual(keepLargest(columns.pointer, 0, u, 2, 1, 2, work.pointer, keep), expected)
            XCTAssertEqual(keep[0], 0, "of equal elements the first goes")
            XCTAssertEqual(keep[16], .max)
            XCTAssertEqual(keepLargest(columns.pointer, 0, u, 2, 2, 2, work.pointer, keep), 0, "nothing to choose")
        }
    }

    func testPanels() {
        let source = numbers(13 * 50, seed: 20)
        let panel = Floats([Float](repeating: 7, count: 16 * 40))
        loadPanel(source, 50, 13, 40, panel.pointer)
        for i in 0..<40 {
            for r in 0..<16 { XCTAssertEqual(panel.pointer[16 * i + r], r < 13 ? source[50 * r + i] : 0) }
        }
        let back = Floats([Float](repeating: 3, count: 13 * 50))
        storePanel(panel.pointer, 13, 40, back.pointer, 50)
        for r in 0..<13 {
            for i in 0..<50 { XCTAssertEqual(back.pointer[50 * r + i], i < 40 ? source[50 * r + i] : 3) }
        }
    }
}
