import CompressionKernels

/// The floating-point types a weight can have.
public enum FloatType: UInt8, Sendable {
    case float16 = 0
    case float32 = 1
    case float64 = 2

    /// Bytes of one element.
    public var byteCount: Int { 2 << Int(rawValue) }
}
