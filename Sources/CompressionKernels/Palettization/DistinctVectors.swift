/// Distinct vectors of at most 256, by hashing: their first places, and a code for each vector.
///
/// Works on bit patterns; -0.0 is +0.0. NaN must have been refused before. Gives up at the 257th distinct vector, so data
/// with many cost next to nothing. The vectors are then put in ascending order, first component first, as
/// `numpy.unique(axis=0)` has them.

/// Slots of the hash table; the caller provides that many Int32, and places for 256 numbers.
public let distinctSlots = 1024

@inline(__always)
private func findDistinct(
    _ count: Int, _ dimension: Int, _ slots: UnsafeMutablePointer<Int32>, _ firsts: UnsafeMutablePointer<Int>,
    _ codes: UnsafeMutablePointer<UInt8>, _ pattern: (Int) -> UInt64
) -> Int {
    for i in 0..<1024 { slots[i] = -1 }
    var found = 0
    for vector in 0..<count {
        let base = vector &* dimension
        var hash: UInt64 = 0
        for j in 0..<dimension {
            hash = (hash ^ pattern(base &+ j)) &* 0x9e37_79b9_7f4a_7c15
            hash ^= hash >> 29
        }
        var slot = Int(truncatingIfNeeded: hash >> 20) & 1023
        while true {
            let id = Int(slots[slot])
            if id < 0 {
                if found == 256 { return -1 }
                slots[slot] = Int32(truncatingIfNeeded: found)
                firsts[found] = vector
                codes[vector] = UInt8(truncatingIfNeeded: found)
                found &+= 1
                break
            }
            let other = firsts[id] &* dimension
            var same = true
            for j in 0..<dimension where pattern(base &+ j) != pattern(other &+ j) {
                same = false
                break
            }
            if same {
                codes[vector] = UInt8(truncatingIfNeeded: id)
                break
            }
            slot = (slot &+ 1) & 1023
        }
    }
    return found
}

/// Numbers the distinct vectors in the order in which they are met.
///
/// - returns: how many there are, or -1 when there are more than 256. `firsts` (256 places) gets the number of the first
///   vector of each kind, `codes` one code for each vector.
public func findDistinctVectors(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ dimension: Int, _ slots: UnsafeMutablePointer<Int32>,
    _ firsts: UnsafeMutablePointer<Int>, _ codes: UnsafeMutablePointer<UInt8>
) -> Int {
    findDistinct(count, dimension, slots, firsts, codes) { source[$0] == 0x8000 ? 0 : UInt64(source[$0]) }
}

/// As above, for binary32 patterns.
public func findDistinctVectors(
    _ source: UnsafePointer<UInt32>, _ count: Int, _ dimension: Int, _ slots: UnsafeMutablePointer<Int32>,
    _ firsts: UnsafeMutablePointer<Int>, _ codes: UnsafeMutablePointer<UInt8>
) -> Int {
    findDistinct(count, dimension, slots, firsts, codes) { source[$0] == 0x8000_0000 ? 0 : UInt64(source[$0]) }
}

/// As above, for binary64 patterns.
public func findDistinctVectors(
    _ source: UnsafePointer<UInt64>, _ count: Int, _ dimension: Int, _ slots: UnsafeMutablePointer<Int32>,
    _ firsts: UnsafeMutablePointer<Int>, _ codes: UnsafeMutablePointer<UInt8>
) -> Int {
    findDistinct(count, dimension, slots, firsts, codes) { source[$0] == 0x8000_0000_0000_0000 ? 0 : source[$0] }
}

/// `codes[i] = ranks[codes[i]]`.
public func renumberCodes(
    _ codes: UnsafeMutablePointer<UInt8>, _ count: Int, _ ranks: UnsafePointer<UInt8>
) {
    for i in 0..<count { codes[i] = ranks[Int(codes[i])] }
}
