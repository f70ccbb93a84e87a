import CompressionKernels
import CompressionKernelsV3

/// The most distinct values the solver takes.
let distinctValueLimit = 1 << 30

/// Clusters distinct values into at most `limit` intervals.
///
/// Values of weight zero do not pull on the centroids; each goes to the nearer of its neighbours' clusters (the lower one on
/// a tie). Where every weight is zero, all count alike.
/// - centroids, firstIndex: `limit` places; receive the centroid and the first value of each cluster. Clusters that rounding
///   left empty have the centroid 0.
/// - returns: the number of clusters, the smaller of `limit` and the number of values that pull.
func clusterDistinct(
    _ distinct: borrowing DistinctValues, _ limit: Int, _ centroids: UnsafeMutablePointer<Double>,
    _ firstIndex: UnsafeMutablePointer<Int32>, _ pool: WorkPool, _ operation: String
) throws(CompressionError) -> Int {
    let count = distinct.count
    guard count <= distinctValueLimit else {
        throw .declined("[\(operation)] found \(count) distinct values, at most \(distinctValueLimit) can be clustered")
    }
    let values = distinct.values.pointer
    let weights = distinct.weights.pointer
    var pulling = 0
    for i in 0..<count where weights[i] > 0 {
        pulling += 1
        guard weights[i] <= .greatestFiniteMagnitude else {
            throw .invalid("[\(operation)] importance: those of the value \(values[i]) add up to infinity")
        }
    }
    if pulling == 0 {
        for i in 0..<count { weights[i] = 1 }
        pulling = count
    }
    let clusters = min(limit, pulling)
    if pulling == count {
        try solve(values, weights, count, clusters, centroids, firstIndex, pool, operation)
        return clusters
    }
    let pullingValues = try Scratch<Double>(pulling, operation: operation)
    let pullingWeights = try Scratch<Double>(pulling, operation: operation)
    let places = try Scratch<Int32>(pulling, operation: operation)
    var next = 0
    for i in 0..<count where weights[i] > 0 {
        pullingValues.pointer[next] = values[i]
        pullingWeights.pointer[next] = weights[i]
        places.pointer[next] = Int32(truncatingIfNeeded: i)
        next += 1
    }
    try solve(
        pullingValues.pointer, pullingWeights.pointer, pulling, clusters, centroids, firstIndex, pool, operation)
    widen(values, count, places.pointer, pulling, centroids, firstIndex, clusters)
    return clusters
}

/// Turns `firstIndex` from places among the pulling values into places among all, each value between two clusters going to
/// the nearer one.
private func widen(
    _ values: UnsafePointer<Double>, _ count: Int, _ places: UnsafePointer<Int32>, _ pulling: Int,
    _ centroids: UnsafePointer<Double>, _ firstIndex: UnsafeMutablePointer<Int32>, _ clusters: Int
) {
    var nextFirst = pulling
    for c in (0..<clusters).reversed() {
        let first = Int(firstIndex[c])
        let previous = c == 0 ? 0 : Int(firstIndex[c - 1])
        var place = first == 0 ? 0 : (first < pulling ? Int(places[first]) : count)
        if previous < first, first < nextFirst {
            let lowest = Int(places[first - 1]) + 1
            while place > lowest, centroids[c] - values[place - 1] < values[place - 1] - centroids[c - 1] { place -= 1 }
        }
        firstIndex[c] = Int32(truncatingIfNeeded: place)
        nextFirst = first
    }
}

private func solve(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int, _ clusters: Int,
    _ centroids: UnsafeMutablePointer<Double>, _ firstIndex: UnsafeMutablePointer<Int32>, _ pool: WorkPool,
    _ operation: String
) throws(CompressionError) {
    let bytes = variant(
        CompressionKernels.exactKMeans1DScratchBytes, CompressionKernelsV3.exactKMeans1DScratchBytes)(count, clusters)
    let scratch = try Scratch<UInt8>(bytes, operation: operation)
    let finished = variant(CompressionKernels.exactKMeans1D, CompressionKernelsV3.exactKMeans1D)(
        values, weights, count, clusters, scratch.pointer, centroids, firstIndex, pool.cancellation.flag)
    if !finished { throw .cancelled(operation) }
}
