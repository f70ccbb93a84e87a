import CompressionKernels
import CompressionKernelsV3

/// What `exactKMeans1D` found, beside the labels.
public struct KMeans1DResult: Sendable, Equatable {
    /// Distinct means in ascending order: at most `k`.
    public let centroids: [Double]
    /// Sum of weight * (value - centroid)^2 in binary64, over the distinct values in ascending order with their
    /// weights added up.
    public let inertia: Double
}

/// The clustering of numbers of least weighted sum of squared errors.
///
/// Equal values are merged first and their weights added up in the order of the elements, so they always share a label,
/// and the order of the input changes nothing but the rounding of that sum. -0.0 equals +0.0.
/// On distinct ascending values the centroids are bit-equal with coremltools 9.0's `_kmeans1d.cluster`.
///
/// - Parameters:
///   - values: `count` finite numbers in any order.
///   - weights: `count` finite numbers that are not negative, or nil: all 1. A value of weight zero does not pull on the
///     centroids; it gets the label of the nearest (the lower one on a tie). All zero is the same as all 1.
///   - count: 1 to 2^32 - 1, and at most 2^30 distinct values.
///   - k: 1 and above; more clusters than distinct values of positive weight are not made.
///   - labels: receives the cluster of each element, in the order of the input; nil: not wanted.
/// - Throws: `.invalidArgument`, `.declined` for more distinct values than that, `.cancelled`, `.outOfMemory`.
public func exactKMeans1D(
    _ values: UnsafePointer<Double>, weights: UnsafePointer<Double>? = nil, count: Int, k: Int,
    labels: UnsafeMutablePointer<Int32>? = nil, pool: WorkPool
) throws(CompressionError) -> KMeans1DResult {
    guard count >= 1, count <= Int(UInt32.max) else {
        throw .invalid("[kmeans_1d] values: found \(count) elements, allowed 1 to 4294967295")
    }
    guard k >= 1 else { throw .invalid("[kmeans_1d] k: found \(k), allowed 1 and above") }
    if let index = try findNonFinite(values, count, nil, infinities: true, pool, "kmeans_1d") {
        throw .invalid("[kmeans_1d] values: element \(index) is \(values[index]), allowed finite numbers")
    }
    if let weights {
        try Importance.float64(weights).validate(count, pool, "kmeans_1d", name: "weights")
    }
    let distinct = try UInt64.distinctValues(
        values, count, weights.map { .float64($0) }, pool, "kmeans_1d")
    let limit = min(k, distinct.count)
    let centroids = try Scratch<Double>(limit, operation: "kmeans_1d")
    let firstIndex = try Scratch<Int32>(limit, operation: "kmeans_1d")
    let clusters = try clusterDistinct(distinct, limit, centroids.pointer, firstIndex.pointer, pool, "kmeans_1d")
    return try finish(values, count, distinct, clusters, centroids.pointer, firstIndex.pointer, labels, pool)
}

/// Leaves out clusters that rounding left empty, adds up the inertia, and writes the labels.
private func finish(
    _ values: UnsafePointer<Double>, _ count: Int, _ distinct: borrowing DistinctValues, _ clusters: Int,
    _ centroids: UnsafePointer<Double>, _ firstIndex: UnsafePointer<Int32>, _ labels: UnsafeMutablePointer<Int32>?,
    _ pool: WorkPool
) throws(CompressionError) -> KMeans1DResult {
    let sorted = distinct.values.pointer
    var kept: [Double] = []
    var inertia = 0.0
    let thresholds = try Scratch<Double>(clusters, operation: "kmeans_1d")
    for c in 0..<clusters {
        let start = Int(firstIndex[c])
        let end = c + 1 < clusters ? Int(firstIndex[c + 1]) : distinct.count
        if start >= end { continue }
        for i in start..<end {
            let distance = sorted[i] - centroids[c]
            inertia += distinct.weights.pointer[i] * (distance * distance)
        }
        thresholds.pointer[kept.count] = sorted[start]
        kept.append(centroids[c])
    }
    if let labels {
        let (table, found) = (thresholds.pointer, kept.count)
        pool.forEachPiece(count) { start, end in
            for i in start..<end {
                // The last cluster that begins at or below the value.
                var (low, high) = (0, found)
                while high - low > 1 {
                    let middle = (low + high) / 2
                    if table[middle] <= values[i] { low = middle } else { high = middle }
                }
                labels[i] = Int32(truncatingIfNeeded: low)
            }
        }
        try pool.checkCancellation("kmeans_1d")
    }
    return KMeans1DResult(centroids: kept, inertia: inertia)
}
