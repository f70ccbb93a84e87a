import CompressionKernels
import CompressionKernelsV3

/// What pruning needs of an element type. Each function is one kernel in two builds. Magnitudes are bit patterns.
protocol PrunableElement: WeightElement {
    /// The bits below the first 15 of a magnitude: 0, 16 or 48.
    static var lowerBits: Int { get }
    var magnitudePattern: UInt64 { get }
    init(magnitudePattern: UInt64)

    static func countFirstDigits(
        _ source: UnsafePointer<Self>, _ count: Int, _ tables: UnsafeMutablePointer<UInt32>)
    static func countNextDigits(
        _ source: UnsafePointer<Self>, _ count: Int, _ prefix: UInt64, _ shift: Int,
        _ table: UnsafeMutablePointer<UInt32>)
    static func leastMagnitude(_ source: UnsafePointer<Self>, _ count: Int, above limit: UInt64) -> UInt64
    static func maskAbove(
        _ source: UnsafePointer<Self>, _ count: Int, _ limit: UInt64, _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int
    static func maskByNorm(
        _ source: UnsafePointer<Self>, _ norms: UnsafePointer<Self>, _ count: Int, _ limit: UInt64,
        _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int
    static func maskLowestOfGroups(
        _ source: UnsafePointer<Self>, _ groups: Int, _ step: Int, _ stride: Int, _ count: Int, _ m: Int, _ n: Int,
        _ work: UnsafeMutablePointer<UInt64>, _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int
    static func neighboursNorm(_ source: UnsafePointer<Self>, _ present: Int, _ size: Int) -> Self
    static func columnNorms(
        _ source: UnsafePointer<Self>, _ rows: Int, _ stride: Int, _ width: Int, _ norms: UnsafeMutablePointer<Self>)
}

extension UInt16: PrunableElement {
    static var lowerBits: Int { 0 }
    var magnitudePattern: UInt64 { UInt64(self & 0x7fff) }
    init(magnitudePattern: UInt64) { self = UInt16(truncatingIfNeeded: magnitudePattern) }

    static func countFirstDigits(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ tables: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.countFirstDigits, CompressionKernelsV3.countFirstDigits)(source, count, tables)
    }

    static func countNextDigits(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ prefix: UInt64, _ shift: Int,
        _ table: UnsafeMutablePointer<UInt32>
    ) {
        // The first digits are all there is.
    }

    static func leastMagnitude(_ source: UnsafePointer<UInt16>, _ count: Int, above limit: UInt64) -> UInt64 {
        variant(
            CompressionKernels.leastMagnitude(_:_:above:), CompressionKernelsV3.leastMagnitude(_:_:above:))(
                source, count, limit)
    }

    static func maskAbove(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ limit: UInt64, _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskAbove, CompressionKernelsV3.maskAbove)(source, count, limit, mask)
    }

    static func maskByNorm(
        _ source: UnsafePointer<UInt16>, _ norms: UnsafePointer<UInt16>, _ count: Int, _ limit: UInt64,
        _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskByNorm, CompressionKernelsV3.maskByNorm)(source, norms, count, limit, mask)
    }

    static func maskLowestOfGroups(
        _ source: UnsafePointer<UInt16>, _ groups: Int, _ step: Int, _ stride: Int, _ count: Int, _ m: Int, _ n: Int,
        _ work: UnsafeMutablePointer<UInt64>, _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskLowestOfGroups, CompressionKernelsV3.maskLowestOfGroups)(
            source, groups, step, stride, count, m, n, work, mask)
    }

    static func neighboursNorm(_ source: UnsafePointer<UInt16>, _ present: Int, _ size: Int) -> UInt16 {
        variant(CompressionKernels.neighboursNorm, CompressionKernelsV3.neighboursNorm)(source, present, size)
    }

    static func columnNorms(
        _ source: UnsafePointer<UInt16>, _ rows: Int, _ stride: Int, _ width: Int, _ norms: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.columnNorms, CompressionKernelsV3.columnNorms)(source, rows, stride, width, norms)
    }
}

extension Float: PrunableElement {
    static var lowerBits: Int { 16 }
    var magnitudePattern: UInt64 { UInt64(bitPattern & 0x7fff_ffff) }
    init(magnitudePattern: UInt64) { self = Float(bitPattern: UInt32(truncatingIfNeeded: magnitudePattern)) }

    static func countFirstDigits(
        _ source: UnsafePointer<Float>, _ count: Int, _ tables: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.countFirstDigits, CompressionKernelsV3.countFirstDigits)(source, count, tables)
    }

    static func countNextDigits(
        _ source: UnsafePointer<Float>, _ count: Int, _ prefix: UInt64, _ shift: Int,
        _ table: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.countNextDigits, CompressionKernelsV3.countNextDigits)(
            source, count, prefix, UInt64(shift), table)
    }

    static func leastMagnitude(_ source: UnsafePointer<Float>, _ count: Int, above limit: UInt64) -> UInt64 {
        variant(
            CompressionKernels.leastMagnitude(_:_:above:), CompressionKernelsV3.leastMagnitude(_:_:above:))(
                source, count, limit)
    }

    static func maskAbove(
        _ source: UnsafePointer<Float>, _ count: Int, _ limit: UInt64, _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskAbove, CompressionKernelsV3.maskAbove)(source, count, limit, mask)
    }

    static func maskByNorm(
        _ source: UnsafePointer<Float>, _ norms: UnsafePointer<Float>, _ count: Int, _ limit: UInt64,
        _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskByNorm, CompressionKernelsV3.maskByNorm)(source, norms, count, limit, mask)
    }

    static func maskLowestOfGroups(
        _ source: UnsafePointer<Float>, _ groups: Int, _ step: Int, _ stride: Int, _ count: Int, _ m: Int, _ n: Int,
        _ work: UnsafeMutablePointer<UInt64>, _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskLowestOfGroups, CompressionKernelsV3.maskLowestOfGroups)(
            source, groups, step, stride, count, m, n, work, mask)
    }

    static func neighboursNorm(_ source: UnsafePointer<Float>, _ present: Int, _ size: Int) -> Float {
        variant(CompressionKernels.neighboursNorm, CompressionKernelsV3.neighboursNorm)(source, present, size)
    }

    static func columnNorms(
        _ source: UnsafePointer<Float>, _ rows: Int, _ stride: Int, _ width: Int, _ norms: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.columnNorms, CompressionKernelsV3.columnNorms)(source, rows, stride, width, norms)
    }
}

extension Double: PrunableElement {
    static var lowerBits: Int { 48 }
    var magnitudePattern: UInt64 { bitPattern & 0x7fff_ffff_ffff_ffff }
    init(magnitudePattern: UInt64) { self = Double(bitPattern: magnitudePattern) }

    static func countFirstDigits(
        _ source: UnsafePointer<Double>, _ count: Int, _ tables: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.countFirstDigits, CompressionKernelsV3.countFirstDigits)(source, count, tables)
    }

    static func countNextDigits(
        _ source: UnsafePointer<Double>, _ count: Int, _ prefix: UInt64, _ shift: Int,
        _ table: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.countNextDigits, CompressionKernelsV3.countNextDigits)(
            source, count, prefix, UInt64(shift), table)
    }

    static func leastMagnitude(_ source: UnsafePointer<Double>, _ count: Int, above limit: UInt64) -> UInt64 {
        variant(
            CompressionKernels.leastMagnitude(_:_:above:), CompressionKernelsV3.leastMagnitude(_:_:above:))(
                source, count, limit)
    }

    static func maskAbove(
        _ source: UnsafePointer<Double>, _ count: Int, _ limit: UInt64, _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskAbove, CompressionKernelsV3.maskAbove)(source, count, limit, mask)
    }

    static func maskByNorm(
        _ source: UnsafePointer<Double>, _ norms: UnsafePointer<Double>, _ count: Int, _ limit: UInt64,
        _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskByNorm, CompressionKernelsV3.maskByNorm)(source, norms, count, limit, mask)
    }

    static func maskLowestOfGroups(
        _ source: UnsafePointer<Double>, _ groups: Int, _ step: Int, _ stride: Int, _ count: Int, _ m: Int, _ n: Int,
        _ work: UnsafeMutablePointer<UInt64>, _ mask: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.maskLowestOfGroups, CompressionKernelsV3.maskLowestOfGroups)(
            source, groups, step, stride, count, m, n, work, mask)
    }

    static func neighboursNorm(_ source: UnsafePointer<Double>, _ present: Int, _ size: Int) -> Double {
        variant(CompressionKernels.neighboursNorm, CompressionKernelsV3.neighboursNorm)(source, present, size)
    }

    static func columnNorms(
        _ source: UnsafePointer<Double>, _ rows: Int, _ stride: Int, _ width: Int, _ norms: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.columnNorms, CompressionKernelsV3.columnNorms)(source, rows, stride, width, norms)
    }
}
