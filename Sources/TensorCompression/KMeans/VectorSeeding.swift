/// SplitMix64: a stated sequence for a stated seed, on every machine.
struct SeededNumbers {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// At least 0 and below 1.
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}

/// Greedy k-means++ (Arthur and Vassilvitskii 2007, section 5): each new centre is the best of 2 + log(k) points drawn
/// with probability proportional to weight times squared distance to the nearest centre so far, as scikit-learn does.
struct VectorSeeding {
    private let points: VectorPoints
    private let pool: WorkPool
    /// Sums of weight * distance of blocks of points, for drawing.
    private let blockSums: VectorMemory<Double>
    private let blockCount: Int
    private(set) var numbers: SeededNumbers

    private static let blockLength = 256
    private static let threadedLength = 1 << 16

    init(_ points: VectorPoints, _ numbers: SeededNumbers, _ pool: WorkPool) throws(CompressionError) {
        self.points = points
        self.pool = pool
        self.numbers = numbers
        blockCount = (points.count + VectorSeeding.blockLength - 1) / VectorSeeding.blockLength
        blockSums = try VectorMemory(blockCount)
    }

    /// Chooses up to `k` points, fewer when all others coincide with one of them.
    /// - Returns: how many rows of `centres` were filled.
    mutating func choose(_ k: Int, _ centres: UnsafeMutablePointer<Float>) throws(CompressionError) -> Int {
        let dim = points.dim
        for i in 0..<points.stride { points.distances.base[i] = i < points.count ? 1 : 0 }
        var total = sumBlocks { start, end in
            var sum = 0.0
            for i in start..<end { sum += Double(points.weights.base[i]) }
            return sum
        }
        points.copyPoint(draw(total), to: centres)
        for i in 0..<points.count { points.distances.base[i] = .infinity }
        total = lower(to: centres)
        let trials = 2 + logarithm(k)
        let candidates = try VectorMemory<Float>(trials * dim)
        let potentials = try VectorMemory<Double>(trials)
        var chosen = 1
        while chosen < k, total > 0 {
            try pool.checkCancellation("kmeans")
            for t in 0..<trials { points.copyPoint(draw(total), to: candidates.base + t * dim) }
            evaluate(candidates.base, trials, potentials.base)
            var best = 0
            for t in 1..<trials where potentials.base[t] < potentials.base[best] { best = t }
            let centre = centres + chosen * dim
            for d in 0..<dim { centre[d] = candidates.base[best * dim + d] }
            total = lower(to: centre)
            chosen += 1
        }
        return chosen
    }

    /// The whole part of the natural logarithm.
    private func logarithm(_ k: Int) -> Int {
        var power = 1.0
        var result = -1
        while power <= Double(k) {
            power *= 2.718281828459045
            result += 1
        }
        return result
    }

    private func forEachBlockRange(_ body: (Int, Int) -> Void) {
        guard points.count > VectorSeeding.threadedLength else {
            body(0, blockCount)
            return
        }
        let step = VectorSeeding.threadedLength / VectorSeeding.blockLength
        pool.forEach((blockCount + step - 1) / step) { body($0 * step, min(blockCount, ($0 + 1) * step)) }
    }

    /// Fills `blockSums` and returns their sum, added in order.
    private func sumBlocks(_ body: (Int, Int) -> Double) -> Double {
        forEachBlockRange { first, last in
            for b in first..<last {
                let start = b * VectorSeeding.blockLength
                blockSums.base[b] = body(start, min(points.count, start + VectorSeeding.blockLength))
            }
        }
        var total = 0.0
        for b in 0..<blockCount { total += blockSums.base[b] }
        return total
    }

    private func lower(to centre: UnsafePointer<Float>) -> Double {
        sumBlocks { points.lower($0, $1, centre) }
    }

    private func evaluate(
        _ candidates: UnsafeMutablePointer<Float>, _ trials: Int, _ potentials: UnsafeMutablePointer<Double>
    ) {
        // One candidate after the other over a piece of points that stays in the cache.
        let piece = 4096
        let pieces = (points.count + piece - 1) / piece
        for t in 0..<trials { potentials[t] = 0 }
        guard points.count > VectorSeeding.threadedLength, let sums = try? VectorMemory<Double>(pieces * trials) else {
            for p in 0..<pieces {
                for t in 0..<trials {
                    potentials[t] += points.potential(
                        p * piece, min(points.count, (p + 1) * piece), candidates + t * points.dim)
                }
            }
            return
        }
        pool.forEach(pieces) { p in
            for t in 0..<trials {
                sums.base[p * trials + t] = points.potential(
                    p * piece, min(points.count, (p + 1) * piece), candidates + t * points.dim)
            }
        }
        for p in 0..<pieces { for t in 0..<trials { potentials[t] += sums.base[p * trials + t] } }
    }

    /// A point drawn with probability proportional to weight * distance.
    private mutating func draw(_ total: Double) -> Int {
        var rest = numbers.unit() * total
        var block = 0
        while block < blockCount - 1, rest >= blockSums.base[block] {
            rest -= blockSums.base[block]
            block += 1
        }
        let start = block * VectorSeeding.blockLength
        let end = min(points.count, start + VectorSeeding.blockLength)
        var last = start
        for i in start..<end {
            let mass = Double(points.weights.base[i]) * Double(points.distances.base[i])
            if mass > 0 { last = i }
            if rest < mass { return i }
            rest -= mass
        }
        return last
    }
}
