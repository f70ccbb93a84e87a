import CompressionKernels
import CompressionKernelsV3

extension UInt16: QuantizableElement {
    typealias Compute = Float
    static func compute(_ value: Double) -> Float { Float(value) }
    static func isZero(_ value: Float) -> Bool { value == 0 }
    static var leastMagnitude: Double { 0x1p-24 }
    static var leastNormal: Double { 0x1p-14 }
    // The patterns of positive numbers are in order.
    static func above(_ value: Double) -> Double { (UInt16(nearest: value) &+ 1).double }
    static func below(_ value: Double) -> Double { (UInt16(nearest: value) &- 1).double }

    static func blockMagnitudes(
        _ source: UnsafePointer<UInt16>, _ blocks: Int, _ length: Int, _ greatest: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.blockMagnitudes, CompressionKernelsV3.blockMagnitudes)(
            source, blocks, length, greatest)
    }

    static func blockExtremes(
        _ source: UnsafePointer<UInt16>, _ blocks: Int, _ length: Int, _ low: UnsafeMutablePointer<UInt16>,
        _ high: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.blockExtremes, CompressionKernelsV3.blockExtremes)(
            source, blocks, length, low, high)
    }

    static func raiseRange(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ low: UnsafeMutablePointer<UInt16>?,
        _ high: UnsafeMutablePointer<UInt16>
    ) {
        if let low {
            variant(CompressionKernels.raiseRange, CompressionKernelsV3.raiseRange)(source, count, low, high)
        } else {
            variant(CompressionKernels.raiseRange, CompressionKernelsV3.raiseRange)(source, count, high)
        }
    }

    static func symmetricScales(
        _ high: UnsafePointer<UInt16>, _ count: Int, _ levels: Double, _ scale: UnsafeMutablePointer<UInt16>,
        _ divisor: UnsafeMutablePointer<Float>, _ odd: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        variant(CompressionKernels.symmetricScales, CompressionKernelsV3.symmetricScales)(
            high, count, Float(levels), scale, divisor, odd) != 0
    }

    static func linearParameters(
        _ low: UnsafePointer<UInt16>, _ high: UnsafePointer<UInt16>, _ count: Int, _ qmin: Double, _ qmax: Double,
        _ scale: UnsafeMutablePointer<UInt16>, _ zero: UnsafeMutablePointer<UInt8>,
        _ divisor: UnsafeMutablePointer<Float>, _ offset: UnsafeMutablePointer<Float>,
        _ odd: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        variant(CompressionKernels.linearParameters, CompressionKernelsV3.linearParameters)(
            low, high, count, Float(qmin), Float(qmax), scale, zero, divisor, offset, odd) != 0
    }

    static func quantizeBlocks(
        _ source: UnsafePointer<UInt16>, _ blocks: Int, _ length: Int, _ divisor: UnsafePointer<Float>,
        _ offset: UnsafePointer<Float>, _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.quantizeBlocks, CompressionKernelsV3.quantizeBlocks)(
            source, blocks, length, divisor, offset, Float(qmin), Float(qmax), codes)
    }

    static func quantizeRow(
        _ source: UnsafePointer<UInt16>, _ count: Int, _ divisor: UnsafePointer<Float>, _ offset: UnsafePointer<Float>,
        _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.quantizeRow, CompressionKernelsV3.quantizeRow)(
            source, count, divisor, offset, Float(qmin), Float(qmax), codes)
    }

    static func dequantizeBlock(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zero: Int32, _ scale: UInt16,
        _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.dequantizeBlock, CompressionKernelsV3.dequantizeBlock)(
            codes, count, flip, zero, scale, target)
    }

    static func dequantizeBlocks(
        _ codes: UnsafePointer<UInt8>, _ blocks: Int, _ length: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
        _ scale: UnsafePointer<UInt16>, _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.dequantizeBlocks, CompressionKernelsV3.dequantizeBlocks)(
            codes, blocks, length, flip, zeros, scale, target)
    }

    static func dequantizeRow(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
        _ scale: UnsafePointer<UInt16>, _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.dequantizeRow, CompressionKernelsV3.dequantizeRow)(
            codes, count, flip, zeros, scale, target)
    }
}

extension Float: QuantizableElement {
    typealias Compute = Float
    static func compute(_ value: Double) -> Float { Float(value) }
    static func isZero(_ value: Float) -> Bool { value == 0 }
    static var leastMagnitude: Double { Double(Float.leastNonzeroMagnitude) }
    static var leastNormal: Double { Double(Float.leastNormalMagnitude) }
    static func above(_ value: Double) -> Double { Double(Float(value).nextUp) }
    static func below(_ value: Double) -> Double { Double(Float(value).nextDown) }

    static func blockMagnitudes(
        _ source: UnsafePointer<Float>, _ blocks: Int, _ length: Int, _ greatest: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.blockMagnitudes, CompressionKernelsV3.blockMagnitudes)(
            source, blocks, length, greatest)
    }

    static func blockExtremes(
        _ source: UnsafePointer<Float>, _ blocks: Int, _ length: Int, _ low: UnsafeMutablePointer<Float>,
        _ high: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.blockExtremes, CompressionKernelsV3.blockExtremes)(
            source, blocks, length, low, high)
    }

    static func raiseRange(
        _ source: UnsafePointer<Float>, _ count: Int, _ low: UnsafeMutablePointer<Float>?,
        _ high: UnsafeMutablePointer<Float>
    ) {
        if let low {
            variant(CompressionKernels.raiseRange, CompressionKernelsV3.raiseRange)(source, count, low, high)
        } else {
            variant(CompressionKernels.raiseRange, CompressionKernelsV3.raiseRange)(source, count, high)
        }
    }

    static func symmetricScales(
        _ high: UnsafePointer<Float>, _ count: Int, _ levels: Double, _ scale: UnsafeMutablePointer<Float>,
        _ divisor: UnsafeMutablePointer<Float>, _ odd: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        variant(CompressionKernels.symmetricScales, CompressionKernelsV3.symmetricScales)(
            high, count, Float(levels), scale, divisor, odd) != 0
    }

    static func linearParameters(
        _ low: UnsafePointer<Float>, _ high: UnsafePointer<Float>, _ count: Int, _ qmin: Double, _ qmax: Double,
        _ scale: UnsafeMutablePointer<Float>, _ zero: UnsafeMutablePointer<UInt8>,
        _ divisor: UnsafeMutablePointer<Float>, _ offset: UnsafeMutablePointer<Float>,
        _ odd: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        variant(CompressionKernels.linearParameters, CompressionKernelsV3.linearParameters)(
            low, high, count, Float(qmin), Float(qmax), scale, zero, divisor, offset, odd) != 0
    }

    static func quantizeBlocks(
        _ source: UnsafePointer<Float>, _ blocks: Int, _ length: Int, _ divisor: UnsafePointer<Float>,
        _ offset: UnsafePointer<Float>, _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.quantizeBlocks, CompressionKernelsV3.quantizeBlocks)(
            source, blocks, length, divisor, offset, Float(qmin), Float(qmax), codes)
    }

    static func quantizeRow(
        _ source: UnsafePointer<Float>, _ count: Int, _ divisor: UnsafePointer<Float>, _ offset: UnsafePointer<Float>,
        _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.quantizeRow, CompressionKernelsV3.quantizeRow)(
            source, count, divisor, offset, Float(qmin), Float(qmax), codes)
    }

    static func dequantizeBlock(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zero: Int32, _ scale: Float,
        _ target: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.dequantizeBlock, CompressionKernelsV3.dequantizeBlock)(
            codes, count, flip, zero, scale, target)
    }

    static func dequantizeBlocks(
        _ codes: UnsafePointer<UInt8>, _ blocks: Int, _ length: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
        _ scale: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.dequantizeBlocks, CompressionKernelsV3.dequantizeBlocks)(
            codes, blocks, length, flip, zeros, scale, target)
    }

    static func dequantizeRow(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
        _ scale: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>
    ) {
        variant(CompressionKernels.dequantizeRow, CompressionKernelsV3.dequantizeRow)(
            codes, count, flip, zeros, scale, target)
    }
}

extension Double: QuantizableElement {
    typealias Compute = Double
    static func compute(_ value: Double) -> Double { value }
    static func isZero(_ value: Double) -> Bool { value == 0 }
    static var leastMagnitude: Double { leastNonzeroMagnitude }
    static var leastNormal: Double { leastNormalMagnitude }
    static func above(_ value: Double) -> Double { value.nextUp }
    static func below(_ value: Double) -> Double { value.nextDown }

    static func blockMagnitudes(
        _ source: UnsafePointer<Double>, _ blocks: Int, _ length: Int, _ greatest: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.blockMagnitudes, CompressionKernelsV3.blockMagnitudes)(
            source, blocks, length, greatest)
    }

    static func blockExtremes(
        _ source: UnsafePointer<Double>, _ blocks: Int, _ length: Int, _ low: UnsafeMutablePointer<Double>,
        _ high: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.blockExtremes, CompressionKernelsV3.blockExtremes)(
            source, blocks, length, low, high)
    }

    static func raiseRange(
        _ source: UnsafePointer<Double>, _ count: Int, _ low: UnsafeMutablePointer<Double>?,
        _ high: UnsafeMutablePointer<Double>
    ) {
        if let low {
            variant(CompressionKernels.raiseRange, CompressionKernelsV3.raiseRange)(source, count, low, high)
        } else {
            variant(CompressionKernels.raiseRange, CompressionKernelsV3.raiseRange)(source, count, high)
        }
    }

    static func symmetricScales(
        _ high: UnsafePointer<Double>, _ count: Int, _ levels: Double, _ scale: UnsafeMutablePointer<Double>,
        _ divisor: UnsafeMutablePointer<Double>, _ odd: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        variant(CompressionKernels.symmetricScales, CompressionKernelsV3.symmetricScales)(
            high, count, levels, scale, divisor, odd) != 0
    }

    static func linearParameters(
        _ low: UnsafePointer<Double>, _ high: UnsafePointer<Double>, _ count: Int, _ qmin: Double, _ qmax: Double,
        _ scale: UnsafeMutablePointer<Double>, _ zero: UnsafeMutablePointer<UInt8>,
        _ divisor: UnsafeMutablePointer<Double>, _ offset: UnsafeMutablePointer<Double>,
        _ odd: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        variant(CompressionKernels.linearParameters, CompressionKernelsV3.linearParameters)(
            low, high, count, qmin, qmax, scale, zero, divisor, offset, odd) != 0
    }

    static func quantizeBlocks(
        _ source: UnsafePointer<Double>, _ blocks: Int, _ length: Int, _ divisor: UnsafePointer<Double>,
        _ offset: UnsafePointer<Double>, _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.quantizeBlocks, CompressionKernelsV3.quantizeBlocks)(
            source, blocks, length, divisor, offset, qmin, qmax, codes)
    }

    static func quantizeRow(
        _ source: UnsafePointer<Double>, _ count: Int, _ divisor: UnsafePointer<Double>,
        _ offset: UnsafePointer<Double>,
        _ qmin: Double, _ qmax: Double, _ codes: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.quantizeRow, CompressionKernelsV3.quantizeRow)(
            source, count, divisor, offset, qmin, qmax, codes)
    }

    static func dequantizeBlock(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zero: Int32, _ scale: Double,
        _ target: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.dequantizeBlock, CompressionKernelsV3.dequantizeBlock)(
            codes, count, flip, zero, scale, target)
    }

    static func dequantizeBlocks(
        _ codes: UnsafePointer<UInt8>, _ blocks: Int, _ length: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
        _ scale: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.dequantizeBlocks, CompressionKernelsV3.dequantizeBlocks)(
            codes, blocks, length, flip, zeros, scale, target)
    }

    static func dequantizeRow(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ flip: UInt8, _ zeros: UnsafePointer<UInt8>,
        _ scale: UnsafePointer<Double>, _ target: UnsafeMutablePointer<Double>
    ) {
        variant(CompressionKernels.dequantizeRow, CompressionKernelsV3.dequantizeRow)(
            codes, count, flip, zeros, scale, target)
    }
}
