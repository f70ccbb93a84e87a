/// Draws smaller sets of points, for seeding and for the first iterations.
struct VectorSampling: @unchecked Sendable {
    private let points: VectorPoints
    /// For each block of 16 points, the sum of the weights, and of weight times squared distance to the origin, which is about
    /// the mean.
    private let masses: VectorMemory<Double>

    private static let blockLength = 16

    init(_ points: VectorPoints) throws(CompressionError) {
        self.points = points
        masses = try VectorMemory(2 * (points.stride / VectorSampling.blockLength))
    }

    /// To be called for every chunk, when its points are written.
    func addUp(_ start: Int, _ end: Int) { points.addUpMasses(start, end, masses.base) }

    /// A weighted sample, or nil where there are less than twice as many points. Points are drawn with probability 1/2
    /// uniform and 1/2 by weight times squared distance to the mean, and weighted by the inverse.
    func byDistance(
        _ size: Int, _ k: Int, _ seed: UInt64, _ pool: WorkPool
    ) throws(CompressionError) -> VectorPoints? {
        guard points.count >= 2 * size else { return nil }
        var (totalWeight, totalDistance) = (0.0, 0.0)
        for block in 0..<points.stride / VectorSampling.blockLength {
            totalWeight += masses.base[2 * block]
            totalDistance += masses.base[2 * block + 1]
        }
        guard totalDistance > 0 else { return nil }
        let factor = (weight: 0.5 / totalWeight, distance: 0.5 / totalDistance)
        // The shares of the points of all chunks before; all add up to 1.
        let passed = try VectorMemory<Double>(points.chunkCount + 1)
        let blocks = masses.base
        for c in 0..<points.chunkCount {
            var share = 0.0
            forEachBlock(points.chunk(c)) { block, _, _ in
                share += blocks[2 * block] * factor.weight + blocks[2 * block + 1] * factor.distance
            }
            passed.base[c + 1] = passed.base[c] + share
        }
        passed.base[points.chunkCount] = .infinity
        let draw = try VectorDraw(size, points, k, seed)
        pool.forEach(points.chunkCount) { c in
            var sum = passed.base[c]
            let limit = passed.base[c + 1]
            let point = PointReader(points)
            var cursor = draw.cursor(from: sum)
            var last = 0..<0
            forEachBlock(points.chunk(c)) { block, start, end in
                let share = blocks[2 * block] * factor.weight + blocks[2 * block + 1] * factor.distance
                guard share > 0 else { return }
                last = start..<end
                point.take(start..<end, factor, from: sum, to: min(sum + share, limit), &cursor)
                sum += share
            }
            // What rounding of the sums left over.
            point.take(last, factor, from: limit, to: limit, &cursor)
        }
        return draw.sample
    }

    /// Points drawn evenly, one from each of `size` equal stretches, with their weights; nil as above.
    func evenly(
        _ size: Int, _ k: Int, _ seed: UInt64, _ pool: WorkPool
    ) throws(CompressionError) -> VectorPoints? {
        guard points.count >= 2 * size else { return nil }
        let sample = try VectorPoints(size, points.dim, k, isWeighted: points.isWeighted)
        let chosen = try VectorMemory<Int32>(size)
        let stretch = Double(points.count) / Double(size)
        pool.forEach(sample.chunkCount) { c in
            let (start, end) = sample.chunk(c)
            let places = chosen.base
            // The stream of each chunk begins at a number of its own, not at the next of the chunk before.
            var beginnings = SeededNumbers((seed ^ 0x2545_f491_4f6c_dd1d) &+ UInt64(c))
            var numbers = SeededNumbers(beginnings.next())
            for t in start..<end {
                places[t] = Int32(min(points.count - 1, Int((Double(t) + numbers.unit()) * stretch)))
            }
            for d in 0..<points.dim {
                let source = points.planes.base + d * points.stride
                let target = sample.planes.base + d * sample.stride
                for t in start..<end { target[t] = source[Int(places[t])] }
            }
            guard points.isWeighted else { return }
            for t in start..<end { sample.weights.base[t] = points.weights.base[Int(places[t])] }
        }
        return sample
    }

    @inline(__always)
    private func forEachBlock(
        _ range: (start: Int, end: Int), _ body: (_ block: Int, _ start: Int, _ end: Int) -> Void
    ) {
        var start = range.start
        while start < range.end {
            let end = min(start + VectorSampling.blockLength, range.end)
            body(start / VectorSampling.blockLength, start, end)
            start = end
        }
    }
}

/// Pointers only: threads that count references to the same object wait for each other.
private struct PointReader {
    private let planes: UnsafePointer<Float>
    private let stride: Int
    private let dim: Int
    private let weights: UnsafePointer<Float>?

    init(_ points: VectorPoints) {
        planes = UnsafePointer(points.planes.base)
        stride = points.stride
        dim = points.dim
        weights = points.isWeighted ? UnsafePointer(points.weights.base) : nil
    }

    @inline(__always)
    func weight(_ index: Int) -> Double { weights.map { Double($0[index]) } ?? 1 }

    /// Hands a cursor the points of a block where its marks lie in their shares, which add up to `end` less `begin` but for
    /// rounding; what that leaves over goes to the last point.
    @inline(__always)
    func take(
        _ block: Range<Int>, _ factor: (weight: Double, distance: Double), from begin: Double, to end: Double,
        _ cursor: inout VectorDraw.Cursor
    ) {
        guard cursor.mark < end, !block.isEmpty else { return }
        let norms = norms(block.lowerBound)
        var (sum, last, lastInverse) = (begin, -1, 0.0)
        for i in block {
            let weight = weight(i)
            let share = weight * factor.weight + weight * Double(norms[i - block.lowerBound]) * factor.distance
            guard share > 0 else { continue }
            sum += share
            (last, lastInverse) = (i, weight / share)
            if cursor.mark < min(sum, end), begin < end { cursor.take(i, lastInverse, below: min(sum, end)) }
        }
        if last >= 0 { cursor.take(last, lastInverse, below: end) }
    }

    /// Squared distances to the origin of the 16 points of a block.
    @inline(__always)
    func norms(_ start: Int) -> SIMD16<Float> {
        var norms = SIMD16<Float>(repeating: 0)
        for d in 0..<dim {
            let x = UnsafeRawPointer(planes + d * stride + start).loadUnaligned(as: SIMD16<Float>.self)
            norms += x * x
        }
        return norms
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

    /// Pointers only, likewise.
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
