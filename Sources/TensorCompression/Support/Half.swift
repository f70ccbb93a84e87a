import CompressionKernels

/// IEEE 754 binary16, as bit patterns: Swift's own `Float16` does not exist on Intel Macs.
public enum Half {
    public static func toFloat(_ half: UInt16) -> Float { floatValue(half: half) }

    /// Rounds to nearest, ties to even; too large becomes infinite.
    public static func fromFloat(_ value: Float) -> UInt16 { halfBits(float: value) }
}
