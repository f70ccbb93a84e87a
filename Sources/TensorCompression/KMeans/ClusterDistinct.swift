import CompressionKernels
import CompressionKernelsV3

/// A sum of all weights would not notice one of less than this share of it.
let lostShare = 0x1p-51

/// The most distinct values the solver takes.
let distinctValueLimit = 1 << 30

/// Clusters distinct values into at most `limit` intervals.
///
/// Values of weight zero do not pull on the centroids; each goes to the nearer of its neighbours' clusters (the lower one on
/// a tie). Where every weight is zero, all count alike.
/// - centroids, firstIndex: `limit` places; receive the centroid and the first value of each cluster. Clusters that rounding
///   left empty have the centroid 0.
/// - anyOptimum: of splits that cost the same but for rounding, take any; otherwise the reference's. Weights that are
///   lost in the sum of all then count as zero.
/// - returns: the number of clusters, the smaller of `limit` and the number of values that pull.
func clusterDistinct(
    _ distinct: borrowing DistinctValues, _ limit: Int, _ centroids: UnsafeMutablePointer<Double>,
    _ firstIndex: UnsafeMutablePointer<Int32>, _ pool: WorkPool, _ operation: String, anyOptimum: Bool = false
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
    if anyOptimum, pulling > limit { pulling = leaveOutLostWeights(weights, count, atLeast: limit, pulling) }
    let clusters = min(limit, pulling)
    if pulling == count {
        try solve(values, weights, count, clusters, centroids, firstIndex, pool, operation, anyOptimum)
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
        pullingValues.pointer, pullingWeights.pointer, pulling, clusters, centroids, firstIndex, pool, operation,
        anyOptimum)
    widen(values, count, places.pointer, pulling, centroids, firstIndex, clusters)
    return clusters
}

/// Sets weights to zero that a sum of all would not notice, where enough others stay. Returns how many values still pull.
private func leaveOutLostWeights(
    _ weights: UnsafeMutablePointer<Double>, _ count: Int, atLeast limit: Int, _ pulling: Int
) -> Int {
    var total = 0.0
    for i in 0..<count { total += weights[i] }
    let least = total * lostShare
    var kept = 0
    for i in 0..<count where weights[i] >= least { kept += 1 }
    guard kept >= limit, kept < pulling else { return pulling }
    for i in 0..<count where weights[i] < least { weights[i] = 0 }
    return kept
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

/// Runs the solver, and mends what leaves the range of binary64 in it.
///
/// The solver adds up w, w x and w x x as the reference does. Where the values lie so close together, compared with their
/// size, that their squares cancel (never so with float16), they are moved to the smallest one first, which is exact. Where those sums overflow, values and weights are scaled by
/// powers of two, which changes no bit of a result that does not overflow. Where weights lie so far apart that some vanish
/// in the sums, the reference gives NaN or a mean outside its own cluster: such a centroid is computed again from its cluster.
private func solve(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int, _ clusters: Int,
    _ centroids: UnsafeMutablePointer<Double>, _ firstIndex: UnsafeMutablePointer<Int32>, _ pool: WorkPool,
    _ operation: String, _ anyOptimum: Bool
) throws(CompressionError) {
    // Below that the squares are zero, and the reference merges what it likes.
    if clusters == count, max(abs(values[0]), abs(values[count - 1])) >= 0x1p-500 {
        return separate(values, weights, count, centroids, firstIndex)
    }
    let bytes = variant(
        CompressionKernels.exactKMeans1DScratchBytes, CompressionKernelsV3.exactKMeans1DScratchBytes)(count, clusters)
    let scratch = try Scratch<UInt8>(bytes, operation: operation)
    let largest = max(abs(values[0]), abs(values[count - 1]))
    var total = 0.0
    for i in 0..<count { total += weights[i] }
    var finished: Bool
    if values[count - 1] - values[0] < largest * 0x1p-14 {
        let origin = values[0]
        let moved = try Scratch<Double>(count, operation: operation)
        for i in 0..<count { moved.pointer[i] = values[i] - origin }
        try solve(moved.pointer, weights, count, clusters, centroids, firstIndex, pool, operation, anyOptimum)
        for c in 0..<clusters { centroids[c] += origin }
        return
    } else if total * largest * largest <= Double.greatestFiniteMagnitude / 16 {
        finished = runSolver(
            values, weights, count, clusters, scratch.pointer, centroids, firstIndex, pool, anyOptimum)
    } else {
        let scaled = try Scratch<Double>(2 * count, operation: operation)
        let (scaledValues, scaledWeights) = (scaled.pointer, scaled.pointer + count)
        var heaviest = 0.0
        for i in 0..<count { heaviest = max(heaviest, weights[i]) }
        let (byValue, byWeight) = (-largest.exponent - 1, -heaviest.exponent - 1)
        for i in 0..<count {
            scaledValues[i] = Double(sign: .plus, exponent: byValue, significand: values[i])
            scaledWeights[i] = Double(sign: .plus, exponent: byWeight, significand: weights[i])
        }
        finished = runSolver(
            scaledValues, scaledWeights, count, clusters, scratch.pointer, centroids, firstIndex, pool, anyOptimum)
        for c in 0..<clusters { centroids[c] = Double(sign: .plus, exponent: -byValue, significand: centroids[c]) }
    }
    if !finished { throw .cancelled(operation) }
    mendCentroids(values, weights, count, clusters, centroids, firstIndex)
}

/// A cluster for each value. The reference's mean of a single value is rounded twice, by its weight in the prefix sums.
private func separate(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int,
    _ centroids: UnsafeMutablePointer<Double>, _ firstIndex: UnsafeMutablePointer<Int32>
) {
    var before = 0.0
    for i in 0..<count {
        let after = weights[i] + before
        let weight = after - before
        let mean = values[i] * weight / weight
        centroids[i] = abs(mean - values[i]) <= 1e-15 * abs(values[i]) ? mean : values[i]
        firstIndex[i] = Int32(truncatingIfNeeded: i)
        before = after
    }
}

private func runSolver(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int, _ clusters: Int,
    _ scratch: UnsafeMutablePointer<UInt8>, _ centroids: UnsafeMutablePointer<Double>,
    _ firstIndex: UnsafeMutablePointer<Int32>, _ pool: WorkPool, _ anyOptimum: Bool
) -> Bool {
    let solver =
        anyOptimum
        ? variant(CompressionKernels.anyOptimalKMeans1D, CompressionKernelsV3.anyOptimalKMeans1D)
        : variant(CompressionKernels.exactKMeans1D, CompressionKernelsV3.exactKMeans1D)
    return solver(values, weights, count, clusters, scratch, centroids, firstIndex, pool.cancellation.flag)
}

/// Replaces centroids that are not finite, or lie outside the values of their cluster by more than rounding explains, by
/// the weighted mean of the cluster.
private func mendCentroids(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int, _ clusters: Int,
    _ centroids: UnsafeMutablePointer<Double>, _ firstIndex: UnsafePointer<Int32>
) {
    for c in 0..<clusters {
        let start = Int(firstIndex[c])
        let end = c + 1 < clusters ? Int(firstIndex[c + 1]) : count
        if start >= end {
            centroids[c] = 0
            continue
        }
        let (low, high) = (values[start], values[end - 1])
        let slack = 1e-9 * max(abs(low), abs(high))
        if centroids[c] >= low - slack, centroids[c] <= high + slack { continue }
        var heaviest = 0.0
        for i in start..<end { heaviest = max(heaviest, weights[i]) }
        var mean = 0.0
        var sum = 0.0
        for i in start..<end {
            let weight = weights[i] / heaviest
            sum += weight
            if sum == 0 { continue }
            // Halves, so that the difference of two values near the largest does not overflow.
            mean += 2 * ((values[i] / 2 - mean / 2) * (weight / sum))
        }
        centroids[c] = min(max(mean, low), high)
    }
}
