import CompressionKernels
import CompressionKernelsV3

// Gathering and scattering of sparse elements, by their size.

extension UInt8 {
    static func gatherKept(
        _ source: UnsafePointer<UInt8>, _ mask: UnsafePointer<UInt8>, _ kept: Int,
        _ target: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.gatherKept, CompressionKernelsV3.gatherKept)(source, mask, kept, target)
    }

    static func scatterKept(
        _ elements: UnsafePointer<UInt8>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
        _ target: UnsafeMutablePointer<UInt8>
    ) {
        variant(CompressionKernels.scatterKept, CompressionKernelsV3.scatterKept)(elements, kept, mask, count, target)
    }
}

extension UInt16 {
    static func gatherKept(
        _ source: UnsafePointer<UInt16>, _ mask: UnsafePointer<UInt8>, _ kept: Int,
        _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.gatherKept, CompressionKernelsV3.gatherKept)(source, mask, kept, target)
    }

    static func scatterKept(
        _ elements: UnsafePointer<UInt16>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
        _ target: UnsafeMutablePointer<UInt16>
    ) {
        variant(CompressionKernels.scatterKept, CompressionKernelsV3.scatterKept)(elements, kept, mask, count, target)
    }
}

extension UInt32 {
    static func gatherKept(
        _ source: UnsafePointer<UInt32>, _ mask: UnsafePointer<UInt8>, _ kept: Int,
        _ target: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.gatherKept, CompressionKernelsV3.gatherKept)(source, mask, kept, target)
    }

    static func scatterKept(
        _ elements: UnsafePointer<UInt32>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
        _ target: UnsafeMutablePointer<UInt32>
    ) {
        variant(CompressionKernels.scatterKept, CompressionKernelsV3.scatterKept)(elements, kept, mask, count, target)
    }
}

extension UInt64 {
    static func gatherKept(
        _ source: UnsafePointer<UInt64>, _ mask: UnsafePointer<UInt8>, _ kept: Int,
        _ target: UnsafeMutablePointer<UInt64>
    ) {
        variant(CompressionKernels.gatherKept, CompressionKernelsV3.gatherKept)(source, mask, kept, target)
    }

    static func scatterKept(
        _ elements: UnsafePointer<UInt64>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
        _ target: UnsafeMutablePointer<UInt64>
    ) {
        variant(CompressionKernels.scatterKept, CompressionKernelsV3.scatterKept)(elements, kept, mask, count, target)
    }
}
