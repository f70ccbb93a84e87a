import CoreMLPackage
import TensorCompression

extension PalettizationScheme {
    /// The operations that restore a palettized weight, in the form of its opset.
    ///
    /// Up to iOS18 the lookup table is scaled before the look-up, which takes a table per channel; from iOS26 on the
    /// looked-up weight is scaled. The values are the same, and so does coremltools: its
    /// `canonicalize_quantized_lut_pattern` puts them in that order because the systems before iOS26 need it.
    func operations(_ parts: PaletteParts, indices: EncodedArray) throws(CompressionError) -> [EncodedOperation] {
        let table = parts.lutArray
        guard let scale = parts.scaleArray else {
            return [form == .iOS16 ? packedLookUp(parts, indices) : lookUp(parts, indices, .array(table), table.type)]
        }
        return try scaled(parts, indices, table: table, scale: .array(scale), scaleShape: scale.shape, scale.type, [])
    }

    /// A lookup and a scale, in the order that the opset needs.
    /// - Parameters:
    ///   - type: the scale's.
    ///   - offset: what follows the scale among the parameters.
    func scaled(
        _ parts: PaletteParts, _ indices: EncodedArray, table: EncodedArray, scale: EncodedParameter,
        scaleShape: [Int], _ type: MILDataType, _ offset: [(key: String, value: EncodedParameter)],
        rescaled: ((_ value: EncodedParameter, _ shape: [Int]) throws(CompressionError) -> EncodedParameter)? = nil
    ) throws(CompressionError) -> [EncodedOperation] {
        let layout = parts.layout
        guard form != .iOS26, let scaling = try TableScaling(layout, table, scaleShape: scaleShape) else {
            return [
                lookUp(parts, indices, .array(table), table.type),
                EncodedOperation(
                    "constexpr_blockwise_shift_scale", [("data", .output(of: 0)), ("scale", scale)] + offset,
                    outputs: [(type, layout.shape)]),
            ]
        }
        var factors: [(key: String, value: EncodedParameter)] = []
        for (key, value) in [("scale", scale)] + offset {
            if case .array(var array) = value {
                array.shape = scaling.scaleShape
                factors.append((key, .array(array)))
            } else {
                factors.append(
                    (
                        key,
                        try rescaled.map { body throws(CompressionError) in
                            try body(value, scaling.scaleShape)
                        } ?? value
                    ))
            }
        }
        return [
            EncodedOperation(
                "constexpr_blockwise_shift_scale", suffix: "_palette", [("data", .array(scaling.tables))] + factors,
                outputs: [(type, scaling.tables.shape)]),
            lookUp(parts, indices, .output(of: 0), type),
        ]
    }

    /// Attributes `lut` [2^n], `indices` (bytes) and `shape`.
    private func packedLookUp(_ parts: PaletteParts, _ indices: EncodedArray) -> EncodedOperation {
        var lut = parts.lutArray
        lut.shape = [lut.count]
        let codes = indices.reinterpreted(as: .uint8, shape: [indices.bytes.count])
        return EncodedOperation(
            "constexpr_lut_to_dense", usesAttributes: true,
            [("shape", .uint32s(parts.layout.shape)), ("lut", .array(lut)), ("indices", .array(codes))],
            outputs: [(lut.type, parts.layout.shape)])
    }

    /// - Parameter type: of the table's entries.
    func lookUp(
        _ parts: PaletteParts, _ indices: EncodedArray, _ table: EncodedParameter, _ type: MILDataType
    ) -> EncodedOperation {
        var parameters: [(key: String, value: EncodedParameter)] = [("indices", .array(indices)), ("lut", table)]
        if let axis = parts.layout.vectorAxis { parameters.append(("vector_axis", .int32(Int32(axis)))) }
        return EncodedOperation(
            "constexpr_lut_to_dense", suffix: "_palette", parameters, outputs: [(type, parts.layout.shape)])
    }
}

/// Lookup tables repeated so that each position of a scale has its own: then the tables can be scaled instead of the
/// weight.
private struct TableScaling {
    let tables: EncodedArray
    /// The scale's shape, in the tables' rank.
    let scaleShape: [Int]

    /// nil where blocks of the scale and groups of the tables cross each other.
    init?(_ layout: PaletteLayout, _ table: EncodedArray, scaleShape: [Int]) throws(CompressionError) {
        let axis = layout.channelAxis
        let vector = layout.clusterDim
        var leading = scaleShape
        var ranked = scaleShape + [1, 1]
        if vector > 1, scaleShape[axis] > 1 {
            // The channels of one vector have a scale each.
            guard scaleShape[axis] == layout.shape[axis] else { return nil }
            ranked[axis] /= vector
            ranked[ranked.count - 1] = vector
            leading[axis] /= vector
        }
        leading[axis] = max(leading[axis], layout.groups)
        guard leading[axis] % layout.groups == 0, leading[axis] % ranked[axis] == 0 else { return nil }
        let perGroup = leading[axis] / layout.groups
        let inner = leading[(axis + 1)...].reduce(1, *)
        let size = layout.entries * vector * table.type.bitWidth / 8
        let memory = try TensorMemory(byteCount: leading.reduce(size, *))
        for position in 0..<leading.reduce(1, *) {
            let group = (position / inner) % leading[axis] / perGroup
            (memory.bytes.baseAddress! + position * size).copyMemory(
                from: table.bytes.baseAddress! + group * size, byteCount: size)
        }
        tables = EncodedArray(type: table.type, shape: leading + [layout.entries, vector], memory: memory)
        self.scaleShape = ranked
    }
}
