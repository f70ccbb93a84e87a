// Weighted one-dimensional k-means, exact: the k clusters of least sum of squared errors.
//
// Formula   D[l][i] = min over j of D[l-1][j-1] + cost(j, i), where D[l][i] is the least cost of values 0...i in l + 1
//           clusters and cost(j, i) that of values j...i as one cluster, from prefix sums of w, w x and w x x.
//           Each row of argmins is found by SMAWK: row minima of a totally monotone matrix (SmawkRows.swift). Where
//           checks show the same end, one row of another programme takes the place of all (PenaltyPath.swift).
// Paper     Gronlund, Larsen, Mathiasen, Nielsen, Schneider, Song: Fast Exact k-Means, k-Medians and Bregman
//           Divergence Clustering in 1D (2017). Aggarwal, Klawe, Moran, Shor, Wilber: Geometric Applications of a
//           Matrix-Searching Algorithm (1987).
// Goals     1. Centroids and clusters bit-equal with coremltools 9.0's solver (`coremltools._deps._kmeans1d`: its
//           `cluster_with_weights`, and `cluster` when every weight is 1), up to 2^22 values; above, where rounding can
//           decide a cut, the least cost but for rounding. 2. Memory linear in count, whatever k is.
//           3. Time.
// Rounding  Binary64, every operation in the reference's order, none contracted. Rounding errors decide near-ties, so
//           every comparison that can matter is made between the same numbers in the same order; an equal cost, and a
//           NaN, is treated as the reference's `>=` (reduce) and `<` (interpolate) treat it.
// Cost      O(k count) time level by level, about O(count log count) the short way. Memory: about 60 bytes a value for
//           the sums, the stack and the columns, and 1/4 byte a value for each level of argmins, of which 256 are kept
//           at most. For more clusters the levels below the kept ones are computed again when they are needed, over the
//           full width, so that they are the same numbers.
// Differs   The reference keeps D and T in full: 16 k bytes a value. It sorts its input with an unstable sort, whose
//           order of equal values shows in the last bit; this takes distinct ascending values, as `numpy.unique` gives.

/// The levels of argmins kept at once.
private let keptLevelLimit = 256

/// Bytes of scratch for `exactKMeans1D`: below 125 `count` + 3200, whatever `k` is.
public func exactKMeans1DScratchBytes(_ count: Int, _ k: Int) -> Int {
    SmawkRows.byteCount(count) &+ ArgminRows.byteCount(count, keptLevels(k))
}

/// Clusters `count` distinct values into `k` intervals of least weighted sum of squared errors.
///
/// Rounding can hide the cost of a value, where the squares of neighbours differ by less than the last bit of their sum.
/// A cluster can then come out empty: it has `firstIndex[c] == firstIndex[c + 1]` (`count` for the last) and the
/// centroid 0, as the reference leaves it.
/// A weight of zero makes 0 / 0 costs in the reference: NaN, which no comparison prefers. The result is
/// the same here, and is of no use: leave such values out before the call.
///
/// - Parameters:
///   - values: `count` finite values, strictly ascending.
///   - weights: `count` finite weights, positive.
///   - count: 1 to 2^30.
///   - k: 1 to `count`.
///   - scratch: `exactKMeans1DScratchBytes(count, k)` bytes, aligned to 32.
///   - centroids: receives `k` weighted means, ascending but for empty clusters.
///   - firstIndex: receives the index of the first value of each of the `k` clusters; cluster c ends where c + 1 begins.
///   - cancelled: read several times a level.
/// - Returns: false only when `cancelled` was seen non-zero; the outputs are then undefined.
public func exactKMeans1D(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int, _ k: Int,
    _ scratch: UnsafeMutableRawPointer, _ centroids: UnsafeMutablePointer<Double>,
    _ firstIndex: UnsafeMutablePointer<Int32>, _ cancelled: UnsafePointer<Int32>?
) -> Bool {
    switch exactKMeans1DByPenalty(values, weights, count, k, scratch, centroids, firstIndex, cancelled) {
    case 0: exactKMeans1DByLevels(values, weights, count, k, scratch, centroids, firstIndex, cancelled)
    case 1: true
    default: false
    }
}

/// The same, but of splits that cost the same but for rounding it takes any, not the reference's. With weights that
/// differ much, where the reference's choice can seldom be told in advance, this is k times faster.
///
/// - weights: each more than 2^-52 of their sum, or the levels must decide.
public func anyOptimalKMeans1D(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int, _ k: Int,
    _ scratch: UnsafeMutableRawPointer, _ centroids: UnsafeMutablePointer<Double>,
    _ firstIndex: UnsafeMutablePointer<Int32>, _ cancelled: UnsafePointer<Int32>?
) -> Bool {
    var decided: Int32 = 0
    if PenaltyPath.isWorthwhile(count, k) {
        var path = PenaltyPath(count, k, scratch, cancelled)
        decided = path.cluster(values, weights, centroids, firstIndex, anyOptimum: true)
    }
    return switch decided {
    case 0: exactKMeans1DByLevels(values, weights, count, k, scratch, centroids, firstIndex, cancelled)
    case 1: true
    default: false
    }
}

/// The same, only where the penalty decides (PenaltyPath.swift).
///
/// - Returns: 1: done. 0: not decided; the outputs are then undefined. -1: cancelled.
public func exactKMeans1DByPenalty(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int, _ k: Int,
    _ scratch: UnsafeMutableRawPointer, _ centroids: UnsafeMutablePointer<Double>,
    _ firstIndex: UnsafeMutablePointer<Int32>, _ cancelled: UnsafePointer<Int32>?
) -> Int32 {
    guard PenaltyPath.isWorthwhile(count, k) else { return 0 }
    var path = PenaltyPath(count, k, scratch, cancelled)
    return path.cluster(values, weights, centroids, firstIndex, anyOptimum: false)
}

/// The same, always level by level.
public func exactKMeans1DByLevels(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ count: Int, _ k: Int,
    _ scratch: UnsafeMutableRawPointer, _ centroids: UnsafeMutablePointer<Double>,
    _ firstIndex: UnsafeMutablePointer<Int32>, _ cancelled: UnsafePointer<Int32>?
) -> Bool {
    var rows = SmawkRows(count, scratch, cancelled)
    let kept = ArgminRows(count, keptLevels(k), scratch + SmawkRows.byteCount(count))
    rows.setPrefixSums(values, weights)
    let weightsBefore = UnsafeRawPointer(rows.prefix).assumingMemoryBound(to: Double.self)
    for c in 0..<k {
        centroids[c] = 0
        firstIndex[c] = 0
    }
    // From the last cluster to the first; `end` is one past the values of this one.
    var end = count
    var level = k &- 1
    var lowestKept = k
    while true {
        if level > 0 && level < lowestKept {
            guard computeLevels(&rows, through: level, level == k &- 1, kept) else { return false }
            lowestKept = max(1, level &- keptLevelLimit &+ 1)
        }
        let start = level == 0 ? 0 : kept.column(level, end &- 1)
        centroids[level] = mean(values, weightsBefore, 4, start, start, end, 0)
        firstIndex[level] = Int32(truncatingIfNeeded: start)
        if start > end {
            // An empty cluster that begins after its end: lower clusters take values back from the higher ones.
            for c in level &+ 1..<k where Int(firstIndex[c]) < start {
                firstIndex[c] = Int32(truncatingIfNeeded: start)
            }
        }
        if start == 0 { return true }
        end = start
        level &-= 1
    }
}

@inline(__always)
private func keptLevels(_ k: Int) -> Int { min(max(k &- 1, 1), keptLevelLimit) }

/// Runs the levels 1 to `last` and keeps the argmins of the last `keptLevelLimit` of them. Of the topmost level of all
/// only the last row is asked for, so that only its argmin is found.
private func computeLevels(
    _ rows: inout SmawkRows, through last: Int, _ isTopmost: Bool, _ kept: ArgminRows
) -> Bool {
    rows.setFirstLevel()
    var level = 1
    while level <= last {
        guard rows.reduceAll() else { return false }
        if isTopmost && level == last {
            kept.setLast(level, rows.argminOfLastRow())
            return true
        }
        guard rows.interpolateAll() else { return false }
        if level > last &- keptLevelLimit { kept.set(level, rows.argmins) }
        if level < last { rows.takeMinima() }
        level &+= 1
    }
    return true
}

/// The weighted mean of values start..<end, by the reference's running update; `before[i * stride]` is the weight before i,
/// and `mean` that of the values before `from`.
@inline(__always)
private func mean(
    _ values: UnsafePointer<Double>, _ before: UnsafePointer<Double>, _ stride: Int, _ start: Int, _ from: Int,
    _ end: Int, _ mean: Double
) -> Double {
    let first = before[start &* stride]
    var mean = mean
    var i = from
    while i < end {
        let weight = before[(i &+ 1) &* stride] - before[i &* stride]
        mean += (values[i] - mean) * weight / (before[(i &+ 1) &* stride] - first)
        i &+= 1
    }
    return mean
}

extension PenaltyPath {
    /// Centroids and first indices. 1: done. 0: not decided. -1: cancelled.
    @inline(__always)
    mutating func cluster(
        _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ centroids: UnsafeMutablePointer<Double>,
        _ firstIndex: UnsafeMutablePointer<Int32>, anyOptimum: Bool
    ) -> Int32 {
        switch solve(values, weights, firstIndex, anyOptimum: anyOptimum) {
        case .cancelled: return -1
        case .undecided: return 0
        case .decided: break
        }
        setMeans(values, firstIndex, centroids)
        return 1
    }

    /// The means of all clusters, none of them empty. A step waits for the one before it, so four clusters go side by side.
    @inline(never)
    func setMeans(
        _ values: UnsafePointer<Double>, _ firstIndex: UnsafePointer<Int32>, _ centroids: UnsafeMutablePointer<Double>
    ) {
        let before = UnsafePointer(rows.w)
        var c = 0
        while c < k {
            let fourth = c &+ 3 < k ? c &+ 3 : k &- 1
            var common = count
            var next = c
            while next <= fourth {
                common = min(common, (next &+ 1 < k ? Int(firstIndex[next &+ 1]) : count) &- Int(firstIndex[next]))
                next &+= 1
            }
            var means = SIMD4<Double>(repeating: 0)
            if c &+ 3 == fourth {
                means = fourMeans(
                    values, before, Int(firstIndex[c]), Int(firstIndex[c &+ 1]), Int(firstIndex[c &+ 2]),
                    Int(firstIndex[fourth]), common)
            } else {
                common = 0
            }
            while c <= fourth {
                let start = Int(firstIndex[c])
                let end = c &+ 1 < k ? Int(firstIndex[c &+ 1]) : count
                centroids[c] = mean(values, before, 1, start, start &+ common, end, means.x)
                means = SIMD4(means.y, means.z, means.w, 0)
                c &+= 1
            }
        }
    }
}

/// The means of the first `length` values from four places on.
@inline(__always)
private func fourMeans(
    _ values: UnsafePointer<Double>, _ before: UnsafePointer<Double>, _ a: Int, _ b: Int, _ c: Int, _ d: Int,
    _ length: Int
) -> SIMD4<Double> {
    let first = SIMD4(before[a], before[b], before[c], before[d])
    var last = first
    var means = SIMD4<Double>(repeating: 0)
    var i = 0
    while i < length {
        let value = SIMD4(values[a &+ i], values[b &+ i], values[c &+ i], values[d &+ i])
        let next = SIMD4(before[a &+ i &+ 1], before[b &+ i &+ 1], before[c &+ i &+ 1], before[d &+ i &+ 1])
        means += (value - means) * (next - last) / (next - first)
        last = next
        i &+= 1
    }
    return means
}
