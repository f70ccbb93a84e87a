/// Checks and sums over data: non-finite elements, errors of a decompressed tensor.
///
/// Sums are in binary64 over four interleaved lanes (element i goes to lane i mod 4), added as ((0 + 1) + 2) + 3 at the end
/// of each call; so a sum depends on where the caller cuts the data, and on nothing else.

@inline(__always)
private func firstWhere(_ count: Int, _ anyIn: (Int, Int) -> Bool, _ matches: (Int) -> Bool) -> Int {
    var start = 0
    while start < count {
        let end = min(count, start &+ 2048)
        if anyIn(start, end) {
            for i in start..<end where matches(i) { return i }
        }
        start = end
    }
    return -1
}

/// The index of the first NaN, or with `infinities` the first NaN or infinity; -1 without one.
public func firstNonFinite(_ source: UnsafePointer<UInt16>, _ count: Int, _ infinities: Bool) -> Int {
    let limit: Int16 = infinities ? 0x7bff : 0x7c00
    return firstWhere(count) { start, end in
        var greatest: Int16 = 0
        for i in start..<end { greatest = max(greatest, Int16(bitPattern: source[i] & 0x7fff)) }
        return greatest > limit
    } _: {
        Int16(bitPattern: source[$0] & 0x7fff) > limit
    }
}

/// As above, for binary32.
public func firstNonFinite(_ source: UnsafePointer<Float>, _ count: Int, _ infinities: Bool) -> Int {
    let limit: Int32 = infinities ? 0x7f7f_ffff : 0x7f80_0000
    return firstWhere(count) { start, end in
        var greatest: Int32 = 0
        for i in start..<end { greatest = max(greatest, Int32(bitPattern: source[i].bitPattern & 0x7fff_ffff)) }
        return greatest > limit
    } _: {
        Int32(bitPattern: source[$0].bitPattern & 0x7fff_ffff) > limit
    }
}

/// As above, for binary64.
public func firstNonFinite(_ source: UnsafePointer<Double>, _ count: Int, _ infinities: Bool) -> Int {
    let limit: Int64 = infinities ? 0x7fef_ffff_ffff_ffff : 0x7ff0_0000_0000_0000
    return firstWhere(count) { start, end in
        var greatest: Int64 = 0
        for i in start..<end {
            greatest = max(greatest, Int64(bitPattern: source[i].bitPattern & 0x7fff_ffff_ffff_ffff))
        }
        return greatest > limit
    } _: {
        Int64(bitPattern: source[$0].bitPattern & 0x7fff_ffff_ffff_ffff) > limit
    }
}

/// The index of the first importance that is negative, NaN or infinite; -1 without one. -0.0 passes.
public func firstBadImportance(_ source: UnsafePointer<Float>, _ count: Int) -> Int {
    firstWhere(count) { start, end in
        var bad: Int32 = 0
        for i in start..<end { bad |= source[i] >= 0 && source[i] <= .greatestFiniteMagnitude ? 0 : 1 }
        return bad != 0
    } _: {
        !(source[$0] >= 0 && source[$0] <= .greatestFiniteMagnitude)
    }
}

/// As above, for binary64.
public func firstBadImportance(_ source: UnsafePointer<Double>, _ count: Int) -> Int {
    firstWhere(count) { start, end in
        var bad: Int64 = 0
        for i in start..<end { bad |= source[i] >= 0 && source[i] <= .greatestFiniteMagnitude ? 0 : 1 }
        return bad != 0
    } _: {
        !(source[$0] >= 0 && source[$0] <= .greatestFiniteMagnitude)
    }
}

/// The sums of one call, four lanes each.
private struct ErrorLanes {
    var squares = SIMD4<Double>.zero
    var errors = SIMD4<Double>.zero
    var greatest = SIMD4<Double>.zero

    /// Adds `count` elements; of the calls for one sum, only the last may have a count that is no multiple of 4.
    @inline(__always)
    mutating func add(_ count: Int, _ original: (Int) -> Double, _ decoded: (Int) -> Double) {
        let whole = count & ~3
        var i = 0
        while i < whole {
            let value = SIMD4(original(i), original(i &+ 1), original(i &+ 2), original(i &+ 3))
            let other = SIMD4(decoded(i), decoded(i &+ 1), decoded(i &+ 2), decoded(i &+ 3))
            let difference = value - other
            let magnitude = difference.replacing(with: -difference, where: difference .< 0)
            squares += value * value
            errors += difference * difference
            greatest.replace(with: magnitude, where: magnitude .> greatest)
            i &+= 4
        }
        var lane = 0
        while i < count {
            let value = original(i)
            let difference = value - decoded(i)
            squares[lane] += value * value
            errors[lane] += difference * difference
            greatest[lane] = max(greatest[lane], abs(difference))
            lane &+= 1
            i &+= 1
        }
    }

    @inline(__always)
    func write(_ sums: UnsafeMutablePointer<Double>) {
        sums[0] = ((errors[0] + errors[1]) + errors[2]) + errors[3]
        sums[1] = ((squares[0] + squares[1]) + squares[2]) + squares[3]
        sums[2] = max(max(greatest[0], greatest[1]), max(greatest[2], greatest[3]))
    }
}

/// Elements that are converted at once: the converted ones stay in the first cache.
private let convertedLength = 2048

/// Writes three numbers to `sums`: the sum of squared differences, the sum of squares of the original, the greatest
/// absolute difference. All elements finite.
/// - work: place for 2 * count binary32 numbers, to which binary16 is converted first.
public func sumErrors(
    _ original: UnsafePointer<UInt16>, _ decoded: UnsafePointer<UInt16>, _ count: Int,
    _ work: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Double>
) {
    var lanes = ErrorLanes()
    var start = 0
    while start < count {
        let length = min(convertedLength, count &- start)
        let other = work + length
        halfToFloat(original + start, length, work)
        halfToFloat(decoded + start, length, other)
        lanes.add(length) {
            Double(work[$0])
        } _: {
            Double(other[$0])
        }
        start &+= length
    }
    lanes.write(sums)
}

/// As above, for binary32.
public func sumErrors(
    _ original: UnsafePointer<Float>, _ decoded: UnsafePointer<Float>, _ count: Int,
    _ sums: UnsafeMutablePointer<Double>
) {
    var lanes = ErrorLanes()
    lanes.add(count) {
        Double(original[$0])
    } _: {
        Double(decoded[$0])
    }
    lanes.write(sums)
}

/// As above, for binary64.
public func sumErrors(
    _ original: UnsafePointer<Double>, _ decoded: UnsafePointer<Double>, _ count: Int,
    _ sums: UnsafeMutablePointer<Double>
) {
    var lanes = ErrorLanes()
    lanes.add(count) {
        original[$0]
    } _: {
        decoded[$0]
    }
    lanes.write(sums)
}
