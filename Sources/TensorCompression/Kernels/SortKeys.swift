import CompressionKernels
import CompressionKernelsV3

extension UInt32: SortKey {
    typealias Value = Float

    static func make(_ source: UnsafePointer<Float>, _ count: Int, _ keys: UnsafeMutablePointer<UInt32>) {
        variant(CompressionKernels.makeKeys, CompressionKernelsV3.makeKeys)(source, count, keys)
    }

    static func toDoubles(_ keys: UnsafePointer<UInt32>, _ count: Int, _ values: UnsafeMutablePointer<Double>) {
        variant(CompressionKernels.keysToDoubles, CompressionKernelsV3.keysToDoubles)(keys, count, values)
    }

    static func countDigits(
        _ keys: UnsafePointer<UInt32>, _ count: Int, _ shift: Int, _ digits: UnsafeMutablePointer<Int>
    ) {
        variant(CompressionKernels.countDigits, CompressionKernelsV3.countDigits)(keys, count, shift, digits)
    }

    static func scatter(
        _ keys: UnsafePointer<UInt32>, _ numbers: UnsafePointer<UInt32>?, _ count: Int, _ shift: Int,
        _ offsets: UnsafeMutablePointer<Int>, _ keysOut: UnsafeMutablePointer<UInt32>,
        _ numbersOut: UnsafeMutablePointer<UInt32>?
    ) {
        variant(CompressionKernels.scatterKeys, CompressionKernelsV3.scatterKeys)(
            keys, numbers, count, shift, offsets, keysOut, numbersOut)
    }

    static func merge(
        _ keys: UnsafeMutablePointer<UInt32>, _ count: Int, _ counts: UnsafeMutablePointer<UInt32>
    ) -> Int {
        variant(CompressionKernels.mergeSortedKeys, CompressionKernelsV3.mergeSortedKeys)(keys, count, counts)
    }
}

extension UInt64: SortKey {
    typealias Value = Double

    static func make(_ source: UnsafePointer<Double>, _ count: Int, _ keys: UnsafeMutablePointer<UInt64>) {
        variant(CompressionKernels.makeKeys, CompressionKernelsV3.makeKeys)(source, count, keys)
    }

    static func toDoubles(_ keys: UnsafePointer<UInt64>, _ count: Int, _ values: UnsafeMutablePointer<Double>) {
        variant(CompressionKernels.keysToDoubles, CompressionKernelsV3.keysToDoubles)(keys, count, values)
    }

    static func countDigits(
        _ keys: UnsafePointer<UInt64>, _ count: Int, _ shift: Int, _ digits: UnsafeMutablePointer<Int>
    ) {
        variant(CompressionKernels.countDigits, CompressionKernelsV3.countDigits)(keys, count, shift, digits)
    }

    static func scatter(
        _ keys: UnsafePointer<UInt64>, _ numbers: UnsafePointer<UInt32>?, _ count: Int, _ shift: Int,
        _ offsets: UnsafeMutablePointer<Int>, _ keysOut: UnsafeMutablePointer<UInt64>,
        _ numbersOut: UnsafeMutablePointer<UInt32>?
    ) {
        variant(CompressionKernels.scatterKeys, CompressionKernelsV3.scatterKeys)(
            keys, numbers, count, shift, offsets, keysOut, numbersOut)
    }

    static func merge(
        _ keys: UnsafeMutablePointer<UInt64>, _ count: Int, _ counts: UnsafeMutablePointer<UInt32>
    ) -> Int {
        variant(CompressionKernels.mergeSortedKeys, CompressionKernelsV3.mergeSortedKeys)(keys, count, counts)
    }
}
