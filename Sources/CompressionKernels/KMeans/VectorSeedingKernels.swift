// Building blocks of seeding k-means on vectors, over a range of points: potentials, and the masses points are drawn by.
//
// Paper     Arthur, Vassilvitskii: k-means++ (2007), greedy form. Bachem, Lucic, Krause: Scalable k-Means Clustering via
//           Lightweight Coresets (2018).
// Rounding  Binary32 for distances and sums of a block, with no contraction and a fixed number of lanes; binary64 for
//           sums of lanes: the same bits on every processor.
// Cost      count dim / 8 vector multiplications and additions each.
//
// Points are stored as for `vectorKMeansAssign`.

@inline(__always)
func squaredDistances(
    _ points: UnsafePointer<Float>, _ stride: Int, _ i: Int, _ dim: Int, _ centre: UnsafePointer<Float>
) -> SIMD8<Float> {
    var sum = SIMD8<Float>(repeating: 0)
    var d = 0
    while d < dim {
        let difference = eight(points, d &* stride &+ i) - SIMD8<Float>(repeating: centre[d])
        sum += difference * difference
        d &+= 1
    }
    return sum
}

/// The lesser of the distances of 8 points so far and those to a centre.
@inline(__always)
func lowered(
    _ points: UnsafePointer<Float>, _ stride: Int, _ i: Int, _ dim: Int, _ distances: UnsafePointer<Float>,
    _ centre: UnsafePointer<Float>
) -> SIMD8<Float> {
    var nearest = squaredDistances(points, stride, i, dim, centre)
    let old = eight(distances, i)
    nearest.replace(with: old, where: old .< nearest)
    return nearest
}

@inline(__always)
func total(_ lanes: SIMD8<Float>) -> Double {
    let half = lanes.lowHalf + lanes.highHalf
    return (Double(half.x) + Double(half.y)) + (Double(half.z) + Double(half.w))
}

/// The sum over a range of weight * min(distance, |x - candidate|^2): what the potential of k-means++ would become.
///
/// - Parameters:
///   - weights: one for each point.
///   - distances: to the nearest centre so far; 0 past the end of the points.
public func vectorKMeansPotential(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ weights: UnsafePointer<Float>, _ distances: UnsafePointer<Float>, _ candidate: UnsafePointer<Float>
) -> Double {
    switch dim {
    case 2: potentialPoints(points, stride, start, end, 2, weights, distances, candidate)
    case 4: potentialPoints(points, stride, start, end, 4, weights, distances, candidate)
    case 8: potentialPoints(points, stride, start, end, 8, weights, distances, candidate)
    default: potentialPoints(points, stride, start, end, dim, weights, distances, candidate)
    }
}

@inline(__always)
func potentialPoints(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ weights: UnsafePointer<Float>, _ distances: UnsafePointer<Float>, _ candidate: UnsafePointer<Float>
) -> Double {
    var sum = SIMD8<Float>(repeating: 0)
    var i = start
    while i < end {
        sum += eight(weights, i) * lowered(points, stride, i, dim, distances, candidate)
        i &+= 8
    }
    return total(sum)
}

/// Lowers the distances of a range to those to a new centre.
///
/// - Returns: the sum of weight * distance over the range.
public func vectorKMeansLower(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ weights: UnsafePointer<Float>, _ distances: UnsafeMutablePointer<Float>, _ centre: UnsafePointer<Float>
) -> Double {
    var sum = SIMD8<Float>(repeating: 0)
    var i = start
    while i < end {
        let nearest = lowered(points, stride, i, dim, distances, centre)
        UnsafeMutableRawPointer(distances + i).storeBytes(of: nearest, as: SIMD8<Float>.self)
        sum += eight(weights, i) * nearest
        i &+= 8
    }
    return total(sum)
}

/// What the points of each block of 16 weigh, and how far they are from the origin.
///
/// - Parameters:
///   - weights: one for each point, 0 past the end of the points; nil for 1.
///   - masses: for the block of points i..<i + 16, at 2 (i / 16): the sum of the weights, then the sum of weight * |x|^2.
public func vectorKMeansMasses(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ weights: UnsafePointer<Float>?, _ masses: UnsafeMutablePointer<Double>
) {
    var i = start
    while i < end {
        var a = SIMD8<Float>(repeating: 0)
        var b = a
        var d = 0
        while d < dim {
            let x = eight(points, d &* stride &+ i)
            let y = eight(points, d &* stride &+ i &+ 8)
            a += x * x
            b += y * y
            d &+= 1
        }
        let block = masses + i / 16 &* 2
        if let weights {
            let (u, v) = (eight(weights, i), eight(weights, i &+ 8))
            block[0] = total(u) + total(v)
            block[1] = total(u * a) + total(v * b)
        } else {
            block[0] = Double(min(16, end &- i))
            block[1] = total(a) + total(b)
        }
        i &+= 16
    }
}
