import CoreMLPackage
import TensorCompression

/// The parts of one quantized tensor.
struct QuantizedParts {
    let layout: QuantizationLayout
    let type: IntegerType
    let floatType: FloatType
    /// One code in each byte.
    let data: TensorMemory
    let scale: TensorMemory
    let zeroPoint: TensorMemory?
    /// Blocks of zeros.
    let constantBlocks: Int

    init(_ tensor: TensorView, _ options: QuantizationOptions, pool: WorkPool) throws(CompressionError) {
        layout = try quantizationLayout(tensor, options)
        type = options.type
        floatType = tensor.type
        data = try TensorMemory(byteCount: layout.count, pool: pool)
        scale = try TensorMemory(byteCount: layout.blockCount * tensor.type.byteCount, pool: pool)
        zeroPoint = layout.hasZeroPoint ? try TensorMemory(byteCount: layout.blockCount) : nil
        constantBlocks = try quantize(
            tensor, options, layout, pool: pool, data: data.start(as: UInt8.self), scale: scale.start(as: UInt8.self),
            zeroPoint: zeroPoint?.start(as: UInt8.self)
        ).constantBlocks
    }

    var milType: MILDataType {
        switch (type.bits, type.isSigned) {
        case (4, true): .int4
        case (4, false): .uint4
        case (_, true): .int8
        case (_, false): .uint8
        }
    }

    /// As stored: in the width of the type.
    func codesArray(pool: WorkPool) throws(CompressionError) -> EncodedArray {
        try EncodedArray(
            codes: StoredTensor(type: .uint8, shape: layout.shape, memory: data), type: milType, shape: layout.shape,
            pool: pool)
    }

    var scaleArray: EncodedArray {
        EncodedArray(type: floatType.milType, shape: layout.scaleShape, memory: scale)
    }

    /// In the width of the codes' type.
    func zeroPointArray(pool: WorkPool) throws(CompressionError) -> EncodedArray? {
        try zeroPoint.map { memory throws(CompressionError) in
            try EncodedArray(
                codes: StoredTensor(type: .uint8, shape: layout.scaleShape, memory: memory), type: milType,
                shape: layout.scaleShape, pool: pool)
        }
    }

    /// `scale`, and `offset` where there are zero points.
    func factors(pool: WorkPool) throws(CompressionError) -> [(key: String, value: EncodedParameter)] {
        var result: [(key: String, value: EncodedParameter)] = [("scale", .array(scaleArray))]
        if let offset = try zeroPointArray(pool: pool) { result.append(("offset", .array(offset))) }
        return result
    }
}

extension QuantizationScheme {
    /// Compresses one weight.
    /// - Throws: `.declined` when this weight does not suit the scheme; the weight itself is only read.
    func encode(_ tensor: TensorView, context: EncodingContext) throws -> EncodedWeight {
        let parts = try QuantizedParts(tensor, options, pool: context.pool)
        let error = try quantizationError(
            tensor, parts.layout, type: parts.type, data: parts.data.start(as: UInt8.self),
            scale: UnsafeRawPointer(parts.scale.start(as: UInt8.self)),
            zeroPoint: parts.zeroPoint.map { UnsafePointer($0.start(as: UInt8.self)) }, pool: context.pool)
        let zeros = parts.constantBlocks
        return EncodedWeight(
            action: .quantized, operations: [try operation(parts, pool: context.pool)], scheme: text,
            nbits: options.type.bits, measures: ErrorMeasures(error),
            note: zeros == 0 ? nil : "\(zeros) of \(parts.layout.blockCount) blocks hold nothing but zeros")
    }

    /// E.g. `linear_symmetric int4 per_block [1, 32]`.
    var text: String { "\(options.mode.rawValue) \(options.type.name) \(granularity)" }

    private func operation(_ parts: QuantizedParts, pool: WorkPool) throws(CompressionError) -> EncodedOperation {
        let codes = try parts.codesArray(pool: pool)
        let output = [(type: parts.floatType.milType, shape: parts.layout.shape)]
        if form == .iOS16 { return try affine(parts, codes, output, pool: pool) }
        return EncodedOperation(
            "constexpr_blockwise_shift_scale", [("data", .array(codes))] + (try parts.factors(pool: pool)),
            outputs: output)
    }

    /// The form before iOS18: scalars, or vectors along one axis; there is always a zero point.
    private func affine(
        _ parts: QuantizedParts, _ codes: EncodedArray, _ output: [(type: MILDataType, shape: [Int])], pool: WorkPool
    ) throws(CompressionError) -> EncodedOperation {
        let axis = parts.layout.scaleShape.firstIndex { $0 > 1 }
        var scale = parts.scaleArray
        scale.shape = axis.map { [parts.layout.scaleShape[$0]] } ?? []
        var zeroPoint: EncodedArray
        if let given = try parts.zeroPointArray(pool: pool) {
            zeroPoint = given
        } else {
            zeroPoint = EncodedArray(
                type: parts.milType, shape: [],
                memory: try TensorMemory([UInt8](repeating: 0, count: parts.layout.blockCount)))
        }
        zeroPoint.shape = scale.shape
        return EncodedOperation(
            "constexpr_affine_dequantize", usesAttributes: true,
            [
                ("quantized_data", .array(codes)), ("zero_point", .array(zeroPoint)), ("scale", .array(scale)),
                ("axis", .int32(Int32(axis ?? 0))),
            ], outputs: output)
    }
}
