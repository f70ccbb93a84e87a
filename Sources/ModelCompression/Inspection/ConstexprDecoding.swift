import CoreMLPackage

/// What the `constexpr_*` operations compute. Sizes are checked by the caller (`ConstexprEvaluator`).
enum ConstexprDecoding {
    /// `constexpr_lut_to_dense`: every code becomes an entry of its block's lookup table.
    ///
    /// - Parameters:
    ///   - codes: one per position of `shape`.
    ///   - lut: shape [blocks of each axis..., entries, vector length].
    ///   - vectorAxis: axis along which the vector's elements lie; the output is that much longer there.
    static func lookUp(_ codes: [UInt8], shape: [Int], lut: DenseTensor, vectorAxis: Int?) -> DenseTensor {
        let plan = BlockWalk(shape: shape, blocks: Array(lut.shape.dropLast(2)))
        let vector = lut.shape[lut.shape.count - 1]
        let entries = lut.shape[lut.shape.count - 2]
        var outputShape = shape
        var elementStride = 1
        if let vectorAxis, vector > 1 {
            outputShape[vectorAxis] *= vector
            elementStride = outputShape[(vectorAxis + 1)...].reduce(1, *)
        }
        var output = DenseTensor(type: lut.type, shape: outputShape, bytes: [])
        switch lut.type.bitWidth {
        case 8: output.bytes = gather(UInt8.self)
        case 16: output.bytes = gather(UInt16.self)
        default: output.bytes = gather(UInt32.self)
        }
        return output

        func gather<Element: FixedWidthInteger>(_: Element.Type) -> [UInt8] {
            let size = MemoryLayout<Element>.size
            let total = outputShape.reduce(1, *)
            return [UInt8](unsafeUninitializedCapacity: total * size) { bytes, count in
                let target = UnsafeMutableRawPointer(bytes.baseAddress!).bindMemory(to: Element.self, capacity: total)
                lut.bytes.withUnsafeBytes { raw in
                    codes.withUnsafeBufferPointer { codes in
                        plan.forEachRun { first, length, block in
                            let table = raw.baseAddress! + block * entries * vector * size
                            if vector == 1 {
                                for position in first..<(first + length) {
                                    target[position] = table.loadUnaligned(
                                        fromByteOffset: Int(codes[position]) * size, as: Element.self)
                                }
                                return
                            }
                            for position in first..<(first + length) {
                                // Positions before this one along the vector axis, and those behind it.
                                let outer = position / elementStride
                                let start = outer * elementStride * vector + position % elementStride
                                let entry = Int(codes[position]) * vector
                                for element in 0..<vector {
                                    target[start + element * elementStride] = table.loadUnaligned(
                                        fromByteOffset: (entry + element) * size, as: Element.self)
                                }
                            }
                        }
                    }
                }
                count = total * size
            }
        }
    }

    /// `constexpr_blockwise_shift_scale`: (data - offset) * scale in float32, rounded to the scale's type.
    static func scale(_ data: [Float], shape: [Int], scale: DenseTensor, offset: [Float]?) -> DenseTensor? {
        guard let factors = scale.floats() else { return nil }
        var result = data
        BlockWalk(shape: shape, blocks: scale.shape).forEachRun { first, length, block in
            let factor = factors[block]
            let shift = offset?[block] ?? 0
            for position in first..<(first + length) { result[position] = (data[position] - shift) * factor }
        }
        return DenseTensor(floats: result, type: scale.type, shape: shape)
    }
}

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
