/// Greatest magnitudes, and multiplication and division by scales, each result rounded once to the type of the data.
///
/// binary16 is computed in binary32 and rounded, which is what NumPy does. Magnitudes are compared as integers (the bit
/// pattern without its sign is in order), so the loops vectorise. No NaN may come in where magnitudes are taken.

/// The greatest magnitude, as a bit pattern; 0 when count is 0.
public func greatestMagnitude(_ source: UnsafePointer<UInt16>, _ count: Int) -> UInt16 {
    var greatest: Int16 = 0
    for i in 0..<count { greatest = max(greatest, Int16(bitPattern: source[i] & 0x7fff)) }
    return UInt16(bitPattern: greatest)
}

/// The greatest magnitude; 0 when count is 0.
public func greatestMagnitude(_ source: UnsafePointer<Float>, _ count: Int) -> Float {
    var greatest: Int32 = 0
    for i in 0..<count { greatest = max(greatest, Int32(bitPattern: source[i].bitPattern & 0x7fff_ffff)) }
    return Float(bitPattern: UInt32(bitPattern: greatest))
}

/// The greatest magnitude; 0 when count is 0.
public func greatestMagnitude(_ source: UnsafePointer<Double>, _ count: Int) -> Double {
    var greatest: Int64 = 0
    for i in 0..<count {
        greatest = max(greatest, Int64(bitPattern: source[i].bitPattern & 0x7fff_ffff_ffff_ffff))
    }
    return Double(bitPattern: UInt64(bitPattern: greatest))
}

/// `greatest[i] = max(greatest[i], |source[i]|)`.
public func raiseMagnitudes(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ greatest: UnsafeMutablePointer<UInt16>
) {
    for i in 0..<count { greatest[i] = max(greatest[i], source[i] & 0x7fff) }
}

/// As above, for binary32.
public func raiseMagnitudes(
    _ source: UnsafePointer<Float>, _ count: Int, _ greatest: UnsafeMutablePointer<Float>
) {
    for i in 0..<count {
        let magnitude = abs(source[i])
        greatest[i] = magnitude > greatest[i] ? magnitude : greatest[i]
    }
}

/// As above, for binary64.
public func raiseMagnitudes(
    _ source: UnsafePointer<Double>, _ count: Int, _ greatest: UnsafeMutablePointer<Double>
) {
    for i in 0..<count {
        let magnitude = abs(source[i])
        greatest[i] = magnitude > greatest[i] ? magnitude : greatest[i]
    }
}

/// `target[i] = source[i] / scale[i * step]`; a step of 0 uses one scale. `target` may be `source`.
public func divideByScale(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ scale: UnsafePointer<UInt16>, _ step: Int,
    _ target: UnsafeMutablePointer<UInt16>
) {
    if step == 0 {
        let divisor = floatValue(half: scale[0])
        for i in 0..<count { target[i] = halfBits(float: floatValue(half: source[i]) / divisor) }
    } else {
        for i in 0..<count {
            target[i] = halfBits(float: floatValue(half: source[i]) / floatValue(half: scale[i &* step]))
        }
    }
}

/// As above, for binary32.
public func divideByScale(
    _ source: UnsafePointer<Float>, _ count: Int, _ scale: UnsafePointer<Float>, _ step: Int,
    _ target: UnsafeMutablePointer<Float>
) {
    if step == 0 {
        let divisor = scale[0]
        for i in 0..<count { target[i] = source[i] / divisor }
    } else {
        for i in 0..<count { target[i] = source[i] / scale[i &* step] }
    }
}

/// As above, for binary64.
public func divideByScale(
    _ source: UnsafePointer<Double>, _ count: Int, _ scale: UnsafePointer<Double>, _ step: Int,
    _ target: UnsafeMutablePointer<Double>
) {
    if step == 0 {
        let divisor = scale[0]
        for i in 0..<count { target[i] = source[i] / divisor }
    } else {
        for i in 0..<count { target[i] = source[i] / scale[i &* step] }
    }
}

/// `target[i] = source[i] * scale[i * step]`; a step of 0 uses one scale. `target` may be `source`.
public func multiplyByScale(
    _ source: UnsafePointer<UInt16>, _ count: Int, _ scale: UnsafePointer<UInt16>, _ step: Int,
    _ target: UnsafeMutablePointer<UInt16>
) {
    if step == 0 {
        let factor = floatValue(half: scale[0])
        for i in 0..<count { target[i] = halfBits(float: floatValue(half: source[i]) * factor) }
    } else {
        for i in 0..<count {
            target[i] = halfBits(float: floatValue(half: source[i]) * floatValue(half: scale[i &* step]))
        }
    }
}

/// As above, for binary32.
public func multiplyByScale(
    _ source: UnsafePointer<Float>, _ count: Int, _ scale: UnsafePointer<Float>, _ step: Int,
    _ target: UnsafeMutablePointer<Float>
) {
    if step == 0 {
        let factor = scale[0]
        for i in 0..<count { target[i] = source[i] * factor }
    } else {
        for i in 0..<count { target[i] = source[i] * scale[i &* step] }
    }
}

/// As above, for binary64.
public func multiplyByScale(
    _ source: UnsafePointer<Double>, _ count: Int, _ scale: UnsafePointer<Double>, _ step: Int,
    _ target: UnsafeMutablePointer<Double>
) {
    if step == 0 {
        let factor = scale[0]
        for i in 0..<count { target[i] = source[i] * factor }
    } else {
        for i in 0..<count { target[i] = source[i] * scale[i &* step] }
    }
}
