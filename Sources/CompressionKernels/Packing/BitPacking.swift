/// n-bit codes packed without gaps, least significant bit first: code i takes the bits i * n to i * n + n - 1.
///
/// Eight codes are n bytes, for every n from 1 to 8. A 64-bit word of eight codes is squeezed in three steps (pairs, fours,
/// eights), and spread by the same steps in reverse; signed codes get their sign bit copied upwards. coremltools goes
/// through one byte per bit (`pack_elements_into_bits`); the bytes are the same.
/// Cost: about a dozen integer operations for eight codes, vectorised where n bytes are a power of two.

/// The number of bytes that `count` codes take.
@inline(__always)
public func packedByteCount(_ count: Int, _ nbits: Int) -> Int {
    (count &>> 3) &* nbits &+ ((count & 7) &* nbits &+ 7) &>> 3
}

@inline(__always)
private func squeeze(_ word: UInt64, _ nbits: UInt64) -> UInt64 {
    let mask = (0x0101_0101_0101_0101 as UInt64) &* ((1 &<< nbits) &- 1)
    var x = word & mask
    x = (x & 0x00ff_00ff_00ff_00ff) | ((x & 0xff00_ff00_ff00_ff00) &>> (8 &- nbits))
    x = (x & 0x0000_ffff_0000_ffff) | ((x & 0xffff_0000_ffff_0000) &>> (16 &- 2 &* nbits))
    // For 8 bits the last shift is 0 and the halves already touch.
    return (x & 0xffff_ffff) | ((x &>> 32) &<< (4 &* nbits))
}

@inline(__always)
private func spread(_ packed: UInt64, _ nbits: UInt64) -> UInt64 {
    let quad: UInt64 = nbits == 8 ? 0xffff_ffff : (1 &<< (4 &* nbits)) &- 1
    var x = (packed & quad) | (((packed &>> (4 &* nbits)) & quad) &<< 32)
    let pair = (0x0000_0001_0000_0001 as UInt64) &* ((1 &<< (2 &* nbits)) &- 1)
    x = (x & pair) | (((x &>> (2 &* nbits)) & pair) &<< 16)
    let single = (0x0001_0001_0001_0001 as UInt64) &* ((1 &<< nbits) &- 1)
    return (x & single) | (((x &>> nbits) & single) &<< 8)
}

@inline(__always)
private func extendSigns(_ word: UInt64, _ nbits: UInt64) -> UInt64 {
    let sign = word & ((0x0101_0101_0101_0101 as UInt64) &<< (nbits &- 1))
    return word | (sign &* ((1 &<< (9 &- nbits)) &- 2))
}

@inline(__always)
private func storeLow(_ word: UInt64, _ bytes: Int, _ out: UnsafeMutableRawPointer) {
    var rest = word
    for i in 0..<bytes {
        out.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: i, as: UInt8.self)
        rest >>= 8
    }
}

@inline(__always)
private func packLoop(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ nbits: Int, _ packed: UnsafeMutablePointer<UInt8>
) {
    let source = UnsafeRawPointer(codes)
    let out = UnsafeMutableRawPointer(packed)
    let eights = count / 8
    let bits = UInt64(truncatingIfNeeded: nbits)
    // Whole words may run over into the bytes of the next codes, which are written later.
    let wide = nbits == 3 || nbits > 4 ? max(0, eights &- 8) : eights
    for i in 0..<wide {
        let word = squeeze(source.loadUnaligned(fromByteOffset: i &* 8, as: UInt64.self), bits)
        switch nbits {
        case 1: out.storeBytes(of: UInt8(truncatingIfNeeded: word), toByteOffset: i, as: UInt8.self)
        case 2: out.storeBytes(of: UInt16(truncatingIfNeeded: word), toByteOffset: i &* 2, as: UInt16.self)
        case 3, 4: out.storeBytes(of: UInt32(truncatingIfNeeded: word), toByteOffset: i &* nbits, as: UInt32.self)
        default: out.storeBytes(of: word, toByteOffset: i &* nbits, as: UInt64.self)
        }
    }
    for i in wide..<eights {
        let word = squeeze(source.loadUnaligned(fromByteOffset: i &* 8, as: UInt64.self), bits)
        storeLow(word, nbits, out + i &* nbits)
    }
    let rest = count & 7
    if rest > 0 {
        var word: UInt64 = 0
        for j in 0..<rest { word |= UInt64(codes[eights &* 8 &+ j]) &<< UInt64(truncatingIfNeeded: 8 &* j) }
        storeLow(squeeze(word, bits), (rest &* nbits &+ 7) / 8, out + eights &* nbits)
    }
}

/// Packs the low `nbits` (1 to 8) of each code. Bits past the last code are zero. `packed` has `packedByteCount` bytes.
public func packCodes(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ nbits: Int, _ packed: UnsafeMutablePointer<UInt8>
) {
    switch nbits {
    case 1: packLoop(codes, count, 1, packed)
    case 2: packLoop(codes, count, 2, packed)
    case 3: packLoop(codes, count, 3, packed)
    case 4: packLoop(codes, count, 4, packed)
    case 6: packLoop(codes, count, 6, packed)
    case 8: for i in 0..<count { packed[i] = codes[i] }
    default: packLoop(codes, count, nbits, packed)
    }
}

@inline(__always)
private func unpackLoop(
    _ packed: UnsafePointer<UInt8>, _ count: Int, _ nbits: Int, _ signed: Bool, _ codes: UnsafeMutablePointer<UInt8>
) {
    let source = UnsafeRawPointer(packed)
    let out = UnsafeMutableRawPointer(codes)
    let bits = UInt64(truncatingIfNeeded: nbits)
    let eights = count / 8
    let wide = nbits == 3 || nbits > 4 ? max(0, eights &- 8) : eights
    for i in 0..<wide {
        let word: UInt64
        switch nbits {
        case 1: word = UInt64(source.load(fromByteOffset: i, as: UInt8.self))
        case 2: word = UInt64(source.loadUnaligned(fromByteOffset: i &* 2, as: UInt16.self))
        case 3, 4: word = UInt64(source.loadUnaligned(fromByteOffset: i &* nbits, as: UInt32.self))
        default: word = source.loadUnaligned(fromByteOffset: i &* nbits, as: UInt64.self)
        }
        let wideCodes = spread(word, bits)
        out.storeBytes(of: signed ? extendSigns(wideCodes, bits) : wideCodes, toByteOffset: i &* 8, as: UInt64.self)
    }
    var code = wide &* 8
    while code < count {
        let length = min(8, count &- code)
        var word: UInt64 = 0
        let base = (code / 8) &* nbits
        for j in 0..<((length &* nbits &+ 7) / 8) {
            word |= UInt64(packed[base &+ j]) &<< UInt64(truncatingIfNeeded: 8 &* j)
        }
        var spreadWord = spread(word, bits)
        if signed { spreadWord = extendSigns(spreadWord, bits) }
        storeLow(spreadWord, length, out + code)
        code &+= length
    }
}

/// Unpacks `count` codes of `nbits` (1 to 8) into bytes; with `signed`, as two's complement numbers.
public func unpackCodes(
    _ packed: UnsafePointer<UInt8>, _ count: Int, _ nbits: Int, _ signed: Bool, _ codes: UnsafeMutablePointer<UInt8>
) {
    switch (nbits, signed) {
    case (1, false): unpackLoop(packed, count, 1, false, codes)
    case (2, false): unpackLoop(packed, count, 2, false, codes)
    case (3, false): unpackLoop(packed, count, 3, false, codes)
    case (4, false): unpackLoop(packed, count, 4, false, codes)
    case (4, true): unpackLoop(packed, count, 4, true, codes)
    case (6, false): unpackLoop(packed, count, 6, false, codes)
    case (8, _): for i in 0..<count { codes[i] = packed[i] }
    default: unpackLoop(packed, count, nbits, signed, codes)
    }
}

/// The bits that are set in any of the codes; every code is below 2^n if and only if this is.
public func unionOfBits(_ codes: UnsafePointer<UInt8>, _ count: Int) -> UInt8 {
    var union: UInt8 = 0
    for i in 0..<count { union |= codes[i] }
    return union
}

/// The least and greatest code as signed numbers; (0, 0) when there are none.
public func signedRange(_ codes: UnsafePointer<Int8>, _ count: Int) -> (least: Int8, greatest: Int8) {
    var least: Int8 = 0
    var greatest: Int8 = 0
    for i in 0..<count {
        least = min(least, codes[i])
        greatest = max(greatest, codes[i])
    }
    return (least, greatest)
}
