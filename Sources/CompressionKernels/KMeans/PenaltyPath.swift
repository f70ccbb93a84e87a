// The exact solver without the levels: the optimum is found with a penalty for each cluster, and accepted where SMAWK,
// with its rounding, finds the same.
//
// Formula   F[p] = min over q < p of F[q] + cost(q, p) + penalty (PenaltyRows.swift). The least cost of n clusters is
//           convex in n, so for a penalty between what cluster k saves and what cluster k + 1 would save, the optimum
//           has k clusters. Where the last clusters all save the same (values at even steps), the optima of all numbers
//           of clusters between two cost the same at one penalty, and k is among them.
// Paper     Aggarwal, Schieber, Tokuyama: Finding a Minimum-Weight k-Link Path in Graphs with the Concave Monge
//           Property (1994). Gronlund et al. (2017), section 4.
// Goals     1. The bits of `exactKMeans1DByLevels`, or no answer. 2. Time. No answer costs at most about a third of the
//           levels.
// Cost      The penalty is looked for on every count / 1024-th sum or so, then on all: 1 to 8 rows of argmins in place
//           of k. 24 times faster than the levels for 11,000 values and 16 clusters, 115 times for 256 clusters.
// Memory    That of the levels.
// Differs   The reference has the levels only. Left to them: fewer than 4 clusters, fewer than 256 values or 8 a
//           cluster, what fails a check, and ties in such number that their cells have no room (values at even steps and
//           more than about 50 clusters).
//
// Why it is the same result. Let D be the costs that the reference computes for the level below, with its rounding, and
// M(i, j) = D[j - 1] + cost(j, i), the cost taken exactly from the rounded prefix sums. M is Monge in the columns j <=
// i + 1 whatever D is: D and the sums of w x x belong to a row or a column alone. `noise` is more than a comparison of
// two computed entries can err against M.
//
// 1. The candidates (`collect`, `decide`). F[p] is at most the cost of p values in n clusters plus n penalties, for
//    every n. A cell is a number of clusters and a position that the optimum may pass. Its cost is computed from cells
//    of the level below. Open cells come within `reach` / 4 of F[p] less the penalties; a cell that comes to more than
//    `reach` / 2 is closed, and its true cost is above `reach` / 2 too, as a way of less would have passed cells of
//    less, all of them listed; what lies between ends the attempt. Starts of the last cluster that cost `reach` more
//    than F are left out. So what is closed or left out is dearer than an open cell by `reach` / 4, which is above all
//    rounding, and the least candidate, the first of equal ones, is the first least of all computed entries of its row.
//    Candidates are added up in the reference's order of operations: by induction over the levels, every open cell has
//    the bits that the reference has there if SMAWK finds the first least entry of its row.
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

/// What the path said.
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
    /// A cell takes 28 bytes of the 16 a value that `SmawkRows` has for its columns.
    static func cellLimit(_ count: Int, _ k: Int) -> Int {
        min(count < 1 << 20 ? 8 &* k &+ 256 : 32 &* k &+ 1024, (16 &* count &- 4 &* k &- 64) / 28)
    }
    var cellLimit: Int { PenaltyPath.cellLimit(count, k) }
    var wayLimit: Int { 2 &* cellLimit }

    /// Sums that the penalty is looked for on first.
    @inline(__always)
    static func coarsePoints(_ count: Int, _ k: Int) -> Int { min(count / 4, max(1024, 16 &* k)) }

    /// More than rounding can make of the cost of all clusters.
    /// - z: the sum of all w x x; noise: see `sumNoise`; width: of all values.
    @inline(__always)
    static func reach(_ z: Double, _ cost: Double, _ k: Int, _ noise: Double, _ width: Double) -> Double {
        128 * unit * (z + Double(k) * cost) + 16 * noise * width
    }

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
        let points = PenaltyPath.coarsePoints(count, k)
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
        guessPenalty(values)
        if findPenalty(coarse, 24) == .found && k >= 32 { penalty = centredPenalty(penalty, k, coarse) }
        if rows.isCancelled() { return .cancelled }
        let tries = anyOptimum ? 24 : min(24, 2 &+ k / 4)
        let search = findPenalty(rows, tries)
        if search == .failed { return rows.isCancelled() ? .cancelled : .undecided }
        setReach(values)
        if penalty < reach { return .undecided }
        let cells = collect()
        let isDecided = cells > 0 && decide(cells)
        if rows.isCancelled() { return .cancelled }
        guard isDecided, count > PenaltyPath.mostChecked || check(values, Int(levelStarts[0])) else {
            guard anyOptimum && search == .found else { return .undecided }
            takePenalisedOptimum(firstIndex)
            return .decided
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
        var checked = CheckedSums()
        var least = Double.infinity
        ws[0] = 0
        ys[0] = 0
        zs[0] = 0
        var i = 0
        while i < count {
            checked.add(values[i], weights[i])
            least = min(least, weights[i])
            ws[i &+ 1] = checked.sums.w
            ys[i &+ 1] = checked.sums.y
            zs[i &+ 1] = checked.sums.z
            i &+= 1
        }
        leastWeight = least
        sumNoise = checked.isExactY ? 0 : checked.noiseOfY
        if !checked.isExactW { sumNoise += checked.noiseOfW(max(abs(values[0]), abs(values[count &- 1]))) }
        return checked.isAscending
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

    @inline(never)
    mutating func guessPenalty(_ values: UnsafePointer<Double>) {
        let w = rows.w
        penalty = guessedPenalty(count &- 1, k) { start, end in (values[end] - values[start], w[end] - w[start]) }
    }

    mutating func findPenalty(_ rows: PenaltyRows, _ tries: Int) -> PenaltySearch {
        searchPenalty(&penalty, k, tries) { penalty in
            let clusters = rows.solve(penalty)
            return (clusters, rows.f[rows.count])
        }
    }

    mutating func setReach(_ values: UnsafePointer<Double>) {
        let width = values[count &- 1] - values[0]
        reach = PenaltyPath.reach(rows.z[count], rows.f[count], k, sumNoise, width)
    }
}
