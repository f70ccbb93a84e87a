import CompressionKernels

/// One tensor being palettized: its groups, found and filled in parallel.
struct PaletteJob<Element: WeightElement> {
    let geometry: GroupGeometry
    let task: PaletteTask
    let importance: Importance?
    let mask: UnsafePointer<UInt8>?

    private var pool: WorkPool { task.pool }

    /// Checks the elements, divides them by their scale if one is wanted, and hands them on.
    func withElements(
        _ tensor: TensorView, _ scaleKind: PerChannelScale, _ scale: UnsafeMutablePointer<Element>?,
        _ body: (UnsafePointer<Element>) throws(CompressionError) -> Void
    ) throws(CompressionError) {
        let elements = tensor.base.assumingMemoryBound(to: Element.self)
        let scaled = scaleKind != .none
        if task.mode != .custom || scaled {
            let purpose = scaled ? "a per-channel scale" : "mode \(task.mode.rawValue)"
            try requireFinite(
                elements, tensor.elementCount, mask, infinities: task.mode != .unique || scaled, pool, "palettize",
                purpose)
        }
        guard scaled else { return try body(elements) }
        guard let scale else {
            throw .invalid("[palettize] scale: found no place for it, allowed one when a per-channel scale is on")
        }
        let copy = try ScaledTensor(elements, geometry, scaleKind, mask, pool, scale)
        try body(copy.elements.pointer)
    }

    /// Runs `body(group, scratch)` for every group; small groups in batches that share their tables.
    func forEachGroup(
        _ body: (Int, GroupScratch) throws(CompressionError) -> Void
    ) throws(CompressionError) {
        let groups = geometry.groups
        let batch = max(1, min(pieceLength / geometry.groupElements, groups / (4 * pool.threadCount)))
        let batches = (groups + batch - 1) / batch
        try pool.tryForEach(batches, operation: "palettize") { index throws(CompressionError) in
            let scratch = try GroupScratch(Element.type, operation: "palettize")
            for group in index * batch..<min(groups, (index + 1) * batch) {
                try pool.checkCancellation("palettize")
                try body(group, scratch)
            }
        }
    }

    /// The palette of one group into `lut` and its codes into `indices`, both of the whole tensor.
    func fill(
        _ elements: UnsafePointer<Element>, _ group: Int, _ scratch: GroupScratch,
        _ lut: UnsafeMutablePointer<Element>, _ indices: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let palette = lut + group * task.entries * task.clusterDim
        if task.clusterDim > 1 { return try fillVectors(elements, group, palette, indices) }
        if geometry.isContiguous, mask == nil {
            let start = geometry.runStart(group, 0)
            return try task.palettizeScalars(
                elements + start, geometry.groupElements, importanceFrom(start), scratch, palette, indices + start)
        }
        let values = try Scratch<Element>(geometry.groupElements, operation: "palettize")
        let codes = try Scratch<UInt8>(geometry.groupElements, operation: "palettize")
        let count = gather(group, elements, values.pointer)
        switch importance {
        case nil:
            try task.palettizeScalars(values.pointer, count, nil, scratch, palette, codes.pointer)
        case .float32(let pointer):
            let gathered = try Scratch<Float>(geometry.groupElements, operation: "palettize")
            _ = gather(group, pointer, gathered.pointer)
            try task.palettizeScalars(
                values.pointer, count, .float32(gathered.pointer), scratch, palette, codes.pointer)
        case .float64(let pointer):
            let gathered = try Scratch<Double>(geometry.groupElements, operation: "palettize")
            _ = gather(group, pointer, gathered.pointer)
            try task.palettizeScalars(
                values.pointer, count, .float64(gathered.pointer), scratch, palette, codes.pointer)
        }
        if let mask {
            geometry.scatterMaskedCodes(group, codes.pointer, mask, indices)
        } else {
            geometry.scatterCodes(group, codes.pointer, indices)
        }
    }

    private func importanceFrom(_ start: Int) -> GroupImportance? {
        switch importance {
        case nil: nil
        case .float32(let pointer): .float32(pointer + start)
        case .float64(let pointer): .float64(pointer + start)
        }
    }

    private func gather<Value: BitwiseCopyable>(
        _ group: Int, _ source: UnsafePointer<Value>, _ target: UnsafeMutablePointer<Value>
    ) -> Int {
        if let mask { return geometry.gatherMasked(group, source, mask, target) }
        geometry.gather(group, source, target)
        return geometry.groupElements
    }

    private func fillVectors(
        _ elements: UnsafePointer<Element>, _ group: Int, _ palette: UnsafeMutablePointer<Element>,
        _ indices: UnsafeMutablePointer<UInt8>
    ) throws(CompressionError) {
        let count = geometry.groupCodes
        let points = try Scratch<Element>(geometry.groupElements, operation: "palettize")
        geometry.gatherVectors(group, elements, points.pointer)
        let codes = try Scratch<UInt8>(count, operation: "palettize")
        if let importance {
            let sums = try Scratch<Double>(count, operation: "palettize")
            try addUpImportance(importance, group, sums.pointer)
            try task.palettizeVectors(points.pointer, count, sums.pointer, palette, codes.pointer)
        } else {
            try task.palettizeVectors(points.pointer, count, nil, palette, codes.pointer)
        }
        geometry.scatterCodes(group, codes.pointer, indices)
    }

    /// A vector's importance is the sum of its elements', in order.
    private func addUpImportance(
        _ importance: Importance, _ group: Int, _ sums: UnsafeMutablePointer<Double>
    ) throws(CompressionError) {
        let dimension = task.clusterDim
        switch importance {
        case .float32(let pointer):
            let gathered = try Scratch<Float>(geometry.groupElements, operation: "palettize")
            geometry.gatherVectors(group, pointer, gathered.pointer)
            for i in 0..<geometry.groupCodes {
                sums[i] = 0
                for j in 0..<dimension { sums[i] += Double(gathered.pointer[i * dimension + j]) }
            }
        case .float64(let pointer):
            let gathered = try Scratch<Double>(geometry.groupElements, operation: "palettize")
            geometry.gatherVectors(group, pointer, gathered.pointer)
            for i in 0..<geometry.groupCodes {
                sums[i] = 0
                for j in 0..<dimension { sums[i] += gathered.pointer[i * dimension + j] }
            }
        }
    }

    /// The number of distinct values or vectors of a group; 257 when there are more than 256 (binary16 scalars: the number).
    func countDistinct(
        _ elements: UnsafePointer<Element>, _ group: Int, _ scratch: GroupScratch
    ) throws(CompressionError) -> Int {
        let values = try Scratch<Element>(geometry.groupElements, operation: "palettize")
        var count = geometry.groupCodes
        if task.clusterDim > 1 {
            geometry.gatherVectors(group, elements, values.pointer)
        } else {
            count = gather(group, elements, values.pointer)
        }
        if Element.type == .float16, task.clusterDim == 1 {
            return try Element.distinctValues(values.pointer, count, nil, scratch, pool, "palettize").count
        }
        let slots = try Scratch<Int32>(CompressionKernels.distinctSlots, operation: "palettize")
        let firsts = try Scratch<Int>(256, operation: "palettize")
        let codes = try Scratch<UInt8>(count, operation: "palettize")
        let found = Element.findDistinctVectors(
            values.pointer, count, task.clusterDim, slots.pointer, firsts.pointer, codes.pointer)
        return found < 0 ? 257 : found
    }
}
