/// Linear quantization to dense: (code - zero point) * scale.
///
/// The difference is exact. The product is rounded to binary32 and then to the type of the output, as coremltools'
/// `dequantize_by_scale_and_zp` does it: for binary16 (9 digits times 11) and binary32 that is one rounding. binary64 is
/// multiplied in binary64; coremltools goes through binary32 there.
/// Signed codes are read as unsigned ones with the sign bit flipped, 128 higher: `flip` is 0x80 for them and 0 otherwise,
/// and zero points are given 128 higher too.
/// Cost: bound by memory, vectorised.

/// Elements that share a scale and a zero point.
@inline(__always)
public func dequantizeBlock(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zero: Int32, _ scale: UInt16,
    _ target: UnsafeMutablePointer<UInt16>
) {
    let step = floatValue(half: scale)
    for i in 0..<count { target[i] = halfBits(float: Float(Int32(codes[i] ^ flip) &- zero) * step) }
}

/// As above, for binary32.
@inline(__always)
public func dequantizeBlock(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zero: Int32, _ scale: Float,
    _ target: UnsafeMutablePointer<Float>
) {
    for i in 0..<count { target[i] = Float(Int32(codes[i] ^ flip) &- zero) * scale }
}

/// As above, for binary64.
@inline(__always)
public func dequantizeBlock(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zero: Int32, _ scale: Double,
    _ target: UnsafeMutablePointer<Double>
) {
    for i in 0..<count { target[i] = Double(Int32(codes[i] ^ flip) &- zero) * scale }
}

/// Neighbouring blocks of `length` elements, each with a scale and a zero point of its own.
/// - zeros: bytes like the codes, not flipped.
public func dequantizeBlocks(
    _ codes: UnsafePointer<UInt8>, _ blocks: Int, _ length: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
    _ scale: UnsafePointer<UInt16>, _ target: UnsafeMutablePointer<UInt16>
) {
    perBlock(blocks, length) { block, start, count in
        dequantizeBlock(codes + start, count, flip, Int32(zeros[block] ^ flip), scale[block], target + start)
    }
}

/// As above, for binary32.
public func dequantizeBlocks(
    _ codes: UnsafePointer<UInt8>, _ blocks: Int, _ length: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
    _ scale: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>
) {
    perBlock(blocks, length) { block, start, count in
        dequantizeBlock(codes + start, count, flip, Int32(zeros[block] ^ flip), scale[block], target + start)
    }
}

/// As above, for binary64.
public func dequantizeBlocks(
    _ codes: UnsafePointer<UInt8>, _ blocks: Int, _ length: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
    _ scale: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>
) {
    perBlock(blocks, length) { block, start, count in
        dequantizeBlock(codes + start, count, flip, Int32(zeros[block] ^ flip), scale[block], target + start)
    }
}

/// Elements with a scale each. `zeros`: a zero point for each, flipped like the codes.
public func dequantizeRow(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
    _ scale: UnsafePointer<UInt16>, _ target: UnsafeMutablePointer<UInt16>
) {
    for i in 0..<count {
        let difference = Int32(codes[i] ^ flip) &- Int32(zeros[i] ^ flip)
        target[i] = halfBits(float: Float(difference) * floatValue(half: scale[i]))
    }
}

/// As above, for binary32.
public func dequantizeRow(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
    _ scale: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>
) {
    for i in 0..<count {
        let difference = Int32(codes[i] ^ flip) &- Int32(zeros[i] ^ flip)
        target[i] = Float(difference) * scale[i]
    }
}

/// As above, for binary64.
public func dequantizeRow(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
    _ scale: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>
) {
    for i in 0..<count {
        let difference = Int32(codes[i] ^ flip) &- Int32(zeros[i] ^ flip)
        target[i] = Double(difference) * scale[i]
    }
}
