/// IEEE 754 binary16, as bit patterns: Swift's own `Float16` does not exist on Intel Macs.
enum Half {
    static func toFloat(_ half: UInt16) -> Float {
        let wide = UInt32(half)
        let shifted = (wide & 0x7fff) &<< 13
        let scaled = (Float(bitPattern: shifted) * Float(bitPattern: 0x7780_0000)).bitPattern
        let special: UInt32 = shifted >= 0x0f80_0000 ? 0x7f80_0000 : 0
        return Float(bitPattern: scaled | special | ((wide & 0x8000) &<< 16))
    }

    /// Rounds to nearest, ties to even; too large becomes infinite.
    static func fromFloat(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
        let magnitude = bits & 0x7fff_ffff
        if magnitude > 0x7f80_0000 { return sign | 0x7e00 }
        if magnitude >= 0x4780_0000 { return sign | 0x7c00 }
        if magnitude < 0x3880_0000 {
            // Subnormal: adding 0.5 moves the last kept bit to the end of the mantissa, rounding on the way.
            let shifted = (Float(bitPattern: magnitude) + 0.5).bitPattern &- Float(0.5).bitPattern
            return sign | UInt16(truncatingIfNeeded: shifted)
        }
        let rounded = magnitude &+ 0xc800_0fff &+ ((magnitude >> 13) & 1)
        return sign | UInt16(truncatingIfNeeded: rounded >> 13)
    }
}
