/// Masks of pruning: 1 for an element that is kept, 0 for one that is zeroed or zero already (of either sign).
///
/// Magnitudes are compared as integers. Every function returns the number of elements kept.

/// Keeps the elements whose magnitude is above `limit`, the bit pattern of a number of at least 0.
public func maskAbove(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ limit: UInt64, _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    let bound = Int16(truncatingIfNeeded: limit)
    for i in 0..<count { mask[i] = Int16(bitPattern: source[i] & 0x7fff) > bound ? 1 : 0 }
    return countOnes(mask, count)
}

/// As above, for binary32.
public func maskAbove(
    _ source: UnsafePointer<Float>, _ count: Int, _ limit: UInt64, _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    let bound = Int32(truncatingIfNeeded: limit)
    for i in 0..<count { mask[i] = Int32(bitPattern: source[i].bitPattern & 0x7fff_ffff) > bound ? 1 : 0 }
    return countOnes(mask, count)
}

/// As above, for binary64.
public func maskAbove(
    _ source: UnsafePointer<Double>, _ count: Int, _ limit: UInt64, _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    let bound = Int64(truncatingIfNeeded: limit)
    for i in 0..<count { mask[i] = Int64(bitPattern: source[i].bitPattern & 0x7fff_ffff_ffff_ffff) > bound ? 1 : 0 }
    return countOnes(mask, count)
}

/// Keeps the elements that are not zero and whose block's norm is above `limit`; `norms` has one for each element.
public func maskByNorm(
    _ source: UnsafePointer<UInt16>, _ norms: UnsafePointer<UInt16>, _ count: Int, _ limit: UInt64,
    _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    let bound = UInt16(truncatingIfNeeded: limit)
    for i in 0..<count { mask[i] = (norms[i] > bound ? 1 : 0) & (source[i] & 0x7fff != 0 ? 1 : 0) }
    return countOnes(mask, count)
}

/// As above, for binary32.
public func maskByNorm(
    _ source: UnsafePointer<Float>, _ norms: UnsafePointer<Float>, _ count: Int, _ limit: UInt64,
    _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    let bound = UInt32(truncatingIfNeeded: limit)
    for i in 0..<count { mask[i] = (norms[i].bitPattern > bound ? 1 : 0) & (source[i] != 0 ? 1 : 0) }
    return countOnes(mask, count)
}

/// As above, for binary64.
public func maskByNorm(
    _ source: UnsafePointer<Double>, _ norms: UnsafePointer<Double>, _ count: Int, _ limit: UInt64,
    _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    for i in 0..<count { mask[i] = (norms[i].bitPattern > limit ? 1 : 0) & (source[i] != 0 ? 1 : 0) }
    return countOnes(mask, count)
}

/// The number of ones among bytes that are 0 or 1.
public func countOnes(_ mask: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var total = 0
    var start = 0
    while start < count {
        // Bytes add up without overflow in stretches of up to 255 words.
        let end = min(count, start &+ 2040)
        let words = (end &- start) / 8
        let raw = UnsafeRawPointer(mask + start)
        var sums: UInt64 = 0
        for i in 0..<words { sums &+= raw.loadUnaligned(fromByteOffset: i &* 8, as: UInt64.self) }
        let pairs = (sums & 0x00ff_00ff_00ff_00ff) &+ ((sums >> 8) & 0x00ff_00ff_00ff_00ff)
        total &+= Int(truncatingIfNeeded: (pairs &* 0x0001_0001_0001_0001) >> 48)
        for i in (start &+ words &* 8)..<end { total &+= Int(mask[i]) }
        start = end
    }
    return total
}

// MARK: - n of m

/// Sorts a few numbers in place, or brings the one of rank `rank` to its place among many.
@inline(__always)
private func selectRank(_ values: UnsafeMutablePointer<UInt64>, _ count: Int, _ rank: Int) -> UInt64 {
    var (low, high) = (0, count &- 1)
    while high &- low > 24 {
        let middle = low &+ (high &- low) / 2
        let (a, b, c) = (values[low], values[middle], values[high])
        let pivot = max(min(a, b), min(max(a, b), c))
        var (i, j) = (low, high)
        while i <= j {
            while values[i] < pivot { i &+= 1 }
            while values[j] > pivot { j &-= 1 }
            if i <= j {
                let kept = values[i]
                values[i] = values[j]
                values[j] = kept
                i &+= 1
                j &-= 1
            }
        }
        if rank <= j { high = j } else if rank >= i { low = i } else { return values[rank] }
    }
    var i = low &+ 1
    while i <= high {
        let value = values[i]
        var j = i
        while j > low && values[j &- 1] > value {
            values[j] = values[j &- 1]
            j &-= 1
        }
        values[j] = value
        i &+= 1
    }
    return values[rank]
}

@inline(__always)
private func maskLowest(
    _ stride: Int, _ count: Int, _ m: Int, _ n: Int, _ work: UnsafeMutablePointer<UInt64>,
    _ mask: UnsafeMutablePointer<UInt8>, _ magnitude: (Int) -> UInt64
) -> Int {
    // Missing elements of the last group are zeros behind the others.
    for i in 0..<count { work[i] = magnitude(i &* stride) }
    for i in count..<m { work[i] = 0 }
    var limit: UInt64 = 0
    var ties = 0
    if n > 0 {
        limit = selectRank(work, m, n &- 1)
        ties = n
        for i in 0..<m { ties &-= work[i] < limit ? 1 : 0 }
    }
    var kept = 0
    for i in 0..<count {
        let value = magnitude(i &* stride)
        var keep = value > limit
        if value == limit && limit > 0 {
            keep = ties <= 0
            ties &-= 1
        }
        mask[i &* stride] = keep ? 1 : 0
        kept &+= keep ? 1 : 0
    }
    return kept
}

/// Zeroes the `n` smallest of `m` elements, `stride` apart; of equal ones those that come first.
/// - count: how many of them there are, 1 to m; the others are zeros.
/// - groups: how many groups follow each other, the first element of each `step` behind that of the one before.
/// - work: room for m numbers.
public func maskLowestOfGroups(
    _ source: UnsafePointer<UInt16>, _ groups: Int, _ step: Int, _ stride: Int, _ count: Int, _ m: Int, _ n: Int,
    _ work: UnsafeMutablePointer<UInt64>, _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    var kept = 0
    for group in 0..<groups {
        let values = source + group &* step
        kept &+= maskLowest(stride, count, m, n, work, mask + group &* step) { UInt64(values[$0] & 0x7fff) }
    }
    return kept
}

/// As above, for binary32.
public func maskLowestOfGroups(
    _ source: UnsafePointer<Float>, _ groups: Int, _ step: Int, _ stride: Int, _ count: Int, _ m: Int, _ n: Int,
    _ work: UnsafeMutablePointer<UInt64>, _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    var kept = 0
    for group in 0..<groups {
        let values = source + group &* step
        kept &+= maskLowest(stride, count, m, n, work, mask + group &* step) {
            UInt64(values[$0].bitPattern & 0x7fff_ffff)
        }
    }
    return kept
}

/// As above, for binary64.
public func maskLowestOfGroups(
    _ source: UnsafePointer<Double>, _ groups: Int, _ step: Int, _ stride: Int, _ count: Int, _ m: Int, _ n: Int,
    _ work: UnsafeMutablePointer<UInt64>, _ mask: UnsafeMutablePointer<UInt8>
) -> Int {
    var kept = 0
    for group in 0..<groups {
        let values = source + group &* step
        kept &+= maskLowest(stride, count, m, n, work, mask + group &* step) {
            values[$0].bitPattern & 0x7fff_ffff_ffff_ffff
        }
    }
    return kept
}
