// Prefix sums for the costs of clusters, one value after the other.

/// The sums of w, w x and w x x, as the reference adds them up.
struct RunningSums {
    var w = 0.0
    var y = 0.0
    var z = 0.0

    @inline(__always)
    mutating func add(_ x: Double, _ weight: Double) {
        w = weight + w
        y = weight * x + y
        z = weight * x * x + z
    }
}

/// The same, and what rounding does to them.
struct CheckedSums {
    var sums = RunningSums()
    /// Whether every sum of w, and of w x, has been exact.
    var isExactW = true
    var isExactY = true
    /// Whether no weight was lost in the sum of all.
    var isAscending = true
    /// The greatest magnitude of the sum of w x.
    var largest = 0.0

    @inline(__always)
    mutating func add(_ x: Double, _ weight: Double) {
        let (before, wx) = (sums, weight * x)
        sums.add(x, weight)
        isExactW = isExactW && sums.w - before.w == weight && sums.w - weight == before.w
        isExactY = isExactY && sums.y - before.y == wx && sums.y - wx == before.y
        isAscending = isAscending && sums.w > before.w
        largest = max(largest, abs(sums.y))
    }

    /// What rounding of the sums of w x, where there was any, takes from a loss, by the spread of the values.
    @inline(__always)
    var noiseOfY: Double { 8 * PenaltyPath.unit * largest }

    /// The same for the sums of w; `extent` is the greatest magnitude of a value.
    @inline(__always)
    func noiseOfW(_ extent: Double) -> Double { 16 * PenaltyPath.unit * sums.w * extent }
}
