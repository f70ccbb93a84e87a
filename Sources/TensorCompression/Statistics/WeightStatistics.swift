import CompressionKernels
import CompressionKernelsV3

/// What can be said about a weight at a glance.
public struct WeightStatistics: Sendable, Equatable {
    /// Elements of magnitude 1e-12 or less; the bound is rounded to the element type, so in binary16 it is 0.
    public let nearZero: Int
    /// Different values. Zeros of both signs are one, and so are all NaNs, as for `numpy.unique`.
    public let distinct: Int
}

private let bound = 1e-12
private let operation = "weight statistics"

/// Counts the nearly zero elements and the different values of a tensor of fewer than 2^32 elements.
///
/// - Throws: `.invalidArgument` for an impossible shape or a misaligned address; `.cancelled`; `.outOfMemory` (binary32 and
///   binary64 are sorted, which needs twice their size).
public func weightStatistics(_ tensor: TensorView, pool: WorkPool) throws(CompressionError) -> WeightStatistics {
    try tensor.validate(operation)
    let count = tensor.elementCount
    try requireSmall(count)
    if count == 0 { return WeightStatistics(nearZero: 0, distinct: 0) }
    switch tensor.type {
    case .float16:
        return try halfStatistics(tensor.base.assumingMemoryBound(to: UInt16.self), count, pool)
    case .float32:
        let source = tensor.base.assumingMemoryBound(to: Float.self)
        let nearZero = try countPieces(count, pool) { start, end in
            variant(CompressionKernels.countNearZero, CompressionKernelsV3.countNearZero)(
                source + start, end - start, Float(bound))
        }
        // The keys of -infinity and infinity: those of NaNs lie outside.
        let distinct = try countDistinct(UInt32.self, source, count, 0x007f_ffff, 0xff80_0000, pool)
        return WeightStatistics(nearZero: nearZero, distinct: distinct)
    case .float64:
        let source = tensor.base.assumingMemoryBound(to: Double.self)
        let nearZero = try countPieces(count, pool) { start, end in
            variant(CompressionKernels.countNearZero, CompressionKernelsV3.countNearZero)(
                source + start, end - start, bound)
        }
        let distinct = try countDistinct(
            UInt64.self, source, count, 0x000f_ffff_ffff_ffff, 0xfff0_0000_0000_0000, pool)
        return WeightStatistics(nearZero: nearZero, distinct: distinct)
    }
}

/// The same for integers of 8 bits, whatever their sign.
///
/// - Throws: `.invalidArgument` for an impossible count; `.cancelled`; `.outOfMemory`.
public func weightStatistics(
    bytes source: UnsafePointer<UInt8>, count: Int, pool: WorkPool
) throws(CompressionError) -> WeightStatistics {
    guard count >= 0 else { throw .invalid("[\(operation)] count: found \(count), allowed 0 or more") }
    try requireSmall(count)
    let table = try Scratch<UInt64>(zeroed: 256, operation: operation)
    let work = try Scratch<UInt32>(zeroed: 1024, operation: operation)
    // One thread: bytes are counted about as fast as they are read.
    variant(CompressionKernels.countBytes, CompressionKernelsV3.countBytes)(source, count, work.pointer, table.pointer)
    try pool.checkCancellation(operation)
    let distinct = (0..<256).reduce(0) { $0 + (table.pointer[$1] > 0 ? 1 : 0) }
    return WeightStatistics(nearZero: Int(table.pointer[0]), distinct: distinct)
}

/// Counters and element numbers have 32 bits.
private func requireSmall(_ count: Int) throws(CompressionError) {
    guard count < 1 << 32 else {
        throw .invalid("[\(operation)] count: found \(count) elements, allowed fewer than 2^32")
    }
}

private func countPieces(
    _ count: Int, _ pool: WorkPool, _ body: (Int, Int) -> Int
) throws(CompressionError) -> Int {
    let pieces = (count + pieceLength - 1) / pieceLength
    let counts = try Scratch<Int>(zeroed: pieces, operation: operation)
    let places = counts.pointer
    pool.forEachPiece(count) { start, end in places[start / pieceLength] = body(start, end) }
    try pool.checkCancellation(operation)
    return (0..<pieces).reduce(0) { $0 + places[$1] }
}

private func halfStatistics(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ pool: WorkPool
) throws(CompressionError) -> WeightStatistics {
    let scratch = try GroupScratch(.float16, operation: operation)
    let found = try UInt16.distinctValues(source, count, nil, scratch, pool, operation)
    try pool.checkCancellation(operation)
    var nearZero = 0
    var distinct = 0
    var hasNaN = false
    switch found.patterns {
    case .some(let patterns):
        for i in 0..<found.count {
            let pattern = patterns.pointer[i]
            if pattern == 0 { nearZero = Int(found.weights.pointer[i]) }
            if pattern.isNaN { hasNaN = true } else { distinct += 1 }
        }
    case .none: throw CompressionError(kind: .internal, message: "[\(operation)] binary16 values without patterns")
    }
    return WeightStatistics(nearZero: nearZero, distinct: distinct + (hasNaN ? 1 : 0))
}

private func countDistinct<Key: SortKey>(
    _: Key.Type, _ source: UnsafePointer<Key.Value>, _ count: Int, _ least: Key, _ greatest: Key, _ pool: WorkPool
) throws(CompressionError) -> Int {
    let sorted = try SortedKeys<Key>(source, count, numbered: false, pool, operation)
    let keys = sorted.keys.pointer
    let counts = UnsafeMutableRawPointer(sorted.spare.pointer).bindMemory(to: UInt32.self, capacity: count)
    let found = Key.merge(keys, count, counts)
    var first = 0
    while first < found, keys[first] < least { first += 1 }
    var end = found
    while end > first, keys[end - 1] > greatest { end -= 1 }
    return end - first + (end - first < found ? 1 : 0)
}
