import CompressionKernels

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
    /// For each chunk, k rows of `dim` sums and a weight, and 8 numbers of scratch.
    private let sums: VectorMemory<Double>
    /// k rows of `dim` sums and a weight: of all chunks.
    private let totals: VectorMemory<Double>
    private let changed: VectorMemory<Bool>
    /// Points of each chunk that were looked at.
    private let looked: VectorMemory<Int32>
    /// For each chunk, the scratch of `vectorKMeansAssignDue`.
    private let dueScratch: VectorMemory<UInt8>
    /// Clusters that were given a point of another one.
    private let relocated: VectorMemory<Bool>

    init(_ points: VectorPoints, _ k: Int, _ pool: WorkPool) throws(CompressionError) {
        self.points = points
        self.pool = pool
        self.k = k
        centroids = try VectorMemory(k * points.dim)
        rounded = try VectorMemory(k * points.dim)
        halfNorms = try VectorMemory(k)
        sums = try VectorMemory(points.chunkCount * (k * (points.dim + 1) + VectorLloyd.scratch))
        totals = try VectorMemory(k * (points.dim + 1))
        changed = try VectorMemory(points.chunkCount)
        looked = try VectorMemory(points.chunkCount)
        dueScratch = try VectorMemory(points.chunkCount * vectorKMeansDueScratch(dim: points.dim))
        relocated = try VectorMemory(k)
    }

    /// The scratch of `vectorKMeansAssign`.
    private static let scratch = 8

    /// Iterates until no label changes, the means move by `shift` or less (sum of squares), or `iterations` are done.
    /// Then labels are the nearest of `centroids`.
    ///
    /// - relaxation: 1 to 2. Centroids move by this times the way to the mean, which lowers the inertia of the present
    ///   clusters for anything below 2, and takes fewer iterations. The last move is to the mean.
    /// - Returns: the iterations done.
    func run(_ iterations: Int, _ shift: Double, relaxation: Double = 1) throws(CompressionError) -> Int {
        var done = 0
        // Slacks cost as much as two iterations, and do without them where weights are added up every time.
        var slack = iterations > 4 && !points.isWeighted ? SlackState() : nil
        while done < iterations {
            done += 1
            // Labels from before say nothing in the first round: the centroids need not be their means.
            let (looked, hasChanged) = assign(done == 1 ? .first : .next, slack)
            // Chunks that were skipped have no labels.
            try pool.checkCancellation("kmeans")
            slack?.follow(looked, of: points.count)
            if !hasChanged, done > 1 {
                if relaxation == 1, slack == nil { return done }
                _ = moveCentroids(1)
                break
            }
            addChunks()
            if relocateEmptyClusters() { slack?.pause() }
            let isLast = done == iterations || wayToMeans() <= shift
            let moved = moveCentroids(isLast ? 1 : relaxation)
            slack?.passed += Float(2 * moved)
            if isLast { break }
        }
        _ = assign(.last, nil)
        try pool.checkCancellation("kmeans")
        return done
    }

    /// The sum of weight * squared distance, in the units of the points.
    func inertia() -> Double {
        measure()
        var sum = 0.0
        for i in 0..<points.count { sum += Double(points.weight(i)) * Double(points.distances.base[i]) }
        return sum
    }

    /// Sets `distances` to those of the points from the centroids of their labels.
    private func measure() {
        for c in 0..<points.chunkCount {
            let (start, end) = points.chunk(c)
            points.measure(start, end, rounded.base)
        }
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

    private enum Round {
        case first, next, last
    }

    /// What is known of the slacks of the points.
    private struct SlackState {
        var areKnown = false
        /// Twice the way that the centroids have moved.
        var passed: Float = 0
        /// Rounds that do without slacks, from now on.
        var pauses = 0
        /// How many those will be when slacks are of no use again.
        private var nextPauses = 1

        /// - Parameter looked: points of a round that were looked at, `count` where all were.
        mutating func follow(_ looked: Int, of count: Int) {
            if pauses > 0 {
                pauses -= 1
            } else if !areKnown {
                areKnown = true
            } else if looked > count / 2 {
                pause()
            }
        }

        /// Slacks cost more than they save, or are lost: do without for a while, twice as long each time.
        mutating func pause() {
            areKnown = false
            pauses = nextPauses
            nextPauses = min(2 * nextPauses, 64)
        }
    }

    /// - Returns: how many points were looked at, and whether a label changed.
    private func assign(_ round: Round, _ slack: SlackState?) -> (looked: Int, hasChanged: Bool) {
        roundCentroids()
        let dim = points.dim
        let rowLength = k * (dim + 1)
        let scratchLength = vectorKMeansDueScratch(dim: dim)
        pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            let row = sums.base + c * (rowLength + VectorLloyd.scratch)
            // Sums that are kept up to date must cancel: numbers of points do, but not weights of many sizes.
            let keepsSums = !points.isWeighted && round != .last
            if round == .first && keepsSums { for i in start..<end { points.labels.base[i] = -1 } }
            if round == .first || !keepsSums { for s in 0..<rowLength { row[s] = 0 } }
            if keepsSums, let slack, slack.pauses == 0 {
                let (due, hasChanged) = points.assignWithSlacks(
                    start, end, isDue: slack.areKnown, rounded.base, halfNorms.base, k, row, slack.passed,
                    dueScratch.base + c * scratchLength)
                changed.base[c] = hasChanged
                looked.base[c] = Int32(due)
            } else {
                changed.base[c] = points.assign(
                    start, end, rounded.base, halfNorms.base, k, keepsSums ? row : nil)
                looked.base[c] = Int32(end - start)
            }
            if points.isWeighted && round != .last { points.accumulate(start, end, row) }
        }
        var any = false
        var total = 0
        for c in 0..<points.chunkCount {
            any = any || changed.base[c]
            total += Int(looked.base[c])
        }
        return (total, any)
    }

    private func addChunks() {
        let rowLength = k * (points.dim + 1)
        for s in 0..<rowLength { totals.base[s] = 0 }
        for c in 0..<points.chunkCount {
            let row = sums.base + c * (rowLength + VectorLloyd.scratch)
            for s in 0..<rowLength { totals.base[s] += row[s] }
        }
    }

    /// As scikit-learn does: the points farthest from their centroids, one for each empty cluster, become centroids, and
    /// leave the sums of their clusters.
    /// - Returns: whether there was one; `distances` are those of the points then.
    private func relocateEmptyClusters() -> Bool {
        let dim = points.dim
        var measured = false
        for j in 0..<k { relocated.base[j] = false }
        for j in 0..<k where totals.base[j * (dim + 1) + dim] == 0 {
            if !measured {
                measured = true
                measure()
            }
            var far = -1
            var distance: Float = 0
            for i in 0..<points.count where points.distances.base[i] > distance && points.weight(i) > 0 {
                distance = points.distances.base[i]
                far = i
            }
            guard far >= 0 else { return measured }
            relocated.base[j] = true
            points.distances.base[far] = 0
            let weight = Double(points.weight(far))
            let target = totals.base + j * (dim + 1)
            let source = totals.base + Int(points.labels.base[far]) * (dim + 1)
            for d in 0...dim {
                let value = d == dim ? weight : weight * Double(points.planes.base[d * points.stride + far])
                target[d] = value
                source[d] -= value
            }
        }
        return measured
    }

    /// The sum of squares of what lies between the centroids and the means.
    private func wayToMeans() -> Double {
        var way = 0.0
        forEachMean { place, mean in
            let difference = mean - centroids.base[place]
            way += difference * difference
        }
        return way
    }

    /// Moves the centroids by `relaxation` times the way to the means; relocated ones to the mean. Empty clusters stay where
    /// they are.
    /// - Returns: how far a centroid moved at most.
    private func moveCentroids(_ relaxation: Double) -> Double {
        var largest = 0.0
        var (row, way) = (-1, 0.0)
        forEachMean { place, mean in
            let before = centroids.base[place]
            let isWhole = relaxation == 1 || relocated.base[place / points.dim]
            centroids.base[place] = isWhole ? mean : before + relaxation * (mean - before)
            if place / points.dim != row { (row, way) = (place / points.dim, 0) }
            way += (centroids.base[place] - before) * (centroids.base[place] - before)
            largest = max(largest, way)
        }
        return largest.squareRoot()
    }

    private func forEachMean(_ body: (Int, Double) -> Void) {
        let dim = points.dim
        for j in 0..<k {
            let row = totals.base + j * (dim + 1)
            guard row[dim] > 0 else { continue }
            for d in 0..<dim { body(j * dim + d, row[d] / row[dim]) }
        }
    }
}
