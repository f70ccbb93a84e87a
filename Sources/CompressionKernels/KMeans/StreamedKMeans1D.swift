// Weighted one-dimensional k-means of many values in little memory: the optimum of `anyOptimalKMeans1D`, but for rounding.
//
// Formula   As PenaltyRows.swift, whose rows are found from the first to the last. A row needs the sums of the columns from
//           its neighbour's argmin on: about one cluster and a third. So sums and least costs are kept for a window that
//           moves along, and computed anew for each penalty.
// Goals     1. Memory: values and weights in binary32, where the last cluster before each value begins, and 32 bytes for
//           each value of the window. 2. Time.
// Rounding  Binary64 sums in the order of the values, as the reference makes them; binary32 values are never so close together,
//           compared with their size, that 2^16 different ones cancel. Equal values are given one by one, and a cut among
//           them moves to the end of them that costs less.
// Differs   There is no check for SMAWK's choice among splits that cost the same but for rounding: it takes any.

/// Values with their weights.
struct StreamedValues {
    /// Values as `makeKeys` makes them, ascending.
    let keys: UnsafePointer<UInt32>
    let weights: UnsafePointer<Float>
    let count: Int

    @inline(__always)
    init(_ keys: UnsafePointer<UInt32>, _ weights: UnsafePointer<Float>, _ count: Int) {
        (self.keys, self.weights, self.count) = (keys, weights, count)
    }

    @inline(__always)
    func value(_ index: Int) -> Double { keyValue(keys[index]) }
}

/// Whether `streamedKMeans1D` can make `k` clusters of so many distinct values.
public func canStreamKMeans1D(_ distinct: Int, _ k: Int) -> Bool { PenaltyPath.isWorthwhile(distinct, k) }

/// Bytes that `streamedKMeans1D` needs, `starts` apart. Few of them are touched: see above.
public func streamedKMeans1DScratchBytes(_ count: Int, _ k: Int) -> Int {
    let points = PenaltyPath.coarsePoints(count, k) &+ 1
    return (count &+ 1) &* 32 &+ points &* 36
}

/// Clusters values into `k` intervals of least weighted sum of squared errors.
///
/// - Parameters:
///   - keys: `count` keys of finite values (`makeKeys`), ascending.
///   - weights: positive, each more than 2^-52 of their sum.
///   - k: clusters wanted; see `canStreamKMeans1D`.
///   - scratch: `streamedKMeans1DScratchBytes(count, k)` bytes, aligned to 32.
///   - starts: `count` + 1 places.
///   - centroids: receives `k` weighted means, ascending.
///   - firstIndex: receives the index of the first value of each cluster.
///   - cancelled: read several times a row.
/// - Returns: 1: done. 0: not decided, the outputs are undefined. -1: cancelled.
public func streamedKMeans1D(
    _ keys: UnsafePointer<UInt32>, _ weights: UnsafePointer<Float>, _ count: Int, _ k: Int,
    _ scratch: UnsafeMutableRawPointer, _ starts: UnsafeMutablePointer<Int32>,
    _ centroids: UnsafeMutablePointer<Double>, _ firstIndex: UnsafeMutablePointer<Int32>,
    _ cancelled: UnsafePointer<Int32>?
) -> Int32 {
    let values = StreamedValues(keys, weights, count)
    let points = PenaltyPath.coarsePoints(count, k)
    let window = scratch.assumingMemoryBound(to: Double.self)
    let coarseSums = window + (count &+ 1) &* 4
    let coarseStarts = UnsafeMutableRawPointer(coarseSums + (points &+ 1) &* 4).assumingMemoryBound(to: Int32.self)
    let coarse = PenaltyRows(points, coarseSums, coarseStarts, cancelled)
    let found = setCoarseSums(values, coarse)
    if coarse.isCancelled() { return -1 }
    let spread = coarse.cost(0, points)
    // Far from what overflows, and from what loses digits because it is small.
    guard found.isAscending, spread >= 0x1p-900, spread <= 0x1p1000 else { return 0 }
    var penalty = guessedPenalty(points, k) { start, end in
        let places = (start &* count / points, min(count &- 1, end &* count / points))
        return (values.value(places.1) - values.value(places.0), coarse.w[end] - coarse.w[start])
    }
    let rough = searchPenalty(&penalty, k, 24) { penalty in
        let clusters = coarse.solve(penalty)
        return (clusters, coarse.f[points])
    }
    if rough == .found && k >= 32 { penalty = centredPenalty(penalty, k, coarse) }
    if coarse.isCancelled() { return -1 }
    var rows = PenaltyWindow(values, window, starts, cancelled)
    let search = searchPenalty(&penalty, k, 24) { penalty in
        let clusters = rows.solve(penalty)
        return (clusters, rows.cost)
    }
    guard search == .found else { return coarse.isCancelled() ? -1 : 0 }
    // What rounding can hide must be less than what a cluster saves.
    let width = values.value(count &- 1) - values.value(0)
    let hidden = PenaltyPath.reach(coarse.z[points], rows.cost, k, found.noise, width)
    guard penalty >= hidden, takeCuts(values, k, starts, firstIndex) else { return 0 }
    setMeans(values, k, firstIndex, centroids)
    return 1
}

/// Sums up all values, and keeps some of the sums.
/// - Returns: whether no weight is lost in them, and what rounding takes from a difference, by the spread of the values.
@inline(never)
func setCoarseSums(_ values: StreamedValues, _ coarse: PenaltyRows) -> (isAscending: Bool, noise: Double) {
    var checked = CheckedSums()
    var i = 0
    var place = 0
    while true {
        coarse.w[place] = checked.sums.w
        coarse.y[place] = checked.sums.y
        coarse.z[place] = checked.sums.z
        if place == coarse.count || coarse.isCancelled() { break }
        place &+= 1
        let next = place &* values.count / coarse.count
        while i < next {
            checked.add(values.value(i), Double(values.weights[i]))
            i &+= 1
        }
    }
    let extent = max(abs(values.value(0)), abs(values.value(values.count &- 1)))
    let isExact = checked.isExactW && checked.isExactY
    return (checked.isAscending, isExact ? 0 : checked.noiseOfY + checked.noiseOfW(extent))
}

/// The rows of `PenaltyRows`, of which those are kept that are still needed.
struct PenaltyWindow {
    let values: StreamedValues
    let memory: UnsafeMutablePointer<Double>
    let starts: UnsafeMutablePointer<Int32>
    let cancelled: UnsafePointer<Int32>?
    /// The position in place 0, and the last one whose sums are known.
    var first = 0
    var filled = 0

    init(
        _ values: StreamedValues, _ memory: UnsafeMutablePointer<Double>, _ starts: UnsafeMutablePointer<Int32>,
        _ cancelled: UnsafePointer<Int32>?
    ) {
        (self.values, self.memory, self.starts, self.cancelled) = (values, memory, starts, cancelled)
    }

    @inline(__always)
    var rows: PenaltyRows { PenaltyRows(values.count, memory, first, starts, cancelled) }

    /// The penalised cost of the whole, after `solve`.
    @inline(__always)
    var cost: Double { rows.f[values.count] }

    /// As `PenaltyRows.solve`.
    @inline(never)
    mutating func solve(_ penalty: Double) -> Int {
        first = 0
        filled = 0
        (rows.w[0], rows.y[0], rows.z[0], rows.f[0]) = (0, 0, 0, 0)
        starts[0] = 0
        var known = 0
        while known < values.count {
            let from = Int(starts[known])
            if from &- first > (filled &- from) / 4 &+ 4096 { move(to: from) }
            let end = chunkEnd(known, from)
            let last = rows.argmin(end, from, known, penalty)
            rows.fill(known &+ 1, end, from, last, penalty)
            known = end
            if rows.isCancelled() { return 0 }
        }
        return rows.clusterCount
    }

    /// Forgets the positions before `position`.
    mutating func move(to position: Int) {
        let length = values.count &+ 1
        let kept = filled &- position &+ 1
        var array = 0
        while array < 4 {
            let target = memory + array &* length
            let source = target + (position &- first)
            var i = 0
            while i < kept {
                target[i] = source[i]
                i &+= 1
            }
            array &+= 1
        }
        first = position
    }

    /// Adds up values until the sums of `position` are known.
    @inline(__always)
    mutating func fill(to position: Int) {
        let rows = self.rows
        var sums = RunningSums(w: rows.w[filled], y: rows.y[filled], z: rows.z[filled])
        while filled < position {
            sums.add(values.value(filled), Double(values.weights[filled]))
            filled &+= 1
            rows.w[filled] = sums.w
            rows.y[filled] = sums.y
            rows.z[filled] = sums.z
        }
    }

    /// As `PenaltyRows.chunkEnd`.
    mutating func chunkEnd(_ known: Int, _ from: Int) -> Int {
        let limit = rows.f[known] - rows.f[from]
        // Longer steps would fill the window with sums far ahead.
        let longest = (known &- from) / 8 &+ 64
        var low = known &+ 1
        var step = 1
        fill(to: low)
        while low &+ step <= values.count {
            fill(to: low &+ step)
            guard rows.cost(from, low &+ step) <= limit else { break }
            low &+= step
            step = min(step &+ step, longest)
        }
        while step > 0 {
            if low &+ step <= filled && rows.cost(from, low &+ step) <= limit { low &+= step }
            step &>>= 1
        }
        return low
    }
}

/// The first values of the clusters, from the last to the first; equal values share a cluster. False where one is empty then.
///
/// A cut among equal values is moved to that end of them past which there is less weight: those were as near to one
/// cluster as to the other but for rounding, which is by weight.
func takeCuts(
    _ values: StreamedValues, _ k: Int, _ starts: UnsafePointer<Int32>, _ firstIndex: UnsafeMutablePointer<Int32>
) -> Bool {
    var end = values.count
    var after = values.count
    var cluster = k &- 1
    while cluster >= 0 {
        end = Int(starts[end])
        let first = cut(values, end)
        guard first < after else { return false }
        firstIndex[cluster] = Int32(truncatingIfNeeded: first)
        after = first
        cluster &-= 1
    }
    return after == 0
}

/// Where values that differ are parted near `position`.
func cut(_ values: StreamedValues, _ position: Int) -> Int {
    guard position > 0, values.keys[position &- 1] == values.keys[position] else { return position }
    var (low, high) = (position, position)
    var (below, above) = (0.0, 0.0)
    while low > 0 && values.keys[low &- 1] == values.keys[position] {
        low &-= 1
        below += Double(values.weights[low])
    }
    while high < values.count && values.keys[high] == values.keys[position] {
        above += Double(values.weights[high])
        high &+= 1
    }
    return below <= above ? low : high
}

/// The means, each from the distances to a value in the middle of its cluster.
func setMeans(
    _ values: StreamedValues, _ k: Int, _ firstIndex: UnsafePointer<Int32>,
    _ centroids: UnsafeMutablePointer<Double>
) {
    var c = 0
    while c < k {
        var i = Int(firstIndex[c])
        let end = c &+ 1 < k ? Int(firstIndex[c &+ 1]) : values.count
        let middle = values.value((i &+ end) / 2)
        var (weight, moment) = (0.0, 0.0)
        while i < end {
            let w = Double(values.weights[i])
            weight += w
            moment += w * (values.value(i) - middle)
            i &+= 1
        }
        centroids[c] = middle + moment / weight
        c &+= 1
    }
}
