import CompressionKernels
import CompressionKernelsV3

extension UInt16: WeightElement {
    typealias Pattern = UInt16
    static var type: FloatType { .float16 }
    static var one: UInt16 { 0x3c00 }
    var double: Double { Double(CompressionKernels.floatValue(half: self)) }
    init(nearest value: Double) { self = CompressionKernels.halfBits(double: value) }
    var isNaN: Bool { self & 0x7fff > 0x7c00 }
    var isFinite: Bool { self & 0x7fff < 0x7c00 }

    static func firstNonFinite(_ source: UnsafePointer<UInt16>, _ count: Int, _ infinities: Bool) -> Int {
        variant(CompressionKernels.firstNonFinite, CompressionKernelsV3.firstNonFinite)(source, count, infinities)
    }

    static func sumErrors(
        _ original: UnsafePointer<UInt16>, _ decoded: UnsafePointer<UInt16>, _ count: Int,
        _ work: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.sumErrors, CompressionKernelsV3.sumErrors)(original, decoded, count, work, sums)
    }

    static func greatestMagnitude(_ source: UnsafePointer<UInt16>, _ count: Int) -> UInt16 {
        variant(CompressionKernels.greatestMagnitude, CompressionKernelsV3.greatestMagnitude)(source, count)
    }

    static func raiseMagnitudes(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ greatest: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.raiseMagnitudes, CompressionKernelsV3.raiseMagnitudes)(source, count, greatest)
    }

    static func divide(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ scale: UnsafePointer<UInt16>, _ step: Int,
        _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.divideByScale, CompressionKernelsV3.divideByScale)(
            source, count, scale, step, target)
    }

    static func multiply(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ scale: UnsafePointer<UInt16>, _ step: Int,
        _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.multiplyByScale, CompressionKernelsV3.multiplyByScale)(
            source, count, scale, step, target)
    }

    static func range(_ source: UnsafePointer<UInt16>, _ count: Int) -> (least: Double, greatest: Double) {
        let order = variant(CompressionKernels.orderRange, CompressionKernelsV3.orderRange)(source, count)
        return (
            CompressionKernels.halfFromOrder(order.least).double,
            CompressionKernels.halfFromOrder(order.greatest).double
        )
    }

    static func uniformCodes(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ least: Double, _ range: Double, _ levels: Double,
        _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.uniformCodes, CompressionKernelsV3.uniformCodes)(
            source, count, Float(least), Float(range), Float(levels), codes)
    }

    static func findDistinctVectors(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ dimension: Int, _ slots: UnsafeMutablePointer<Int32>,
        _ firsts: UnsafeMutablePointer<Int>, _ codes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        variant(CompressionKernels.findDistinctVectors, CompressionKernelsV3.findDistinctVectors)(
            source, count, dimension, slots, firsts, codes)
    }
}

extension Float: WeightElement {
    typealias Pattern = UInt32
    static var type: FloatType { .float32 }
    static var one: Float { 1 }
    var double: Double { Double(self) }
    init(nearest value: Double) { self = Float(value) }

    static func firstNonFinite(_ source: UnsafePointer<Float>, _ count: Int, _ infinities: Bool) -> Int {
        variant(CompressionKernels.firstNonFinite, CompressionKernelsV3.firstNonFinite)(source, count, infinities)
    }

    static func sumErrors(
        _ original: UnsafePointer<Float>, _ decoded: UnsafePointer<Float>, _ count: Int,
        _ work: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.sumErrors, CompressionKernelsV3.sumErrors)(original, decoded, count, sums)
    }

    static func greatestMagnitude(_ source: UnsafePointer<Float>, _ count: Int) -> Float {
        variant(CompressionKernels.greatestMagnitude, CompressionKernelsV3.greatestMagnitude)(source, count)
    }

    static func raiseMagnitudes(
        _ source: UnsafePointer<Float>, _ count: Int, _ greatest: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.raiseMagnitudes, CompressionKernelsV3.raiseMagnitudes)(source, count, greatest)
    }

    static func divide(
        _ source: UnsafePointer<Float>, _ count: Int, _ scale: UnsafePointer<Float>, _ step: Int,
        _ target: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.divideByScale, CompressionKernelsV3.divideByScale)(
            source, count, scale, step, target)
    }

    static func multiply(
        _ source: UnsafePointer<Float>, _ count: Int, _ scale: UnsafePointer<Float>, _ step: Int,
        _ target: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.multiplyByScale, CompressionKernelsV3.multiplyByScale)(
            source, count, scale, step, target)
    }

    static func range(_ source: UnsafePointer<Float>, _ count: Int) -> (least: Double, greatest: Double) {
        let order = variant(CompressionKernels.orderRange, CompressionKernelsV3.orderRange)(source, count)
        return (
            Double(CompressionKernels.floatFromOrder(order.least)),
            Double(CompressionKernels.floatFromOrder(order.greatest))
        )
    }

    static func uniformCodes(
        _ source: UnsafePointer<Float>, _ count: Int, _ least: Double, _ range: Double, _ levels: Double,
        _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.uniformCodes, CompressionKernelsV3.uniformCodes)(
            source, count, Float(least), Float(range), Float(levels), codes)
    }

    static func findDistinctVectors(
        _ source: UnsafePointer<Float>, _ count: Int, _ dimension: Int, _ slots: UnsafeMutablePointer<Int32>,
        _ firsts: UnsafeMutablePointer<Int>, _ codes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let patterns = UnsafeRawPointer(source).assumingMemoryBound(to: UInt32.self)
        return variant(CompressionKernels.findDistinctVectors, CompressionKernelsV3.findDistinctVectors)(
            patterns, count, dimension, slots, firsts, codes)
    }
}

extension Double: WeightElement {
    typealias Pattern = UInt64
    static var type: FloatType { .float64 }
    static var one: Double { 1 }
    var double: Double { self }
    init(nearest value: Double) { self = value }

    static func firstNonFinite(_ source: UnsafePointer<Double>, _ count: Int, _ infinities: Bool) -> Int {
        variant(CompressionKernels.firstNonFinite, CompressionKernelsV3.firstNonFinite)(source, count, infinities)
    }

    static func sumErrors(
        _ original: UnsafePointer<Double>, _ decoded: UnsafePointer<Double>, _ count: Int,
        _ work: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.sumErrors, CompressionKernelsV3.sumErrors)(original, decoded, count, sums)
    }

    static func greatestMagnitude(_ source: UnsafePointer<Double>, _ count: Int) -> Double {
        variant(CompressionKernels.greatestMagnitude, CompressionKernelsV3.greatestMagnitude)(source, count)
    }

    static func raiseMagnitudes(
        _ source: UnsafePointer<Double>, _ count: Int, _ greatest: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.raiseMagnitudes, CompressionKernelsV3.raiseMagnitudes)(source, count, greatest)
    }

    static func divide(
        _ source: UnsafePointer<Double>, _ count: Int, _ scale: UnsafePointer<Double>, _ step: Int,
        _ target: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.divideByScale, CompressionKernelsV3.divideByScale)(
            source, count, scale, step, target)
    }

    static func multiply(
        _ source: UnsafePointer<Double>, _ count: Int, _ scale: UnsafePointer<Double>, _ step: Int,
        _ target: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.multiplyByScale, CompressionKernelsV3.multiplyByScale)(
            source, count, scale, step, target)
    }

    static func range(_ source: UnsafePointer<Double>, _ count: Int) -> (least: Double, greatest: Double) {
        let order = variant(CompressionKernels.orderRange, CompressionKernelsV3.orderRange)(source, count)
        return (CompressionKernels.doubleFromOrder(order.least), CompressionKernels.doubleFromOrder(order.greatest))
    }

    static func uniformCodes(
        _ source: UnsafePointer<Double>, _ count: Int, _ least: Double, _ range: Double, _ levels: Double,
        _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.uniformCodes, CompressionKernelsV3.uniformCodes)(
            source, count, least, range, levels, codes)
    }

    static func findDistinctVectors(
        _ source: UnsafePointer<Double>, _ count: Int, _ dimension: Int, _ slots: UnsafeMutablePointer<Int32>,
        _ firsts: UnsafeMutablePointer<Int>, _ codes: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let patterns = UnsafeRawPointer(source).assumingMemoryBound(to: UInt64.self)
        return variant(CompressionKernels.findDistinctVectors, CompressionKernelsV3.findDistinctVectors)(
            patterns, count, dimension, slots, firsts, codes)
    }
}
