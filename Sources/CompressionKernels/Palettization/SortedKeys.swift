/// Distinct values of binary32 and binary64 data with their counts or summed importances: a radix sort of keys.
///
/// A key is an unsigned integer in the order of the values: the sign bit is flipped for positive numbers, every bit for
/// negative ones. -0.0 becomes +0.0. The sort goes from the least significant 11 bits up, is stable, needs a second array
/// of the same size and no other memory, and can be cut into chunks: count each chunk, give each chunk its offsets for each
/// digit in order of (digit, chunk), scatter each chunk. The result does not depend on the cut.
/// With importances the sort carries the element numbers, so the sums run over equal values in the order of the elements.

/// Bits of one digit and number of digits' values.
public let radixBits = 11
public let radixSize = 2048

/// Keys of finite numbers or infinities, in ascending order of the values.
public func makeKeys(_ source: UnsafePointer<Float>, _ count: Int, _ keys: UnsafeMutablePointer<UInt32>) {
    for i in 0..<count {
        let bits = (source[i] + 0.0).bitPattern
        keys[i] = bits ^ (UInt32(bitPattern: Int32(bitPattern: bits) &>> 31) | 0x8000_0000)
    }
}

/// Keys of finite numbers or infinities, in ascending order of the values.
public func makeKeys(_ source: UnsafePointer<Double>, _ count: Int, _ keys: UnsafeMutablePointer<UInt64>) {
    for i in 0..<count {
        let bits = (source[i] + 0.0).bitPattern
        keys[i] = bits ^ (UInt64(bitPattern: Int64(bitPattern: bits) &>> 63) | 0x8000_0000_0000_0000)
    }
}

/// The value of a key.
@inline(__always)
public func keyValue(_ key: UInt32) -> Double {
    Double(Float(bitPattern: key ^ (~UInt32(bitPattern: Int32(bitPattern: key) &>> 31) | 0x8000_0000)))
}

/// The value of each key.
public func keysToDoubles(_ keys: UnsafePointer<UInt32>, _ count: Int, _ values: UnsafeMutablePointer<Double>) {
    for i in 0..<count { values[i] = keyValue(keys[i]) }
}

/// How many different keys a sorted array has.
public func countDistinct(_ keys: UnsafePointer<UInt32>, _ count: Int) -> Int {
    var found = min(count, 1)
    for i in 1..<max(count, 1) { found &+= keys[i] == keys[i &- 1] ? 0 : 1 }
    return found
}

/// The value of each key.
public func keysToDoubles(_ keys: UnsafePointer<UInt64>, _ count: Int, _ values: UnsafeMutablePointer<Double>) {
    for i in 0..<count {
        let key = keys[i]
        let mask = ~UInt64(bitPattern: Int64(bitPattern: key) &>> 63) | 0x8000_0000_0000_0000
        values[i] = Double(bitPattern: key ^ mask)
    }
}

/// `digits[d]` += the number of keys whose digit at `shift` is d.
public func countDigits(
    _ keys: UnsafePointer<UInt32>, _ count: Int, _ shift: Int, _ digits: UnsafeMutablePointer<Int>
) {
    let shift = UInt32(truncatingIfNeeded: shift)
    for i in 0..<count { digits[Int((keys[i] &>> shift) & 2047)] &+= 1 }
}

/// `digits[d]` += the number of keys whose digit at `shift` is d.
public func countDigits(
    _ keys: UnsafePointer<UInt64>, _ count: Int, _ shift: Int, _ digits: UnsafeMutablePointer<Int>
) {
    let shift = UInt64(truncatingIfNeeded: shift)
    for i in 0..<count { digits[Int(truncatingIfNeeded: (keys[i] &>> shift) & 2047)] &+= 1 }
}

/// Moves each key to `offsets[digit]`, which grows. With `numbers`, those move along into `numbersOut`.
public func scatterKeys(
    _ keys: UnsafePointer<UInt32>, _ numbers: UnsafePointer<UInt32>?, _ count: Int, _ shift: Int,
    _ offsets: UnsafeMutablePointer<Int>, _ keysOut: UnsafeMutablePointer<UInt32>,
    _ numbersOut: UnsafeMutablePointer<UInt32>?
) {
    let shift = UInt32(truncatingIfNeeded: shift)
    if let numbers, let numbersOut {
        for i in 0..<count {
            let digit = Int((keys[i] &>> shift) & 2047)
            let place = offsets[digit]
            offsets[digit] = place &+ 1
            keysOut[place] = keys[i]
            numbersOut[place] = numbers[i]
        }
        return
    }
    for i in 0..<count {
        let digit = Int((keys[i] &>> shift) & 2047)
        let place = offsets[digit]
        offsets[digit] = place &+ 1
        keysOut[place] = keys[i]
    }
}

/// As above, for 64-bit keys.
public func scatterKeys(
    _ keys: UnsafePointer<UInt64>, _ numbers: UnsafePointer<UInt32>?, _ count: Int, _ shift: Int,
    _ offsets: UnsafeMutablePointer<Int>, _ keysOut: UnsafeMutablePointer<UInt64>,
    _ numbersOut: UnsafeMutablePointer<UInt32>?
) {
    let shift = UInt64(truncatingIfNeeded: shift)
    if let numbers, let numbersOut {
        for i in 0..<count {
            let digit = Int(truncatingIfNeeded: (keys[i] &>> shift) & 2047)
            let place = offsets[digit]
            offsets[digit] = place &+ 1
            keysOut[place] = keys[i]
            numbersOut[place] = numbers[i]
        }
        return
    }
    for i in 0..<count {
        let digit = Int(truncatingIfNeeded: (keys[i] &>> shift) & 2047)
        let place = offsets[digit]
        offsets[digit] = place &+ 1
        keysOut[place] = keys[i]
    }
}

/// Keeps each distinct key of a sorted array once, in place, and writes how often it occurs. Returns their number.
public func mergeSortedKeys(
    _ keys: UnsafeMutablePointer<UInt32>, _ count: Int, _ counts: UnsafeMutablePointer<UInt32>
) -> Int {
    var found = 0
    var i = 0
    while i < count {
        let key = keys[i]
        let start = i
        repeat { i &+= 1 } while i < count && keys[i] == key
        keys[found] = key
        counts[found] = UInt32(truncatingIfNeeded: i &- start)
        found &+= 1
    }
    return found
}

/// As above, for 64-bit keys.
public func mergeSortedKeys(
    _ keys: UnsafeMutablePointer<UInt64>, _ count: Int, _ counts: UnsafeMutablePointer<UInt32>
) -> Int {
    var found = 0
    var i = 0
    while i < count {
        let key = keys[i]
        let start = i
        repeat { i &+= 1 } while i < count && keys[i] == key
        keys[found] = key
        counts[found] = UInt32(truncatingIfNeeded: i &- start)
        found &+= 1
    }
    return found
}

/// `weights[j]` = the sum of the importances of the elements of run j: `counts[j]` entries of `numbers` each, in order.
public func sumRunImportance(
    _ numbers: UnsafePointer<UInt32>, _ counts: UnsafePointer<UInt32>, _ runs: Int,
    _ importance: UnsafePointer<Float>, _ weights: UnsafeMutablePointer<Double>
) {
    var i = 0
    for run in 0..<runs {
        var sum = 0.0
        for _ in 0..<Int(counts[run]) {
            sum += Double(importance[Int(numbers[i])])
            i &+= 1
        }
        weights[run] = sum
    }
}

/// As above, for binary64 importances.
public func sumRunImportance(
    _ numbers: UnsafePointer<UInt32>, _ counts: UnsafePointer<UInt32>, _ runs: Int,
    _ importance: UnsafePointer<Double>, _ weights: UnsafeMutablePointer<Double>
) {
    var i = 0
    for run in 0..<runs {
        var sum = 0.0
        for _ in 0..<Int(counts[run]) {
            sum += importance[Int(numbers[i])]
            i &+= 1
        }
        weights[run] = sum
    }
}

/// Puts the importance of each element, its bits, in the place of its number.
public func gatherImportance(_ numbers: UnsafeMutablePointer<UInt32>, _ count: Int, _ importance: UnsafePointer<Float>)
{
    for i in 0..<count { numbers[i] = importance[Int(numbers[i])].bitPattern }
}

/// `values[i] = Double(counts[i])`.
public func countsToDoubles(_ counts: UnsafePointer<UInt32>, _ count: Int, _ values: UnsafeMutablePointer<Double>) {
    for i in 0..<count { values[i] = Double(counts[i]) }
}

/// `numbers[i] = first + i`.
public func fillNumbers(_ first: Int, _ count: Int, _ numbers: UnsafeMutablePointer<UInt32>) {
    for i in 0..<count { numbers[i] = UInt32(truncatingIfNeeded: first &+ i) }
}
