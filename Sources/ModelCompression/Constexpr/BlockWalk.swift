/// Walks a tensor that is divided into equal blocks along every axis, each block with one parameter.
struct BlockWalk {
    let shape: [Int]
    /// Blocks along each axis; each divides the axis.
    let blocks: [Int]

    /// Calls `body` for every stretch of consecutive elements in one block, in C order: first element, length, number
    /// of the block in C order.
    func forEachRun(_ body: (_ first: Int, _ length: Int, _ block: Int) -> Void) {
        let total = shape.reduce(1, *)
        guard total > 0 else { return }
        // Trailing axes with one block belong to one run.
        var axis = shape.count
        var run = 1
        while axis > 0, blocks[axis - 1] == 1 {
            axis -= 1
            run *= shape[axis]
        }
        guard axis > 0 else { return body(0, total, 0) }
        let sizes = (0..<axis).map { shape[$0] / blocks[$0] }
        var index = [Int](repeating: 0, count: axis)
        let step = sizes[axis - 1] * run
        var first = 0
        while first < total {
            var block = 0
            for position in 0..<axis { block = block * blocks[position] + index[position] / sizes[position] }
            body(first, step, block)
            first += step
            var position = axis - 1
            index[position] += sizes[position]
            while position > 0, index[position] == shape[position] {
                index[position] = 0
                position -= 1
                index[position] += 1
            }
        }
    }
}
