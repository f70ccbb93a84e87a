import CompressionKernels
import CompressionKernelsV3

/// The sizes of a palettized tensor, checked.
struct DecodingGeometry {
    let nbits: Int
    let entries: Int
    let dimension: Int
    let outputShape: [Int]
    /// Elements of the output.
    let count: Int
    let codeCount: Int
    /// Codes along the vector axis, and elements behind it.
    let vectorChannels: Int
    let inner: Int
    let tables: BlockMap

    init(lutShape: [Int], indicesShape: [Int], vectorAxis: Int?) throws(CompressionError) {
        let rank = indicesShape.count
        guard rank >= 1, lutShape.count == rank + 2 else {
            throw .invalid(
                "[decompress] lut: found shape \(lutShape), allowed rank \(rank + 2) for indices of rank \(rank)")
        }
        entries = lutShape[rank]
        dimension = lutShape[rank + 1]
        guard entries >= 2, entries <= 256, entries & (entries - 1) == 0, dimension >= 1 else {
            throw .invalid(
                "[decompress] lut: found \(entries) entries of \(dimension) elements, "
                    + "allowed a power of two from 2 to 256")
        }
        nbits = entries.trailingZeroBitCount
        let parts = Array(lutShape[..<rank])
        for axis in 0..<rank {
            guard indicesShape[axis] >= 1, parts[axis] >= 1, indicesShape[axis] % parts[axis] == 0 else {
                throw .invalid(
                    "[decompress] lut: found shape \(lutShape), allowed divisors of the indices' shape \(indicesShape)")
            }
        }
        var output = indicesShape
        var axis = rank - 1
        if let vectorAxis {
            guard vectorAxis >= -rank, vectorAxis < rank else {
                throw .invalid("[decompress] vector_axis: found \(vectorAxis), allowed \(-rank) to \(rank - 1)")
            }
            axis = vectorAxis < 0 ? vectorAxis + rank : vectorAxis
        } else if dimension > 1 {
            throw .invalid("[decompress] vector_axis: found none, required for entries of \(dimension) elements")
        }
        output[axis] = try checkedProduct([output[axis], dimension])
        outputShape = output
        count = try checkedProduct(output + [8]) / 8
        codeCount = count / dimension
        vectorChannels = indicesShape[axis]
        inner = output[(axis + 1)...].reduce(1, *)
        _ = try checkedProduct(lutShape + [8])
        tables = BlockMap(shape: indicesShape, parts: parts)
    }
}

private func checkedProduct(_ factors: [Int]) throws(CompressionError) -> Int {
    var product = 1
    for factor in factors {
        let (next, overflow) = product.multipliedReportingOverflow(by: factor)
        guard !overflow else { throw .invalid("[decompress] shape: \(factors) has too many elements") }
        product = next
    }
    return product
}

/// Memory that the pieces of one task reuse.
final class DecodingScratch {
    /// Codes of a piece and a few before and behind it.
    let codes: UnsafeMutablePointer<UInt8>
    let table: UnsafeMutableRawPointer
    /// Elements of a piece before they are multiplied by their scale.
    let elements: UnsafeMutableRawPointer
    private let codesMemory: Scratch<UInt8>
    private let tableMemory: Scratch<UInt8>
    private let elementsMemory: Scratch<UInt64>

    init() throws(CompressionError) {
        codesMemory = try Scratch(pieceLength + 16, operation: "decompress")
        tableMemory = try Scratch(CompressionKernels.packedTableBytes, operation: "decompress")
        elementsMemory = try Scratch(pieceLength, operation: "decompress")
        codes = codesMemory.pointer
        elements = UnsafeMutableRawPointer(elementsMemory.pointer)
        table = UnsafeMutableRawPointer(tableMemory.pointer)
    }
}

/// Copies palette entries to any stretch of the output.
struct PaletteExpander<Element: PaletteElement> {
    let geometry: DecodingGeometry
    let lut: UnsafePointer<Element>
    let codes: PaletteCodes

    init(_ geometry: DecodingGeometry, _ lut: UnsafePointer<Element>, _ codes: PaletteCodes) {
        (self.geometry, self.lut, self.codes) = (geometry, lut, codes)
    }

    /// Writes the elements `start..<end` of the output to `target`. At most `pieceLength` of them.
    func expand(
        _ start: Int, _ end: Int, _ scratch: DecodingScratch, _ target: UnsafeMutablePointer<Element>
    ) throws(CompressionError) {
        if geometry.dimension == 1 { return try expandScalars(start, end, scratch, target) }
        if geometry.inner == 1 { return try expandWhole(start, end, scratch, target) }
        // Rows of `inner` elements, each one component of the vectors of a row of codes.
        let (inner, dimension) = (geometry.inner, geometry.dimension)
        let rows = geometry.vectorChannels * dimension
        var position = start
        while position < end {
            let (row, column) = (position / inner, position % inner)
            let length = min(inner - column, end - position)
            let channel = row % rows
            let first = (row / rows * geometry.vectorChannels + channel / dimension) * inner + column
            let source = try codeBytes(first, first + length, scratch)
            let out = target + (position - start)
            geometry.tables.forEachRun(first, first + length) { code, count, block, step in
                forEachTable(code, count, block, step) { code, count, table in
                    Element.expandCodes(
                        source + (code - first), count, table, dimension, channel % dimension, out + (code - first))
                }
            }
            position += length
        }
    }

    private func expandScalars(
        _ start: Int, _ end: Int, _ scratch: DecodingScratch, _ target: UnsafeMutablePointer<Element>
    ) throws(CompressionError) {
        if case .packed(let packed) = codes, geometry.tables.isSingle, start % 8 == 0 {
            let whole = (end - start) & ~7
            let bytes = packed + start / 8 * geometry.nbits
            if whole > 0,
                Element.expandPacked(bytes, whole / 8 * geometry.nbits, geometry.nbits, lut, scratch.table, target)
            {
                guard start + whole < end else { return }
                return try expandScalarBytes(start + whole, end, scratch, target + whole)
            }
        }
        try expandScalarBytes(start, end, scratch, target)
    }

    private func expandScalarBytes(
        _ start: Int, _ end: Int, _ scratch: DecodingScratch, _ target: UnsafeMutablePointer<Element>
    ) throws(CompressionError) {
        let source = try codeBytes(start, end, scratch)
        geometry.tables.forEachRun(start, end) { code, count, block, step in
            forEachTable(code, count, block, step) { code, count, table in
                Element.expandCodes(source + (code - start), count, table, 1, 0, target + (code - start))
            }
        }
    }

    /// Vectors whose elements are neighbours in the output.
    private func expandWhole(
        _ start: Int, _ end: Int, _ scratch: DecodingScratch, _ target: UnsafeMutablePointer<Element>
    ) throws(CompressionError) {
        let dimension = geometry.dimension
        let first = start / dimension
        let last = (end + dimension - 1) / dimension
        let source = try codeBytes(first, last, scratch)
        geometry.tables.forEachRun(first, last) { code, count, block, step in
            forEachTable(code, count, block, step) { code, count, table in
                let from = max(start, code * dimension)
                let to = min(end, (code + count) * dimension)
                Element.expandVectors(
                    source + (code - first), from - code * dimension, to - from, table, dimension,
                    target + (from - start))
            }
        }
    }

    /// Splits runs whose table changes with every code.
    @inline(__always)
    private func forEachTable(
        _ code: Int, _ count: Int, _ block: Int, _ step: Int, _ body: (Int, Int, UnsafePointer<Element>) -> Void
    ) {
        let size = geometry.entries * geometry.dimension
        if step == 0 { return body(code, count, lut + block * size) }
        for i in 0..<count { body(code + i, 1, lut + (block + i) * size) }
    }

    /// The codes `first..<last`, one in each byte, checked to be entries of the table.
    private func codeBytes(
        _ first: Int, _ last: Int, _ scratch: DecodingScratch
    ) throws(CompressionError) -> UnsafePointer<UInt8> {
        switch codes {
        case .bytes(let bytes):
            let union = variant(CompressionKernels.unionOfBits, CompressionKernelsV3.unionOfBits)(
                bytes + first, last - first)
            guard Int(union) < geometry.entries else { throw badCode(bytes, first, last) }
            return bytes + first
        case .packed(let packed):
            // Whole bytes begin at every eighth code.
            let aligned = first & ~7
            variant(CompressionKernels.unpackCodes, CompressionKernelsV3.unpackCodes)(
                packed + aligned / 8 * geometry.nbits, last - aligned, geometry.nbits, false, scratch.codes)
            return UnsafePointer(scratch.codes + (first - aligned))
        }
    }

    private func badCode(_ bytes: UnsafePointer<UInt8>, _ first: Int, _ last: Int) -> CompressionError {
        let place = (first..<last).first { Int(bytes[$0]) >= geometry.entries } ?? first
        return .invalid(
            "[decompress] indices: found \(bytes[place]) at \(place), allowed 0 to \(geometry.entries - 1)")
    }
}

/// Palette entries times the scale.
struct PaletteDecoder<Element: WeightElement> {
    private let expander: PaletteExpander<Element.Pattern>
    private let scale: UnsafePointer<Element>?
    private let scaleMap: BlockMap?

    init(
        _ geometry: DecodingGeometry, _ lut: UnsafeRawPointer, _ codes: PaletteCodes, _ scale: DecodingScale?
    ) throws(CompressionError) {
        expander = PaletteExpander(geometry, lut.assumingMemoryBound(to: Element.Pattern.self), codes)
        guard let scale else {
            (self.scale, scaleMap) = (nil, nil)
            return
        }
        let shape = geometry.outputShape
        guard scale.shape.count == shape.count,
            zip(shape, scale.shape).allSatisfy({ $1 >= 1 && $0 % $1 == 0 })
        else {
            throw .invalid("[decompress] scale: found shape \(scale.shape), allowed divisors of \(shape)")
        }
        self.scale = scale.elements.assumingMemoryBound(to: Element.self)
        scaleMap = BlockMap(shape: shape, parts: scale.shape)
    }

    /// Writes the elements `start..<end` of the output to `target`. At most `pieceLength` of them.
    func decode(
        _ start: Int, _ end: Int, _ scratch: DecodingScratch, _ target: UnsafeMutablePointer<Element>
    ) throws(CompressionError) {
        guard let scale, let scaleMap else {
            return try expander.expand(
                start, end, scratch, UnsafeMutableRawPointer(target).assumingMemoryBound(to: Element.Pattern.self))
        }
        // Not in place: the loops vectorise only where source and target are apart.
        try expander.expand(start, end, scratch, scratch.elements.assumingMemoryBound(to: Element.Pattern.self))
        let unscaled = scratch.elements.assumingMemoryBound(to: Element.self)
        scaleMap.forEachRun(start, end) { position, length, block, step in
            Element.multiply(
                unscaled + (position - start), length, scale + block, step, target + (position - start))
        }
    }
}
