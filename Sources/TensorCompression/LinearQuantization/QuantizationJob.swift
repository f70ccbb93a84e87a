/// What a stretch of blocks turned out to hold.
struct BlockFindings {
    var zeroBlocks = 0
    /// A NaN or an infinity was seen; the outputs have no meaning.
    var nonFinite = false
    /// Where it was decoded too.
    var error = ErrorStatistics.none

    mutating func add(_ other: BlockFindings) {
        zeroBlocks += other.zeroBlocks
        nonFinite = nonFinite || other.nonFinite
        error.add(other.error)
    }
}

/// One tensor being quantized.
struct QuantizationJob<Element: QuantizableElement> {
    let elements: UnsafePointer<Element>
    let layout: QuantizationLayout
    let options: QuantizationOptions
    let pool: WorkPool
    /// Where the codes go; nil where nothing but `dense` is wanted.
    let codes: UnsafeMutablePointer<UInt8>?
    let scale: UnsafeMutablePointer<Element>
    let zero: UnsafeMutablePointer<UInt8>
    /// Where the elements go that the codes stand for, or nil.
    let dense: UnsafeMutablePointer<Element>?

    private var isLinear: Bool { options.mode == .linear }
    private var range: (least: Double, greatest: Double) {
        let range = options.type.range(options.mode)
        return (Double(range.least), Double(range.greatest))
    }

    func run() throws(CompressionError) -> BlockFindings {
        guard layout.count > 0 else { return fillEmpty() }
        if let length = contiguousBlock, length <= pieceLength { return try runContiguous(length) }
        if let codes { return try runAnyBlocks(codes) }
        let bytes = try Scratch<UInt8>(layout.count, operation: "quantize")
        return try runAnyBlocks(bytes.pointer)
    }

    /// Blocks of an empty tensor count as blocks of zeros.
    private func fillEmpty() -> BlockFindings {
        let parameters = OddBlock<Element>(low: 0, high: 0, options: options).right(reference: 0)
        for block in 0..<layout.blockCount { write(parameters, block) }
        return BlockFindings(zeroBlocks: layout.blockCount)
    }

    private func write(_ parameters: BlockParameters, _ block: Int) {
        scale[block] = Element(nearest: parameters.scale)
        zero[block] = UInt8(truncatingIfNeeded: Int(parameters.zero))
    }

    /// The length of a block if each is a stretch of neighbouring elements, one block after the other.
    private var contiguousBlock: Int? {
        let (shape, parts) = (layout.shape, layout.scaleShape)
        var axis = shape.count
        while axis > 0, parts[axis - 1] == 1 { axis -= 1 }
        if axis > 0 { axis -= 1 }
        for before in 0..<axis where parts[before] != shape[before] { return nil }
        return layout.count / layout.blockCount
    }

    // MARK: - Blocks that lie one after the other

    private func runContiguous(_ length: Int) throws(CompressionError) -> BlockFindings {
        let perPiece = max(1, pieceLength / length)
        let pieces = (layout.blockCount + perPiece - 1) / perPiece
        let findings = try Scratch<BlockFindings>(pieces, operation: "quantize")
        let places = findings.pointer
        try pool.tryForEach(pieces, operation: "quantize") { piece throws(CompressionError) in
            let first = piece * perPiece
            let count = min(perPiece, layout.blockCount - first)
            let numbers = try BlockNumbers<Element>(count)
            let source = elements + first * length
            let bytes = try Scratch<UInt8>(codes == nil ? count * length : 0, operation: "quantize")
            let target = codes.map { $0 + first * length } ?? bytes.pointer
            if isLinear {
                Element.blockExtremes(source, count, length, numbers.low, numbers.high)
            } else {
                Element.blockMagnitudes(source, count, length, numbers.high)
            }
            places[piece] = findParameters(first, count, numbers)
            if places[piece].nonFinite { return }
            Element.quantizeBlocks(
                source, count, length, numbers.divisor, numbers.offset, range.least, range.greatest, target)
            if options.referenceArithmetic {
                for block in 0..<count where Element.isZero(numbers.divisor[block]) {
                    clearZeros(source + block * length, length, target + block * length)
                }
            }
            if let dense {
                places[piece].error = try decode(first, count, length, target, dense + first * length)
            }
        }
        var total = BlockFindings()
        for piece in 0..<pieces { total.add(places[piece]) }
        return total
    }

    /// Decodes `count` blocks from number `first` on; what their error is.
    private func decode(
        _ first: Int, _ count: Int, _ length: Int, _ codes: UnsafePointer<UInt8>,
        _ target: UnsafeMutablePointer<Element>
    ) throws(CompressionError) -> ErrorStatistics {
        Element.dequantizeBlocks(codes, count, length, options.type.flip, zero + first, scale + first, target)
        let work = try Scratch<Float>(Element.type == .float16 ? 2 * count * length : 0, operation: "quantize")
        return withUnsafeTemporaryAllocation(of: Double.self, capacity: 3) { sums in
            let places = sums.baseAddress.unsafelyUnwrapped
            Element.sumErrors(elements + first * length, target, count * length, work.pointer, places)
            return ErrorStatistics(
                count: count * length, squaredError: places[0], sumOfSquares: places[1], maxError: places[2])
        }
    }

    /// Scales and zero points of the blocks `first..<first + count`, whose ranges are in `numbers`.
    private func findParameters(
        _ first: Int, _ count: Int, _ numbers: borrowing BlockNumbers<Element>
    ) -> BlockFindings {
        let (least, greatest) = range
        let some: Bool
        if isLinear {
            some = Element.linearParameters(
                numbers.low, numbers.high, count, least, greatest, scale + first, zero + first, numbers.divisor,
                numbers.offset, numbers.odd)
        } else {
            some = Element.symmetricScales(
                numbers.high, count, greatest - least, scale + first, numbers.divisor, numbers.odd)
            let middle = options.type.isSigned ? 0 : (greatest / 2).rounded(.down)
            let (point, byte) = (Element.compute(middle), UInt8(middle))
            for block in 0..<count {
                numbers.offset[block] = point
                zero[first + block] = byte
            }
        }
        var findings = BlockFindings()
        if !some { return findings }
        for block in 0..<count where numbers.odd[block] != 0 {
            let high = numbers.high[block]
            let low = isLinear ? numbers.low[block] : high
            guard low.isFinite, high.isFinite else {
                findings.nonFinite = true
                continue
            }
            let odd = OddBlock<Element>(low: low.double, high: high.double, options: options)
            if odd.isZero { findings.zeroBlocks += 1 }
            let parameters =
                options.referenceArithmetic
                ? odd.asReference() : odd.right(reference: scale[first + block].double)
            write(parameters, first + block)
            numbers.divisor[block] = Element.compute(parameters.divisor)
            numbers.offset[block] = Element.compute(parameters.offset)
        }
        return findings
    }

    /// The reference's codes of 0 / 0: a NaN, which is 0 as an integer, whatever the zero point.
    private func clearZeros(
        _ source: UnsafePointer<Element>, _ count: Int, _ codes: UnsafeMutablePointer<UInt8>
    ) {
        for i in 0..<count where source[i].double == 0 { codes[i] = 0 }
    }

    // MARK: - Any blocks

    private func runAnyBlocks(_ codes: UnsafeMutablePointer<UInt8>) throws(CompressionError) -> BlockFindings {
        let map = BlockMap(shape: layout.shape, parts: layout.scaleShape)
        let numbers = try BlockNumbers<Element>(layout.blockCount)
        try BlockRanges(elements: elements, layout: layout, map: map, pool: pool)
            .find(isLinear ? numbers.low : nil, numbers.high)
        var findings = findParameters(0, layout.blockCount, numbers)
        if findings.nonFinite { return findings }
        let (least, greatest) = range
        let (divisor, offset) = (numbers.divisor, numbers.offset)
        let reference = options.referenceArithmetic
        try pool.tryForEach((layout.count + pieceLength - 1) / pieceLength, operation: "quantize") {
            piece throws(CompressionError) in
            let start = piece * pieceLength
            map.forEachRun(start, min(layout.count, start + pieceLength)) { position, length, block, step in
                let (values, out) = (elements + position, codes + position)
                if step == 0 {
                    Element.quantizeBlocks(
                        values, 1, length, divisor + block, offset + block, least, greatest, out)
                } else {
                    Element.quantizeRow(values, length, divisor + block, offset + block, least, greatest, out)
                }
                guard reference else { return }
                for i in 0..<length where Element.isZero(divisor[block + i * step]) {
                    clearZeros(values + i, 1, out + i)
                }
            }
        }
        guard let dense else { return findings }
        findings.error = try decodingError(
            elements, layout, options.type, codes: codes, scale: scale, zeroPoint: zero, pool: pool, into: dense)
        return findings
    }
}

/// Ranges of blocks, and what their codes are computed with.
struct BlockNumbers<Element: QuantizableElement>: ~Copyable {
    private let memory: Scratch<UInt8>
    private let count: Int

    init(_ count: Int) throws(CompressionError) {
        self.count = count
        let perBlock = 2 * (MemoryLayout<Element>.size + MemoryLayout<Element.Compute>.size) + 1
        memory = try Scratch(zeroed: count * perBlock, operation: "quantize")
    }

    private func place<Value>(_ type: Value.Type, _ bytes: Int) -> UnsafeMutablePointer<Value> {
        UnsafeMutableRawPointer(memory.pointer + bytes * count).assumingMemoryBound(to: type)
    }

    // Wider types first, so that all are aligned.
    private var ranges: Int { 2 * MemoryLayout<Element.Compute>.size }
    var divisor: UnsafeMutablePointer<Element.Compute> { place(Element.Compute.self, 0) }
    var offset: UnsafeMutablePointer<Element.Compute> { divisor + count }
    /// Magnitudes, 0 at first.
    var high: UnsafeMutablePointer<Element> { place(Element.self, ranges) }
    /// Only of linear ranges.
    var low: UnsafeMutablePointer<Element> { high + count }
    var odd: UnsafeMutablePointer<UInt8> { memory.pointer + (ranges + 2 * MemoryLayout<Element>.size) * count }
}
