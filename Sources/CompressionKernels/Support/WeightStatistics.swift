/// Counts of elements that are nearly zero, and which bytes occur.
///
/// "Nearly zero" is a magnitude of a bound or less, in the element's own type; NaN is not. Counts are integers, so a cut of
/// the data does not change their sum. Cost: one pass, a comparison per element.
/// coremltools (`get_weights_metadata`) compares the same way: `numpy.sum(numpy.abs(x) <= 1e-12)`.

/// The number of elements of magnitude `bound` or less.
public func countNearZero(_ source: UnsafePointer<Float>, _ count: Int, _ bound: Float) -> Int {
    var total = 0
    var start = 0
    while start < count {
        // In 32 bits, of which a block fills few.
        let end = min(count, start &+ 65_536)
        var found: Int32 = 0
        for i in start..<end { found &+= abs(source[i]) <= bound ? 1 : 0 }
        total &+= Int(found)
        start = end
    }
    return total
}

/// As above, for binary64.
public func countNearZero(_ source: UnsafePointer<Double>, _ count: Int, _ bound: Double) -> Int {
    var total = 0
    for i in 0..<count { total &+= abs(source[i]) <= bound ? 1 : 0 }
    return total
}

/// Adds up in `table` (256 counters) how often each byte occurs.
/// - work: place for 1,024 counters, all zero.
public func countBytes(
    _ source: UnsafePointer<UInt8>, _ count: Int, _ work: UnsafeMutablePointer<UInt32>,
    _ table: UnsafeMutablePointer<UInt64>
) {
    // Four tables in turn: neighbouring equal bytes would wait for each other's store.
    let whole = count & ~3
    var i = 0
    while i < whole {
        work[Int(source[i])] &+= 1
        work[256 &+ Int(source[i &+ 1])] &+= 1
        work[512 &+ Int(source[i &+ 2])] &+= 1
        work[768 &+ Int(source[i &+ 3])] &+= 1
        i &+= 4
    }
    while i < count {
        work[Int(source[i])] &+= 1
        i &+= 1
    }
    for byte in 0..<256 {
        let sum = UInt64(work[byte]) &+ UInt64(work[256 &+ byte]) &+ UInt64(work[512 &+ byte])
        table[byte] &+= sum &+ UInt64(work[768 &+ byte])
    }
}
