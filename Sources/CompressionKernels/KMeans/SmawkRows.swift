// Row minima of the cost matrix of one level of the dynamic programme: SMAWK without recursion, on flat memory.
//
// The matrix has a row i and a column j for each value: entry(i, j) = D[min(i, j - 1)] + cost(j, i) (D[i] + cost(0, i)
// for column 0; D[i] + 0 for j > i), as the reference defines it. D is the level before.
// Depth d of SMAWK has the rows 2^d - 1, 2^d - 1 + 2^d, ...: count >> d of them. `reduceAll` finds for each depth, from
// 0 down, the columns that survive; `interpolateAll` finds the minima from the deepest depth up, each even row by a
// scan of the surviving columns between the argmins of its neighbours.
//
// The argmins are non-decreasing by construction: the neighbours of a scanned row come from the depth below, which is
// non-decreasing by induction, survivors are in ascending order, and a scan never leaves its range. So a row between
// two argmins has a non-empty range whatever rounding did to the costs.

struct SmawkRows {
    let count: Int
    /// Entry j, 0...count: sums of w, w x and w x x before value j, and D[j - 1]. Entry 0 has D[0].
    let prefix: UnsafeMutablePointer<SIMD4<Double>>
    /// The argmin of each row, after `interpolateAll`.
    let argmins: UnsafeMutablePointer<Int32>
    /// cost(i, i): zero but for rounding.
    private let ownCosts: UnsafeMutablePointer<Double>
    /// While reducing: the entry of each column of the stack at its own row. While interpolating: the minimum by row.
    private let minima: UnsafeMutablePointer<Double>
    /// The surviving columns of each depth, one after the other.
    private let survivors: UnsafeMutablePointer<Int32>
    /// Their number at each depth.
    private let survivorCounts: UnsafeMutablePointer<Int>
    /// Whether depth 0 has a list of survivors. Otherwise they are all columns but `gap` (-1: but none).
    private var isListed = false
    private var gap = -1
    private let cancelled: UnsafePointer<Int32>?

    private static let depthLimit = 64

    /// 60 bytes a value.
    @inline(__always)
    static func byteCount(_ count: Int) -> Int {
        (count &+ 1) &* 32 &+ depthLimit &* 8 &+ count &* 16 &+ ((count &* 12 &+ 31) & ~31)
    }

    @inline(__always)
    init(_ count: Int, _ memory: UnsafeMutableRawPointer, _ cancelled: UnsafePointer<Int32>?) {
        self.count = count
        self.cancelled = cancelled
        prefix = memory.assumingMemoryBound(to: SIMD4<Double>.self)
        var next = memory + (count &+ 1) &* 32
        survivorCounts = next.assumingMemoryBound(to: Int.self)
        next += SmawkRows.depthLimit &* 8
        ownCosts = next.assumingMemoryBound(to: Double.self)
        minima = ownCosts + count
        next += count &* 16
        argmins = next.assumingMemoryBound(to: Int32.self)
        survivors = argmins + count
    }
}

// MARK: - Levels

extension SmawkRows {
    @inline(never)
    func setPrefixSums(_ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>) {
        var sums = SIMD4<Double>(0, 0, 0, 0)
        prefix[0] = sums
        var i = 0
        while i < count {
            let x = values[i]
            let w = weights[i]
            sums.x = w + sums.x
            sums.y = w * x + sums.y
            sums.z = w * x * x + sums.z
            prefix[i &+ 1] = sums
            ownCosts[i] = clusterCost(prefix[i &+ 1] - prefix[i])
            i &+= 1
        }
    }

    /// D of level 0: everything in one cluster.
    @inline(never)
    func setFirstLevel() {
        var i = 1
        while i <= count {
            prefix[i].w = clusterCost(prefix[i] - prefix[0])
            i &+= 1
        }
        prefix[0].w = prefix[1].w
    }

    /// D of the level just interpolated becomes the one that the next level starts from.
    @inline(never)
    func takeMinima() {
        var i = 0
        while i < count {
            prefix[i &+ 1].w = minima[i]
            i &+= 1
        }
        prefix[0].w = minima[0]
    }

    /// The cost of a cluster from its sums of w, w x and w x x, in the reference's order of operations.
    @inline(__always)
    func clusterCost(_ sums: SIMD4<Double>) -> Double {
        let mean = sums.y / sums.x
        var cost = sums.z
        cost += sums.x * (mean * mean)
        cost -= (2 * mean) * sums.y
        return cost
    }

    @inline(__always)
    func entry(_ row: Int, _ column: Int) -> Double {
        let end = prefix[row &+ 1]
        if column > row { return end.w + 0.0 }
        let start = prefix[column]
        return (column == 0 ? end.w : start.w) + clusterCost(end - start)
    }

    /// The same where the column is not 0.
    @inline(__always)
    func entry(_ row: Int, _ column: Int, _ end: SIMD4<Double>, _ start: SIMD4<Double>) -> Double {
        column > row ? end.w + 0.0 : start.w + clusterCost(end - start)
    }

    @inline(never)
    func isCancelled() -> Bool { cancelled != nil && cancelled.unsafelyUnwrapped.pointee != 0 }
}

// MARK: - Reduce

extension SmawkRows {
    /// Finds the surviving columns of every depth. False when cancelled.
    @inline(never)
    mutating func reduceAll() -> Bool {
        findFirstDepth()
        var list = survivors
        if isListed { survivorCounts[0] = reduce(0, nil, count, list) }
        var depth = 1
        while count &>> depth > 0 {
            if isCancelled() { return false }
            if depth == 1 && !isListed {
                survivorCounts[1] = reduce(1, nil, count, list)
            } else {
                let next = list + survivorCounts[depth &- 1]
                survivorCounts[depth] = reduce(depth, list, survivorCounts[depth &- 1], next)
                list = next
            }
            depth &+= 1
        }
        return !isCancelled()
    }

    /// What the first reduction leaves, without running its stack. Column c meets column c - 1 in row c - 1, where it
    /// costs D[c - 1], and is pushed if that is at least entry(c - 1, c - 1): always, but for rounding. The first c
    /// that costs less takes the place of c - 1, and is pushed, for it costs no less than c - 2 did in row c - 2. Every
    /// later column lies to the right of the row it is compared in, where it costs D[row] as its predecessor
    /// does, and is pushed. So at most one column goes, unless a cost is NaN: then the stack is run.
    mutating func findFirstDepth() {
        gap = -1
        isListed = false
        var c = count &- 1
        while c > 0 {
            let cost = prefix[c].w + 0.0
            let own = prefix[c &- 1].w + ownCosts[c &- 1]
            if cost < own { gap = c &- 1 }
            isListed = isListed || cost.isNaN || own.isNaN
            c &-= 1
        }
    }

    func reduce(
        _ depth: Int, _ columns: UnsafeMutablePointer<Int32>?, _ columnCount: Int, _ kept: UnsafeMutablePointer<Int32>
    ) -> Int {
        let rowCount = count &>> depth
        let stride = 1 &<< depth
        let skipped = columns == nil && !isListed ? gap : -1
        // The stack is never empty after the first column: only the first can be column 0.
        let first = columns == nil ? (skipped == 0 ? 1 : 0) : Int(columns.unsafelyUnwrapped[0])
        kept[0] = Int32(truncatingIfNeeded: first)
        minima[0] = entry(stride &- 1, first)
        var top = 0
        var row = stride &- 1
        var c = columns == nil ? first &+ 1 : 1
        while c < columnCount {
            let column = columns == nil ? c : Int(columns.unsafelyUnwrapped[c])
            c &+= 1
            if column == skipped { continue }
            let start = prefix[column]
            var value = entry(row, column, prefix[row &+ 1], start)
            if value >= minima[top] {
                if top &+ 1 == rowCount { continue }
                top &+= 1
                row &+= stride
                value = entry(row, column, prefix[row &+ 1], start)
            } else {
                while top > 0 {
                    let next = entry(row &- stride, column, prefix[row &- stride &+ 1], start)
                    if next >= minima[top &- 1] { break }
                    top &-= 1
                    row &-= stride
                    value = next
                }
            }
            kept[top] = Int32(truncatingIfNeeded: column)
            minima[top] = value
        }
        return top &+ 1
    }
}

// MARK: - Interpolate

extension SmawkRows {
    /// Finds the argmin and the minimum of every row. False when cancelled.
    @inline(never)
    func interpolateAll() -> Bool {
        var depth = deepest
        while depth > 0 || (depth == 0 && isListed) {
            if isCancelled() { return false }
            interpolate(depth, list(depth), survivorCounts[depth])
            depth &-= 1
        }
        if !isListed { interpolateFirstDepth() }
        return !isCancelled()
    }

    /// The depth with a single row.
    private var deepest: Int { count.bitWidth &- 1 &- count.leadingZeroBitCount }

    func list(_ depth: Int) -> UnsafeMutablePointer<Int32> {
        var list = survivors
        var above = isListed ? 0 : 1
        while above < depth {
            list += survivorCounts[above]
            above &+= 1
        }
        return list
    }

    func interpolate(_ depth: Int, _ kept: UnsafeMutablePointer<Int32>, _ keptCount: Int) {
        let rowCount = count &>> depth
        let stride = 1 &<< depth
        var c = 0
        var r = 0
        while r < rowCount {
            let row = stride &- 1 &+ r &* stride
            let last = r &+ 1 < rowCount ? argmins[row &+ stride] : kept[keptCount &- 1]
            var argmin = kept[c]
            var column = argmin
            let end = prefix[row &+ 1]
            var best = entry(row, Int(argmin))
            while column != last {
                c &+= 1
                column = kept[c]
                let value = entry(row, Int(column), end, prefix[Int(column)])
                if value < best {
                    argmin = column
                    best = value
                }
            }
            argmins[row] = argmin
            minima[row] = best
            r &+= 2
        }
    }

    /// The same at depth 0 where every column but `gap` survives.
    func interpolateFirstDepth() {
        var column = gap == 0 ? 1 : 0
        var row = 0
        while row < count {
            let last = row &+ 1 < count ? Int(argmins[row &+ 1]) : count &- 1
            var argmin = column
            let end = prefix[row &+ 1]
            var best = entry(row, argmin)
            while column < last {
                column &+= 1
                if column == gap { continue }
                let value = entry(row, column, end, prefix[column])
                if value < best {
                    argmin = column
                    best = value
                }
            }
            argmins[row] = Int32(truncatingIfNeeded: argmin)
            minima[row] = best
            row &+= 2
        }
    }

    /// The argmin of the last row alone. At each depth the last row is either an even one, scanned from the argmin of
    /// the row before it (the last of the depth below) to the last survivor, or is itself the last row of the depth below.
    @inline(never)
    func argminOfLastRow() -> Int {
        var argmin = -1
        var depth = deepest
        while depth >= 0 {
            let rowCount = count &>> depth
            if rowCount & 1 == 1 {
                let row = (rowCount &<< depth) &- 1
                argmin = depth == 0 && !isListed ? scanAll(row, argmin) : scan(depth, row, argmin)
            }
            depth &-= 1
        }
        return argmin
    }

    /// The argmin of `row` among the survivors at `depth`, from column `from` (-1: the first) to the last.
    func scan(_ depth: Int, _ row: Int, _ from: Int) -> Int {
        let kept = list(depth)
        let keptCount = survivorCounts[depth]
        var c = 0
        while Int(kept[c]) < from { c &+= 1 }
        var argmin = Int(kept[c])
        var best = entry(row, argmin)
        c &+= 1
        while c < keptCount {
            let value = entry(row, Int(kept[c]))
            if value < best {
                argmin = Int(kept[c])
                best = value
            }
            c &+= 1
        }
        return argmin
    }

    /// The same at depth 0 where every column but `gap` survives.
    func scanAll(_ row: Int, _ from: Int) -> Int {
        var argmin = from >= 0 ? from : (gap == 0 ? 1 : 0)
        var best = entry(row, argmin)
        var column = argmin &+ 1
        while column < count {
            if column != gap {
                let value = entry(row, column)
                if value < best {
                    argmin = column
                    best = value
                }
            }
            column &+= 1
        }
        return argmin
    }
}
