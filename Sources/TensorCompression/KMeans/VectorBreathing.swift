import CompressionKernels

/// Leaves bad local minima: adds centroids where the error is large, takes away those that are missed least, and keeps
/// what is better. Fritzke: The Breathing K-Means Algorithm (2020).
struct VectorBreathing {
    /// The iteration over the points, with the best centroids found.
    var lloyd: VectorLloyd
    private let points: VectorPoints
    private let k: Int
    private let breath: Int
    private var numbers: SeededNumbers
    private let gaps: VectorMemory<Float>
    private let best: VectorMemory<Double>
    /// Error, utility and weight of each centroid.
    private let errors: VectorMemory<Double>
    private let utilities: VectorMemory<Double>
    private let masses: VectorMemory<Double>

    // Measured on normal, Student t and clustered points, 600 to 200,000 of them, dim 2 to 8, k 16 to 256: more of any of
    // these takes longer and gains less than 0.5 %.
    private static let settlingIterations = 2
    private static let rounds = 6
    /// A round that gains less than this share halves the breath.
    private static let leastGain = 2e-3

    init(_ points: VectorPoints, _ k: Int, _ numbers: SeededNumbers, _ pool: WorkPool) throws(CompressionError) {
        self.points = points
        self.k = k
        self.numbers = numbers
        // Nothing to gain where every point can be a centroid.
        breath = k >= 2 && points.count >= 2 * k ? min(k / 2, max(4, k / 8)) : 0
        lloyd = try VectorLloyd(points, k + breath, pool)
        lloyd.k = k
        gaps = try VectorMemory(points.stride)
        best = try VectorMemory(k * points.dim)
        errors = try VectorMemory(k + breath)
        utilities = try VectorMemory(k + breath)
        masses = try VectorMemory(k + breath)
    }

    mutating func run() throws(CompressionError) {
        guard breath > 0 else { return }
        let settle = VectorBreathing.settlingIterations
        _ = try lloyd.run(settle, 0)
        var inertia = findErrors()
        save()
        var size = breath
        var round = 0
        while size > 0, round < VectorBreathing.rounds, inertia > 0 {
            round += 1
            breatheIn(size)
            _ = try lloyd.run(settle, 0)
            _ = findErrors()
            breatheOut(size)
            _ = try lloyd.run(settle, 0)
            let next = findErrors()
            if next >= inertia * (1 - VectorBreathing.leastGain) { size /= 2 }
            if next < inertia {
                inertia = next
                save()
            } else {
                restore()
                _ = findErrors()
            }
        }
        restore()
    }

    private func save() { for i in 0..<k * points.dim { best.base[i] = lloyd.centroids.base[i] } }
    private func restore() { for i in 0..<k * points.dim { lloyd.centroids.base[i] = best.base[i] } }

    /// Fills `errors`, `utilities` and `masses` for the centroids in use.
    /// - Returns: the inertia.
    private func findErrors() -> Double {
        lloyd.roundCentroids()
        lloyd.pool.forEach(points.chunkCount) { c in
            let (start, end) = points.chunk(c)
            points.findGaps(start, end, lloyd.rounded.base, lloyd.halfNorms.base, lloyd.k, gaps.base)
        }
        for j in 0..<lloyd.k {
            errors.base[j] = 0
            utilities.base[j] = 0
            masses.base[j] = 0
        }
        var sum = 0.0
        for i in 0..<points.count {
            let label = Int(points.labels.base[i])
            let weight = Double(points.weights.base[i])
            let error = weight * Double(points.distances.base[i])
            errors.base[label] += error
            utilities.base[label] += weight * Double(gaps.base[i])
            masses.base[label] += weight
            sum += error
        }
        return sum
    }

    /// Adds `size` centroids, each beside one with a large error.
    private mutating func breatheIn(_ size: Int) {
        let dim = points.dim
        for n in 0..<size {
            var from = 0
            for j in 1..<k where errors.base[j] > errors.base[from] { from = j }
            let mass = masses.base[from]
            let deviation = mass > 0 ? (errors.base[from] / mass / Double(dim)).squareRoot() : 0
            errors.base[from] = -1
            for d in 0..<dim {
                let offset = 0.5 * deviation * (2 * numbers.unit() - 1)
                lloyd.centroids.base[(k + n) * dim + d] = lloyd.centroids.base[from * dim + d] + offset
                lloyd.centroids.base[from * dim + d] -= offset
            }
        }
        lloyd.k = k + size
    }

    /// Takes away `size` centroids of least utility. The nearest neighbour of one that goes is needed now, and stays.
    private mutating func breatheOut(_ size: Int) {
        let dim = points.dim
        let total = k + size
        var frozen = 0
        // A utility of infinity: stays. -1: goes.
        for left in (0..<size).reversed() {
            var least = -1
            for j in 0..<total where utilities.base[j] >= 0 && utilities.base[j] < .infinity {
                if least < 0 || utilities.base[j] < utilities.base[least] { least = j }
            }
            utilities.base[least] = -1
            // As many as must still go stay free to go.
            let neighbour = nearestCentroid(to: least, total)
            if utilities.base[neighbour] < .infinity, total - (size - left) - frozen > left {
                utilities.base[neighbour] = .infinity
                frozen += 1
            }
        }
        var kept = 0
        for j in 0..<total where utilities.base[j] >= 0 {
            for d in 0..<dim { lloyd.centroids.base[kept * dim + d] = lloyd.centroids.base[j * dim + d] }
            kept += 1
        }
        lloyd.k = k
    }

    /// The nearest of the centroids that have not been taken away.
    private func nearestCentroid(to centroid: Int, _ total: Int) -> Int {
        let dim = points.dim
        var nearest = -1
        var least = Double.infinity
        for j in 0..<total where utilities.base[j] >= 0 {
            var distance = 0.0
            for d in 0..<dim {
                let difference = lloyd.centroids.base[j * dim + d] - lloyd.centroids.base[centroid * dim + d]
                distance += difference * difference
            }
            if nearest < 0 || distance < least {
                least = distance
                nearest = j
            }
        }
        return nearest
    }
}
