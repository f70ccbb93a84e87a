/// The ranges of blocks of any form, found in parallel.
///
/// Blocks of different parts of the first cut axis have no element in common, so parts run in parallel where there are
/// enough of them. Otherwise each part is cut into stretches with ranges of their own, which are put together at the end.
/// A range does not depend on the order of the elements, so how the work is cut does not show.
struct BlockRanges<Element: QuantizableElement> {
    let elements: UnsafePointer<Element>
    let layout: QuantizationLayout
    let map: BlockMap
    let pool: WorkPool

    /// - low: nil for symmetric ranges.
    /// - low, high: zeroed.
    func find(
        _ low: UnsafeMutablePointer<Element>?, _ high: UnsafeMutablePointer<Element>
    ) throws(CompressionError) {
        let axis = layout.shape.firstIndex { $0 > 1 } ?? 0
        let parts = layout.scaleShape.isEmpty ? 1 : layout.scaleShape[axis]
        let length = layout.count / parts
        if parts >= 4 * pool.threadCount || length <= pieceLength {
            let batch = max(1, min(pieceLength / length, parts / (4 * pool.threadCount)))
            try pool.tryForEach((parts + batch - 1) / batch, operation: "quantize") {
                index throws(CompressionError) in
                let (first, last) = (index * batch, min(parts, (index + 1) * batch))
                widen(first * length, last * length, low, high, 0)
            }
        } else {
            let blocks = layout.blockCount / parts
            for part in 0..<parts {
                try findInStretches(
                    part * length, length, low.map { $0 + part * blocks }, high + part * blocks, part * blocks, blocks)
            }
        }
    }

    /// - blocks: those of this part, from number `first` on.
    private func findInStretches(
        _ start: Int, _ length: Int, _ low: UnsafeMutablePointer<Element>?, _ high: UnsafeMutablePointer<Element>,
        _ first: Int, _ blocks: Int
    ) throws(CompressionError) {
        // The stretches' ranges together are not longer than the part.
        let stretches = max(1, min(4 * pool.threadCount, length / blocks))
        let width = low == nil ? blocks : 2 * blocks
        let partial = try Scratch<Element>(zeroed: stretches * width, operation: "quantize")
        let places = partial.pointer
        try pool.tryForEach(stretches, operation: "quantize") { index throws(CompressionError) in
            let place = places + index * width
            let (from, to) = (length / stretches * index, length / stretches * (index + 1))
            widen(
                start + from, start + (index + 1 == stretches ? length : to), low == nil ? nil : place + blocks,
                place, first)
        }
        pool.forEachPiece(blocks) { begin, end in
            for index in 0..<stretches {
                let place = places + index * width
                Element.raiseRange(place + begin, end - begin, nil, high + begin)
                // Magnitudes have no sign, so they widen like elements.
                if let low { Element.raiseRange(place + blocks + begin, end - begin, nil, low + begin) }
            }
        }
    }

    /// Widens the ranges by the elements `start..<end`; those of block b are at place b - first.
    private func widen(
        _ start: Int, _ end: Int, _ low: UnsafeMutablePointer<Element>?, _ high: UnsafeMutablePointer<Element>,
        _ first: Int
    ) {
        map.forEachRun(start, end) { position, length, number, step in
            let block = number - first
            if step == 1 {
                Element.raiseRange(
                    elements + position, length, low.map { $0 + block }, high + block)
            } else if let low {
                withUnsafeTemporaryAllocation(of: Element.self, capacity: 2) { range in
                    let (least, most) = (range.baseAddress.unsafelyUnwrapped, range.baseAddress.unsafelyUnwrapped + 1)
                    Element.blockExtremes(elements + position, 1, length, least, most)
                    Element.raiseRange(least, 1, nil, low + block)
                    Element.raiseRange(most, 1, nil, high + block)
                }
            } else {
                withUnsafeTemporaryAllocation(of: Element.self, capacity: 1) { range in
                    let most = range.baseAddress.unsafelyUnwrapped
                    Element.blockMagnitudes(elements + position, 1, length, most)
                    Element.raiseRange(most, 1, nil, high + block)
                }
            }
        }
    }
}
