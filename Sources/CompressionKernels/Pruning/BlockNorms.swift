/// L2 norms of blocks of channels, in the type of the weight and in NumPy's order of additions, as coremltools 9.0
/// computes them: sqrt(sum(w * w)), every operation rounded.
///
/// NumPy adds up an axis that is not the one of neighbouring elements by one addition after the other. Along
/// neighbouring elements it adds pairwise: eight running sums for up to 128 elements, halves above that; binary16 is then
/// added in binary32 and rounded once. Elements missing from the last block are zeros and take part.

@inline(__always)
private func pairwise<Sum: BinaryFloatingPoint>(_ start: Int, _ count: Int, _ square: (Int) -> Sum) -> Sum {
    if count < 8 {
        var sum: Sum = 0
        for i in 0..<count { sum += square(start &+ i) }
        return sum
    }
    var (a, b, c, d) = (square(start), square(start &+ 1), square(start &+ 2), square(start &+ 3))
    var (e, f, g, h) = (square(start &+ 4), square(start &+ 5), square(start &+ 6), square(start &+ 7))
    var i = 8
    while i < count &- count % 8 {
        let place = start &+ i
        a += square(place)
        b += square(place &+ 1)
        c += square(place &+ 2)
        d += square(place &+ 3)
        e += square(place &+ 4)
        f += square(place &+ 5)
        g += square(place &+ 6)
        h += square(place &+ 7)
        i &+= 8
    }
    var sum = ((a + b) + (c + d)) + ((e + f) + (g + h))
    while i < count {
        sum += square(start &+ i)
        i &+= 1
    }
    return sum
}

/// The sum of the squares of the elements `start..<start + count`; those from `present` on are zeros.
public func sumOfSquares(_ source: UnsafePointer<UInt16>, _ present: Int, _ start: Int, _ count: Int) -> Float {
    if count <= 128 {
        return pairwise(start, count) { i -> Float in
            let value = i < present ? floatValue(half: source[i]) : 0
            return roundedToHalf(value * value)
        }
    }
    let first = count / 2 &- count / 2 % 8
    return sumOfSquares(source, present, start, first) + sumOfSquares(source, present, start &+ first, count &- first)
}

/// As above, for binary32.
public func sumOfSquares(_ source: UnsafePointer<Float>, _ present: Int, _ start: Int, _ count: Int) -> Float {
    if count <= 128 {
        return pairwise(start, count) { i -> Float in
            let value = i < present ? source[i] : 0
            return value * value
        }
    }
    let first = count / 2 &- count / 2 % 8
    return sumOfSquares(source, present, start, first) + sumOfSquares(source, present, start &+ first, count &- first)
}

/// As above, for binary64.
public func sumOfSquares(_ source: UnsafePointer<Double>, _ present: Int, _ start: Int, _ count: Int) -> Double {
    if count <= 128 {
        return pairwise(start, count) { i -> Double in
            let value = i < present ? source[i] : 0
            return value * value
        }
    }
    let first = count / 2 &- count / 2 % 8
    return sumOfSquares(source, present, start, first) + sumOfSquares(source, present, start &+ first, count &- first)
}

/// The norm of `size` neighbouring elements, of which `present` are there.
public func neighboursNorm(_ source: UnsafePointer<UInt16>, _ present: Int, _ size: Int) -> UInt16 {
    halfBits(float: roundedToHalf(sumOfSquares(source, present, 0, size)).squareRoot())
}

/// As above, for binary32.
public func neighboursNorm(_ source: UnsafePointer<Float>, _ present: Int, _ size: Int) -> Float {
    sumOfSquares(source, present, 0, size).squareRoot()
}

/// As above, for binary64.
public func neighboursNorm(_ source: UnsafePointer<Double>, _ present: Int, _ size: Int) -> Double {
    sumOfSquares(source, present, 0, size).squareRoot()
}

/// The norms of `width` blocks side by side: of `rows` elements each, `stride` apart.
public func columnNorms(
    _ source: UnsafePointer<UInt16>, _ rows: Int, _ stride: Int, _ width: Int, _ norms: UnsafeMutablePointer<UInt16>
) {
    for i in 0..<width { norms[i] = 0 }
    for row in 0..<rows {
        let values = source + row &* stride
        for i in 0..<width {
            let value = floatValue(half: values[i])
            norms[i] = halfBits(float: floatValue(half: norms[i]) + roundedToHalf(value * value))
        }
    }
    for i in 0..<width { norms[i] = halfBits(float: floatValue(half: norms[i]).squareRoot()) }
}

/// As above, for binary32.
public func columnNorms(
    _ source: UnsafePointer<Float>, _ rows: Int, _ stride: Int, _ width: Int, _ norms: UnsafeMutablePointer<Float>
) {
    for i in 0..<width { norms[i] = 0 }
    for row in 0..<rows {
        let values = source + row &* stride
        for i in 0..<width { norms[i] += values[i] * values[i] }
    }
    for i in 0..<width { norms[i] = norms[i].squareRoot() }
}

/// As above, for binary64.
public func columnNorms(
    _ source: UnsafePointer<Double>, _ rows: Int, _ stride: Int, _ width: Int, _ norms: UnsafeMutablePointer<Double>
) {
    for i in 0..<width { norms[i] = 0 }
    for row in 0..<rows {
        let values = source + row &* stride
        for i in 0..<width { norms[i] += values[i] * values[i] }
    }
    for i in 0..<width { norms[i] = norms[i].squareRoot() }
}
