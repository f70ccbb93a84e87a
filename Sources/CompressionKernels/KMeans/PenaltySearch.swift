// The penalty for which the partition of least penalised cost (PenaltyRows.swift) has k clusters.
//
// Formula   The least cost of n clusters is convex in n: a penalty between what cluster k saves and what cluster k + 1 would
//           save makes k clusters.
// Paper     Aggarwal, Schieber, Tokuyama (1994), see PenaltyRows.swift. Panter, Dite: Quantization Distortion in
//           Pulse-Count Modulation with Nonuniform Spacing of Levels (1951), for the first guess.

/// What the search for a penalty said.
enum PenaltySearch {
    /// It makes `k` clusters.
    case found
    /// It makes fewer or more, at the same least cost as `k` but for rounding.
    case between
    case failed
}

/// Looks for a penalty that makes `k` clusters. Where a partition has a number of clusters, the least penalised cost is a
/// line over the penalty, and the least of all lines is concave: between two of them, it is tried where they cross. That
/// finds a number between, or the lines of all numbers between cross there. Before there are two: fine clusters cost about
/// k^-2, so one more saves about k^-3.
///
/// - Parameters:
///   - penalty: a guess; the last one tried.
///   - solve: the number of clusters for a penalty, 0 for none, and the penalised cost.
// Inlined, as all that more than one function calls: a specialised copy would be a weak symbol.
@inline(__always)
func searchPenalty(
    _ penalty: inout Double, _ k: Int, _ tries: Int, _ solve: (Double) -> (clusters: Int, cost: Double)
) -> PenaltySearch {
    var fewer = 0
    var more = 0
    var (costOfFewer, costOfMore) = (0.0, 0.0)
    var tried = 0
    var power = 3
    while tried < tries {
        let (clusters, penalised) = solve(penalty)
        if clusters == k { return .found }
        if clusters == 0 { return .failed }
        if fewer > 0 && more > 0 && (clusters == fewer || clusters == more) { return .between }
        // The same number again, before there are two: a longer step.
        power = clusters == fewer || clusters == more ? min(power &+ power, 384) : 3
        let cost = penalised - penalty * Double(clusters)
        if clusters > k {
            (more, costOfMore) = (clusters, cost)
        } else {
            (fewer, costOfFewer) = (clusters, cost)
        }
        if fewer > 0 && more > 0 {
            penalty = (costOfFewer - costOfMore) / Double(more &- fewer)
        } else {
            let ratio = Double(clusters) / Double(k)
            for _ in 0..<power { penalty *= ratio }
            if !(penalty >= 0x1p-1000 && penalty <= 0x1p1000) { return .failed }
        }
        tried &+= 1
    }
    return .failed
}

/// What one cluster more saves where clusters are many: (sum of (w x x)^(1/3))^3 / (6 k^3) over pieces with weight w and
/// width x. The outer pieces are not evenly filled, which makes it too high, by about a seventh for Gaussian values.
///
/// - piece: the width and the weight between two of the places 0...last.
@inline(__always)
func guessedPenalty(_ last: Int, _ k: Int, _ piece: (Int, Int) -> (width: Double, weight: Double)) -> Double {
    let pieces = 64
    var sum = 0.0
    var start = 0
    var number = 1
    while number <= pieces {
        let end = number &* last / pieces
        let (width, weight) = piece(start, end)
        if end > start { sum += cubeRoot(weight * width * width) }
        start = end
        number &+= 1
    }
    let scaled = sum / Double(k)
    return 0.87 / 6 * (scaled * scaled * scaled)
}

/// Of a positive number, to about 1e-6.
@inline(__always)
private func cubeRoot(_ number: Double) -> Double {
    // A third of the exponent (and, linearly, of the mantissa), then Newton's steps.
    var root = Double(bitPattern: number.bitPattern / 3 &+ 0x2a9f_7893_782d_a1ce)
    for _ in 0..<3 { root -= (root - number / (root * root)) / 3 }
    return root
}

/// A penalty that makes `k` clusters of coarse sums, moved from the border of its range, which is about 3 / k wide.
@inline(__always)
func centredPenalty(_ penalty: Double, _ k: Int, _ coarse: PenaltyRows) -> Double {
    let probe = 1.5 / Double(k)
    if coarse.solve(penalty * (1 + probe)) == k { return penalty * (1 + probe / 2) }
    if coarse.solve(penalty * (1 - probe)) == k { return penalty * (1 - probe / 2) }
    return penalty
}
