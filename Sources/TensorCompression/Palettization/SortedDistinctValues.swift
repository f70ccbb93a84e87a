import CompressionKernels
import CompressionKernelsV3

/// Groups of at least this many elements are sorted in parts.
private let largeGroup = 1 << 18

/// The keys of a sort: `UInt32` for binary32 values, `UInt64` for binary64 values.
protocol SortKey: FixedWidthInteger, UnsignedInteger, BitwiseCopyable, Sendable {
    associatedtype Value: BitwiseCopyable
    static func make(_ source: UnsafePointer<Value>, _ count: Int, _ keys: UnsafeMutablePointer<Self>)
    static func toDoubles(_ keys: UnsafePointer<Self>, _ count: Int, _ values: UnsafeMutablePointer<Double>)
    static func countDigits(
        _ keys: UnsafePointer<Self>, _ count: Int, _ shift: Int, _ digits: UnsafeMutablePointer<Int>)
    static func scatter(
        _ keys: UnsafePointer<Self>, _ numbers: UnsafePointer<UInt32>?, _ count: Int, _ shift: Int,
        _ offsets: UnsafeMutablePointer<Int>, _ keysOut: UnsafeMutablePointer<Self>,
        _ numbersOut: UnsafeMutablePointer<UInt32>?)
    static func merge(
        _ keys: UnsafeMutablePointer<Self>, _ count: Int, _ counts: UnsafeMutablePointer<UInt32>
    ) -> Int
}

/// Keys, and with importances the number of each element, in ascending order; equal keys in the order of the elements.
struct SortedKeys<Key: SortKey>: ~Copyable {
    let keys: Scratch<Key>
    /// Free for the caller to use. With numbers, this and the keys have a place more than there are keys.
    let spare: Scratch<Key>
    private let numbers: Scratch<UInt32>?
    var numberPlaces: UnsafeMutablePointer<UInt32>? {
        switch numbers {
        case .none: nil
        case .some(let numbers): numbers.pointer
        }
    }

    /// - Parameter count: below 2^32.
    init(
        _ source: UnsafePointer<Key.Value>, _ count: Int, numbered: Bool, _ pool: WorkPool, _ operation: String
    ) throws(CompressionError) {
        let (places, numberCount) = numbered ? (count + 1, count) : (count, 0)
        var current = try Scratch<Key>(places, operation: operation)
        var other = try Scratch<Key>(places, operation: operation)
        var currentNumbers = try Scratch<UInt32>(numberCount, operation: operation)
        var otherNumbers = try Scratch<UInt32>(numberCount, operation: operation)
        let parts = count < largeGroup ? 1 : pool.threadCount
        let partLength = (count + parts - 1) / parts
        let digits = try Scratch<Int>(parts * CompressionKernels.radixSize, operation: operation)
        do {
            let (keys, numbers) = (current.pointer, currentNumbers.pointer)
            pool.forEachPiece(count, length: partLength) { start, end in
                Key.make(source + start, end - start, keys + start)
                if numbered { CompressionKernels.fillNumbers(start, end - start, numbers + start) }
            }
        }
        var shift = 0
        while shift < Key.bitWidth {
            try pool.checkCancellation(operation)
            let moved = Self.pass(
                current.pointer, other.pointer, numbered ? currentNumbers.pointer : nil, otherNumbers.pointer,
                count, partLength, shift, digits.pointer, pool)
            if moved {
                swap(&current, &other)
                swap(&currentNumbers, &otherNumbers)
            }
            shift += CompressionKernels.radixBits
        }
        keys = current
        spare = other
        numbers = numbered ? .some(currentNumbers) : .none
    }

    /// One stable pass over a digit; false when every key has the same one, and nothing was moved.
    private static func pass(
        _ keys: UnsafeMutablePointer<Key>, _ keysOut: UnsafeMutablePointer<Key>,
        _ numbers: UnsafeMutablePointer<UInt32>?, _ numbersOut: UnsafeMutablePointer<UInt32>,
        _ count: Int, _ partLength: Int, _ shift: Int, _ digits: UnsafeMutablePointer<Int>, _ pool: WorkPool
    ) -> Bool {
        let size = CompressionKernels.radixSize
        let parts = (count + partLength - 1) / partLength
        pool.forEachPiece(count, length: partLength) { start, end in
            let own = digits + start / partLength * size
            for digit in 0..<size { own[digit] = 0 }
            Key.countDigits(keys + start, end - start, shift, own)
        }
        var total = 0
        for digit in 0..<size {
            let before = total
            for part in 0..<parts {
                let here = digits[part * size + digit]
                digits[part * size + digit] = total
                total += here
            }
            if total - before == count { return false }
        }
        pool.forEachPiece(count, length: partLength) { start, end in
            Key.scatter(
                keys + start, numbers.map { UnsafePointer($0 + start) }, end - start, shift,
                digits + start / partLength * size, keysOut, numbers == nil ? nil : numbersOut)
        }
        return true
    }
}

extension SortKey {
    /// The distinct values of finite or infinite data.
    static func distinctValues(
        _ source: UnsafePointer<Value>, _ count: Int, _ importance: GroupImportance?, _ pool: WorkPool,
        _ operation: String
    ) throws(CompressionError) -> DistinctValues {
        let sorted = try SortedKeys<Self>(source, count, numbered: importance != nil, pool, operation)
        return try distinctValues(sorted, count, importance, operation)
    }

    /// The same of sorted keys, whose memory is used. Their numbers are there if there are importances.
    static func distinctValues(
        _ sorted: borrowing SortedKeys<Self>, _ count: Int, _ importance: GroupImportance?, _ operation: String
    ) throws(CompressionError) -> DistinctValues {
        let keys = sorted.keys.pointer
        // The other array of the sort is free, and at least as wide.
        let counts = UnsafeMutableRawPointer(sorted.spare.pointer).bindMemory(to: UInt32.self, capacity: count)
        let found = merge(keys, count, counts)
        let values = try Scratch<Double>(found, operation: operation)
        let weights = try Scratch<Double>(found, operation: operation)
        let valuesOut = values.pointer
        toDoubles(keys, found, valuesOut)
        if let numbers = sorted.numberPlaces {
            switch importance {
            case .float32(let importance):
                variant(CompressionKernels.sumRunImportance, CompressionKernelsV3.sumRunImportance)(
                    numbers, counts, found, importance, weights.pointer)
            case .float64(let importance):
                variant(CompressionKernels.sumRunImportance, CompressionKernelsV3.sumRunImportance)(
                    numbers, counts, found, importance, weights.pointer)
            case nil: break
            }
        } else {
            variant(CompressionKernels.countsToDoubles, CompressionKernelsV3.countsToDoubles)(
                counts, found, weights.pointer)
        }
        return DistinctValues(count: found, values: values, weights: weights, patterns: .none)
    }
}

extension Float {
    static func distinctValues(
        _ values: UnsafePointer<Float>, _ count: Int, _ importance: GroupImportance?, _ scratch: GroupScratch,
        _ pool: WorkPool, _ operation: String
    ) throws(CompressionError) -> DistinctValues {
        try UInt32.distinctValues(values, count, importance, pool, operation)
    }

    static func clusterCodes(
        _ values: UnsafePointer<Float>, _ count: Int, _ distinct: borrowing DistinctValues,
        _ firstIndex: UnsafePointer<Int32>, _ clusters: Int, _ scratch: GroupScratch, _ pool: WorkPool,
        _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let thresholds = try Scratch<Float>(clusters, operation: "palettize")
        let table = thresholds.pointer
        // A cluster past the last value, which is empty, is never reached.
        for cluster in 1..<max(clusters, 1) {
            let first = Int(firstIndex[cluster])
            table[cluster - 1] = first < distinct.count ? Float(distinct.values.pointer[first]) : .nan
        }
        findCodes(values, count, table, clusters, pool, codes)
    }

    /// - thresholds: the least value of each cluster but the first.
    static func findCodes(
        _ values: UnsafePointer<Float>, _ count: Int, _ thresholds: UnsafePointer<Float>, _ clusters: Int,
        _ pool: WorkPool, _ codes: UnsafeMutablePointer<UInt8>
    ) {
        pool.forEachPiece(count) { start, end in
            variant(CompressionKernels.findIntervals, CompressionKernelsV3.findIntervals)(
                values + start, end - start, thresholds, clusters - 1, codes + start)
        }
    }
}

extension Double {
    static func distinctValues(
        _ values: UnsafePointer<Double>, _ count: Int, _ importance: GroupImportance?, _ scratch: GroupScratch,
        _ pool: WorkPool, _ operation: String
    ) throws(CompressionError) -> DistinctValues {
        try UInt64.distinctValues(values, count, importance, pool, operation)
    }

    static func clusterCodes(
        _ values: UnsafePointer<Double>, _ count: Int, _ distinct: borrowing DistinctValues,
        _ firstIndex: UnsafePointer<Int32>, _ clusters: Int, _ scratch: GroupScratch, _ pool: WorkPool,
        _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let thresholds = try Scratch<Double>(clusters, operation: "palettize")
        let table = thresholds.pointer
        for cluster in 1..<max(clusters, 1) {
            let first = Int(firstIndex[cluster])
            table[cluster - 1] = first < distinct.count ? distinct.values.pointer[first] : .nan
        }
        pool.forEachPiece(count) { start, end in
            variant(CompressionKernels.findIntervals, CompressionKernelsV3.findIntervals)(
                values + start, end - start, table, clusters - 1, codes + start)
        }
    }
}
