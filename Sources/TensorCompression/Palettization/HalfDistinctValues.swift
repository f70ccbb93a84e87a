import CompressionKernels
import CompressionKernelsV3

/// Groups of at least this many elements are counted with four tables, and cut up for the threads.
private let largeGroup = 1 << 18

extension UInt16 {
    static func distinctValues(
        _ values: UnsafePointer<UInt16>, _ count: Int, _ importance: GroupImportance?, _ scratch: GroupScratch,
        _ pool: WorkPool, _ operation: String
    ) throws(CompressionError) -> DistinctValues {
        var sums: UnsafeMutablePointer<Double>?
        switch importance {
        case .float32(let importance):
            let table = try scratch.sums(operation: operation)
            variant(CompressionKernels.sumHalfImportance, CompressionKernelsV3.sumHalfImportance)(
                values, importance, count, scratch.counts, table, scratch.touched)
            sums = table
        case .float64(let importance):
            let table = try scratch.sums(operation: operation)
            variant(CompressionKernels.sumHalfImportance, CompressionKernelsV3.sumHalfImportance)(
                values, importance, count, scratch.counts, table, scratch.touched)
            sums = table
        case nil where count < largeGroup:
            variant(CompressionKernels.countHalfPatternsNoting, CompressionKernelsV3.countHalfPatternsNoting)(
                values, count, scratch.counts, scratch.touched)
        case nil:
            try countLarge(values, count, scratch, pool, operation)
        }
        let capacity = Swift.min(count, CompressionKernels.halfPatternCount)
        let patterns = try Scratch<UInt16>(capacity + 1, operation: operation)
        let distinct = try Scratch<Double>(capacity, operation: operation)
        let weights = try Scratch<Double>(capacity, operation: operation)
        let found = variant(CompressionKernels.drainHalfTable, CompressionKernelsV3.drainHalfTable)(
            scratch.counts, sums, scratch.touched, patterns.pointer, distinct.pointer, weights.pointer)
        return DistinctValues(count: found, values: distinct, weights: weights, patterns: patterns)
    }

    private static func countLarge(
        _ values: UnsafePointer<UInt16>, _ count: Int, _ scratch: GroupScratch, _ pool: WorkPool, _ operation: String
    ) throws(CompressionError) {
        // Counts are integers: the cut may depend on the threads without changing the sum.
        let parts = Swift.max(1, Swift.min(pool.threadCount, count / largeGroup))
        let tableSize = 4 * CompressionKernels.halfPatternCount
        let tables = try Scratch<UInt32>(zeroed: parts * tableSize, operation: operation)
        let base = tables.pointer
        pool.forEach(parts) { part in
            let start = count / parts * part
            let end = part == parts - 1 ? count : start + count / parts
            variant(CompressionKernels.countHalfPatterns, CompressionKernelsV3.countHalfPatterns)(
                values + start, end - start, base + part * tableSize)
        }
        for table in 0..<4 * parts {
            variant(CompressionKernels.addHalfTable, CompressionKernelsV3.addHalfTable)(
                base + table * CompressionKernels.halfPatternCount, scratch.counts)
        }
        for block in 0..<CompressionKernels.halfBlockCount { scratch.touched[block] = 1 }
    }

    static func clusterCodes(
        _ values: UnsafePointer<UInt16>, _ count: Int, _ distinct: borrowing DistinctValues,
        _ firstIndex: UnsafePointer<Int32>, _ clusters: Int, _ scratch: GroupScratch, _ pool: WorkPool,
        _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        switch distinct.patterns {
        case .some(let patterns):
            variant(CompressionKernels.fillHalfCodes, CompressionKernelsV3.fillHalfCodes)(
                patterns.pointer, distinct.count, firstIndex, clusters, scratch.codes)
        case .none:
            throw CompressionError(kind: .internal, message: "[palettize] binary16 values without their patterns")
        }
        let table = scratch.codes
        pool.forEachPiece(count) { start, end in
            variant(CompressionKernels.lookUpHalfCodes, CompressionKernelsV3.lookUpHalfCodes)(
                values + start, end - start, table, codes + start)
        }
    }
}
