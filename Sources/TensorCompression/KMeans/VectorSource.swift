import CompressionKernels

/// How the points were moved and scaled: stored = (given * scale.0 * scale.1) - mean.
struct VectorFrame {
    /// About the mean.
    let mean: VectorMemory<Double>
    let scale: (Double, Double)
    /// The mean over components of the variance, in the stored units, without weights.
    let meanVariance: Double
}

/// Where a cluster without weight is: Lloyd's centroids, in the stored units.
struct VectorFallback {
    let centroids: VectorMemory<Double>
    let frame: VectorFrame

    func component(_ cluster: Int, _ dim: Int, _ d: Int) -> Double {
        (centroids.base[cluster * dim + d] + frame.mean.base[d]) / frame.scale.0 / frame.scale.1
    }
}

/// The points as the caller gave them.
struct VectorSource<Element: WeightElement>: @unchecked Sendable {
    private let base: UnsafePointer<Element>
    private let count: Int
    private let dim: Int
    private let weights: UnsafePointer<Double>?

    init(_ view: TensorView, _ weights: UnsafePointer<Double>?) {
        base = view.base.assumingMemoryBound(to: Element.self)
        count = view.shape[0]
        dim = view.shape[1]
        var total = 0.0
        if let weights { for i in 0..<view.shape[0] where weights[i] > 0 { total = 1 } }
        self.weights = total > 0 ? weights : nil
    }

    @inline(__always)
    private func value(_ index: Int) -> Double { base[index].double }

    // MARK: - Before

    /// The points by component in binary32, moved and scaled, with weights of at most 1; what samples are drawn by; and the
    /// frame.
    func prepare(_ k: Int, _ pool: WorkPool) throws(CompressionError) -> (VectorPoints, VectorSampling, VectorFrame) {
        let points = try VectorPoints(count, dim, min(k, count), isWeighted: weights != nil)
        let sampling = try VectorSampling(points)
        let scale = try powersOfTwo(points, pool)
        let mean = try approximateMean(scale)
        // For each chunk the sums of the components of what is stored, and of their squares.
        let sums = try VectorMemory<Double>(points.chunkCount * 2 * dim)
        var largestWeight = 0.0
        if let weights { for i in 0..<count { largestWeight = max(largestWeight, weights[i]) } }
        pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            if let weights { for i in start..<end { points.weights.base[i] = Float(weights[i] / largestWeight) } }
            store(start, end, points, scale, mean.base, sums.base + c * 2 * dim)
            sampling.addUp(start, end)
        }
        try pool.checkCancellation("kmeans")
        var variance = 0.0
        for d in 0..<dim {
            var (sum, squares) = (0.0, 0.0)
            for c in 0..<points.chunkCount {
                sum += sums.base[(2 * c) * dim + d]
                squares += sums.base[(2 * c + 1) * dim + d]
            }
            variance += squares / Double(count) - (sum / Double(count)) * (sum / Double(count))
        }
        let meanVariance = max(0, variance / Double(dim))
        return (points, sampling, VectorFrame(mean: mean, scale: scale, meanVariance: meanVariance))
    }

    /// Of at most 8,192 points, one at random from each of equal stretches: near enough to subtract.
    private func approximateMean(_ scale: (Double, Double)) throws(CompressionError) -> VectorMemory<Double> {
        let mean = try VectorMemory<Double>(dim)
        let used = min(count, 8192)
        var numbers = SeededNumbers(0x1405_7b7e_f767_814f)
        for t in 0..<used {
            let stretch = t * count / used..<(t + 1) * count / used
            let place = (stretch.lowerBound + Int(numbers.unit() * Double(stretch.count))) * dim
            for d in 0..<dim { mean.base[d] += value(place + d) * scale.0 * scale.1 }
        }
        for d in 0..<dim { mean.base[d] /= Double(used) }
        return mean
    }

    private func store(
        _ start: Int, _ end: Int, _ points: VectorPoints, _ scale: (Double, Double), _ mean: UnsafePointer<Double>,
        _ sums: UnsafeMutablePointer<Double>
    ) {
        var first = start
        while first < end {
            let last = min(first + 256, end)
            for d in 0..<dim {
                let plane = points.planes.base + d * points.stride
                let shift = mean[d]
                var (sum, squares) = (0.0, 0.0)
                for i in first..<last {
                    let moved = value(i * dim + d) * scale.0 * scale.1 - shift
                    plane[i] = Float(moved)
                    sum += moved
                    squares += moved * moved
                }
                sums[d] += sum
                sums[dim + d] += squares
            }
            first = last
        }
    }

    /// Two powers of two whose product brings the largest magnitude to between 1 and 2.
    private func powersOfTwo(
        _ points: VectorPoints, _ pool: WorkPool
    ) throws(CompressionError) -> (Double, Double) {
        let most = try VectorMemory<Double>(points.chunkCount)
        pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            let length = (end - start) * dim
            let isFinite = Element.firstNonFinite(base + start * dim, length, true) < 0
            most.base[c] = isFinite ? Element.greatestMagnitude(base + start * dim, length).double : .infinity
        }
        var largest = 0.0
        for c in 0..<points.chunkCount {
            guard most.base[c].isFinite else {
                let start = points.chunk(c).start * dim
                let at = start + Element.firstNonFinite(base + start, count * dim - start, true)
                throw .declined("[kmeans] points: found \(value(at)) at flat index \(at), allowed finite numbers")
            }
            largest = max(largest, most.base[c])
        }
        guard largest > 0 else { return (1, 1) }
        let exponent = -Int(largest.exponent)
        let half = exponent / 2
        return (
            Double(sign: .plus, exponent: half, significand: 1),
            Double(sign: .plus, exponent: exponent - half, significand: 1)
        )
    }

    // MARK: - After

    /// Numbers the clusters that have points from 0, and computes their means and the inertia from the given points.
    func finish(
        _ points: VectorPoints, _ found: UnsafeMutablePointer<Int32>, _ clusters: Int, _ k: Int,
        _ fallback: VectorFallback, _ pool: WorkPool, _ centroids: UnsafeMutablePointer<Double>,
        _ labels: UnsafeMutablePointer<Int32>
    ) throws(CompressionError) -> (Int, Double) {
        let scale = fallback.frame.scale
        // For each chunk and cluster: sums of the components, of the weights, and the number of points.
        let width = dim + 2
        let sums = try VectorMemory<Double>(points.chunkCount * clusters * width)
        pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            let rows = sums.base + c * clusters * width
            for i in start..<end {
                let row = rows + Int(found[i]) * width
                let weight = weights?[i] ?? 1
                for d in 0..<dim { row[d] += weight * (value(i * dim + d) * scale.0 * scale.1) }
                row[dim] += weight
                row[dim + 1] += 1
            }
        }
        try pool.checkCancellation("kmeans")
        for c in 1..<max(points.chunkCount, 1) {
            for s in 0..<clusters * width { sums.base[s] += sums.base[c * clusters * width + s] }
        }
        let numbers = try VectorMemory<Int32>(clusters)
        for i in 0..<k * dim { centroids[i] = 0 }
        var clusterCount = 0
        for j in 0..<clusters {
            let row = sums.base + j * width
            guard row[dim + 1] > 0 else { continue }
            numbers.base[j] = Int32(clusterCount)
            for d in 0..<dim {
                centroids[clusterCount * dim + d] =
                    row[dim] > 0 ? row[d] / row[dim] / scale.0 / scale.1 : fallback.component(j, dim, d)
            }
            clusterCount += 1
        }
        let inertias = try VectorMemory<Double>(points.chunkCount)
        pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            var inertia = 0.0
            for i in start..<end {
                let label = numbers.base[Int(found[i])]
                labels[i] = label
                var distance = 0.0
                for d in 0..<dim {
                    let difference = value(i * dim + d) - centroids[Int(label) * dim + d]
                    distance += difference * difference
                }
                inertia += (weights?[i] ?? 1) * distance
            }
            inertias.base[c] = inertia
        }
        try pool.checkCancellation("kmeans")
        var inertia = 0.0
        for c in 0..<points.chunkCount { inertia += inertias.base[c] }
        return (clusterCount, inertia)
    }
}
