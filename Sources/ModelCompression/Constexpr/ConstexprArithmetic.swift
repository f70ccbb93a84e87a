import CoreMLPackage
import TensorCompression

/// What the `constexpr_*` operations of every opset compute, by the kernels.
///
/// Semantics: coremltools' `materialized_val_inference` of the operation of the same name. Shapes and types are checked
/// before anything is allocated or read.
struct ConstexprArithmetic {
    let pool: WorkPool

    /// - Parameter output: the number of the output; operations with sparse results have the mask and the data.
    func evaluate(_ source: some ConstexprSource, output: Int = 0) throws -> StoredTensor {
        switch source.type {
        case "constexpr_lut_to_dense": try source.isPacked ? packedLookUp(source) : lookUp(source)
        case "constexpr_affine_dequantize": try affineDequantize(source)
        case "constexpr_blockwise_shift_scale": try shiftScale(source)
        case "constexpr_sparse_to_dense": try source.isPacked ? packedSparse(source) : sparse(source)
        case "constexpr_lut_to_sparse": try sparseLookUp(source, output: output)
        case "constexpr_sparse_blockwise_shift_scale": try sparseShiftScale(source, output: output)
        case "constexpr_cast": try cast(source)
        default:
            throw ConstexprError("found \(source.type), expected const or a constexpr operation of iOS16 or iOS18")
        }
    }

    /// Every type of operation that `evaluate` knows.
    static let operationTypes: Set<String> = [
        "constexpr_lut_to_dense", "constexpr_affine_dequantize", "constexpr_blockwise_shift_scale",
        "constexpr_sparse_to_dense", "constexpr_lut_to_sparse", "constexpr_sparse_blockwise_shift_scale",
        "constexpr_cast",
    ]

    /// Memory for an output, which must be what the operation declares: a small file can ask for any size.
    func memory(
        _ source: some ConstexprSource, _ type: MILDataType, _ shape: [Int], output: Int = 0
    ) throws -> TensorMemory {
        if let declared = source.declaredShape(output: output), declared != shape {
            throw ConstexprError("found an output of shape \(declared), expected \(shape)")
        }
        guard let count = MILTensorType(type, shape: shape).elementCount, let size = type.byteCount(elements: count)
        else { throw ConstexprError("found an output of shape \(shape), larger than any memory") }
        return try TensorMemory(byteCount: size, pool: pool)
    }

    /// Whether a parameter of shape `parts` cuts every axis of `shape` into equal blocks.
    private func divides(_ parts: [Int], _ shape: [Int]) -> Bool {
        parts.count == shape.count && zip(parts, shape).allSatisfy { $0 > 0 && $1 % $0 == 0 }
    }
}

// MARK: - Lookup tables

extension ConstexprArithmetic {
    private func lookUp(_ source: some ConstexprSource) throws -> StoredTensor {
        let indices = try source.required("indices")
        let lut = try source.required("lut")
        try checkTable(indices.type, indices.shape, lut)
        defer { withExtendedLifetime(indices) {} }
        return try lookUp(
            source, PaletteCodes(indices), indices.shape, lut, vectorAxis: try vectorAxis(source, lut, indices.shape),
            scale: nil)
    }

    func checkTable(_ codes: MILDataType, _ shape: [Int], _ lut: StoredTensor) throws {
        let rank = shape.count
        guard !codes.isFloatingPoint, (1...8).contains(codes.bitWidth), codes != .int8, codes != .int4, codes != .bool,
            lut.shape.count == rank + 2, lut.shape[rank] == 1 << codes.bitWidth, lut.shape[rank + 1] >= 1,
            [.float16, .float32, .int8, .uint8].contains(lut.type), divides(Array(lut.shape.prefix(rank)), shape)
        else {
            throw ConstexprError(
                "found a lut of \(lut.type.name) \(lut.shape) with indices of \(codes.name) \(shape)")
        }
    }

    /// nil for tables of scalars.
    func vectorAxis(_ source: some ConstexprSource, _ lut: StoredTensor, _ shape: [Int]) throws -> Int? {
        let rank = shape.count
        guard lut.shape[rank + 1] > 1 else { return nil }
        guard let given = try source.integer("vector_axis"), given >= -rank, given < rank else {
            throw ConstexprError("found no vector_axis from \(-rank) to \(rank - 1)")
        }
        return given < 0 ? given + rank : given
    }

    func expandedShape(_ shape: [Int], _ lut: StoredTensor, _ vectorAxis: Int?) throws -> [Int] {
        var result = shape
        if let vectorAxis {
            let (length, overflow) = result[vectorAxis].multipliedReportingOverflow(by: lut.shape[shape.count + 1])
            guard !overflow else { throw ConstexprError("found vectors that make an axis longer than 2^63") }
            result[vectorAxis] = length
        }
        return result
    }

    private func lookUp(
        _ source: some ConstexprSource, _ codes: PaletteCodes, _ shape: [Int], _ lut: StoredTensor, vectorAxis: Int?,
        scale: StoredTensor?
    ) throws -> StoredTensor {
        let outputShape = try expandedShape(shape, lut, vectorAxis)
        let memory = try memory(source, lut.type, outputShape)
        if !outputShape.contains(0) {
            try expand(codes, shape, lut, vectorAxis, scale, memory)
        }
        return StoredTensor(type: lut.type, shape: outputShape, memory: memory)
    }

    /// - Parameter scale: multiplies the result, in its type.
    func expand(
        _ codes: PaletteCodes, _ shape: [Int], _ lut: StoredTensor, _ vectorAxis: Int?, _ scale: StoredTensor?,
        _ memory: TensorMemory
    ) throws {
        let table = UnsafeRawPointer(lut.start(as: UInt8.self))
        let target = UnsafeMutableRawPointer(memory.start(as: UInt8.self))
        // A tensor without axes has one code.
        let (codeShape, lutShape) = shape.isEmpty ? ([1], [1] + lut.shape) : (shape, lut.shape)
        if let scale, let type = FloatType(lut.type) {
            let factors = DecodingScale(elements: UnsafeRawPointer(scale.start(as: UInt8.self)), shape: scale.shape)
            try decodePalette(
                lut: table, lutShape: lutShape, type: type, codes: codes, indicesShape: codeShape,
                vectorAxis: vectorAxis, scale: factors, into: target, pool: pool)
        } else {
            try expandPalette(
                lut: table, lutShape: lutShape, elementByteCount: lut.type.bitWidth / 8, codes: codes,
                indicesShape: codeShape, vectorAxis: vectorAxis, into: target, pool: pool)
        }
    }

    /// The form before iOS18: bits per code by the table's length, codes without a shape of their own.
    private func packedLookUp(_ source: some ConstexprSource) throws -> StoredTensor {
        let lut = try source.required("lut")
        let packed = try source.required("indices")
        let shape = try packedShape(source)
        let bits = lut.count.trailingZeroBitCount
        guard let count = MILTensorType(.uint8, shape: shape).elementCount, lut.shape.count == 1,
            (1...8).contains(bits), lut.count == 1 << bits, packed.type == .uint8,
            [.float16, .float32, .int8, .uint8].contains(lut.type), hasCodes(packed, count, bits)
        else {
            throw ConstexprError(
                "found a lut of \(lut.shape) and \(packed.bytes.count) bytes of indices for shape \(shape)")
        }
        let table = lut.reshaped(shape.map { _ in 1 } + [lut.count, 1])
        defer { withExtendedLifetime(packed) {} }
        return try lookUp(
            source, .packed(packed.start(as: UInt8.self)), shape, table, vectorAxis: nil, scale: nil)
    }

    func hasCodes(_ packed: StoredTensor, _ count: Int, _ bits: Int) -> Bool {
        let (total, overflow) = count.multipliedReportingOverflow(by: bits)
        return !overflow && packed.bytes.count == total / 8 + (total % 8 == 0 ? 0 : 1)
    }

    func packedShape(_ source: some ConstexprSource) throws -> [Int] {
        guard let shape = try source.required("shape").integers, shape.allSatisfy({ $0 >= 0 }) else {
            throw ConstexprError("found a shape that is no list of integers")
        }
        return shape
    }
}

extension PaletteCodes {
    /// Codes in the width of their type.
    init(_ indices: StoredTensor) {
        self = indices.type.isSubByte ? .packed(indices.start(as: UInt8.self)) : .bytes(indices.start(as: UInt8.self))
    }
}

// MARK: - Scales

extension ConstexprArithmetic {
    private func shiftScale(_ source: some ConstexprSource) throws -> StoredTensor {
        let scale = try source.required("scale")
        let offset = try source.tensor("offset")
        if offset == nil, let inner = try source.operation("data"), inner.type == "constexpr_lut_to_dense" {
            if let result = try scaledLookUp(source, inner, scale) { return result }
        }
        return try shiftScale(source, data: try source.required("data"), scale: scale, offset: offset)
    }

    /// A scale over a lookup in one pass; nil where they do not have one floating-point type.
    private func scaledLookUp(
        _ source: some ConstexprSource, _ inner: any ConstexprSource, _ scale: StoredTensor
    ) throws -> StoredTensor? {
        guard !inner.isPacked else { return nil }
        let indices = try inner.required("indices")
        let lut = try inner.required("lut")
        try checkTable(indices.type, indices.shape, lut)
        guard lut.type == scale.type, lut.type.isFloatingPoint else { return nil }
        let axis = try vectorAxis(inner, lut, indices.shape)
        let shape = try expandedShape(indices.shape, lut, axis)
        guard divides(scale.shape, shape), !shape.isEmpty else {
            throw ConstexprError("found a scale of \(scale.shape) for data of \(shape)")
        }
        defer { withExtendedLifetime(indices) {} }
        return try lookUp(source, PaletteCodes(indices), indices.shape, lut, vectorAxis: axis, scale: scale)
    }

    func shiftScale(
        _ source: some ConstexprSource, data: StoredTensor, scale: StoredTensor, offset: StoredTensor?
    ) throws -> StoredTensor {
        guard divides(scale.shape, data.shape), offset == nil || offset?.shape == scale.shape,
            let type = FloatType(scale.type), type != .float64
        else {
            throw ConstexprError(
                "found data of \(data.type.name) \(data.shape) with a scale of \(scale.type.name) \(scale.shape)"
                    + (offset.map { " and an offset of \($0.type.name) \($0.shape)" } ?? ""))
        }
        let memory = try memory(source, scale.type, data.shape)
        let result = StoredTensor(type: scale.type, shape: data.shape, memory: memory)
        if data.count == 0 { return result }
        if let integers = IntegerType(data.type), offset == nil || offset?.type == data.type {
            let zeroPoint = try offset?.unpacked(pool: pool)
            let factors = DecodingScale(elements: UnsafeRawPointer(scale.start(as: UInt8.self)), shape: scale.shape)
            try dequantize(
                codes: IntegerCodes(data), type: integers, shape: data.shape, scale: factors, floatType: type,
                zeroPoint: zeroPoint?.start(as: UInt8.self), into: memory.start(as: UInt8.self), pool: pool)
            withExtendedLifetime(zeroPoint) {}
            return result
        }
        guard let elements = try data.floatTensor(pool: pool), let factors = try scale.floats(pool: pool) else {
            throw ConstexprError("found data of \(data.type.name), expected int4, uint4, int8, uint8, fp16 or fp32")
        }
        let shifts = try offset?.floats(pool: pool)
        if let offset, shifts == nil { throw ConstexprError("found an offset of \(offset.type.name)") }
        let values = elements.start(as: Float.self)
        defer { withExtendedLifetime(elements) {} }
        BlockWalk(shape: data.shape, blocks: scale.shape).forEachRun { first, length, block in
            let (factor, shift) = (factors[block], shifts?[block] ?? 0)
            for position in first..<(first + length) {
                let value = (values[position] - shift) * factor
                if type == .float16 {
                    memory.start(as: UInt16.self)[position] = Half.fromFloat(value)
                } else {
                    memory.start(as: Float.self)[position] = value
                }
            }
        }
        return result
    }

    /// The form before iOS18: scale and zero point are scalars, or vectors along one axis.
    private func affineDequantize(_ source: some ConstexprSource) throws -> StoredTensor {
        let data = try source.required("quantized_data")
        let scale = try source.required("scale")
        let zeroPoint = try source.required("zero_point")
        let rank = data.shape.count
        let given = try source.integer("axis") ?? 0
        let axis = given < 0 ? given + rank : given
        let channels = data.shape.indices.contains(axis) ? data.shape[axis] : 1
        guard scale.shape.count <= 1, zeroPoint.shape.count <= 1, zeroPoint.type == data.type,
            data.type == .int8 || data.type == .uint8, scale.count == 1 || scale.count == channels,
            zeroPoint.count == 1 || zeroPoint.count == channels, scale.count > 0, zeroPoint.count > 0,
            max(scale.count, zeroPoint.count) == 1 || rank > 0
        else {
            throw ConstexprError(
                "found a scale of \(scale.shape) and a zero point of \(zeroPoint.type.name) \(zeroPoint.shape) on axis "
                    + "\(given) of data of \(data.type.name) \(data.shape)")
        }
        let blocks = max(scale.count, zeroPoint.count)
        var shape = data.shape.map { _ in 1 }
        if blocks > 1 { shape[axis] = blocks }
        return try shiftScale(
            source, data: data, scale: try spread(scale, shape, blocks), offset: try spread(zeroPoint, shape, blocks))
    }

    /// A scalar for each block, or the vector as it is.
    private func spread(_ tensor: StoredTensor, _ shape: [Int], _ blocks: Int) throws -> StoredTensor {
        guard tensor.count < blocks else { return tensor.reshaped(shape) }
        let size = tensor.type.bitWidth / 8
        let memory = try TensorMemory(byteCount: size * blocks)
        for block in 0..<blocks {
            (memory.bytes.baseAddress! + block * size).copyMemory(from: tensor.bytes.baseAddress!, byteCount: size)
        }
        return StoredTensor(type: tensor.type, shape: shape, memory: memory)
    }
}

extension IntegerType {
    /// nil for types that linear quantization does not use.
    init?(_ type: MILDataType) {
        switch type {
        case .int4, .int8, .uint4, .uint8: self.init(name: type.name)
        default: return nil
        }
    }
}

extension IntegerCodes {
    /// Codes in the width of their type.
    init(_ data: StoredTensor) {
        self = data.type.isSubByte ? .packed(data.start(as: UInt8.self)) : .bytes(data.start(as: UInt8.self))
    }
}
