/// Order statistics of magnitudes by counting digits, from the highest 15 bits down (Knuth, TAOCP 3, 5.2.5 turned into a
/// selection): the bits of a float without its sign are in the order of the magnitudes.
///
/// The first count puts every element into one of 32,768 classes by the bits below the sign; a binary16 is then known.
/// Further counts look at 16 bits more of the elements of one class. Counts are exact and do not depend on threads.
/// Cost: one table update an element for the first count; four tables in turn, because equal neighbours would wait for each
/// other's store. `numpy.partition` moves the elements instead; the statistics are the same.

/// Classes of the first count, and tables it uses.
public let magnitudeClasses = 32_768
public let magnitudeTables = 4

@inline(__always)
private func countFirst(
    _ count: Int, _ tables: UnsafeMutablePointer<UInt32>, _ digit: (Int) -> Int
) {
    let (second, third, fourth) = (tables + 32_768, tables + 65_536, tables + 98_304)
    let whole = count & ~3
    var i = 0
    while i < whole {
        tables[digit(i)] &+= 1
        second[digit(i &+ 1)] &+= 1
        third[digit(i &+ 2)] &+= 1
        fourth[digit(i &+ 3)] &+= 1
        i &+= 4
    }
    while i < count {
        tables[digit(i)] &+= 1
        i &+= 1
    }
}

/// Adds the first digits of `source` to four tables that follow each other.
public func countFirstDigits(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ tables: UnsafeMutablePointer<UInt32>
) {
    countFirst(count, tables) { Int(source[$0] & 0x7fff) }
}

/// As above, for binary32.
public func countFirstDigits(
    _ source: UnsafePointer<Float>, _ count: Int, _ tables: UnsafeMutablePointer<UInt32>
) {
    countFirst(count, tables) { Int(truncatingIfNeeded: (source[$0].bitPattern >> 16) & 0x7fff) }
}

/// As above, for binary64.
public func countFirstDigits(
    _ source: UnsafePointer<Double>, _ count: Int, _ tables: UnsafeMutablePointer<UInt32>
) {
    countFirst(count, tables) { Int(truncatingIfNeeded: (source[$0].bitPattern >> 48) & 0x7fff) }
}

/// Counts the low 16 bits of the magnitudes whose upper bits are `prefix` (65,536 counters).
public func countNextDigits(
    _ source: UnsafePointer<Float>, _ count: Int, _ prefix: UInt64, _ shift: UInt64,
    _ table: UnsafeMutablePointer<UInt32>
) {
    let wanted = UInt32(truncatingIfNeeded: prefix)
    for i in 0..<count {
        let magnitude = source[i].bitPattern & 0x7fff_ffff
        if magnitude >> 16 == wanted { table[Int(magnitude & 0xffff)] &+= 1 }
    }
}

/// As above, for binary64: the 16 bits from `shift` on, where those above are `prefix`.
public func countNextDigits(
    _ source: UnsafePointer<Double>, _ count: Int, _ prefix: UInt64, _ shift: UInt64,
    _ table: UnsafeMutablePointer<UInt32>
) {
    for i in 0..<count {
        let digits = (source[i].bitPattern & 0x7fff_ffff_ffff_ffff) &>> shift
        if digits &>> 16 == prefix { table[Int(truncatingIfNeeded: digits & 0xffff)] &+= 1 }
    }
}

/// The least magnitude above `limit`, as a bit pattern; all ones without one.
public func leastMagnitude(_ source: UnsafePointer<UInt16>, _ count: Int, above limit: UInt64) -> UInt64 {
    let bound = UInt16(truncatingIfNeeded: limit)
    var least: UInt16 = 0xffff
    for i in 0..<count {
        let magnitude = source[i] & 0x7fff
        least = min(least, magnitude > bound ? magnitude : 0xffff)
    }
    return least == 0xffff ? .max : UInt64(least)
}

/// As above, for binary32.
public func leastMagnitude(_ source: UnsafePointer<Float>, _ count: Int, above limit: UInt64) -> UInt64 {
    let bound = UInt32(truncatingIfNeeded: limit)
    var least: UInt32 = 0xffff_ffff
    for i in 0..<count {
        let magnitude = source[i].bitPattern & 0x7fff_ffff
        least = min(least, magnitude > bound ? magnitude : 0xffff_ffff)
    }
    return least == 0xffff_ffff ? .max : UInt64(least)
}

/// As above, for binary64.
public func leastMagnitude(_ source: UnsafePointer<Double>, _ count: Int, above limit: UInt64) -> UInt64 {
    var least = UInt64.max
    for i in 0..<count {
        let magnitude = source[i].bitPattern & 0x7fff_ffff_ffff_ffff
        least = min(least, magnitude > limit ? magnitude : .max)
    }
    return least
}
