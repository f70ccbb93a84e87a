/// Which block each element of a tensor belongs to, when every axis is cut into equal parts.
///
/// Blocks are numbered in C order of `parts`. Walking a range of elements gives runs: stretches of one block, or, where
/// the trailing axes are cut into single elements, stretches whose block number rises by one with each element.
struct BlockMap {
    /// Product of the trailing axes whose blocks are single elements.
    private let dense: Int
    /// Elements (times `dense`) of one run.
    private let runLength: Int
    private let lastParts: Int
    /// The axes before the last cut one: size, elements of a block, and what a block adds to the number.
    private let outer: [(size: Int, block: Int, stride: Int)]
    private let lastStride: Int

    /// `parts[a]` divides `shape[a]`, and both are positive; checked by the callers.
    init(shape: [Int], parts: [Int]) {
        var axis = shape.count
        var dense = 1
        while axis > 0, parts[axis - 1] == shape[axis - 1] {
            dense *= shape[axis - 1]
            axis -= 1
        }
        self.dense = dense
        var strides = [Int](repeating: dense, count: axis)
        for a in strides.indices.dropLast().reversed() { strides[a] = strides[a + 1] * parts[a + 1] }
        var run = 1
        while axis > 0, parts[axis - 1] == 1 {
            run *= shape[axis - 1]
            axis -= 1
        }
        if axis == 0 {
            (runLength, lastParts, lastStride, outer) = (run, 1, 0, [])
        } else {
            let last = axis - 1
            runLength = run * (shape[last] / parts[last])
            (lastParts, lastStride) = (parts[last], strides[last])
            outer = (0..<last).map { (shape[$0], shape[$0] / parts[$0], strides[$0]) }
        }
    }

    /// Whether every element is in one block.
    var isSingle: Bool { dense == 1 && lastParts == 1 && outer.isEmpty }

    private func rowBlock(_ row: Int) -> Int {
        var rest = row
        var block = 0
        for axis in outer.reversed() {
            block += (rest % axis.size) / axis.block * axis.stride
            rest /= axis.size
        }
        return block
    }

    /// Calls `body(position, length, block, step)` for the runs of the elements `start..<end`, in order.
    @inline(__always)
    func forEachRun(_ start: Int, _ end: Int, _ body: (Int, Int, Int, Int) -> Void) {
        if isSingle {
            if start < end { body(start, end - start, 0, 0) }
            return
        }
        let whole = runLength * dense
        var position = start
        let run = start / whole
        var row = run / lastParts
        var part = run % lastParts
        var base = rowBlock(row)
        var offset = start % whole
        while position < end {
            let block = base + part * lastStride
            if dense > 1 {
                // Rows of `dense` elements, each with the same block numbers.
                while offset < whole, position < end {
                    let column = offset % dense
                    let length = min(dense - column, end - position)
                    body(position, length, block + column, 1)
                    position += length
                    offset += length
                }
            } else {
                let length = min(whole - offset, end - position)
                body(position, length, block, 0)
                position += length
            }
            offset = 0
            part += 1
            if part == lastParts {
                part = 0
                row += 1
                base = rowBlock(row)
            }
        }
    }
}
