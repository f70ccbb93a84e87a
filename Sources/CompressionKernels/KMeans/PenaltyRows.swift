// Partitions into any number of clusters, each of which costs a penalty: one row of argmins in place of k.
//
// Formula   F[p] = min over q < p of F[q] + cost(q, p) + penalty, where cost(q, p) is that of values q..<p as one
//           cluster, (Zp - Zq) - (Yp - Yq)^2 / (Wp - Wq) from prefix sums of w, w x and w x x.
// Paper     Hirschberg, Larmore: The Least Weight Subsequence Problem (1987). Gronlund et al. (2017), section 4.
//           Aggarwal, Schieber, Tokuyama: Finding a Minimum-Weight k-Link Path in Graphs with the Concave Monge
//           Property (1994).
// Goals     1. F[p] is never below the true minimum, nor above it, by more than a few roundings for each cluster. 2.
//           Time.
// Cost      Rows are found in chunks. F never falls, so a column inside a chunk (a, e] costs at least F[a] + penalty,
//           and does not matter while the cluster that ends at a can be continued for less. So all columns of a chunk
//           are known when it begins; its rows are found by halving, each between the argmins of its neighbours. A
//           chunk is about a third of a cluster: about 2 log2 (rows of a cluster) costs a row, four at a time.
//
// A row's argmin lies between those of its neighbours in exact arithmetic. Rounding can put it outside where two costs
// are equal but for rounding, and the cost that is found then differs by no more than that.

struct PenaltyRows {
    /// The number of values. Positions are 0...count.
    let count: Int
    /// Prefix sums, and the least costs: each `count` + 1 numbers.
    let w: UnsafeMutablePointer<Double>
    let y: UnsafeMutablePointer<Double>
    let z: UnsafeMutablePointer<Double>
    let f: UnsafeMutablePointer<Double>
    /// Where the last cluster before each position begins.
    let starts: UnsafeMutablePointer<Int32>
    let cancelled: UnsafePointer<Int32>?

    /// - Parameter memory: 4 (`count` + 1) numbers.
    @inline(__always)
    init(
        _ count: Int, _ memory: UnsafeMutablePointer<Double>, _ starts: UnsafeMutablePointer<Int32>,
        _ cancelled: UnsafePointer<Int32>?
    ) {
        self.init(count, memory, 0, starts, cancelled)
    }

    /// - first: the position whose numbers are in place 0; those before it are not to be asked for.
    @inline(__always)
    init(
        _ count: Int, _ memory: UnsafeMutablePointer<Double>, _ first: Int, _ starts: UnsafeMutablePointer<Int32>,
        _ cancelled: UnsafePointer<Int32>?
    ) {
        self.count = count
        self.starts = starts
        self.cancelled = cancelled
        let length = count &+ 1
        w = memory - first
        y = w + length
        z = y + length
        f = z + length
    }

    @inline(never)
    func isCancelled() -> Bool { cancelled != nil && cancelled.unsafelyUnwrapped.pointee != 0 }

    /// The cost of the values q..<p.
    @inline(__always)
    func cost(_ q: Int, _ p: Int) -> Double {
        let sum = y[p] - y[q]
        return (z[p] - z[q]) - sum * sum / (w[p] - w[q])
    }

    /// Fills `f` and `starts`. Returns the number of clusters of the whole, or 0 when cancelled.
    @inline(never)
    func solve(_ penalty: Double) -> Int {
        f[0] = 0
        starts[0] = 0
        var known = 0
        var chunks = 0
        while known < count {
            let from = Int(starts[known])
            let end = chunkEnd(known, from)
            let last = argmin(end, from, known, penalty)
            fill(known &+ 1, end, from, last, penalty)
            known = end
            chunks &+= 1
            if chunks & 63 == 0 && isCancelled() { return 0 }
        }
        return clusterCount
    }

    /// The clusters of the whole, once `starts` is filled.
    @inline(__always)
    var clusterCount: Int {
        var clusters = 0
        var p = count
        while p > 0 {
            p = Int(starts[p])
            clusters &+= 1
        }
        return clusters
    }

    /// The last position up to which the cluster that begins at `from` can be continued for no more than a new cluster
    /// costs.
    func chunkEnd(_ known: Int, _ from: Int) -> Int {
        let limit = f[known] - f[from]
        var low = known &+ 1
        var step = 1
        while low &+ step <= count && cost(from, low &+ step) <= limit {
            low &+= step
            step &+= step
        }
        while step > 0 {
            if low &+ step <= count && cost(from, low &+ step) <= limit { low &+= step }
            step &>>= 1
        }
        return low
    }

    /// Rows low..<high; their argmins are in first...last.
    func fill(_ low: Int, _ high: Int, _ first: Int, _ last: Int, _ penalty: Double) {
        var low = low
        var first = first
        while low < high {
            if first == last || (high &- low <= 8 && last &- first < 24) {
                fillTogether(low, high, first, last, penalty)
                return
            }
            let middle = low &+ (high &- low) &>> 1
            let found = argmin(middle, first, last, penalty)
            fill(low, middle, first, found, penalty)
            low = middle &+ 1
            first = found
        }
    }

    /// The same for few columns: each is compared in all rows, four rows at a time. The last four overlap those before.
    @inline(__always)
    func fillTogether(_ low: Int, _ high: Int, _ first: Int, _ last: Int, _ penalty: Double) {
        var low = low
        if high &- low < 4 {
            while low < high {
                let found = scan(low, first, last)
                f[low] = f[found] + (cost(found, low) + penalty)
                starts[low] = Int32(truncatingIfNeeded: found)
                low &+= 1
            }
            return
        }
        while low &+ 4 < high {
            fillFour(low, first, last, penalty)
            low &+= 4
        }
        fillFour(high &- 4, first, last, penalty)
    }

    @inline(__always)
    func fillFour(_ low: Int, _ first: Int, _ last: Int, _ penalty: Double) {
        let (wp, yp, zp) = (four(w, low), four(y, low), four(z, low))
        var best = SIMD4<Double>(repeating: .infinity)
        var found = SIMD4<Int64>(repeating: Int64(first))
        var q = first
        while q <= last {
            let sum = yp - SIMD4(repeating: y[q])
            let cost = (zp - SIMD4(repeating: z[q])) - sum * sum / (wp - SIMD4(repeating: w[q]))
            let value = SIMD4(repeating: f[q]) + cost
            let less = value .< best
            best.replace(with: value, where: less)
            found.replace(with: SIMD4(repeating: Int64(q)), where: less)
            q &+= 1
        }
        UnsafeMutableRawPointer(f + low).storeBytes(of: best + SIMD4(repeating: penalty), as: SIMD4<Double>.self)
        starts[low] = Int32(truncatingIfNeeded: found.x)
        starts[low &+ 1] = Int32(truncatingIfNeeded: found.y)
        starts[low &+ 2] = Int32(truncatingIfNeeded: found.z)
        starts[low &+ 3] = Int32(truncatingIfNeeded: found.w)
    }

    /// Finds row `p` among the columns first...last, and returns its argmin.
    @inline(__always)
    func argmin(_ p: Int, _ first: Int, _ last: Int, _ penalty: Double) -> Int {
        let found = last &- first < 12 ? scan(p, first, last) : scanByFours(p, first, last)
        f[p] = f[found] + (cost(found, p) + penalty)
        starts[p] = Int32(truncatingIfNeeded: found)
        return found
    }

    @inline(__always)
    func scan(_ p: Int, _ first: Int, _ last: Int) -> Int {
        var found = first
        var best = Double.infinity
        var q = first
        while q <= last {
            let value = f[q] + cost(q, p)
            if value < best {
                best = value
                found = q
            }
            q &+= 1
        }
        return found
    }

    @inline(__always)
    func four(_ base: UnsafeMutablePointer<Double>, _ index: Int) -> SIMD4<Double> {
        UnsafeRawPointer(base + index).loadUnaligned(as: SIMD4<Double>.self)
    }

    @inline(never)
    func scanByFours(_ p: Int, _ first: Int, _ last: Int) -> Int {
        let wp = SIMD4<Double>(repeating: w[p])
        let yp = SIMD4<Double>(repeating: y[p])
        let zp = SIMD4<Double>(repeating: z[p])
        var best = SIMD4<Double>(repeating: .infinity)
        var places = SIMD4<Double>(repeating: 0)
        var place = SIMD4<Double>(0, 1, 2, 3)
        let step = SIMD4<Double>(repeating: 4)
        var q = first
        while q &+ 3 <= last {
            let sum = yp - four(y, q)
            let value = four(f, q) + ((zp - four(z, q)) - sum * sum / (wp - four(w, q)))
            let less = value .< best
            best.replace(with: value, where: less)
            places.replace(with: place, where: less)
            place += step
            q &+= 4
        }
        var least = best.x
        var offset = places.x
        if best.y < least { (least, offset) = (best.y, places.y) }
        if best.z < least { (least, offset) = (best.z, places.z) }
        if best.w < least { (least, offset) = (best.w, places.w) }
        var found = first &+ Int(truncatingIfNeeded: Int32(offset))
        while q <= last {
            let value = f[q] + cost(q, p)
            if value < least {
                least = value
                found = q
            }
            q &+= 1
        }
        return found
    }
}
