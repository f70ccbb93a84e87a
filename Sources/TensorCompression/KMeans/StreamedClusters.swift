import CompressionKernels
import CompressionKernelsV3

/// What `streamedClusters` did.
enum StreamedClusters: ~Copyable {
    /// Centroids and thresholds are there.
    case done
    /// Many elements are equal: to merge them takes less memory, and here they are.
    case merged(DistinctValues)
    /// Another way is needed: few elements or clusters, importances most of which are lost in the sum of all, costs that
    /// rounding decides.
    case undecided
}

/// Fewer elements take little memory in any way.
private let leastCount = 1 << 18

extension Float {
    /// The clusters of least weighted sum of squared errors, but for rounding, in little memory: from 4 bits on about 16
    /// bytes an element, which is what sorting takes.
    ///
    /// - Parameters:
    ///   - importance: `count` numbers, finite and not negative.
    ///   - limit: clusters wanted.
    ///   - centroids: receives `limit` means.
    ///   - thresholds: receives the least value of each cluster but the first, and of elements without weight the
    ///     least that is nearer to it than to the one before.
    static func streamedClusters(
        _ values: UnsafePointer<Float>, _ count: Int, _ importance: UnsafePointer<Float>, _ limit: Int,
        _ pool: WorkPool, _ operation: String, centroids: UnsafeMutablePointer<Double>,
        thresholds: UnsafeMutablePointer<Float>
    ) throws(CompressionError) -> StreamedClusters {
        let canStream = variant(CompressionKernels.canStreamKMeans1D, CompressionKernelsV3.canStreamKMeans1D)
        guard count >= leastCount, count <= distinctValueLimit, canStream(count, limit) else { return .undecided }
        let sorted = try SortedKeys<UInt32>(values, count, numbered: true, pool, operation)
        guard let bits = sorted.numberPlaces else { return .undecided }
        let keys = sorted.keys.pointer
        let different = variant(CompressionKernels.countDistinct, CompressionKernelsV3.countDistinct)(keys, count)
        guard different > count / 4 else {
            return .merged(try UInt32.distinctValues(sorted, count, .float32(importance), operation))
        }
        pool.forEachPiece(count) { start, end in
            variant(CompressionKernels.gatherImportance, CompressionKernelsV3.gatherImportance)(
                bits + start, end - start, importance)
        }
        try pool.checkCancellation(operation)
        let weights = UnsafeMutableRawPointer(bits).bindMemory(to: Float.self, capacity: count)
        let (pulling, distinct) = keepPulling(keys, weights, count)
        guard canStream(distinct, limit) else { return .undecided }
        let bytes = variant(
            CompressionKernels.streamedKMeans1DScratchBytes, CompressionKernelsV3.streamedKMeans1DScratchBytes)(
                pulling, limit)
        let scratch = try Scratch<UInt8>(bytes, operation: operation)
        let firstIndex = try Scratch<Int32>(limit, operation: operation)
        let starts = UnsafeMutableRawPointer(sorted.spare.pointer).bindMemory(to: Int32.self, capacity: pulling + 1)
        let outcome = variant(CompressionKernels.streamedKMeans1D, CompressionKernelsV3.streamedKMeans1D)(
            keys, weights, pulling, limit, scratch.pointer, starts, centroids, firstIndex.pointer,
            pool.cancellation.flag)
        if outcome < 0 { throw .cancelled(operation) }
        guard outcome > 0 else { return .undecided }
        for cluster in 1..<limit {
            let first = Int(firstIndex.pointer[cluster])
            thresholds[cluster - 1] = threshold(
                keys[first - 1], keys[first], centroids[cluster - 1], centroids[cluster], isExact: pulling == count)
        }
        return .done
    }

    /// Leaves out what has no weight, or one that a sum of all would not notice.
    /// - Returns: how many stay, and how many different ones; none where all are zero.
    private static func keepPulling(
        _ keys: UnsafeMutablePointer<UInt32>, _ weights: UnsafeMutablePointer<Float>, _ count: Int
    ) -> (pulling: Int, distinct: Int) {
        var total = 0.0
        for i in 0..<count { total += Double(weights[i]) }
        let least = max(total * lostShare, .leastNonzeroMagnitude)
        var (kept, distinct) = (0, 0)
        for i in 0..<count where Double(weights[i]) >= least {
            if kept == 0 || keys[kept - 1] != keys[i] { distinct += 1 }
            (keys[kept], weights[kept]) = (keys[i], weights[i])
            kept += 1
        }
        return (kept, distinct)
    }

    /// The least value after `low` that is nearer to the cluster that begins with `high` than to the one that ends with `low`.
    private static func threshold(
        _ low: UInt32, _ high: UInt32, _ before: Double, _ after: Double, isExact: Bool
    ) -> Float {
        var (low, high) = (low, high)
        while !isExact && high - low > 1 {
            let middle = low + (high - low) / 2
            let value = CompressionKernels.keyValue(middle)
            if value - before > after - value { high = middle } else { low = middle }
        }
        return Float(CompressionKernels.keyValue(high))
    }
}
