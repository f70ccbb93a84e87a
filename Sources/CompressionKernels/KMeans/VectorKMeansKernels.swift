// Building blocks of k-means on vectors: Lloyd's two steps and what breathing needs, over a range of points.
//
// Formula   label(x) = argmin over j of |x - c_j|^2, found as the least |c_j|^2 / 2 - x . c_j;  c_j = weighted mean of
//           its points.
// Paper     Lloyd: Least Squares Quantization in PCM (1982). Fritzke: The Breathing K-Means Algorithm (2020).
// Goals     1. The same bits on every processor and for any split of the work among threads. 2. Time.
// Rounding  Binary32 for distances, with no contraction and a fixed number of lanes; binary64 for sums, in the order of
//           the points. Of equal distances the lowest centroid wins.
// Cost      count k dim / 8 vector multiplications and subtractions an assignment.
// Differs   scikit-learn finds |x - c|^2 by matrix products in the type of its input. Centre the points before the call:
//           then the cancellation is no worse than that of the distances themselves.
//
// Points are stored by component ("planes"): component d of point i is points[d * stride + i]. The stride is a multiple
// of 16, ranges begin at a multiple of 16, and the arrays by point (labels, distances, weights) have `stride` places. What
// lies between the end of the last range and the next multiple of 16 is read and written, but counts for nothing.

@inline(__always)
func eight(_ base: UnsafePointer<Float>, _ index: Int) -> SIMD8<Float> {
    UnsafeRawPointer(base + index).loadUnaligned(as: SIMD8<Float>.self)
}

/// Comparing whole vectors goes through memory, lane by lane.
@inline(__always)
func isZero(_ lanes: SIMD8<Int32>) -> Bool {
    let four = lanes.lowHalf | lanes.highHalf
    let two = four.lowHalf | four.highHalf
    return two.x | two.y == 0
}

// MARK: - Lloyd

/// Sets labels[start..<end] to the nearest of `k` centroids.
///
/// - Parameters:
///   - centroids: `k` rows of `dim`.
///   - halfNorms: |c|^2 / 2 of each.
///   - sums: nil, or for each cluster the sums of `dim` components of its points and their number, and 8 numbers of
///     scratch. Points that change their cluster are moved from one to the other; those of label -1 come anew. Few do so
///     after the first iterations.
/// - Returns: whether a label changed.
public func vectorKMeansAssign(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
    _ labels: UnsafeMutablePointer<Int32>, _ sums: UnsafeMutablePointer<Double>?
) -> Bool {
    switch dim {
    case 2: assignPairs(points, stride, start, end, centroids, halfNorms, k, labels, sums)
    case 4: assignQuads(points, stride, start, end, centroids, halfNorms, k, labels, sums)
    default: assignOthers(points, stride, start, end, dim, centroids, halfNorms, k, labels, sums)
    }
}

/// The nearest so far of 16 points.
struct NearestOfSixteen {
    var bestA = SIMD8<Float>(repeating: .infinity)
    var bestB = SIMD8<Float>(repeating: .infinity)
    var labelA = SIMD8<Int32>(repeating: 0)
    var labelB = SIMD8<Int32>(repeating: 0)

    @inline(__always)
    init() {}

    @inline(__always)
    mutating func compare(_ a: SIMD8<Float>, _ b: SIMD8<Float>, _ centroid: Int) {
        let number = SIMD8<Int32>(repeating: Int32(truncatingIfNeeded: centroid))
        let lessA = a .< bestA
        let lessB = b .< bestB
        bestA.replace(with: a, where: lessA)
        bestB.replace(with: b, where: lessB)
        labelA.replace(with: number, where: lessA)
        labelB.replace(with: number, where: lessB)
    }

    /// Stores the labels of the points i..<i + 16, and moves those before `end` between the sums.
    /// - Returns: whether a label changed.
    @inline(__always)
    func settle(
        _ points: UnsafePointer<Float>, _ stride: Int, _ i: Int, _ end: Int, _ dim: Int, _ k: Int,
        _ labels: UnsafeMutablePointer<Int32>, _ sums: UnsafeMutablePointer<Double>?
    ) -> Bool {
        let target = UnsafeMutableRawPointer(labels + i)
        let beforeA = target.loadUnaligned(as: SIMD8<Int32>.self)
        let beforeB = (target + 32).loadUnaligned(as: SIMD8<Int32>.self)
        if isZero((beforeA ^ labelA) | (beforeB ^ labelB)) { return false }
        target.storeBytes(of: labelA, as: SIMD8<Int32>.self)
        (target + 32).storeBytes(of: labelB, as: SIMD8<Int32>.self)
        if let sums {
            let scratch = UnsafeMutableRawPointer(sums + k &* (dim &+ 1))
            scratch.storeBytes(of: beforeA, as: SIMD8<Int32>.self)
            (scratch + 32).storeBytes(of: beforeB, as: SIMD8<Int32>.self)
            let before = UnsafePointer(scratch.assumingMemoryBound(to: Int32.self))
            movePoints(points, stride, i, min(16, end &- i), dim, before, labels, sums)
        }
        return true
    }
}

/// With the number of components known: the loop over them unrolls.
@inline(never)
func assignPairs(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ centroids: UnsafePointer<Float>,
    _ halfNorms: UnsafePointer<Float>, _ k: Int, _ labels: UnsafeMutablePointer<Int32>,
    _ sums: UnsafeMutablePointer<Double>?
) -> Bool {
    assignPoints(points, stride, start, end, 2, centroids, halfNorms, k, labels, sums)
}

@inline(never)
func assignQuads(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ centroids: UnsafePointer<Float>,
    _ halfNorms: UnsafePointer<Float>, _ k: Int, _ labels: UnsafeMutablePointer<Int32>,
    _ sums: UnsafeMutablePointer<Double>?
) -> Bool {
    assignPoints(points, stride, start, end, 4, centroids, halfNorms, k, labels, sums)
}

@inline(never)
func assignOthers(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
    _ labels: UnsafeMutablePointer<Int32>, _ sums: UnsafeMutablePointer<Double>?
) -> Bool {
    assignPoints(points, stride, start, end, dim, centroids, halfNorms, k, labels, sums)
}

@inline(__always)
func assignPoints(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
    _ labels: UnsafeMutablePointer<Int32>, _ sums: UnsafeMutablePointer<Double>?
) -> Bool {
    var hasChanged = false
    var i = start
    while i < end {
        var nearest = NearestOfSixteen()
        var centroid = centroids
        var j = 0
        while j < k {
            var a = SIMD8<Float>(repeating: halfNorms[j])
            var b = a
            var d = 0
            while d < dim {
                let c = SIMD8<Float>(repeating: centroid[d])
                a -= eight(points, d &* stride &+ i) * c
                b -= eight(points, d &* stride &+ i &+ 8) * c
                d &+= 1
            }
            nearest.compare(a, b, j)
            centroid += dim
            j &+= 1
        }
        if nearest.settle(points, stride, i, end, dim, k, labels, sums) { hasChanged = true }
        i &+= 16
    }
    return hasChanged
}

/// Moves up to 16 points from the sums of the clusters `before` to those of `labels`.
@inline(never)
func movePoints(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ count: Int, _ dim: Int,
    _ before: UnsafePointer<Int32>, _ labels: UnsafePointer<Int32>, _ sums: UnsafeMutablePointer<Double>
) {
    var lane = 0
    while lane < count {
        let old = Int(before[lane])
        let new = Int(labels[start &+ lane])
        if old != new { movePoint(points + (start &+ lane), stride, dim, old, new, sums) }
        lane &+= 1
    }
}

/// Moves one point from the sums of cluster `old`, if that is not -1, to those of `new`.
@inline(__always)
func movePoint(
    _ point: UnsafePointer<Float>, _ stride: Int, _ dim: Int, _ old: Int, _ new: Int,
    _ sums: UnsafeMutablePointer<Double>
) {
    let target = sums + new &* (dim &+ 1)
    var d = 0
    while d < dim {
        target[d] += Double(point[d &* stride])
        d &+= 1
    }
    target[dim] += 1
    if old >= 0 {
        let source = sums + old &* (dim &+ 1)
        d = 0
        while d < dim {
            source[d] -= Double(point[d &* stride])
            d &+= 1
        }
        source[dim] -= 1
    }
}

/// Adds the points of a range to the sums of their clusters.
///
/// - Parameters:
///   - weights: one for each point, or nil for 1.
///   - sums: for each cluster `dim` weighted sums and the sum of weights.
public func vectorKMeansAccumulate(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ weights: UnsafePointer<Float>?, _ labels: UnsafePointer<Int32>, _ sums: UnsafeMutablePointer<Double>
) {
    switch dim {
    case 2: accumulatePoints(points, stride, start, end, 2, weights, labels, sums)
    case 4: accumulatePoints(points, stride, start, end, 4, weights, labels, sums)
    case 8: accumulatePoints(points, stride, start, end, 8, weights, labels, sums)
    default: accumulatePoints(points, stride, start, end, dim, weights, labels, sums)
    }
}

@inline(__always)
func accumulatePoints(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ weights: UnsafePointer<Float>?, _ labels: UnsafePointer<Int32>, _ sums: UnsafeMutablePointer<Double>
) {
    var i = start
    while i < end {
        let row = sums + Int(labels[i]) &* (dim &+ 1)
        let weight = weights == nil ? 1.0 : Double(weights.unsafelyUnwrapped[i])
        var d = 0
        while d < dim {
            row[d] += weight * Double(points[d &* stride &+ i])
            d &+= 1
        }
        row[dim] += weight
        i &+= 1
    }
}

/// Sets distances[start..<end] to the squared distance of each point to the centroid of its label.
public func vectorKMeansDistances(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ labels: UnsafePointer<Int32>, _ distances: UnsafeMutablePointer<Float>
) {
    var i = start
    while i < end {
        let centroid = centroids + Int(labels[i]) &* dim
        var sum: Float = 0
        var d = 0
        while d < dim {
            let difference = points[d &* stride &+ i] - centroid[d]
            sum += difference * difference
            d &+= 1
        }
        distances[i] = sum
        i &+= 1
    }
}

// MARK: - Improving

/// What each point of a range costs, and what it would cost more without its centroid.
///
/// - Parameters:
///   - centroids: at least 2.
///   - labels: set to the nearest centroid.
///   - distances: set to the squared distance to it, |x|^2 + 2 (|c|^2 / 2 - x . c), at least 0.
///   - gaps: set to the squared distance to the second nearest, less that.
public func vectorKMeansGaps(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
    _ labels: UnsafeMutablePointer<Int32>, _ distances: UnsafeMutablePointer<Float>,
    _ gaps: UnsafeMutablePointer<Float>
) {
    switch dim {
    case 2: gapsOfPoints(points, stride, start, end, 2, centroids, halfNorms, k, labels, distances, gaps)
    case 4: gapsOfPoints(points, stride, start, end, 4, centroids, halfNorms, k, labels, distances, gaps)
    case 8: gapsOfPoints(points, stride, start, end, 8, centroids, halfNorms, k, labels, distances, gaps)
    default: gapsOfPoints(points, stride, start, end, dim, centroids, halfNorms, k, labels, distances, gaps)
    }
}

@inline(__always)
func gapsOfPoints(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
    _ labels: UnsafeMutablePointer<Int32>, _ distances: UnsafeMutablePointer<Float>,
    _ gaps: UnsafeMutablePointer<Float>
) {
    var i = start
    while i < end {
        let two = TwoNearest(points, stride, i, dim, centroids, halfNorms, k)
        let gap = two.second - two.best
        UnsafeMutableRawPointer(labels + i).storeBytes(of: two.label, as: SIMD8<Int32>.self)
        UnsafeMutableRawPointer(distances + i).storeBytes(
            of: two.squaredDistance(two.best), as: SIMD8<Float>.self)
        UnsafeMutableRawPointer(gaps + i).storeBytes(of: gap + gap, as: SIMD8<Float>.self)
        i &+= 8
    }
}

/// The nearest and the second nearest centroids of 8 points.
struct TwoNearest {
    /// |c|^2 / 2 - x . c of both, and the number of the nearest.
    var best = SIMD8<Float>(repeating: .infinity)
    var second = SIMD8<Float>(repeating: .infinity)
    var label = SIMD8<Int32>(repeating: 0)
    /// |x|^2.
    var norm = SIMD8<Float>(repeating: 0)

    @inline(__always)
    init(
        _ points: UnsafePointer<Float>, _ stride: Int, _ i: Int, _ dim: Int, _ centroids: UnsafePointer<Float>,
        _ halfNorms: UnsafePointer<Float>, _ k: Int
    ) {
        var j = 0
        while j < k {
            var score = SIMD8<Float>(repeating: halfNorms[j])
            var d = 0
            while d < dim {
                score -= eight(points, d &* stride &+ i) * SIMD8<Float>(repeating: centroids[j &* dim &+ d])
                d &+= 1
            }
            let less = score .< best
            var other = score
            other.replace(with: best, where: less)
            second.replace(with: other, where: other .< second)
            best.replace(with: score, where: less)
            label.replace(with: SIMD8<Int32>(repeating: Int32(truncatingIfNeeded: j)), where: less)
            j &+= 1
        }
        var d = 0
        while d < dim {
            let x = eight(points, d &* stride &+ i)
            norm += x * x
            d &+= 1
        }
    }

    /// |x - c|^2 of a score, at least 0.
    @inline(__always)
    func squaredDistance(_ score: SIMD8<Float>) -> SIMD8<Float> {
        var distance = norm + (score + score)
        distance.replace(with: SIMD8<Float>(repeating: 0), where: distance .< SIMD8<Float>(repeating: 0))
        return distance
    }
}
