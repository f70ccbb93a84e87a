/// IEEE 754 binary16 as bit patterns: Swift's `Float16` does not exist on Intel macOS, and calls a library function
/// below x86-64-v3.

/// The binary32 bit pattern with the value of the binary16 pattern `half`; a signalling NaN becomes quiet.
@inline(__always)
public func floatBits(half: UInt16) -> UInt32 {
    let wide = UInt32(half)
    let shifted = (wide & 0x7fff) &<< 13
    let scaled = (Float(bitPattern: shifted) * Float(bitPattern: 0x7780_0000)).bitPattern
    let special: UInt32 = shifted >= 0x0f80_0000 ? (shifted > 0x0f80_0000 ? 0x7fc0_0000 : 0x7f80_0000) : 0
    return (scaled | special) | ((wide & 0x8000) &<< 16)
}
