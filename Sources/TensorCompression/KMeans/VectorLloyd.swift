/// Lloyd's iteration: nearest centroids, then means, until nothing moves much.
struct VectorLloyd {
    let points: VectorPoints
    let pool: WorkPool
    /// Centroids in use, at most those there is room for.
    var k: Int
    /// k rows of `dim`, in binary64; what the points are compared with is their rounding to binary32.
    let centroids: VectorMemory<Double>
    let rounded: VectorMemory<Float>
    let halfNorms: VectorMemory<Float>
    /// For each chunk, k rows of `dim` sums and a weight; the first takes the total.
    private let sums: VectorMemory<Double>
    private let changed: VectorMemory<Bool>

    init(_ points: VectorPoints, _ k: Int, _ pool: WorkPool) throws(CompressionError) {
        self.points = points
        self.pool = pool
        self.k = k
        centroids = try VectorMemory(k * points.dim)
        rounded = try VectorMemory(k * points.dim)
        halfNorms = try VectorMemory(k)
        sums = try VectorMemory(points.chunkCount * k * (points.dim + 1))
        changed = try VectorMemory(points.chunkCount)
    }

    /// Iterates until no label changes, the centroids move by `shift` or less (sum of squares), or `iterations` are done.
    /// Then labels are the nearest of `centroids`.
    /// - Returns: the iterations done.
    func run(_ iterations: Int, _ shift: Double) throws(CompressionError) -> Int {
        var done = 0
        while done < iterations {
            try pool.checkCancellation("kmeans")
            done += 1
            // Labels from before say nothing in the first round: the centroids need not be their means.
            if !assign(accumulating: true), done > 1 { return done }
            addChunks()
            relocateEmptyClusters()
            if moveCentroids() <= shift { break }
        }
        try pool.checkCancellation("kmeans")
        _ = assign(accumulating: false)
        return done
    }

    /// The sum of weight * squared distance, in the units of the points.
    func inertia() -> Double {
        for c in 0..<points.chunkCount {
            let (start, end) = points.chunk(c)
            points.measure(start, end, rounded.base)
        }
        var sum = 0.0
        for i in 0..<points.count { sum += Double(points.weights.base[i]) * Double(points.distances.base[i]) }
        return sum
    }

    func roundCentroids() {
        let dim = points.dim
        for j in 0..<k {
            var norm = 0.0
            for d in 0..<dim {
                let c = Float(centroids.base[j * dim + d])
                rounded.base[j * dim + d] = c
                norm += Double(c) * Double(c)
            }
            halfNorms.base[j] = Float(norm / 2)
        }
    }

    /// - Returns: whether a label changed.
    private func assign(accumulating: Bool) -> Bool {
        roundCentroids()
        let dim = points.dim
        let rowLength = k * (dim + 1)
        pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            changed.base[c] = points.assign(start, end, rounded.base, halfNorms.base, k)
            guard accumulating else { return }
            let row = sums.base + c * rowLength
            for s in 0..<rowLength { row[s] = 0 }
            points.accumulate(start, end, row)
        }
        var any = false
        for c in 0..<points.chunkCount { any = any || changed.base[c] }
        return any
    }

    private func addChunks() {
        let rowLength = k * (points.dim + 1)
        for c in 1..<max(points.chunkCount, 1) {
            for s in 0..<rowLength { sums.base[s] += sums.base[c * rowLength + s] }
        }
    }

    /// As scikit-learn does: the points farthest from their centroids, one for each empty cluster, become centroids, and
    /// leave the sums of their clusters.
    private func relocateEmptyClusters() {
        let dim = points.dim
        var measured = false
        for j in 0..<k where sums.base[j * (dim + 1) + dim] == 0 {
            if !measured {
                measured = true
                for c in 0..<points.chunkCount {
                    let (start, end) = points.chunk(c)
                    points.measure(start, end, rounded.base)
                }
            }
            var far = -1
            var distance: Float = 0
            for i in 0..<points.count where points.distances.base[i] > distance && points.weights.base[i] > 0 {
                distance = points.distances.base[i]
                far = i
            }
            guard far >= 0 else { return }
            points.distances.base[far] = 0
            let weight = Double(points.weights.base[far])
            let target = sums.base + j * (dim + 1)
            let source = sums.base + Int(points.labels.base[far]) * (dim + 1)
            for d in 0...dim {
                let value = d == dim ? weight : weight * Double(points.planes.base[d * points.stride + far])
                target[d] = value
                source[d] -= value
            }
        }
    }

    /// - Returns: the sum of squares of what the centroids moved by. Empty clusters stay where they are.
    private func moveCentroids() -> Double {
        let dim = points.dim
        var moved = 0.0
        for j in 0..<k {
            let row = sums.base + j * (dim + 1)
            guard row[dim] > 0 else { continue }
            for d in 0..<dim {
                let mean = row[d] / row[dim]
                let difference = mean - centroids.base[j * dim + d]
                moved += difference * difference
                centroids.base[j * dim + d] = mean
            }
        }
        return moved
    }
}
