extension PaletteTask {
    /// The palette and the codes of one group of vectors.
    ///
    /// - points: `count` vectors of `clusterDim` elements, one after the other; finite (`unique`: no NaN).
    /// - importance: one number for each vector, or nil.
    /// - lut: `entries` vectors, zeroed.
    func palettizeVectors<Element: WeightElement>(
        _ points: UnsafePointer<Element>, _ count: Int, _ importance: UnsafePointer<Double>?,
        _ lut: UnsafeMutablePointer<Element>, _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        if mode == .unique { return try listVectors(points, count, lut, codes) }
        let centroids = try Scratch<Double>(entries * clusterDim, operation: "palettize")
        let labels = try Scratch<Int32>(count, operation: "palettize")
        let view = TensorView(base: UnsafeRawPointer(points), type: Element.type, shape: [count, clusterDim])
        let found = try vectorKMeans(
            view, weights: importance, VectorKMeansOptions(k: entries, seed: seed, starts: starts), pool: pool,
            centroids: centroids.pointer, labels: labels.pointer)
        for i in 0..<found.clusterCount * clusterDim { lut[i] = Element(nearest: centroids.pointer[i]) }
        let source = labels.pointer
        pool.forEachPiece(count) { start, end in
            for i in start..<end { codes[i] = UInt8(truncatingIfNeeded: source[i]) }
        }
        try pool.checkCancellation("palettize")
    }
}
