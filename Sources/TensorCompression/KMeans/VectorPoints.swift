import CompressionKernels

#if arch(x86_64)
import CompressionKernelsV3
#endif

/// Memory that is zero at first and freed with the object; running out of it is an error, not the end of the process.
final class VectorMemory<Element: BitwiseCopyable>: @unchecked Sendable {
    let base: UnsafeMutablePointer<Element>
    private let memory: Scratch<Element>

    init(_ count: Int) throws(CompressionError) {
        memory = try Scratch(zeroed: count, operation: "kmeans")
        base = memory.pointer
    }
}

/// Points of vector k-means by component, with what Lloyd's iteration keeps for each of them.
///
/// Work is cut into chunks whose length depends on the number of points alone, and their sums are added in order: the
/// result is the same for any number of threads.
final class VectorPoints: @unchecked Sendable {
    let count: Int
    let dim: Int
    /// Distance between components: `count` rounded up to a multiple of 16.
    let stride: Int
    let planes: VectorMemory<Float>
    /// One for each point; 0 past the last. Where all are 1 they are only written by `writeWeights`.
    let weights: VectorMemory<Float>
    /// Whether a weight is not 1.
    let isWeighted: Bool
    let labels: VectorMemory<Int32>
    let distances: VectorMemory<Float>
    let chunkLength: Int
    let chunkCount: Int

    /// - Parameter k: the clusters looked for; a chunk has at least 4 points for each, so that the sums of all chunks take no
    ///   more memory than the points.
    init(_ count: Int, _ dim: Int, _ k: Int, isWeighted: Bool) throws(CompressionError) {
        self.count = count
        self.dim = dim
        self.isWeighted = isWeighted
        stride = (count + 15) / 16 * 16
        chunkLength = (max(4096, count / 512, 4 * k) + 15) / 16 * 16
        chunkCount = (count + chunkLength - 1) / chunkLength
        planes = try VectorMemory(stride * dim)
        weights = try VectorMemory(stride)
        labels = try VectorMemory(stride)
        distances = try VectorMemory(stride)
    }

    /// The weight of a point, whether it is written or not.
    @inline(__always)
    func weight(_ index: Int) -> Float { isWeighted ? weights.base[index] : 1 }

    /// For what reads `weights`: seeding and breathing, which see few points as a rule.
    func writeWeights() {
        if !isWeighted { for i in 0..<count { weights.base[i] = 1 } }
    }

    @inline(__always)
    func chunk(_ index: Int) -> (start: Int, end: Int) {
        (index * chunkLength, min(count, (index + 1) * chunkLength))
    }

    /// Copies the components of a point.
    func copyPoint(_ index: Int, to target: UnsafeMutablePointer<Float>) {
        for d in 0..<dim { target[d] = planes.base[d * stride + index] }
    }
}

// MARK: - The build of each kernel that suits this processor

extension VectorPoints {
    func assign(
        _ start: Int, _ end: Int, _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
        _ sums: UnsafeMutablePointer<Double>?
    ) -> Bool {
        #if arch(x86_64)
        if usesV3Kernels {
            return CompressionKernelsV3.vectorKMeansAssign(
                planes.base, stride, start, end, dim, centroids, halfNorms, k, labels.base, sums)
        }
        #endif
        return CompressionKernels.vectorKMeansAssign(
            planes.base, stride, start, end, dim, centroids, halfNorms, k, labels.base, sums)
    }

    func accumulate(_ start: Int, _ end: Int, _ sums: UnsafeMutablePointer<Double>) {
        #if arch(x86_64)
        if usesV3Kernels {
            CompressionKernelsV3.vectorKMeansAccumulate(
                planes.base, stride, start, end, dim, weights.base, labels.base, sums)
            return
        }
        #endif
        CompressionKernels.vectorKMeansAccumulate(
            planes.base, stride, start, end, dim, weights.base, labels.base, sums)
    }

    func measure(_ start: Int, _ end: Int, _ centroids: UnsafePointer<Float>) {
        #if arch(x86_64)
        if usesV3Kernels {
            CompressionKernelsV3.vectorKMeansDistances(
                planes.base, stride, start, end, dim, centroids, labels.base, distances.base)
            return
        }
        #endif
        CompressionKernels.vectorKMeansDistances(
            planes.base, stride, start, end, dim, centroids, labels.base, distances.base)
    }

    func potential(_ start: Int, _ end: Int, _ candidate: UnsafePointer<Float>) -> Double {
        #if arch(x86_64)
        if usesV3Kernels {
            return CompressionKernelsV3.vectorKMeansPotential(
                planes.base, stride, start, end, dim, weights.base, distances.base, candidate)
        }
        #endif
        return CompressionKernels.vectorKMeansPotential(
            planes.base, stride, start, end, dim, weights.base, distances.base, candidate)
    }

    func lower(_ start: Int, _ end: Int, _ centre: UnsafePointer<Float>) -> Double {
        #if arch(x86_64)
        if usesV3Kernels {
            return CompressionKernelsV3.vectorKMeansLower(
                planes.base, stride, start, end, dim, weights.base, distances.base, centre)
        }
        #endif
        return CompressionKernels.vectorKMeansLower(
            planes.base, stride, start, end, dim, weights.base, distances.base, centre)
    }

    func findGaps(
        _ start: Int, _ end: Int, _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>, _ k: Int,
        _ gaps: UnsafeMutablePointer<Float>
    ) {
        #if arch(x86_64)
        if usesV3Kernels {
            CompressionKernelsV3.vectorKMeansGaps(
                planes.base, stride, start, end, dim, centroids, halfNorms, k, labels.base, distances.base, gaps)
            return
        }
        #endif
        CompressionKernels.vectorKMeansGaps(
            planes.base, stride, start, end, dim, centroids, halfNorms, k, labels.base, distances.base, gaps)
    }

    func addUpMasses(_ start: Int, _ end: Int, _ masses: UnsafeMutablePointer<Double>) {
        let weights = isWeighted ? UnsafePointer(weights.base) : nil
        #if arch(x86_64)
        if usesV3Kernels {
            CompressionKernelsV3.vectorKMeansMasses(planes.base, stride, start, end, dim, weights, masses)
            return
        }
        #endif
        CompressionKernels.vectorKMeansMasses(planes.base, stride, start, end, dim, weights, masses)
    }

    /// - Parameter isDue: only the points whose slack is not above `passed`.
    /// - Returns: how many points were looked at, and whether a label changed. The slacks are in `distances`.
    func assignWithSlacks(
        _ start: Int, _ end: Int, isDue: Bool, _ centroids: UnsafePointer<Float>, _ halfNorms: UnsafePointer<Float>,
        _ k: Int, _ sums: UnsafeMutablePointer<Double>, _ passed: Float, _ scratch: UnsafeMutableRawPointer
    ) -> (due: Int, hasChanged: Bool) {
        let (p, l, s) = (planes.base, labels.base, distances.base)
        #if arch(x86_64)
        if usesV3Kernels {
            return isDue
                ? CompressionKernelsV3.vectorKMeansAssignDue(
                    p, stride, start, end, dim, centroids, halfNorms, k, l, sums, s, passed, scratch)
                : (
                    end - start,
                    CompressionKernelsV3.vectorKMeansAssignWithSlacks(
                        p, stride, start, end, dim, centroids, halfNorms, k, l, sums, s, passed)
                )
        }
        #endif
        return isDue
            ? CompressionKernels.vectorKMeansAssignDue(
                p, stride, start, end, dim, centroids, halfNorms, k, l, sums, s, passed, scratch)
            : (
                end - start,
                CompressionKernels.vectorKMeansAssignWithSlacks(
                    p, stride, start, end, dim, centroids, halfNorms, k, l, sums, s, passed)
            )
    }
}
