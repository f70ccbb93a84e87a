/// Where the elements of each group lie in a dense tensor.
///
/// The tensor is [outer, channels, inner]; group g takes the channels g * groupSize up to (g + 1) * groupSize. So a group is
/// `outer` runs, of `groupSize * inner` elements each; all of it is one run when there is one group or no outer axis.
/// Codes lie in the same way, with `clusterDim` channels in one.
struct GroupGeometry {
    let shape: [Int]
    let axis: Int
    let outer: Int
    let channels: Int
    let inner: Int
    let groupSize: Int
    let clusterDim: Int

    init(shape: [Int], axis: Int, groupSize: Int, clusterDim: Int) {
        self.shape = shape
        self.axis = axis
        outer = shape[..<axis].reduce(1, *)
        channels = shape[axis]
        inner = shape[(axis + 1)...].reduce(1, *)
        self.groupSize = groupSize
        self.clusterDim = clusterDim
    }

    var groups: Int { channels / groupSize }
    var groupElements: Int { outer * groupSize * inner }
    var groupCodes: Int { groupElements / clusterDim }

    /// Whether a group's elements follow each other in memory.
    var isContiguous: Bool { outer == 1 || groups == 1 }

    /// The first element of a run.
    @inline(__always)
    func runStart(_ group: Int, _ run: Int) -> Int { (run * channels + group * groupSize) * inner }
    var runLength: Int { isContiguous ? groupElements : groupSize * inner }
    var runs: Int { isContiguous ? 1 : outer }

    /// Copies the elements of a group, in the order of the tensor.
    func gather<Element: BitwiseCopyable>(
        _ group: Int, _ tensor: UnsafePointer<Element>, _ target: UnsafeMutablePointer<Element>
    ) {
        let size = MemoryLayout<Element>.size
        for run in 0..<runs {
            copyBytes(tensor + runStart(group, run), runLength * size, to: target + run * runLength)
        }
    }

    /// Copies the elements of a group that take part; returns their number.
    func gatherMasked<Element: BitwiseCopyable>(
        _ group: Int, _ tensor: UnsafePointer<Element>, _ mask: UnsafePointer<UInt8>,
        _ target: UnsafeMutablePointer<Element>
    ) -> Int {
        var count = 0
        for run in 0..<runs {
            let start = runStart(group, run)
            for i in start..<start + runLength where mask[i] != 0 {
                target[count] = tensor[i]
                count += 1
            }
        }
        return count
    }

    /// Copies the vectors of a group, one after the other, in the order of their codes.
    func gatherVectors<Element: BitwiseCopyable>(
        _ group: Int, _ tensor: UnsafePointer<Element>, _ target: UnsafeMutablePointer<Element>
    ) {
        var out = target
        for block in 0..<outer {
            for vector in 0..<groupSize / clusterDim {
                let start = tensor + (block * channels + group * groupSize + vector * clusterDim) * inner
                for component in 0..<clusterDim {
                    let source = start + component * inner
                    for i in 0..<inner { out[i &* clusterDim &+ component] = source[i] }
                }
                out += inner * clusterDim
            }
        }
    }

    /// Copies the codes of a group to their places.
    func scatterCodes(_ group: Int, _ codes: UnsafePointer<UInt8>, _ indices: UnsafeMutablePointer<UInt8>) {
        let length = runLength / clusterDim
        for run in 0..<runs {
            copyBytes(codes + run * length, length, to: indices + runStart(group, run) / clusterDim)
        }
    }

    /// Copies the codes of the elements that take part to their places, and 0 to the others'.
    func scatterMaskedCodes(
        _ group: Int, _ codes: UnsafePointer<UInt8>, _ mask: UnsafePointer<UInt8>,
        _ indices: UnsafeMutablePointer<UInt8>
    ) {
        var next = 0
        for run in 0..<runs {
            let start = runStart(group, run)
            for i in start..<start + runLength {
                indices[i] = 0
                if mask[i] != 0 {
                    indices[i] = codes[next]
                    next += 1
                }
            }
        }
    }

    // MARK: - The order of a `lut_function`

    /// The shape of a group with the channel axis and the first axis swapped.
    var swappedShape: [Int] {
        var result = shape
        result[axis] = groupSize
        result.swapAt(0, axis)
        return result
    }

    /// Calls `body(place in the tensor, place in the swapped group, length)` for the stretches of a group, with channels
    /// in blocks of `block`.
    private func forEachSwapped(_ group: Int, block: Int, _ body: (Int, Int, Int) -> Void) {
        let first = axis == 0 ? 1 : shape[0]
        let middle = outer / first
        let width = channels / block
        var place = 0
        for channel in 0..<groupSize / block {
            for m in 0..<middle {
                for f in 0..<first {
                    body(((f * middle + m) * width + group * groupSize / block + channel) * inner, place, inner)
                    place += inner
                }
            }
        }
    }

    /// Copies the elements of a group, channel axis first.
    func gatherSwapped<Element: BitwiseCopyable>(
        _ group: Int, _ tensor: UnsafePointer<Element>, _ target: UnsafeMutablePointer<Element>
    ) {
        forEachSwapped(group, block: 1) { source, place, length in
            copyBytes(tensor + source, length * MemoryLayout<Element>.size, to: target + place)
        }
    }

    /// Copies codes in that order to their places.
    func scatterSwappedCodes(_ group: Int, _ codes: UnsafePointer<UInt8>, _ indices: UnsafeMutablePointer<UInt8>) {
        forEachSwapped(group, block: clusterDim) { target, place, length in
            copyBytes(codes + place, length, to: indices + target)
        }
    }
}
