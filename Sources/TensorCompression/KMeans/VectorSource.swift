import CompressionKernels

/// How the points were moved and scaled: stored = (given * scale.0 * scale.1) - mean.
struct VectorFrame {
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
struct VectorSource: @unchecked Sendable {
    private let base: UnsafeRawPointer
    private let type: FloatType
    private let count: Int
    private let dim: Int
    private let weights: UnsafePointer<Double>?

    init(_ view: TensorView, _ weights: UnsafePointer<Double>?) {
        base = view.base
        type = view.type
        count = view.shape[0]
        dim = view.shape[1]
        var total = 0.0
        if let weights { for i in 0..<view.shape[0] where weights[i] > 0 { total = 1 } }
        self.weights = total > 0 ? weights : nil
    }

    @inline(__always)
    private func value(_ index: Int) -> Double {
        switch type {
        case .float16:
            Double(Float(bitPattern: floatBits(half: base.load(fromByteOffset: index * 2, as: UInt16.self))))
        case .float32: Double(base.load(fromByteOffset: index * 4, as: Float.self))
        case .float64: base.load(fromByteOffset: index * 8, as: Double.self)
        }
    }

    // MARK: - Before

    /// The points by component in binary32, moved and scaled, with weights of at most 1.
    func prepare(_ k: Int, _ pool: WorkPool) throws(CompressionError) -> (VectorPoints, VectorFrame) {
        let points = try VectorPoints(count, dim, min(k, count))
        let scale = try powersOfTwo()
        let mean = try VectorMemory<Double>(dim)
        let sums = try VectorMemory<Double>(points.chunkCount * dim)
        pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            let row = sums.base + c * dim
            for i in start..<end { for d in 0..<dim { row[d] += value(i * dim + d) * scale.0 * scale.1 } }
        }
        for c in 0..<points.chunkCount { for d in 0..<dim { mean.base[d] += sums.base[c * dim + d] } }
        for d in 0..<dim { mean.base[d] /= Double(count) }
        let squares = try VectorMemory<Double>(points.chunkCount)
        var largestWeight = 0.0
        if let weights { for i in 0..<count { largestWeight = max(largestWeight, weights[i]) } }
        pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            for i in start..<end {
                for d in 0..<dim {
                    let moved = value(i * dim + d) * scale.0 * scale.1 - mean.base[d]
                    points.planes.base[d * points.stride + i] = Float(moved)
                    squares.base[c] += moved * moved
                }
                points.weights.base[i] = weights.map { Float($0[i] / largestWeight) } ?? 1
            }
        }
        try pool.checkCancellation("kmeans")
        var sum = 0.0
        for c in 0..<points.chunkCount { sum += squares.base[c] }
        let variance = sum / Double(count) / Double(dim)
        return (points, VectorFrame(mean: mean, scale: scale, meanVariance: variance))
    }

    /// Two powers of two whose product brings the largest magnitude to between 1 and 2.
    private func powersOfTwo() throws(CompressionError) -> (Double, Double) {
        var largest = 0.0
        for i in 0..<count * dim {
            let magnitude = abs(value(i))
            guard magnitude.isFinite else {
                throw .declined("[kmeans] points: found \(value(i)) at flat index \(i), allowed finite numbers")
            }
            largest = max(largest, magnitude)
        }
        guard largest > 0 else { return (1, 1) }
        let exponent = -Int(largest.exponent)
        let half = exponent / 2
        return (
            Double(sign: .plus, exponent: half, significand: 1),
            Double(sign: .plus, exponent: exponent - half, significand: 1)
        )
    }

    /// A weighted sample for `k` clusters, or nil where there are too few points for one to be worth it. Points are drawn
    /// with probability 1/2 uniform and 1/2 by weight times squared distance to the mean, and weighted by the inverse.
    func sample(_ points: VectorPoints, _ k: Int, _ seed: UInt64) throws(CompressionError) -> VectorPoints? {
        let size = max(16_384, 128 * k)
        guard points.count >= 2 * size else { return nil }
        var totalWeight = 0.0
        var totalDistance = 0.0
        forEachMass(points) { weight, distance, _ in
            totalWeight += weight
            totalDistance += distance
        }
        guard totalDistance > 0 else { return nil }
        let result = try VectorPoints(size, dim, k)
        var numbers = SeededNumbers(seed ^ 0x5851_f42d_4c95_7f2d)
        var taken = 0
        var passed = 0.0
        var next = numbers.unit()
        forEachMass(points) { weight, distance, i in
            let share = (weight / totalWeight + distance / totalDistance) / 2 * Double(size)
            passed += share
            while next < passed, taken < size {
                for d in 0..<dim {
                    result.planes.base[d * result.stride + taken] = points.planes.base[d * points.stride + i]
                }
                result.weights.base[taken] = Float(weight / share)
                taken += 1
                next = Double(taken) + numbers.unit()
            }
        }
        return result
    }

    private func forEachMass(_ points: VectorPoints, _ body: (Double, Double, Int) -> Void) {
        for i in 0..<points.count {
            var norm = 0.0
            for d in 0..<dim {
                let x = Double(points.planes.base[d * points.stride + i])
                norm += x * x
            }
            let weight = Double(points.weights.base[i])
            body(weight, weight * norm, i)
        }
    }

    // MARK: - After

    /// Numbers the clusters that have points from 0, and computes their means and the inertia from the given points.
    func finish(
        _ found: UnsafeMutablePointer<Int32>, _ clusters: Int, _ k: Int, _ fallback: VectorFallback, _ pool: WorkPool,
        _ centroids: UnsafeMutablePointer<Double>, _ labels: UnsafeMutablePointer<Int32>
    ) throws(CompressionError) -> (Int, Double) {
        let numbers = try VectorMemory<Int32>(clusters)
        for i in 0..<count { numbers.base[Int(found[i])] = 1 }
        for i in 0..<k * dim { centroids[i] = 0 }
        var clusterCount = 0
        for j in 0..<clusters where numbers.base[j] > 0 {
            numbers.base[j] = Int32(clusterCount)
            for d in 0..<dim { centroids[clusterCount * dim + d] = fallback.component(j, dim, d) }
            clusterCount += 1
        }
        for i in 0..<count { labels[i] = numbers.base[Int(found[i])] }
        let scale = fallback.frame.scale
        let sums = try VectorMemory<Double>(clusterCount * (dim + 1))
        for i in 0..<count {
            let row = sums.base + Int(labels[i]) * (dim + 1)
            let weight = weights?[i] ?? 1
            for d in 0..<dim { row[d] += weight * (value(i * dim + d) * scale.0 * scale.1) }
            row[dim] += weight
        }
        for j in 0..<clusterCount {
            let row = sums.base + j * (dim + 1)
            guard row[dim] > 0 else { continue }
            for d in 0..<dim { centroids[j * dim + d] = row[d] / row[dim] / scale.0 / scale.1 }
        }
        var inertia = 0.0
        for i in 0..<count {
            var distance = 0.0
            for d in 0..<dim {
                let difference = value(i * dim + d) - centroids[Int(labels[i]) * dim + d]
                distance += difference * difference
            }
            inertia += (weights?[i] ?? 1) * distance
        }
        return (clusterCount, inertia)
    }
}
