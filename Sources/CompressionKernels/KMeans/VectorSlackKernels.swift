// Lloyd's assignment where centroids move little: only points that may have another nearest centroid are looked at.
//
// Formula   slack(x) = |x - second nearest| - |x - nearest|. While the centroids have moved by less than half of it, the
//           nearest stays the nearest.
// Paper     Hamerly: Making k-means Even Faster (2010), with one bound for all centroids.
// Goals     1. The same bits on every processor and for any split of the work among threads. 2. Time.
// Rounding  As `vectorKMeansAssign`; slacks are rounded too, so a point very near to two centroids may keep the farther one
//           a little longer. End with `vectorKMeansAssign`.
// Cost      One comparison for each point, and for those that are due about twice what `vectorKMeansAssign` takes.
// Differs   Hamerly keeps bounds for each point and lowers them as centroids move. Here slacks stay as they are, and the way
//           all centroids have moved at most is counted in one number, `passed`; twice, for both distances may change.

/// `vectorKMeansAssign`, which also finds the slack of each point.
///
/// - Parameters:
///   - sums: as there; not nil.
///   - slacks: set to the slack and `passed`; infinity for the places past `end` up to the next multiple of 8.
///   - passed: twice the way the centroids have moved so far.
/// - Returns: whether a label changed.
public func vectorKMeansAssignWithSlacks(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
    _ labels: UnsafeMutablePointer<Int32>, _ sums: UnsafeMutablePointer<Double>,
    _ slacks: UnsafeMutablePointer<Float>, _ passed: Float
) -> Bool {
    switch dim {
    case 2: slacksOfPairs(points, stride, start, end, centroids, halfNorms, k, labels, sums, slacks, passed)
    case 4: slacksOfQuads(points, stride, start, end, centroids, halfNorms, k, labels, sums, slacks, passed)
    default: slacksOfPoints(points, stride, start, end, dim, centroids, halfNorms, k, labels, sums, slacks, passed)
    }
}

/// With the number of components known, as `assignPairs`.
@inline(never)
func slacksOfPairs(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ centroids: UnsafePointer<Float>,
    _ halfNorms: UnsafePointer<Float>, _ k: Int, _ labels: UnsafeMutablePointer<Int32>,
    _ sums: UnsafeMutablePointer<Double>, _ slacks: UnsafeMutablePointer<Float>, _ passed: Float
) -> Bool {
    slacksOfPoints(points, stride, start, end, 2, centroids, halfNorms, k, labels, sums, slacks, passed)
}

@inline(never)
func slacksOfQuads(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ centroids: UnsafePointer<Float>,
    _ halfNorms: UnsafePointer<Float>, _ k: Int, _ labels: UnsafeMutablePointer<Int32>,
    _ sums: UnsafeMutablePointer<Double>, _ slacks: UnsafeMutablePointer<Float>, _ passed: Float
) -> Bool {
    slacksOfPoints(points, stride, start, end, 4, centroids, halfNorms, k, labels, sums, slacks, passed)
}

@inline(__always)
func slacksOfPoints(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
    _ labels: UnsafeMutablePointer<Int32>, _ sums: UnsafeMutablePointer<Double>,
    _ slacks: UnsafeMutablePointer<Float>, _ passed: Float
) -> Bool {
    var hasChanged = false
    var i = start
    while i < end {
        let two = TwoNearest(points, stride, i, dim, centroids, halfNorms, k)
        UnsafeMutableRawPointer(slacks + i).storeBytes(of: two.slack(passed), as: SIMD8<Float>.self)
        let target = UnsafeMutableRawPointer(labels + i)
        let before = target.loadUnaligned(as: SIMD8<Int32>.self)
        if !isZero(before ^ two.label) {
            hasChanged = true
            target.storeBytes(of: two.label, as: SIMD8<Int32>.self)
            let scratch = UnsafeMutableRawPointer(sums + k &* (dim &+ 1))
            scratch.storeBytes(of: before, as: SIMD8<Int32>.self)
            movePoints(
                points, stride, i, min(8, end &- i), dim, UnsafePointer(scratch.assumingMemoryBound(to: Int32.self)),
                labels, sums)
        }
        i &+= 8
    }
    var past = end
    while past & 7 != 0 {
        slacks[past] = .infinity
        past &+= 1
    }
    return hasChanged
}

extension TwoNearest {
    @inline(__always)
    func slack(_ passed: Float) -> SIMD8<Float> {
        let far = squaredDistance(second).squareRoot()
        let near = squaredDistance(best).squareRoot()
        return (far - near) + SIMD8<Float>(repeating: passed)
    }
}

/// Points that are looked at together.
let dueBatch = 64

/// Bytes of scratch that `vectorKMeansAssignDue` needs.
public func vectorKMeansDueScratch(dim: Int) -> Int { 4 &* (3 &* dueBatch &+ 8 &+ 8 &* dim) }

/// Where the points of a batch are, what is found for them, and the components of 8.
struct DueScratch {
    let places: UnsafeMutablePointer<Int32>
    let labels: UnsafeMutablePointer<Int32>
    let slacks: UnsafeMutablePointer<Float>
    let components: UnsafeMutablePointer<Float>

    @inline(__always)
    init(_ memory: UnsafeMutableRawPointer) {
        places = memory.assumingMemoryBound(to: Int32.self)
        labels = places + (dueBatch &+ 8)
        slacks = UnsafeMutableRawPointer(labels + dueBatch).assumingMemoryBound(to: Float.self)
        components = slacks + dueBatch
    }
}

/// `vectorKMeansAssignWithSlacks` for the points of a range whose slack is not above `passed`.
///
/// - Parameter scratch: `vectorKMeansDueScratch` bytes.
/// - Returns: how many points were looked at, and whether a label changed.
public func vectorKMeansAssignDue(
    _ points: UnsafePointer<Float>, _ stride: Int, _ start: Int, _ end: Int, _ dim: Int,
    _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
    _ labels: UnsafeMutablePointer<Int32>, _ sums: UnsafeMutablePointer<Double>,
    _ slacks: UnsafeMutablePointer<Float>, _ passed: Float, _ scratch: UnsafeMutableRawPointer
) -> (due: Int, hasChanged: Bool) {
    let memory = DueScratch(scratch)
    var (due, hasChanged, waiting) = (0, false, 0)
    var i = start
    while i < end {
        // Without branches: which points are due cannot be foreseen.
        var lane = 0
        while lane < 8 {
            memory.places[waiting] = Int32(truncatingIfNeeded: i &+ lane)
            waiting &+= slacks[i &+ lane] > passed ? 0 : 1
            lane &+= 1
        }
        i &+= 8
        while waiting >= dueBatch || i >= end && waiting > 0 {
            let count = min(waiting, dueBatch)
            assignBatch(points, stride, dim, centroids, halfNorms, k, passed, count, memory)
            if settleBatch(points, stride, dim, labels, sums, slacks, count, memory) { hasChanged = true }
            due &+= count
            waiting &-= count
            var rest = 0
            while rest < waiting {
                memory.places[rest] = memory.places[count &+ rest]
                rest &+= 1
            }
        }
    }
    return (due, hasChanged)
}

@inline(__always)
func assignBatch(
    _ points: UnsafePointer<Float>, _ stride: Int, _ dim: Int, _ centroids: UnsafePointer<Float>,
    _ halfNorms: UnsafePointer<Float>, _ k: Int, _ passed: Float, _ count: Int, _ memory: DueScratch
) {
    switch dim {
    case 2: assignGatheredPairs(points, stride, centroids, halfNorms, k, passed, count, memory)
    case 4: assignGatheredQuads(points, stride, centroids, halfNorms, k, passed, count, memory)
    default: assignGathered(points, stride, dim, centroids, halfNorms, k, passed, count, memory)
    }
}

@inline(never)
func assignGatheredPairs(
    _ points: UnsafePointer<Float>, _ stride: Int, _ centroids: UnsafePointer<Float>,
    _ halfNorms: UnsafePointer<Float>, _ k: Int, _ passed: Float, _ count: Int, _ memory: DueScratch
) {
    assignGathered(points, stride, 2, centroids, halfNorms, k, passed, count, memory)
}

@inline(never)
func assignGatheredQuads(
    _ points: UnsafePointer<Float>, _ stride: Int, _ centroids: UnsafePointer<Float>,
    _ halfNorms: UnsafePointer<Float>, _ k: Int, _ passed: Float, _ count: Int, _ memory: DueScratch
) {
    assignGathered(points, stride, 4, centroids, halfNorms, k, passed, count, memory)
}

@inline(__always)
func assignGathered(
    _ points: UnsafePointer<Float>, _ stride: Int, _ dim: Int, _ centroids: UnsafePointer<Float>,
    _ halfNorms: UnsafePointer<Float>, _ k: Int, _ passed: Float, _ count: Int, _ memory: DueScratch
) {
    // Eight at a time: what is missing in the last eight is any point.
    var missing = count
    while missing & 7 != 0 {
        memory.places[missing] = memory.places[0]
        missing &+= 1
    }
    var t = 0
    while t < count {
        let places = memory.places + t
        var d = 0
        while d < dim {
            let plane = points + d &* stride
            let lanes = SIMD8(
                plane[Int(places[0])], plane[Int(places[1])], plane[Int(places[2])], plane[Int(places[3])],
                plane[Int(places[4])], plane[Int(places[5])], plane[Int(places[6])], plane[Int(places[7])])
            UnsafeMutableRawPointer(memory.components + d &* 8).storeBytes(of: lanes, as: SIMD8<Float>.self)
            d &+= 1
        }
        let two = TwoNearest(memory.components, 8, 0, dim, centroids, halfNorms, k)
        UnsafeMutableRawPointer(memory.labels + t).storeBytes(of: two.label, as: SIMD8<Int32>.self)
        UnsafeMutableRawPointer(memory.slacks + t).storeBytes(of: two.slack(passed), as: SIMD8<Float>.self)
        t &+= 8
    }
}

@inline(__always)
func settleBatch(
    _ points: UnsafePointer<Float>, _ stride: Int, _ dim: Int, _ labels: UnsafeMutablePointer<Int32>,
    _ sums: UnsafeMutablePointer<Double>, _ slacks: UnsafeMutablePointer<Float>, _ count: Int, _ memory: DueScratch
) -> Bool {
    var hasChanged = false
    var t = 0
    while t < count {
        let place = Int(memory.places[t])
        slacks[place] = memory.slacks[t]
        let (old, new) = (labels[place], memory.labels[t])
        if old != new {
            hasChanged = true
            labels[place] = new
            movePoint(points + place, stride, dim, Int(old), Int(new), sums)
        }
        t &+= 1
    }
    return hasChanged
}
