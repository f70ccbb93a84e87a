// k-means on vectors: k-means++ and Lloyd.
//
// Formula   minimise the sum over points of w |x - c(x)|^2 over k centroids; a local minimum.
// Paper     Arthur, Vassilvitskii: k-means++ (2007), greedy form. Lloyd (1982). Bachem, Lucic, Krause: Scalable k-Means
//           Clustering via Lightweight Coresets (2018). Fritzke: The Breathing K-Means Algorithm (2020).
// Goals     1. The same result for a seed on any number of threads. 2. A mean inertia over seeds no worse than
//           scikit-learn's `KMeans(k, init="k-means++", n_init=1)`. 3. Time.
// Method    The points are moved near their mean and scaled by a power of two, and stored in binary32. Of many points
//           a weighted sample (half uniform, half by squared distance to the mean) is seeded and improved (breathing);
//           Lloyd's iteration goes on from its centroids over an even sample of eight times as many, then over all
//           points, where each step goes beyond the mean. Sums follow the points that change their cluster; points whose
//           nearest centroid cannot have changed are passed over (VectorSlackKernels.swift).
// Rounding  Labels by binary32 distances; centroids and inertia by binary64 sums over the points as given.
// Cost      count k dim an iteration, less as centroids come to rest. Memory: 4 dim + 16 bytes a point, at most as much again for the samples, and for
//           each chunk (at least 4096 and 4 k points) two tables of k (dim + 2) numbers.
// Differs   scikit-learn seeds from all points, and its result depends on the build of its BLAS. Fewer distinct points
//           than k are no error: there are as many clusters as distinct points.

/// How far centroids go beyond the means of their points. Measured from 1 to 1.9 on normal points, dim 2 and 4, k 16 and
/// 256: least time to the same inertia.
private let relaxation = 1.7

/// How `vectorKMeans` looks for clusters.
public struct VectorKMeansOptions: Sendable, Equatable {
    /// Clusters wanted, at least 1.
    public var k: Int
    public var seed: UInt64
    /// Runs with seeds of their own, of which the best counts; at least 1.
    public var starts: Int
    /// Lloyd iterations over all points in each run, at least 1.
    public var maxIterations: Int
    /// Ends a run when the centroids move by no more than this, as a sum of squares and in units of the mean variance of
    /// the components (scikit-learn's `tol`); not negative.
    public var tolerance: Double

    public init(
        k: Int, seed: UInt64 = 0, starts: Int = 1, maxIterations: Int = 300, tolerance: Double = 1e-4
    ) {
        self.k = k
        self.seed = seed
        self.starts = starts
        self.maxIterations = maxIterations
        self.tolerance = tolerance
    }
}

/// What `vectorKMeans` found, beside the arrays it filled.
public struct VectorKMeansResult: Sendable, Equatable {
    /// Clusters that have points: at most k, and at most the number of distinct points.
    public let clusterCount: Int
    /// The sum of weight * squared distance to the centroid of the label.
    public let inertia: Double
    /// Iterations over all points, of the run that counts.
    public let iterations: Int
}

/// Clusters the rows of a matrix.
///
/// - Parameters:
///   - points: shape [count, dim], both at least 1; finite. `count` is at most 2^31 - 1.
///   - weights: `count` finite numbers, not negative, or nil for 1. Where all are zero, all points count alike.
///   - centroids: receives `clusterCount` rows of `dim`; the rest of its `k` rows becomes zero.
///   - labels: receives the cluster of each of the `count` points.
/// - Throws: `.invalidArgument`; `.declined` for NaN or infinity, naming the first; `.outOfMemory`; `.cancelled`.
public func vectorKMeans(
    _ points: TensorView, weights: UnsafePointer<Double>?, _ options: VectorKMeansOptions, pool: WorkPool,
    centroids: UnsafeMutablePointer<Double>, labels: UnsafeMutablePointer<Int32>
) throws(CompressionError) -> VectorKMeansResult {
    try validate(points, weights, options)
    return switch points.type {
    case .float16: try search(VectorSource<UInt16>(points, weights), options, pool, centroids, labels)
    case .float32: try search(VectorSource<Float>(points, weights), options, pool, centroids, labels)
    case .float64: try search(VectorSource<Double>(points, weights), options, pool, centroids, labels)
    }
}

private func search<Element: WeightElement>(
    _ source: VectorSource<Element>, _ options: VectorKMeansOptions, _ pool: WorkPool,
    _ centroids: UnsafeMutablePointer<Double>, _ labels: UnsafeMutablePointer<Int32>
) throws(CompressionError) -> VectorKMeansResult {
    let (prepared, sampling, frame) = try source.prepare(options.k, pool)
    let k = min(options.k, prepared.count)
    let size = max(16_384, 128 * k)
    let samples = [
        try sampling.byDistance(size, k, options.seed, pool),
        try sampling.evenly(8 * size, k, options.seed, pool),
    ].compactMap(\.self)
    var best: (lloyd: VectorLloyd, clusters: Int, inertia: Double, iterations: Int)?
    let bestLabels = options.starts > 1 ? try VectorMemory<Int32>(prepared.count) : prepared.labels
    for start in 0..<options.starts {
        var numbers = SeededNumbers(options.seed &+ UInt64(start) &* 0x632b_e59b_d9b4_e019)
        _ = numbers.next()
        let shift = options.tolerance * frame.meanVariance
        let (lloyd, clusters) = try begin(prepared, samples, k, numbers, (options.maxIterations, shift), pool)
        let iterations = try lloyd.run(options.maxIterations, shift, relaxation: relaxation)
        if options.starts == 1 {
            best = (lloyd, clusters, 0, iterations)
            break
        }
        let inertia = lloyd.inertia()
        if best.map({ inertia < $0.inertia }) ?? true {
            best = (lloyd, clusters, inertia, iterations)
            for i in 0..<prepared.count { bestLabels.base[i] = prepared.labels.base[i] }
        }
    }
    guard let best else { throw CompressionError(kind: .internal, message: "[kmeans] no run") }
    let fallback = VectorFallback(centroids: best.lloyd.centroids, frame: frame)
    let (clusterCount, inertia) = try source.finish(
        prepared, bestLabels.base, best.clusters, options.k, fallback, pool, centroids, labels)
    return VectorKMeansResult(clusterCount: clusterCount, inertia: inertia, iterations: best.iterations)
}

/// Seeds and improves the smallest sample, iterates over the others, the larger the later; or seeds all points where there is
/// no sample or it has too few distinct points.
/// - Returns: Lloyd's iteration over all points, to be run, and its number of clusters.
private func begin(
    _ points: VectorPoints, _ samples: [VectorPoints], _ k: Int, _ numbers: SeededNumbers,
    _ limits: (iterations: Int, shift: Double), _ pool: WorkPool
) throws(CompressionError) -> (VectorLloyd, Int) {
    guard let smallest = samples.first else { return try seed(points, k, numbers, pool) }
    var (lloyd, clusters) = try seed(smallest, k, numbers, pool)
    guard clusters == k else { return try seed(points, k, numbers, pool) }
    for more in samples.dropFirst() + [points] {
        let next = try VectorLloyd(more, k, pool)
        for i in 0..<k * points.dim { next.centroids.base[i] = lloyd.centroids.base[i] }
        lloyd = next
        if more !== points { _ = try lloyd.run(limits.iterations, limits.shift, relaxation: relaxation) }
    }
    return (lloyd, k)
}

private func seed(
    _ points: VectorPoints, _ k: Int, _ numbers: SeededNumbers, _ pool: WorkPool
) throws(CompressionError) -> (VectorLloyd, Int) {
    points.writeWeights()
    let centres = try VectorMemory<Float>(k * points.dim)
    var seeding = try VectorSeeding(points, numbers, pool)
    let clusters = try seeding.choose(k, centres.base)
    var breathing = try VectorBreathing(points, clusters, seeding.numbers, pool)
    for i in 0..<clusters * points.dim { breathing.lloyd.centroids.base[i] = Double(centres.base[i]) }
    try breathing.run()
    return (breathing.lloyd, clusters)
}

private func validate(
    _ points: TensorView, _ weights: UnsafePointer<Double>?, _ options: VectorKMeansOptions
) throws(CompressionError) {
    try points.validate("kmeans")
    guard points.shape.count == 2, points.shape[0] >= 1, points.shape[1] >= 1, points.shape[0] < 1 << 31 else {
        throw .invalid("[kmeans] points: found shape \(points.shape), allowed [count, dim], both at least 1")
    }
    guard options.k >= 1 else { throw .invalid("[kmeans] k: found \(options.k), allowed 1 or more") }
    guard options.starts >= 1 else { throw .invalid("[kmeans] n_init: found \(options.starts), allowed 1 or more") }
    guard options.maxIterations >= 1 else {
        throw .invalid("[kmeans] max_iter: found \(options.maxIterations), allowed 1 or more")
    }
    guard options.tolerance >= 0, options.tolerance.isFinite else {
        throw .invalid("[kmeans] tol: found \(options.tolerance), allowed 0 or more")
    }
    guard let weights else { return }
    for i in 0..<points.shape[0] where !(weights[i] >= 0 && weights[i].isFinite) {
        throw .invalid("[kmeans] weights: found \(weights[i]) at index \(i), allowed finite numbers of 0 or more")
    }
    var total = 0.0
    for i in 0..<points.shape[0] { total += weights[i] }
    guard total.isFinite else { throw .invalid("[kmeans] weights: they add up to infinity, allowed a finite sum") }
}
