import CompressionKernels
import CompressionKernelsV3

/// The first importance that is negative, NaN or infinite; -1 without one.
func firstBadImportance(_ source: UnsafePointer<Float>, _ count: Int) -> Int {
    variant(CompressionKernels.firstBadImportance, CompressionKernelsV3.firstBadImportance)(source, count)
}

/// As above, for binary64.
func firstBadImportance(_ source: UnsafePointer<Double>, _ count: Int) -> Int {
    variant(CompressionKernels.firstBadImportance, CompressionKernelsV3.firstBadImportance)(source, count)
}
