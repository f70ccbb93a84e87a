import CompressionKernels
import CompressionKernelsV3

/// What the palettes of a tensor have in common.
struct PaletteTask {
    let mode: PalettizationMode
    let nbits: Int
    let clusterDim: Int
    let seed: UInt64
    let anyOptimum: Bool
    let starts: Int
    let pool: WorkPool
    var entries: Int { 1 << nbits }
}

extension PaletteTask {
    /// The palette and the codes of one group of scalars.
    ///
    /// - values: `count` elements, checked to be finite (`unique`: no NaN). None: the palette stays zero.
    /// - lut: `entries` elements, zeroed.
    func palettizeScalars<Element: WeightElement>(
        _ values: UnsafePointer<Element>, _ count: Int, _ importance: GroupImportance?, _ scratch: GroupScratch,
        _ lut: UnsafeMutablePointer<Element>, _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        guard count > 0 else { return }
        switch mode {
        case .kmeans: try cluster(values, count, importance, scratch, lut, codes)
        case .uniform: try spreadEvenly(values, count, lut, codes)
        case .unique where Element.type == .float16: try listHalves(values, count, scratch, lut, codes)
        case .unique: try listVectors(values, count, lut, codes)
        case .custom: throw CompressionError(kind: .internal, message: "[palettize] custom groups are not computed")
        }
    }

    private func cluster<Element: WeightElement>(
        _ values: UnsafePointer<Element>, _ count: Int, _ importance: GroupImportance?, _ scratch: GroupScratch,
        _ lut: UnsafeMutablePointer<Element>, _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let centroids = try Scratch<Double>(entries, operation: "palettize")
        if anyOptimum, Element.type == .float32, case .float32(let weights) = importance {
            let singles = UnsafeRawPointer(values).assumingMemoryBound(to: Float.self)
            switch try stream(singles, count, weights, centroids.pointer, codes) {
            case .done:
                for c in 0..<entries { lut[c] = Element(nearest: centroids.pointer[c]) }
                return
            case .merged(let distinct):
                return try cluster(distinct, values, count, scratch, centroids.pointer, lut, codes)
            case .undecided: break
            }
        }
        let distinct = try Element.distinctValues(values, count, importance, scratch, pool, "palettize")
        try cluster(distinct, values, count, scratch, centroids.pointer, lut, codes)
    }

    private func cluster<Element: WeightElement>(
        _ distinct: borrowing DistinctValues, _ values: UnsafePointer<Element>, _ count: Int, _ scratch: GroupScratch,
        _ centroids: UnsafeMutablePointer<Double>, _ lut: UnsafeMutablePointer<Element>,
        _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let firstIndex = try Scratch<Int32>(entries, operation: "palettize")
        let clusters = try clusterDistinct(
            distinct, entries, centroids, firstIndex.pointer, pool, "palettize", anyOptimum: anyOptimum)
        for c in 0..<clusters { lut[c] = Element(nearest: centroids[c]) }
        try Element.clusterCodes(values, count, distinct, firstIndex.pointer, clusters, scratch, pool, codes)
    }

    /// Many values in little memory, with their codes.
    private func stream(
        _ values: UnsafePointer<Float>, _ count: Int, _ importance: UnsafePointer<Float>,
        _ centroids: UnsafeMutablePointer<Double>, _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) -> StreamedClusters {
        let thresholds = try Scratch<Float>(entries, operation: "palettize")
        let table = thresholds.pointer
        switch try Float.streamedClusters(
            values, count, importance, entries, pool, "palettize", centroids: centroids, thresholds: table)
        {
        case .merged(let distinct): return .merged(distinct)
        case .undecided: return .undecided
        case .done:
            Float.findCodes(values, count, table, entries, pool, codes)
            return .done
        }
    }

    private func listHalves<Element: WeightElement>(
        _ values: UnsafePointer<Element>, _ count: Int, _ scratch: GroupScratch,
        _ lut: UnsafeMutablePointer<Element>, _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let distinct = try Element.distinctValues(values, count, nil, scratch, pool, "palettize")
        guard distinct.count <= entries else { throw tooManyDistinct(distinct.count) }
        let firstIndex = try Scratch<Int32>(256, operation: "palettize")
        for c in 0..<distinct.count {
            lut[c] = Element(nearest: distinct.values.pointer[c])
            firstIndex.pointer[c] = Int32(truncatingIfNeeded: c)
        }
        try Element.clusterCodes(values, count, distinct, firstIndex.pointer, distinct.count, scratch, pool, codes)
    }

    /// Lists distinct vectors of `clusterDim` elements in ascending order, first component first.
    func listVectors<Element: WeightElement>(
        _ points: UnsafePointer<Element>, _ count: Int, _ lut: UnsafeMutablePointer<Element>,
        _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let slots = try Scratch<Int32>(CompressionKernels.distinctSlots, operation: "palettize")
        let firsts = try Scratch<Int>(256, operation: "palettize")
        let found = Element.findDistinctVectors(points, count, clusterDim, slots.pointer, firsts.pointer, codes)
        guard found >= 0, found <= entries else { throw tooManyDistinct(found) }
        let places = firsts.pointer
        let dimension = clusterDim
        // Adding zero makes +0.0 of -0.0.
        @inline(__always) func component(_ id: Int, _ j: Int) -> Double {
            points[places[id] * dimension + j].double + 0
        }
        let order = (0..<found).sorted { first, second in
            for j in 0..<dimension where component(first, j) != component(second, j) {
                return component(first, j) < component(second, j)
            }
            return false
        }
        let ranks = try Scratch<UInt8>(zeroed: 256, operation: "palettize")
        for (rank, id) in order.enumerated() {
            ranks.pointer[id] = UInt8(rank)
            for j in 0..<dimension { lut[rank * dimension + j] = Element(nearest: component(id, j)) }
        }
        let table = ranks.pointer
        pool.forEachPiece(count) { start, end in
            variant(CompressionKernels.renumberCodes, CompressionKernelsV3.renumberCodes)(
                codes + start, end - start, table)
        }
    }

    private func tooManyDistinct(_ found: Int) -> CompressionError {
        let what = found < 0 ? "more than 256" : "\(found)"
        return .declined(
            "[palettize] unique: found \(what) distinct values, a palette of \(nbits) bits holds \(entries)")
    }
}

// MARK: - Uniform

extension PaletteTask {
    private func spreadEvenly<Element: WeightElement>(
        _ values: UnsafePointer<Element>, _ count: Int, _ lut: UnsafeMutablePointer<Element>,
        _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let (least, greatest) = try range(values, count)
        let levels = Double(entries - 1)
        // Each step rounded to the element type, as NumPy does it; rounding a binary64 result once more is exact there.
        let range = Element(nearest: greatest - least)
        let scale = Element(nearest: range.double / levels)
        var overflows = !range.isFinite || !scale.isFinite
        for i in 0..<entries {
            lut[i] = Element(nearest: Double(i) * scale.double + least)
            if !lut[i].isFinite { overflows = true }
        }
        if overflows {
            try spreadWidely(values, count, least, greatest, lut, codes)
        } else if range.double == 0 {
            zeroBytes(codes, count)
        } else if Element.type == .float16, count > 65_536 {
            try spreadHalves(values, count, least, range.double, levels, codes)
        } else {
            pool.forEachPiece(count) { start, end in
                Element.uniformCodes(values + start, end - start, least, range.double, levels, codes + start)
            }
        }
    }

    private func range<Element: WeightElement>(
        _ values: UnsafePointer<Element>, _ count: Int
    ) throws(CompressionError) -> (least: Double, greatest: Double) {
        let pieces = (count + pieceLength - 1) / pieceLength
        let ranges = try Scratch<(Double, Double)>(pieces, operation: "palettize")
        let places = ranges.pointer
        pool.forEachPiece(count) { start, end in
            places[start / pieceLength] = Element.range(values + start, end - start)
        }
        try pool.checkCancellation("palettize")
        var (least, greatest) = places[0]
        for piece in 1..<max(pieces, 1) {
            least = min(least, places[piece].0)
            greatest = max(greatest, places[piece].1)
        }
        return (least, greatest)
    }

    /// Large binary16 groups: the code of every pattern once, then a look-up for each element.
    private func spreadHalves<Element: WeightElement>(
        _ values: UnsafePointer<Element>, _ count: Int, _ least: Double, _ range: Double, _ levels: Double,
        _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let patterns = try Scratch<UInt16>(65_536, operation: "palettize")
        let table = try Scratch<UInt8>(65_536, operation: "palettize")
        for pattern in 0..<65_536 { patterns.pointer[pattern] = UInt16(pattern) }
        UInt16.uniformCodes(patterns.pointer, 65_536, least, range, levels, table.pointer)
        let source = UnsafeRawPointer(values).assumingMemoryBound(to: UInt16.self)
        let lookup = table.pointer
        pool.forEachPiece(count) { start, end in
            variant(CompressionKernels.lookUpHalfCodes, CompressionKernelsV3.lookUpHalfCodes)(
                source + start, end - start, lookup, codes + start)
        }
    }

    /// Data whose range or palette would round to infinity in the element type (coremltools then writes infinities):
    /// all in binary64, the palette clipped to the data's range.
    private func spreadWidely<Element: WeightElement>(
        _ values: UnsafePointer<Element>, _ count: Int, _ least: Double, _ greatest: Double,
        _ lut: UnsafeMutablePointer<Element>, _ codes: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        // Halves, so that binary64 data cannot overflow either.
        let range = greatest / 2 - least / 2
        let levels = Double(entries - 1)
        for i in 0..<entries {
            let value = least + Double(i) * (range / levels) * 2
            lut[i] = Element(nearest: max(least, min(greatest, value)))
        }
        pool.forEachPiece(count) { start, end in
            for i in start..<end {
                let part = (values[i].double / 2 - least / 2) / range
                codes[i] = UInt8(max(0, min(levels, (part * levels).rounded(.toNearestOrEven))))
            }
        }
    }
}
