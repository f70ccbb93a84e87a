import CompressionKernels
import CompressionKernelsV3

/// The distinct values of a group in ascending order, with weights: counts, or importances summed up in the order of the
/// elements. Zeros of both signs are one value, +0.0.
struct DistinctValues: ~Copyable {
    let count: Int
    let values: Scratch<Double>
    let weights: Scratch<Double>
    /// For binary16 only: the pattern of each value.
    let patterns: Scratch<UInt16>?
}

/// The importances of a group's elements, in their order.
enum GroupImportance {
    case float32(UnsafePointer<Float>)
    case float64(UnsafePointer<Double>)
}

/// Tables that one thread reuses from group to group. All zero between groups, the codes apart.
final class GroupScratch {
    let counts: UnsafeMutablePointer<UInt32>
    let touched: UnsafeMutablePointer<UInt8>
    let codes: UnsafeMutablePointer<UInt8>
    private let countsMemory: Scratch<UInt32>
    private let touchedMemory: Scratch<UInt8>
    private let codesMemory: Scratch<UInt8>
    private var sumsMemory: Scratch<Double>?
    private var sumsPointer: UnsafeMutablePointer<Double>?

    init(_ type: FloatType, operation: String) throws(CompressionError) {
        // Only binary16 has tables of all patterns.
        let patterns = type == .float16 ? CompressionKernels.halfPatternCount : 0
        countsMemory = try Scratch(zeroed: patterns, operation: operation)
        touchedMemory = try Scratch(zeroed: CompressionKernels.halfBlockCount, operation: operation)
        codesMemory = try Scratch(zeroed: patterns, operation: operation)
        counts = countsMemory.pointer
        touched = touchedMemory.pointer
        codes = codesMemory.pointer
    }

    /// The table of summed importances, made at its first use.
    func sums(operation: String) throws(CompressionError) -> UnsafeMutablePointer<Double> {
        if let sumsPointer { return sumsPointer }
        let memory = try Scratch<Double>(zeroed: CompressionKernels.halfPatternCount, operation: operation)
        let pointer = memory.pointer
        sumsMemory = .some(memory)
        sumsPointer = pointer
        return pointer
    }
}
