// The exact solver without the levels: the optimum is found with a penalty for each cluster, and accepted where SMAWK,
// with its rounding, finds the same.
//
// Formula   F[p] = min over q < p of F[q] + cost(q, p) + penalty (PenaltyRows.swift). The least cost of n clusters is
//           convex in n, so for a penalty between what cluster k saves and what cluster k + 1 would save, the optimum
//           has k clusters.
// Paper     Aggarwal, Schieber, Tokuyama: Finding a Minimum-Weight k-Link Path in Graphs with the Concave Monge
//           Property (1994). Gronlund et al. (2017), section 4.
// Goals     1. The bits of `exactKMeans1DByLevels`, or no answer. 2. Time. No answer costs at most about a fifth of the
//           levels.
// Cost      The penalty is looked for on every count / 1024-th sum or so, then on all: 1 to 8 rows of argmins in place
//           of k. 15 times faster than the levels for 11,000 values and 16 clusters, 100 times for 256 clusters.
// Memory    That of the levels.
// Differs   The reference has the levels only. Left to them: fewer than 4 clusters, fewer than 256 values or 8 a
//           cluster, numbers of clusters that no penalty makes (all savings equal, as on evenly spaced values), and
//           what fails a check.
//
// Why it is the same result. Let D be the costs that the reference computes for the level below, with its rounding, and
// M(i, j) = D[j - 1] + cost(j, i), the cost taken exactly from the rounded prefix sums. M is Monge in the columns j <=
// i + 1 whatever D is: D and the sums of w x x belong to a row or a column alone. `noise` is more than a comparison of
// two computed entries can err against M.
//
// 1. The candidates (`collect`, `decide`). F[p] is at most the cost of p values in n clusters plus n penalties, for
//    every n. A cell is a number of clusters and a position that the optimum may pass. Its cost is computed from cells
//    of the level below, and must come within `reach` / 4 of F[p] less the penalties. Starts of the last cluster that
//    cost `reach` more than F are left out: they are dearer than the cell by 3/4 `reach`, which is above all rounding.
//    So the least candidate, the first of equal ones, is the first least of all computed entries of its row. Candidates
//    are added up in the reference's order of operations: by induction over the levels, every cell has the bits that
//    the reference has there if SMAWK finds the first least entry of its row.
// 2. Rows that hold row i (`checkRowsBefore`, `checkRowsAfter`). Let j be that entry's column. SMAWK loses j only in a
//    comparison with j: j is not pushed, or pushed too far, at a row t >= i because of a column to its left; or it is
//    popped at a row t <= i by one to its right. At t = i the computed entries decide, for j. Elsewhere M has j ahead
//    by at least loss(a, j, i, t), what Monge adds on the way from i to t. That is checked to be 64 times the noise. A
//    column right of its row costs D[t]: as much, to the bit, as j if j is right of t too, and else as much as column t
//    + 1. Column 0 costs D[t] and more.
// 3. Rows further apart (`checkChains`). SMAWK scans row i between the argmins of its neighbours, which come from
//    reductions without row i. There is always a column b <= j that is as good as j, but for noise, at the row before i
//    and those before, and one g >= j at the row after i and those after. If j leaves the list, it is because g is
//    better at the row after i, and then b keeps the place below, at the row before i, where every column right of j is
//    dearer. Each depth repeats this with b and g, and adds one noise at most: log2 count in all, below the 64. Columns
//    left of b could wear b down by many small errors one after the other only at rows after i, with columns that Monge
//    separates by less than a comparison errs between the row before i and the row after: `checkChains` excludes that.
//    So argmins before i are at most j, those after at least j, j is scanned, and wins.
//
// One step of 3 is argued, not proved: b at a row t before j meets a column right of j, which costs D[t] there. In
// exact arithmetic it cannot win: b joined to the end of the cluster before it would have to cost less than apart. With
// rounding that would take a D off the optimum's way that is wrong by more than joining those clusters costs. Errors of
// that size have no known cause, and no test has met one; but nothing here bounds them.

/// What the search said.
enum PathOutcome {
    case cancelled
    case undecided
    case decided
}

struct PenaltyPath {
    let count: Int
    let k: Int
    let rows: PenaltyRows
    let coarse: PenaltyRows
    /// The penalty with which `rows` was solved last, and how far from the least a cost may be to be looked at.
    var penalty = 0.0
    var reach = 0.0
    /// What rounding of the prefix sums of w and w x, where there was any, takes from a loss, by the spread of the
    /// values.
    var sumNoise = 0.0
    var leastWeight = Double.infinity
    // The cells (level, position) on the ways that cost the least but for `reach`, from the highest level down.
    let levelStarts: UnsafeMutablePointer<Int32>
    let positions: UnsafeMutablePointer<Int32>
    let wayStarts: UnsafeMutablePointer<Int32>
    /// Where the last cluster of a cell may begin, in ascending order.
    let ways: UnsafeMutablePointer<Int32>
    let costs: UnsafeMutablePointer<Double>
    /// Where it begins.
    let chosen: UnsafeMutablePointer<Int32>

    /// Comparisons must be decided by this many times their rounding.
    static let safety = 64.0
    static let unit = 0x1p-53
    /// More distinct values than this are so close together that rounding may decide where SMAWK cuts: the checks fail, and
    /// the levels would take 10 seconds and more for the same cost. The optimum is taken as it is computed here, each
    /// cell from its first least way. (The reference needs 16 k bytes for each of them.)
    static let mostChecked = 1 << 22

    /// Many values lie so close together that several ways cost the same but for rounding.
    static func cellLimit(_ count: Int, _ k: Int) -> Int { count < 1 << 20 ? 2 &* k &+ 64 : 32 &* k &+ 1024 }
    var cellLimit: Int { PenaltyPath.cellLimit(count, k) }
    var wayLimit: Int { 2 &* cellLimit }

    /// Below that the levels are as fast, or clusters are too small for the checks to succeed.
    static func isWorthwhile(_ count: Int, _ k: Int) -> Bool { k >= 4 && count >= 256 && count >= 8 &* k }

    /// - Parameter memory: that of `SmawkRows`, aligned to 32; of use only where `isWorthwhile`.
    // Inlined, as all that more than one function calls: a specialised copy would be a weak symbol.
    @inline(__always)
    init(_ count: Int, _ k: Int, _ memory: UnsafeMutableRawPointer, _ cancelled: UnsafePointer<Int32>?) {
        self.count = count
        self.k = k
        let sums = memory.assumingMemoryBound(to: Double.self)
        let secondPlace: Int = (count &+ 1) &* 32 &+ 512
        let second = memory + secondPlace
        let starts = (second + count &* 16).assumingMemoryBound(to: Int32.self)
        rows = PenaltyRows(count, sums, starts, cancelled)
        let points = min(count / 4, max(1024, 16 &* k))
        let coarseSums = second.assumingMemoryBound(to: Double.self)
        coarse = PenaltyRows(points, coarseSums, starts + (count &+ 1), cancelled)
        // The coarse sums are no longer needed when these are filled.
        let cells = PenaltyPath.cellLimit(count, k)
        costs = coarseSums
        let numbers = (second + cells &* 8).assumingMemoryBound(to: Int32.self)
        positions = numbers
        chosen = numbers + cells
        wayStarts = numbers + 2 &* cells
        levelStarts = numbers + (3 &* cells &+ 1)
        ways = numbers + (3 &* cells &+ 1 &+ k)
    }
}

// MARK: - The optimum

extension PenaltyPath {
    /// Fills `firstIndex` if it can.
    ///
    /// - anyOptimum: where the checks fail, the split of the penalised optimum will do: no other costs less but for
    ///   rounding, but SMAWK's may be another. Always so above `mostChecked` values.
    @inline(never)
    mutating func solve(
        _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>, _ firstIndex: UnsafeMutablePointer<Int32>,
        anyOptimum: Bool
    ) -> PathOutcome {
        let anyOptimum = anyOptimum || count > PenaltyPath.mostChecked
        guard setPrefixSums(values, weights) else { return .undecided }
        setCoarseSums()
        let spread = rows.cost(0, count)
        // Far from what overflows, and from what loses digits because it is small.
        guard spread >= 0x1p-900, spread <= 0x1p1000 else { return .undecided }
        let cubed = Double(k) * Double(k) * Double(k)
        penalty = spread / cubed
        if findPenalty(coarse, 24) { centrePenalty() }
        if rows.isCancelled() { return .cancelled }
        let tries = anyOptimum ? 24 : min(8, 2 &+ k / 4)
        guard findPenalty(rows, tries) else { return rows.isCancelled() ? .cancelled : .undecided }
        setReach(values)
        let cells = collect()
        let isDecided = cells > 0 && decide(cells)
        if rows.isCancelled() { return .cancelled }
        guard isDecided, count > PenaltyPath.mostChecked || check(values, Int(levelStarts[0])) else {
            if anyOptimum { takePenalisedOptimum(firstIndex) }
            return anyOptimum ? .decided : .undecided
        }
        var cell = 0
        var level = k &- 1
        while level > 0 {
            let start = chosen[cell]
            firstIndex[level] = start
            level &-= 1
            cell = find(level, start)
        }
        firstIndex[0] = 0
        return .decided
    }

    /// The split that `rows` found last.
    func takePenalisedOptimum(_ firstIndex: UnsafeMutablePointer<Int32>) {
        var end = count
        var cluster = k &- 1
        while cluster >= 0 {
            end = Int(rows.starts[end])
            firstIndex[cluster] = Int32(truncatingIfNeeded: end)
            cluster &-= 1
        }
    }

    /// The sums that `SmawkRows` makes. False where weights are lost in them.
    @inline(never)
    mutating func setPrefixSums(_ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>) -> Bool {
        let (ws, ys, zs) = (rows.w, rows.y, rows.z)
        var (sumW, sumY, sumZ) = (0.0, 0.0, 0.0)
        var (isExactW, isExactY, isAscending) = (true, true, true)
        var largest = 0.0
        var least = Double.infinity
        ws[0] = 0
        ys[0] = 0
        zs[0] = 0
        var i = 0
        while i < count {
            let x = values[i]
            let w = weights[i]
            let wx = w * x
            let nextW = w + sumW
            let nextY = wx + sumY
            sumZ = w * x * x + sumZ
            isExactW = isExactW && nextW - sumW == w && nextW - w == sumW
            isExactY = isExactY && nextY - sumY == wx && nextY - wx == sumY
            isAscending = isAscending && nextW > sumW
            largest = max(largest, abs(nextY))
            least = min(least, w)
            sumW = nextW
            sumY = nextY
            ws[i &+ 1] = sumW
            ys[i &+ 1] = sumY
            zs[i &+ 1] = sumZ
            i &+= 1
        }
        leastWeight = least
        sumNoise = isExactY ? 0 : 8 * PenaltyPath.unit * largest
        if !isExactW { sumNoise += 16 * PenaltyPath.unit * sumW * max(abs(values[0]), abs(values[count &- 1])) }
        return isAscending
    }

    func setCoarseSums() {
        var i = 0
        while i <= coarse.count {
            let place = i &* count / coarse.count
            coarse.w[i] = rows.w[place]
            coarse.y[i] = rows.y[place]
            coarse.z[i] = rows.z[place]
            i &+= 1
        }
    }

    /// Looks for a penalty that makes `k` clusters. Where `rows` takes a number of clusters, the least penalised cost
    /// is a
    /// line over the penalty, and the least of all lines is concave: between two of them, it is tried where they cross.
    /// That
    /// finds a number between, or there is none. Before there are two: fine clusters cost about k^-2, so one more
    /// saves about k^-3.
    mutating func findPenalty(_ rows: PenaltyRows, _ tries: Int) -> Bool {
        var fewer = 0
        var more = 0
        var (costOfFewer, costOfMore) = (0.0, 0.0)
        var tried = 0
        while tried < tries {
            let clusters = rows.solve(penalty)
            if clusters == k { return true }
            if clusters == 0 || clusters == fewer || clusters == more { return false }
            let cost = rows.f[rows.count] - penalty * Double(clusters)
            if clusters > k {
                (more, costOfMore) = (clusters, cost)
            } else {
                (fewer, costOfFewer) = (clusters, cost)
            }
            if fewer > 0 && more > 0 {
                penalty = (costOfFewer - costOfMore) / Double(more &- fewer)
            } else {
                let ratio = Double(clusters) / Double(k)
                penalty *= ratio * ratio * ratio
            }
            tried &+= 1
        }
        return false
    }

    /// Moves a penalty that makes `k` clusters of the coarse sums from the border of its range, which is about 3 / k
    /// wide.
    mutating func centrePenalty() {
        let probe = 1.5 / Double(k)
        if coarse.solve(penalty * (1 + probe)) == k {
            penalty *= 1 + probe / 2
        } else if coarse.solve(penalty * (1 - probe)) == k {
            penalty *= 1 - probe / 2
        }
    }

    mutating func setReach(_ values: UnsafePointer<Double>) {
        reach = 64 * PenaltyPath.unit * (rows.z[count] + Double(k) * rows.f[count])
        reach += 8 * sumNoise * (values[count &- 1] - values[0])
    }
}

// MARK: - The ways of least cost

extension PenaltyPath {
    /// Lists the cells of every level that the optimum may pass, and returns their number: 0 when there are too many.
    @inline(never)
    func collect() -> Int {
        positions[0] = Int32(truncatingIfNeeded: count)
        levelStarts[k &- 1] = 0
        var cells = 1
        var wayCount = 0
        var cell = 0
        var level = k &- 1
        while level > 0 {
            let below = cells
            levelStarts[level &- 1] = Int32(truncatingIfNeeded: below)
            while cell < below {
                wayStarts[cell] = Int32(truncatingIfNeeded: wayCount)
                let first = wayCount
                guard collectWays(Int(positions[cell]), &wayCount) else { return 0 }
                var way = first
                while way < wayCount {
                    guard Int(ways[way]) >= level, insert(ways[way], below, &cells) else { return 0 }
                    way &+= 1
                }
                cell &+= 1
            }
            level &-= 1
        }
        while cell < cells {
            wayStarts[cell] = Int32(truncatingIfNeeded: wayCount)
            cell &+= 1
        }
        wayStarts[cells] = Int32(truncatingIfNeeded: wayCount)
        return cells
    }

    /// Lists where the last cluster before `position` may begin. A block q..<q + size costs at least f[q] and the cost
    /// of the
    /// shortest of its clusters; the size of the blocks adapts itself.
    func collectWays(_ position: Int, _ wayCount: inout Int) -> Bool {
        let limit = rows.f[position] - penalty + reach
        var q = 0
        var size = max(1, position / 8)
        while q < position {
            if q &+ size > position { size = position &- q }
            if rows.f[q] + rows.cost(q &+ size &- 1, position) > limit {
                q &+= size
                size &+= size
            } else if size > 1 {
                size &>>= 1
            } else {
                guard wayCount < wayLimit else { return false }
                ways[wayCount] = Int32(truncatingIfNeeded: q)
                wayCount &+= 1
                q &+= 1
            }
        }
        return true
    }

    /// Adds a position to the ascending ones from cell `first` on.
    func insert(_ position: Int32, _ first: Int, _ cells: inout Int) -> Bool {
        var place = cells
        while place > first && positions[place &- 1] > position { place &-= 1 }
        if place > first && positions[place &- 1] == position { return true }
        guard cells < cellLimit else { return false }
        var last = cells
        while last > place {
            positions[last] = positions[last &- 1]
            last &-= 1
        }
        positions[place] = position
        cells &+= 1
        return true
    }

    func find(_ level: Int, _ position: Int32) -> Int {
        var cell = Int(levelStarts[level])
        while positions[cell] != position { cell &+= 1 }
        return cell
    }

    /// The cost of a cluster as `SmawkRows` computes it.
    @inline(__always)
    func clusterCost(_ start: Int, _ end: Int) -> Double {
        let w = rows.w[end] - rows.w[start]
        let y = rows.y[end] - rows.y[start]
        let mean = y / w
        var cost = rows.z[end] - rows.z[start]
        cost += w * (mean * mean)
        cost -= (2 * mean) * y
        return cost
    }

    /// The costs of the cells from level 0 up, and of each the first way that costs the least. False where one is not
    /// as
    /// cheap as the penalised optimum: the ways that were left out are then not known to cost more.
    @inline(never)
    func decide(_ cells: Int) -> Bool {
        var level = 0
        var cellEnd = cells
        while level < k {
            var cell = Int(levelStarts[level])
            while cell < cellEnd {
                let position = Int(positions[cell])
                var best = Double.infinity
                if level == 0 {
                    best = clusterCost(0, position)
                    chosen[cell] = 0
                } else {
                    var way = Int(wayStarts[cell])
                    while way < Int(wayStarts[cell &+ 1]) {
                        let start = Int(ways[way])
                        let value = costs[find(level &- 1, ways[way])] + clusterCost(start, position)
                        if value < best {
                            best = value
                            chosen[cell] = ways[way]
                        }
                        way &+= 1
                    }
                }
                costs[cell] = best
                guard best <= rows.f[position] - penalty * Double(level &+ 1) + reach / 4 else { return false }
                cell &+= 1
            }
            cellEnd = Int(levelStarts[level])
            level &+= 1
        }
        return true
    }
}
