/// What linear quantization needs of an element type. Each function is one kernel in two builds.
protocol QuantizableElement: WeightElement {
    /// The type of the computation: binary32 for halves.
    associatedtype Compute: BitwiseCopyable, Sendable

    static func compute(_ value: Double) -> Compute
    static func isZero(_ value: Compute) -> Bool
    /// The least number above 0.
    static var leastMagnitude: Double { get }
    /// The least number with all its digits.
    static var leastNormal: Double { get }
    /// The neighbours of a positive number of this type.
    static func above(_ value: Double) -> Double
    static func below(_ value: Double) -> Double

    static func blockMagnitudes(
        _ source: UnsafePointer<Self>, _ blocks: Int, _ length: Int, _ greatest: UnsafeMutablePointer<Self>)
    static func blockExtremes(
        _ source: UnsafePointer<Self>, _ blocks: Int, _ length: Int, _ low: UnsafeMutablePointer<Self>,
        _ high: UnsafeMutablePointer<Self>)
    /// Widens the range of each element's own block; `low` nil: symmetric.
    static func raiseRange(
        _ source: UnsafePointer<Self>, _ count: Int, _ low: UnsafeMutablePointer<Self>?,
        _ high: UnsafeMutablePointer<Self>)
    static func symmetricScales(
        _ high: UnsafePointer<Self>, _ count: Int, _ levels: Double, _ scale: UnsafeMutablePointer<Self>,
        _ divisor: UnsafeMutablePointer<Compute>, _ odd: UnsafeMutablePointer<UInt8>
    ) -> Bool
    static func linearParameters(
        _ low: UnsafePointer<Self>, _ high: UnsafePointer<Self>, _ count: Int, _ qmin: Double, _ qmax: Double,
        _ scale: UnsafeMutablePointer<Self>, _ zero: UnsafeMutablePointer<UInt8>,
        _ divisor: UnsafeMutablePointer<Compute>, _ offset: UnsafeMutablePointer<Compute>,
        _ odd: UnsafeMutablePointer<UInt8>
    ) -> Bool
    static func quantizeBlocks(
        _ source: UnsafePointer<Self>, _ blocks: Int, _ length: Int, _ divisor: UnsafePointer<Compute>,
        _ offset: UnsafePointer<Compute>, _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>)
    static func quantizeRow(
        _ source: UnsafePointer<Self>, _ count: Int, _ divisor: UnsafePointer<Compute>,
        _ offset: UnsafePointer<Compute>, _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>)
    static func dequantizeBlock(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zero: Int32, _ scale: Self,
        _ target: UnsafeMutablePointer<Self>)
    static func dequantizeBlocks(
        _ codes: UnsafePointer<UInt8>, _ blocks: Int, _ length: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
        _ scale: UnsafePointer<Self>, _ target: UnsafeMutablePointer<Self>)
    static func dequantizeRow(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
        _ scale: UnsafePointer<Self>, _ target: UnsafeMutablePointer<Self>)
}
