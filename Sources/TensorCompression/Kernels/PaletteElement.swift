import CompressionKernels
import CompressionKernelsV3

/// Elements that a palette can hold, as unsigned integers of their size; decompression copies them.
protocol PaletteElement: FixedWidthInteger, UnsignedInteger, BitwiseCopyable, Sendable {
    static func expandCodes(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<Self>, _ dimension: Int, _ component: Int,
        _ target: UnsafeMutablePointer<Self>)
    static func expandVectors(
        _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<Self>, _ dimension: Int,
        _ target: UnsafeMutablePointer<Self>)
    static func gatherKept(
        _ source: UnsafePointer<Self>, _ mask: UnsafePointer<UInt8>, _ kept: Int, _ target: UnsafeMutablePointer<Self>)
    static func scatterKept(
        _ elements: UnsafePointer<Self>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
        _ target: UnsafeMutablePointer<Self>)
    /// Expands whole bytes of packed codes; false when there is no table for this width and size.
    static func expandPacked(
        _ packed: UnsafePointer<UInt8>, _ byteCount: Int, _ nbits: Int, _ lut: UnsafePointer<Self>,
        _ table: UnsafeMutableRawPointer, _ target: UnsafeMutablePointer<Self>
    ) -> Bool
}

extension PaletteElement {
    static func expandPacked(
        _ packed: UnsafePointer<UInt8>, _ byteCount: Int, _ nbits: Int, _ lut: UnsafePointer<Self>,
        _ table: UnsafeMutableRawPointer, _ target: UnsafeMutablePointer<Self>
    ) -> Bool { false }
}

extension UInt8: PaletteElement {
    static func expandCodes(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<UInt8>, _ dimension: Int, _ component: Int,
        _ target: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.expandCodes, CompressionKernelsV3.expandCodes)(
            codes, count, lut, dimension, component, target)
    }

    static func expandVectors(
        _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<UInt8>, _ dimension: Int,
        _ target: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.expandVectors, CompressionKernelsV3.expandVectors)(
            codes, first, count, lut, dimension, target)
    }
}

extension UInt16: PaletteElement {
    static func expandCodes(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<UInt16>, _ dimension: Int, _ component: Int,
        _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.expandCodes, CompressionKernelsV3.expandCodes)(
            codes, count, lut, dimension, component, target)
    }

    static func expandVectors(
        _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<UInt16>, _ dimension: Int,
        _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.expandVectors, CompressionKernelsV3.expandVectors)(
            codes, first, count, lut, dimension, target)
    }

    static func expandPacked(
        _ packed: UnsafePointer<UInt8>, _ byteCount: Int, _ nbits: Int, _ lut: UnsafePointer<UInt16>,
        _ table: UnsafeMutableRawPointer, _ target: UnsafeMutablePointer<UInt16>
    ) -> Bool {
        guard nbits == 1 || nbits == 2 || nbits == 4 else { return false }
        variant(CompressionKernels.expandPacked, CompressionKernelsV3.expandPacked)(
            packed, byteCount, nbits, lut, table, target)
        return true
    }
}

extension UInt32: PaletteElement {
    static func expandCodes(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<UInt32>, _ dimension: Int, _ component: Int,
        _ target: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.expandCodes, CompressionKernelsV3.expandCodes)(
            codes, count, lut, dimension, component, target)
    }

    static func expandVectors(
        _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<UInt32>, _ dimension: Int,
        _ target: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.expandVectors, CompressionKernelsV3.expandVectors)(
            codes, first, count, lut, dimension, target)
    }

    static func expandPacked(
        _ packed: UnsafePointer<UInt8>, _ byteCount: Int, _ nbits: Int, _ lut: UnsafePointer<UInt32>,
        _ table: UnsafeMutableRawPointer, _ target: UnsafeMutablePointer<UInt32>
    ) -> Bool {
        guard nbits == 4 else { return false }
        variant(CompressionKernels.expandPackedPairs, CompressionKernelsV3.expandPackedPairs)(
            packed, byteCount, lut, table, target)
        return true
    }
}

extension UInt64: PaletteElement {
    static func expandCodes(
        _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<UInt64>, _ dimension: Int, _ component: Int,
        _ target: UnsafeMutablePointer<UInt64>
    ) {
        variant(CompressionKernels.expandCodes, CompressionKernelsV3.expandCodes)(
            codes, count, lut, dimension, component, target)
    }

    static func expandVectors(
        _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<UInt64>, _ dimension: Int,
        _ target: UnsafeMutablePointer<UInt64>
    ) {
        variant(CompressionKernels.expandVectors, CompressionKernelsV3.expandVectors)(
            codes, first, count, lut, dimension, target)
    }
}
