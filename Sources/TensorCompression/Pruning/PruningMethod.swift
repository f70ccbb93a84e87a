/// Which elements become zero.
public enum PruningMethod: Sendable, Hashable {
    /// The share `targetSparsity` (0 to 1) of least magnitude: all up to the percentile that NumPy computes.
    case magnitude(targetSparsity: Double)
    /// The same by the L2 norm of blocks of `blockSize` neighbouring channels of axis `dim`, 0 or 1.
    case blockMagnitude(targetSparsity: Double, blockSize: Int, dim: Int)
    /// Of every `m` neighbouring channels of axis `dim`, 0 or 1, the `n` of least magnitude; of equal ones the first.
    case nOfM(n: Int, m: Int, dim: Int)
    /// All of at most this magnitude. Declined when a smaller share than `minimumSparsity` is zero afterwards.
    case threshold(Double, minimumSparsity: Double = 0)
}

/// What `prune` did.
public struct PruningSummary: Sendable, Hashable {
    /// Elements whose mask is 1.
    public let nonzeroCount: Int
}

extension PruningMethod {
    /// Checks everything that does not depend on the elements.
    func validate(_ shape: [Int]) throws(CompressionError) {
        switch self {
        case .magnitude(let sparsity): try checkShare("target_sparsity", sparsity)
        case .blockMagnitude(let sparsity, let size, let dim):
            try checkShare("target_sparsity", sparsity)
            guard size >= 1 else { throw .invalid("[prune] block_size: found \(size), allowed 1 and above") }
            try checkChannels(shape, dim, "block_size", size)
        case .nOfM(let n, let m, let dim):
            guard n >= 0, m >= 1, n <= m else {
                throw .invalid("[prune] n_m_ratio: found \(n):\(m), allowed n:m with 0 <= n <= m and 1 <= m")
            }
            try checkChannels(shape, dim, "n_m_ratio", m)
        case .threshold(let limit, let share):
            guard limit >= 0 else { throw .invalid("[prune] threshold: found \(limit), allowed 0 and above") }
            try checkShare("minimum_sparsity_percentile", share)
        }
    }

    private func checkShare(_ name: String, _ value: Double) throws(CompressionError) {
        guard value >= 0, value <= 1 else { throw .invalid("[prune] \(name): found \(value), allowed 0 to 1") }
    }

    private func checkChannels(
        _ shape: [Int], _ dim: Int, _ name: String, _ size: Int
    ) throws(CompressionError) {
        guard dim == 0 || dim == 1 else { throw .invalid("[prune] dim: found \(dim), allowed 0, 1") }
        guard (2...5).contains(shape.count) else {
            throw .declined("[prune] weight: found rank \(shape.count), allowed 2 to 5 with \(name)")
        }
        guard size <= shape[dim] / 2 else {
            throw .declined(
                "[prune] \(name): found \(size), allowed at most half the \(shape[dim]) channels of axis \(dim)")
        }
    }
}
