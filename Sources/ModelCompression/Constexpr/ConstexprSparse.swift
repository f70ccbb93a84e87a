import CoreMLPackage
import TensorCompression

// Sparse weights, and the cast: see ConstexprArithmetic.swift.

extension ConstexprArithmetic {
    func sparse(_ source: some ConstexprSource) throws -> StoredTensor {
        let mask = try source.required("mask")
        guard mask.type == .uint1 else { throw ConstexprError("found a mask of \(mask.type.name), expected uint1") }
        let data = try source.required("nonzero_data")
        if let declared = source.declaredShape(output: 0), declared != mask.shape {
            throw ConstexprError("found an output of shape \(declared), expected \(mask.shape)")
        }
        let dense = try scattered(data, mask)
        // 4 bit elements come back one in a byte and are packed again.
        guard data.type.isSubByte else { return dense }
        let memory = try memory(source, data.type, mask.shape)
        try packBits(
            dense.start(as: UInt8.self), count: dense.count, nbits: data.type.bitWidth, signed: data.type == .int4,
            into: memory.start(as: UInt8.self), pool: pool)
        withExtendedLifetime(dense) {}
        return StoredTensor(type: data.type, shape: mask.shape, memory: memory)
    }

    func packedSparse(_ source: some ConstexprSource) throws -> StoredTensor {
        let bits = try source.required("mask")
        let shape = try packedShape(source)
        guard bits.type == .uint8, let count = MILTensorType(.uint8, shape: shape).elementCount,
            hasCodes(bits, count, 1)
        else { throw ConstexprError("found a mask of \(bits.bytes.count) bytes for shape \(shape)") }
        let data = try source.required("nonzero_data")
        if let declared = source.declaredShape(output: 0), declared != shape {
            throw ConstexprError("found an output of shape \(declared), expected \(shape)")
        }
        return try scattered(data, StoredTensor(type: .uint1, shape: shape, bytes: bits.bytes, owner: bits.owner))
    }

    /// The non-zero elements at their places, zero elsewhere; sub-byte elements one in a byte.
    /// - Parameter mask: one bit for each element.
    func scattered(_ data: StoredTensor, _ mask: StoredTensor) throws -> StoredTensor {
        let elements = try data.unpacked(pool: pool)
        let size = elements.type.bitWidth / 8
        guard data.shape.count == 1, [1, 2, 4].contains(size),
            let count = MILTensorType(elements.type, shape: mask.shape).elementCount
        else { throw ConstexprError("found non-zero data of \(data.type.name) \(data.shape), expected a vector") }
        let memory = try TensorMemory(byteCount: count * size, pool: pool)
        try scatterNonzero(
            elementByteCount: size, count: count, mask: .packed(mask.start(as: UInt8.self)),
            nonzero: UnsafeRawPointer(elements.start(as: UInt8.self)), nonzeroCount: elements.count,
            into: memory.start(as: UInt8.self), pool: pool)
        withExtendedLifetime(elements) {}
        return StoredTensor(type: elements.type, shape: mask.shape, memory: memory)
    }

    /// The elements of `dense` (whole bytes each) where `mask`, of uint1, has a one.
    func gathered(_ dense: StoredTensor, _ mask: StoredTensor) throws -> StoredTensor {
        guard mask.type == .uint1, dense.shape == mask.shape else {
            throw ConstexprError("found data of \(dense.shape) with a mask of \(mask.type.name) \(mask.shape)")
        }
        let bits = try mask.unpacked(pool: pool)
        let size = dense.type.bitWidth / 8
        let flags = bits.start(as: UInt8.self)
        var kept = 0
        for position in 0..<bits.count { kept &+= Int(flags[position]) }
        let memory = try TensorMemory(byteCount: kept * size, pool: pool)
        try gatherNonzero(
            elementByteCount: size, count: dense.count, UnsafeRawPointer(dense.start(as: UInt8.self)), mask: flags,
            into: memory.start(as: UInt8.self), pool: pool)
        withExtendedLifetime(bits) {}
        return StoredTensor(type: dense.type, shape: [kept], memory: memory)
    }

    func sparseLookUp(_ source: some ConstexprSource, output: Int) throws -> StoredTensor {
        let mask = try source.required("indices_mask")
        guard mask.type == .uint1 else { throw ConstexprError("found a mask of \(mask.type.name), expected uint1") }
        let lut = try source.required("lut")
        let data = try source.required("indices_nonzero_data")
        try checkTable(data.type, mask.shape, lut)
        let axis = try vectorAxis(source, lut, mask.shape)
        let expandedMask = try axis.map { try repeated(mask, $0, lut.shape[mask.shape.count + 1]) } ?? mask
        if output == 0 { return expandedMask }
        return try gathered(try lookedUp(data, mask, lut, axis, shape: expandedMask.shape), expandedMask)
    }

    /// The dense result of a sparse lookup. A function of its own, so that the codes are gone when elements are gathered.
    private func lookedUp(
        _ data: StoredTensor, _ mask: StoredTensor, _ lut: StoredTensor, _ axis: Int?, shape: [Int]
    ) throws -> StoredTensor {
        let codes = try scattered(data, mask)
        let memory = try TensorMemory(byteCount: shape.reduce(lut.type.bitWidth / 8, *))
        if !shape.contains(0) {
            try expand(.bytes(codes.start(as: UInt8.self)), mask.shape, lut, axis, nil, memory)
        }
        withExtendedLifetime(codes) {}
        return StoredTensor(type: lut.type, shape: shape, memory: memory)
    }

    /// Each bit of a mask `times` times along an axis.
    private func repeated(_ mask: StoredTensor, _ axis: Int, _ times: Int) throws -> StoredTensor {
        // A lookup of one vector of ones for each bit says where the elements of vectors lie.
        let table = try TensorMemory([UInt8](repeating: 0, count: times) + [UInt8](repeating: 1, count: times))
        let lut = StoredTensor(type: .uint8, shape: mask.shape.map { _ in 1 } + [2, times], memory: table)
        let shape = try expandedShape(mask.shape, lut, axis)
        guard let count = MILTensorType(.uint8, shape: shape).elementCount else {
            throw ConstexprError("found an output of shape \(shape), larger than any memory")
        }
        let bytes = try TensorMemory(byteCount: count, pool: pool)
        if count > 0 { try expand(PaletteCodes(mask), mask.shape, lut, axis, nil, bytes) }
        let packed = try TensorMemory(byteCount: (count + 7) / 8, pool: pool)
        try packBits(
            bytes.start(as: UInt8.self), count: count, nbits: 1, into: packed.start(as: UInt8.self), pool: pool)
        withExtendedLifetime(bytes) {}
        return StoredTensor(type: .uint1, shape: shape, memory: packed)
    }

    func sparseShiftScale(_ source: some ConstexprSource, output: Int) throws -> StoredTensor {
        let mask = try source.required("data_mask")
        guard mask.type == .uint1 else { throw ConstexprError("found a mask of \(mask.type.name), expected uint1") }
        return output == 0 ? mask : try gathered(try dense(source, mask), mask)
    }

    /// A function of its own, so that the codes are gone when the elements are gathered.
    private func dense(_ source: some ConstexprSource, _ mask: StoredTensor) throws -> StoredTensor {
        let codes = try scattered(try source.required("nonzero_data"), mask)
        let offset = try source.tensor("offset")?.unpacked(pool: pool)
        return try shiftScale(
            WithoutDeclaration(source: source), data: codes, scale: try source.required("scale"), offset: offset)
    }

    func cast(_ source: some ConstexprSource) throws -> StoredTensor {
        let data = try source.required("source_val")
        guard try source.text("output_dtype") == "fp32", data.type == .float16 else {
            throw ConstexprError("found a cast of \(data.type.name), expected one of fp16 to fp32")
        }
        let memory = try memory(source, .float32, data.shape)
        for position in 0..<data.count {
            memory.start(as: Float.self)[position] = Half.toFloat(data.start(as: UInt16.self)[position])
        }
        return StoredTensor(type: .float32, shape: data.shape, memory: memory)
    }
}

/// An operation whose outputs have another shape than what is computed on the way.
private struct WithoutDeclaration<Source: ConstexprSource>: ConstexprSource {
    let source: Source
    var type: String { source.type }
    var isPacked: Bool { source.isPacked }
    func tensor(_ key: String) throws -> StoredTensor? { try source.tensor(key) }
    func integer(_ key: String) throws -> Int? { try source.integer(key) }
    func text(_ key: String) throws -> String? { try source.text(key) }
    func declaredShape(output: Int) -> [Int]? { nil }
    func operation(_ key: String) throws -> (any ConstexprSource)? { try source.operation(key) }
}
