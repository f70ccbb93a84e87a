import CoreMLPackage
import TensorCompression

extension PalettizationScheme {
    /// The operations that restore a palettized weight, in the form of its opset.
    ///
    /// Up to iOS18 the lookup table is scaled before the look-up, which takes a table per channel; from iOS26 on the
    /// looked-up weight is scaled. The values are the same, and so does coremltools: its
    /// `canonicalize_quantized_lut_pattern` puts them in that order because the systems before iOS26 need it.
    func operations(_ parts: PaletteParts, codes: [UInt8]) -> [EncodedOperation] {
        let type: MILDataType = parts.type == .float16 ? .float16 : .float32
        switch form {
        case .iOS16: return [packedLookUp(parts, codes, type)]
        case .iOS18:
            guard parts.scale != nil else { return [lookUp(parts, codes, type, table: .array(table(parts, type)))] }
            return [scaledTable(parts, type), lookUp(parts, codes, type, table: .output(of: 0))]
        case .iOS26:
            let plain = lookUp(parts, codes, type, table: .array(table(parts, type)))
            guard parts.scale != nil else { return [plain] }
            return [plain, scaling(parts, type)]
        }
    }

    private func table(_ parts: PaletteParts, _ type: MILDataType) -> EncodedArray {
        EncodedArray(
            type: type, shape: parts.layout.lutShape,
            bytes: parts.bytes(parts.lut, elements: parts.layout.lutElementCount))
    }

    /// Attributes `lut` [2^n], `indices` (bytes) and `shape`.
    private func packedLookUp(_ parts: PaletteParts, _ codes: [UInt8], _ type: MILDataType) -> EncodedOperation {
        var lut = table(parts, type)
        lut.shape = [lut.count]
        return EncodedOperation(
            type: "constexpr_lut_to_dense", suffix: "", usesAttributes: true,
            parameters: [
                ("shape", .uint32s(parts.layout.shape)), ("lut", .array(lut)),
                ("indices", .array(EncodedArray(type: .uint8, shape: [codes.count], bytes: codes))),
            ], outputType: type, outputShape: parts.layout.shape)
    }

    private func lookUp(
        _ parts: PaletteParts, _ codes: [UInt8], _ type: MILDataType, table: EncodedParameter
    ) -> EncodedOperation {
        let layout = parts.layout
        let indices = EncodedArray(type: .unsigned(bits: layout.nbits), shape: layout.indicesShape, bytes: codes)
        var parameters: [(key: String, value: EncodedParameter)] = [("indices", .array(indices)), ("lut", table)]
        if let axis = layout.vectorAxis { parameters.append(("vector_axis", .int32(Int32(axis)))) }
        return EncodedOperation(
            type: "constexpr_lut_to_dense", suffix: "_palette", usesAttributes: false, parameters: parameters,
            outputType: type, outputShape: layout.shape)
    }

    private func scaling(_ parts: PaletteParts, _ type: MILDataType) -> EncodedOperation {
        let layout = parts.layout
        let scale = EncodedArray(
            type: type, shape: layout.scaleShape ?? [],
            bytes: parts.scale.map { parts.bytes($0, elements: layout.scaleElementCount) } ?? [])
        return EncodedOperation(
            type: "constexpr_blockwise_shift_scale", suffix: "", usesAttributes: false,
            parameters: [("data", .output(of: 0)), ("scale", .array(scale))], outputType: type,
            outputShape: layout.shape)
    }

    /// The lookup tables, repeated so that each position of the scale has its own, and scaled.
    private func scaledTable(_ parts: PaletteParts, _ type: MILDataType) -> EncodedOperation {
        let layout = parts.layout
        let scaleShape = layout.scaleShape ?? []
        let axis = layout.channelAxis
        // Along the channel axis a table for each code, or one for each group where a single scale holds.
        let scalesChannels = scaleShape[axis] > 1
        var leading = scaleShape
        leading[axis] = scalesChannels ? scaleShape[axis] / clusterDim : layout.groups
        let perGroup = leading[axis] / layout.groups
        let entryBytes = layout.entries * layout.clusterDim * parts.type.byteCount
        let inner = leading[(axis + 1)...].reduce(1, *)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(leading.reduce(entryBytes, *))
        for position in 0..<leading.reduce(1, *) {
            let group = (position / inner) % leading[axis] / perGroup
            bytes.append(
                contentsOf: UnsafeRawBufferPointer(start: parts.lut + group * entryBytes, count: entryBytes))
        }
        let tables = leading + [layout.entries, layout.clusterDim]
        var ranked = scaleShape + [1, 1]
        if scalesChannels, clusterDim > 1 {
            // The channels of one vector have a scale each.
            ranked[axis] /= clusterDim
            ranked[ranked.count - 1] = clusterDim
        }
        let scale = EncodedArray(
            type: type, shape: ranked,
            bytes: parts.scale.map { parts.bytes($0, elements: layout.scaleElementCount) } ?? [])
        return EncodedOperation(
            type: "constexpr_blockwise_shift_scale", suffix: "_palette", usesAttributes: false,
            parameters: [
                ("data", .array(EncodedArray(type: type, shape: tables, bytes: bytes))), ("scale", .array(scale)),
            ], outputType: type, outputShape: tables)
    }
}

extension MILDataType {
    /// The unsigned type of 1, 2, 3, 4, 6 or 8 bits.
    static func unsigned(bits: Int) -> MILDataType {
        switch bits {
        case 1: .uint1
        case 2: .uint2
        case 3: .uint3
        case 4: .uint4
        case 6: .uint6
        default: .uint8
        }
    }
}
