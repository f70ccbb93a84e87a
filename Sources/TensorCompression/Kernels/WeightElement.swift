import CSwiftCompress
import CompressionKernels
import CompressionKernelsV3

/// Whether the kernels built for x86-64-v3 run. Chosen once; only tests change it.
nonisolated(unsafe) var usesV3Kernels = swc_cpu_level() >= 3

/// The build of a kernel that suits this processor.
@inline(__always)
func variant<Function>(_ baseline: Function, _ v3: Function) -> Function { usesV3Kernels ? v3 : baseline }

/// What the element types of a tensor have in common. binary16 elements are `UInt16` bit patterns.
///
/// The kernels behind are concrete functions in two builds; a call goes through here once for thousands of elements.
protocol WeightElement: BitwiseCopyable, Sendable {
    /// The unsigned integer of the same size, through which elements are copied.
    associatedtype Pattern: PaletteElement

    static var type: FloatType { get }
    static var one: Self { get }
    var double: Double { get }
    /// The nearest element, ties to even, rounded once.
    init(nearest value: Double)
    var isNaN: Bool { get }
    var isFinite: Bool { get }

    static func firstNonFinite(_ source: UnsafePointer<Self>, _ count: Int, _ infinities: Bool) -> Int
    /// Writes the sum of squared errors, the sum of squares and the greatest absolute error.
    /// - work: place for 2 * count binary32 numbers.
    static func sumErrors(
        _ original: UnsafePointer<Self>, _ decoded: UnsafePointer<Self>, _ count: Int,
        _ work: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Double>)
    static func greatestMagnitude(_ source: UnsafePointer<Self>, _ count: Int) -> Self
    static func raiseMagnitudes(_ source: UnsafePointer<Self>, _ count: Int, _ greatest: UnsafeMutablePointer<Self>)
    static func divide(
        _ source: UnsafePointer<Self>, _ count: Int, _ scale: UnsafePointer<Self>, _ step: Int,
        _ target: UnsafeMutablePointer<Self>)
    static func multiply(
        _ source: UnsafePointer<Self>, _ count: Int, _ scale: UnsafePointer<Self>, _ step: Int,
        _ target: UnsafeMutablePointer<Self>)
    /// The least and greatest element; no NaN, count >= 1.
    static func range(_ source: UnsafePointer<Self>, _ count: Int) -> (least: Double, greatest: Double)
    static func uniformCodes(
        _ source: UnsafePointer<Self>, _ count: Int, _ least: Double, _ range: Double, _ levels: Double,
        _ codes: UnsafeMutablePointer<UInt8>)
    static func findDistinctVectors(
        _ source: UnsafePointer<Self>, _ count: Int, _ dimension: Int, _ slots: UnsafeMutablePointer<Int32>,
        _ firsts: UnsafeMutablePointer<Int>, _ codes: UnsafeMutablePointer<UInt8>
    ) -> Int
    /// The distinct values of a group; `values` is finite or, where the caller wants that, infinite.
    static func distinctValues(
        _ values: UnsafePointer<Self>, _ count: Int, _ importance: GroupImportance?, _ scratch: GroupScratch,
        _ pool: WorkPool, _ operation: String
    ) throws(CompressionError) -> DistinctValues
    /// The codes of a group whose clusters begin at the distinct values `firstIndex`.
    static func clusterCodes(
        _ values: UnsafePointer<Self>, _ count: Int, _ distinct: borrowing DistinctValues,
        _ firstIndex: UnsafePointer<Int32>, _ clusters: Int, _ scratch: GroupScratch, _ pool: WorkPool,
        _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError)
}
