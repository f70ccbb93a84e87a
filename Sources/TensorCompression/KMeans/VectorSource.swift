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

    /// The points by component in binary32, moved and scaled, with weights of at most 1.
    func prepare(_ k: Int, _ pool: WorkPool) throws(CompressionError) -> (VectorPoints, VectorFrame) {
        let points = try VectorPoints(count, dim, min(k, count), isWeighted: weights != nil)
        let scale = try powersOfTwo(points, pool)
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
            for d in 0..<dim {
                let plane = points.planes.base + d * points.stride
                var sum = 0.0
                for i in start..<end {
                    let moved = value(i * dim + d) * scale.0 * scale.1 - mean.base[d]
                    plane[i] = Float(moved)
                    sum += moved * moved
                }
                squares.base[c] += sum
            }
            for i in start..<end { points.weights.base[i] = weights.map { Float($0[i] / largestWeight) } ?? 1 }
        }
        try pool.checkCancellation("kmeans")
        var sum = 0.0
        for c in 0..<points.chunkCount { sum += squares.base[c] }
        let variance = sum / Double(count) / Double(dim)
        return (points, VectorFrame(mean: mean, scale: scale, meanVariance: variance))
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

    /// A weighted sample, or nil where there are less than twice as many points. Points are drawn with probability 1/2
    /// uniform and 1/2 by weight times squared distance to the mean, and weighted by the inverse.
    func sample(
        _ size: Int, _ points: VectorPoints, _ k: Int, _ seed: UInt64, _ pool: WorkPool
    ) throws(CompressionError) -> VectorPoints? {
        guard points.count >= 2 * size else { return nil }
        let masses = try VectorMemory<Double>(2 * points.chunkCount)
        pool.forEach(points.chunkCount) { c in
            forEachMass(points, c) { weight, distance, _ in
                masses.base[2 * c] += weight
                masses.base[2 * c + 1] += distance
            }
        }
        var (totalWeight, totalDistance) = (0.0, 0.0)
        for c in 0..<points.chunkCount {
            totalWeight += masses.base[2 * c]
            totalDistance += masses.base[2 * c + 1]
        }
        guard totalDistance > 0 else { return nil }
        let factor = (weight: 0.5 / totalWeight, distance: 0.5 / totalDistance)
        // The shares of the points of all chunks before; all add up to 1.
        let passed = try VectorMemory<Double>(points.chunkCount + 1)
        for c in 0..<points.chunkCount {
            passed.base[c + 1] =
                passed.base[c] + masses.base[2 * c] * factor.weight + masses.base[2 * c + 1] * factor.distance
        }
        passed.base[points.chunkCount] = .infinity
        let draw = try VectorDraw(size, points, k, seed)
        pool.forEach(points.chunkCount) { c in
            var sum = passed.base[c]
            let end = passed.base[c + 1]
            var cursor = draw.cursor(from: sum)
            var last = (index: -1, inverse: 0.0)
            forEachMass(points, c) { weight, distance, i in
                let share = weight * factor.weight + distance * factor.distance
                guard share > 0 else { return }
                sum += share
                last = (i, weight / share)
                if cursor.mark < sum { cursor.take(i, weight / share, below: min(sum, end)) }
            }
            // What rounding of the sums left over.
            if last.index >= 0 { cursor.take(last.index, last.inverse, below: end) }
        }
        return draw.sample
    }

    /// Points drawn evenly, one from each of `size` equal stretches, with their weights; nil as above.
    func uniformSample(
        _ size: Int, _ points: VectorPoints, _ k: Int, _ seed: UInt64
    ) throws(CompressionError) -> VectorPoints? {
        guard points.count >= 2 * size else { return nil }
        let sample = try VectorPoints(size, dim, k, isWeighted: points.isWeighted)
        var numbers = SeededNumbers(seed ^ 0x2545_f491_4f6c_dd1d)
        for t in 0..<size {
            let place = min(points.count - 1, Int((Double(t) + numbers.unit()) * Double(points.count) / Double(size)))
            for d in 0..<dim {
                sample.planes.base[d * sample.stride + t] = points.planes.base[d * points.stride + place]
            }
            sample.weights.base[t] = points.weights.base[place]
        }
        return sample
    }

    /// Weight, weight times squared distance to the mean, and index of each point of a chunk.
    @inline(__always)
    private func forEachMass(_ points: VectorPoints, _ chunk: Int, _ body: (Double, Double, Int) -> Void) {
        let (start, end) = points.chunk(chunk)
        for i in start..<end {
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

/// A sample as it is drawn: place t takes the point where the shares of the points add up to mark t, (t + u) / size with a
/// random u from 0 to 1.
private struct VectorDraw: @unchecked Sendable {
    let sample: VectorPoints
    private let points: VectorPoints
    private let marks: VectorMemory<Double>

    init(_ size: Int, _ points: VectorPoints, _ k: Int, _ seed: UInt64) throws(CompressionError) {
        self.points = points
        sample = try VectorPoints(size, points.dim, k, isWeighted: true)
        marks = try VectorMemory(size)
        var numbers = SeededNumbers(seed ^ 0x5851_f42d_4c95_7f2d)
        for t in 0..<size { marks.base[t] = (Double(t) + numbers.unit()) / Double(size) }
    }

    /// At the first place whose mark is not below `least`.
    func cursor(from least: Double) -> Cursor {
        var (low, high) = (0, sample.count)
        while low < high {
            let middle = (low + high) / 2
            if marks.base[middle] < least { low = middle + 1 } else { high = middle }
        }
        return Cursor(
            place: low, count: sample.count, dim: points.dim, marks: marks.base, source: points.planes.base,
            sourceStride: points.stride, target: sample.planes.base, targetStride: sample.stride,
            weights: sample.weights.base)
    }

    /// Pointers only: threads that count references to the same object wait for each other.
    struct Cursor {
        var place: Int
        let count: Int
        let dim: Int
        let marks: UnsafeMutablePointer<Double>
        let source: UnsafeMutablePointer<Float>
        let sourceStride: Int
        let target: UnsafeMutablePointer<Float>
        let targetStride: Int
        let weights: UnsafeMutablePointer<Float>

        /// Of the place that is next, infinite past the last.
        var mark: Double { place < count ? marks[place] : .infinity }

        /// Fills the places whose marks are below `limit` with a point; `inverse` is its weight by its share.
        mutating func take(_ index: Int, _ inverse: Double, below limit: Double) {
            while mark < limit {
                for d in 0..<dim { target[d * targetStride + place] = source[d * sourceStride + index] }
                weights[place] = Float(inverse)
                place += 1
            }
        }
    }
}
