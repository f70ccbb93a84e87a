import CompressionKernels
import CompressionKernelsV3

extension PaletteTask {
    /// The palette and the codes of one group of vectors.
    ///
    /// - points: `count` vectors of `clusterDim` elements, one after the other.
    /// - importance: one number for each vector, or nil.
    func palettizeVectors<Element: WeightElement>(
        _ points: UnsafePointer<Element>, _ count: Int, _ importance: UnsafePointer<Double>?,
        _ lut: UnsafeMutablePointer<Element>, _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        if mode == .unique { return try listVectors(points, count, lut, codes) }
        throw CompressionError(kind: .notImplemented, message: "[palettize] cluster_dim: vector k-means is missing")
    }
}
