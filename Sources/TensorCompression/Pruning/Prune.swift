/// Finds the elements that a pruned tensor keeps.
///
/// The tensor is only read. The mask does not depend on the number of threads, and is that of coremltools 9.0 with
/// NumPy 2, but for ties of n:m pruning, which NumPy breaks in an order that depends on the processor.
///
/// - Parameters:
///   - mask: receives one byte for each element: 1 kept, 0 zero (pruned, or +0.0 or -0.0 before).
/// - Throws: `.invalidArgument` for an impossible shape or numbers out of range; `.declined` for NaN or infinite elements
///   (naming the first), blocks or groups of more than half the channels, ranks that have no channels, and too little
///   sparsity; `.cancelled`; `.outOfMemory`.
@discardableResult
public func prune(
    _ tensor: TensorView, _ method: PruningMethod, pool: WorkPool, mask: UnsafeMutablePointer<UInt8>
) throws(CompressionError) -> PruningSummary {
    try tensor.validate("prune")
    try method.validate(tensor.shape)
    guard tensor.elementCount > 0 else { return PruningSummary(nonzeroCount: 0) }
    let kept =
        switch tensor.type {
        case .float16: try run(UInt16.self)
        case .float32: try run(Float.self)
        case .float64: try run(Double.self)
        }
    return PruningSummary(nonzeroCount: kept)

    func run<Element: PrunableElement>(_: Element.Type) throws(CompressionError) -> Int {
        let elements = tensor.base.assumingMemoryBound(to: Element.self)
        try requireFinite(
            elements, tensor.elementCount, nil, infinities: true, pool, "prune", "pruning")
        let job = PruningJob<Element>(
            elements: elements, shape: tensor.shape, count: tensor.elementCount, pool: pool, mask: mask)
        return try job.run(method)
    }
}

private struct PruningJob<Element: PrunableElement> {
    let elements: UnsafePointer<Element>
    let shape: [Int]
    let count: Int
    let pool: WorkPool
    let mask: UnsafeMutablePointer<UInt8>

    func run(_ method: PruningMethod) throws(CompressionError) -> Int {
        switch method {
        case .magnitude(let sparsity):
            let all = WeightedElements(elements: elements, count: count, weight: 1)
            return try keepAbove(limit(sparsity, [all]) ?? 0)
        case .blockMagnitude(let sparsity, let size, let dim): return try keepBlocks(sparsity, size, dim)
        case .nOfM(let n, let m, let dim): return try keepGroups(n, m, dim)
        case .threshold(let limit, let share):
            let kept = try keepAbove(Element(nearest: limit).magnitudePattern)
            let sparsity = Double(count - kept) / Double(count)
            guard sparsity >= share else {
                throw .declined(
                    "[prune] minimum_sparsity_percentile: found sparsity \(sparsity), allowed \(share) and above")
            }
            return kept
        }
    }

    /// A magnitude that no finite one is above.
    private var infinity: UInt64 { Element(nearest: .infinity).magnitudePattern }

    /// The bit pattern up to which magnitudes become zero; nil: none does.
    private func limit(
        _ sparsity: Double, _ parts: [WeightedElements<Element>]
    ) throws(CompressionError) -> UInt64? {
        // As in the reference, 0 % and 100 % need no percentile.
        if sparsity * 100 == 100 { return infinity }
        return sparsity == 0 ? nil : try MagnitudePercentile(parts: parts, pool: pool).find(sparsity)
    }

    /// Adds up what `body(start, end)` returns for the pieces of the tensor.
    private func sum(
        _ pieces: Int, _ body: (Int) throws(CompressionError) -> Int
    ) throws(CompressionError) -> Int {
        let counts = try Scratch<Int>(pieces, operation: "prune")
        let places = counts.pointer
        try pool.tryForEach(pieces, operation: "prune") { piece throws(CompressionError) in
            places[piece] = try body(piece)
        }
        var total = 0
        for piece in 0..<pieces { total += places[piece] }
        return total
    }

    private func keepAbove(_ limit: UInt64) throws(CompressionError) -> Int {
        try sum((count + pieceLength - 1) / pieceLength) { piece throws(CompressionError) in
            let start = piece * pieceLength
            return Element.maskAbove(elements + start, min(pieceLength, count - start), limit, mask + start)
        }
    }

    // MARK: - Channels

    /// The tensor as [first axis, second axis, all others].
    private var inner: Int { shape[2...].reduce(1, *) }

    private func keepBlocks(_ sparsity: Double, _ size: Int, _ dim: Int) throws(CompressionError) -> Int {
        // Axis 0: one matrix of channels and everything else. Axis 1: such a matrix for each index of axis 0.
        let (matrices, width) = dim == 0 ? (1, shape[1] * inner) : (shape[0], inner)
        let channels = shape[dim]
        let blocks = (channels + size - 1) / size
        let norms = try Scratch<Element>(matrices * blocks * width, operation: "prune")
        let places = norms.pointer
        // The last block of each matrix may be shorter; those come behind the others, to be counted apart.
        let whole = channels % size == 0 ? blocks : blocks - 1
        let lastBlocks = places + matrices * whole * width
        func place(_ matrix: Int, _ block: Int) -> UnsafeMutablePointer<Element> {
            block < whole ? places + (matrix * whole + block) * width : lastBlocks + matrix * width
        }
        try forEachRow(matrices * blocks, size * width) { index in
            let (matrix, block) = (index / blocks, index % blocks)
            let present = min(size, channels - block * size)
            let source = elements + (matrix * channels + block * size) * width
            if width == 1 {
                place(matrix, block).pointee = Element.neighboursNorm(source, present, size)
            } else {
                Element.columnNorms(source, present, width, width, place(matrix, block))
            }
        }
        let bound = try limit(
            sparsity,
            [
                WeightedElements(elements: places, count: matrices * whole * width, weight: size),
                WeightedElements(
                    elements: lastBlocks, count: matrices * (blocks - whole) * width, weight: channels % size),
            ])
        guard let bound else { return try keepAbove(0) }
        if width > 1 {
            return try sumRows(matrices * channels, width) { row in
                Element.maskByNorm(
                    elements + row * width, place(row / channels, row % channels / size), width, bound,
                    mask + row * width)
            }
        }
        return try sumRows(matrices * blocks, size) { index in
            let (matrix, block) = (index / blocks, index % blocks)
            let start = matrix * channels + block * size
            let length = min(size, channels - block * size)
            let kept = place(matrix, block).pointee.magnitudePattern > bound
            return Element.maskAbove(elements + start, length, kept ? 0 : infinity, mask + start)
        }
    }

    private func keepGroups(_ n: Int, _ m: Int, _ dim: Int) throws(CompressionError) -> Int {
        let (matrices, width) = dim == 0 ? (1, shape[1] * inner) : (shape[0], inner)
        let channels = shape[dim]
        let groups = (channels + m - 1) / m
        // Columns side by side make a task; with one column, the groups that follow each other do.
        if width == 1 {
            return try sumRows(matrices, channels) { matrix throws(CompressionError) in
                let work = try Scratch<UInt64>(m, operation: "prune")
                let (source, target) = (elements + matrix * channels, mask + matrix * channels)
                let whole = channels / m
                var kept = Element.maskLowestOfGroups(source, whole, m, 1, m, m, n, work.pointer, target)
                if whole < groups {
                    let start = whole * m
                    kept += Element.maskLowestOfGroups(
                        source + start, 1, m, 1, channels - start, m, n, work.pointer, target + start)
                }
                return kept
            }
        }
        return try sumRows(matrices * groups, m * width) { index throws(CompressionError) in
            let work = try Scratch<UInt64>(m, operation: "prune")
            let (matrix, group) = (index / groups, index % groups)
            let start = (matrix * channels + group * m) * width
            return Element.maskLowestOfGroups(
                elements + start, width, 1, width, min(m, channels - group * m), m, n, work.pointer, mask + start)
        }
    }

    /// Runs `body(row)` for all rows of about `length` elements, some in one task.
    private func forEachRow(_ rows: Int, _ length: Int, _ body: (Int) -> Void) throws(CompressionError) {
        _ = try sumRows(rows, length) { row in
            body(row)
            return 0
        }
    }

    private func sumRows(
        _ rows: Int, _ length: Int, _ body: (Int) throws(CompressionError) -> Int
    ) throws(CompressionError) -> Int {
        let batch = max(1, pieceLength / max(1, length))
        return try sum((rows + batch - 1) / batch) { index throws(CompressionError) in
            var total = 0
            for row in index * batch..<min(rows, (index + 1) * batch) { total += try body(row) }
            return total
        }
    }
}
