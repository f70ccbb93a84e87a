import CoreMLPackage
import TensorCompression

/// Which elements of a tensor stay.
struct PruningMask {
    /// One byte for each element: 1 where it stays.
    let bytes: TensorMemory
    let count: Int
    let kept: Int

    init(_ tensor: TensorView, _ method: PruningMethod, pool: WorkPool) throws(CompressionError) {
        count = tensor.elementCount
        bytes = try TensorMemory(byteCount: count, pool: pool)
        kept = try prune(tensor, method, pool: pool, mask: bytes.start(as: UInt8.self)).nonzeroCount
    }

    /// One bit for each element.
    func packed(_ shape: [Int], pool: WorkPool) throws(CompressionError) -> EncodedArray {
        try EncodedArray(
            codes: StoredTensor(type: .uint8, shape: shape, memory: bytes), type: .uint1, shape: shape, pool: pool)
    }

    /// The elements that stay, of a type of whole bytes.
    func gathered(_ dense: StoredTensor, pool: WorkPool) throws(CompressionError) -> StoredTensor {
        let size = dense.type.bitWidth / 8
        let memory = try TensorMemory(byteCount: kept * size, pool: pool)
        try gatherNonzero(
            elementByteCount: size, count: count, UnsafeRawPointer(dense.start(as: UInt8.self)),
            mask: bytes.start(as: UInt8.self), into: memory.start(as: UInt8.self), pool: pool)
        return StoredTensor(type: dense.type, shape: [kept], memory: memory)
    }

    /// For the report.
    var note: String? {
        kept > 0 ? nil : "nothing of it is left: stored without elements, as coremltools does"
    }

    /// E.g. `, 50.0 % zero`.
    var text: String {
        let part = (Double(count - kept) / Double(max(count, 1)) * 1000).rounded() / 10
        return ", \(part) % zero"
    }
}

extension PruningScheme {
    /// Compresses one weight.
    /// - Throws: `.declined` when this weight does not suit the scheme; the weight itself is only read.
    func encode(_ tensor: TensorView, context: EncodingContext) throws -> EncodedWeight {
        let pool = context.pool
        let mask = try PruningMask(tensor, method, pool: pool)
        let dense = StoredTensor(
            type: tensor.type.milType, shape: tensor.shape,
            bytes: UnsafeRawBufferPointer(start: tensor.base, count: tensor.elementCount * tensor.type.byteCount),
            owner: nil)
        let nonzero = try mask.gathered(dense, pool: pool)
        let error = try pruningError(tensor, mask: mask.bytes.start(as: UInt8.self), pool: pool)
        let bits = try mask.packed(tensor.shape, pool: pool)
        return EncodedWeight(
            action: .pruned, operations: [operation(nonzero, bits)], scheme: text + mask.text, nbits: nil,
            measures: ErrorMeasures(error), note: mask.note)
    }

    private func operation(_ nonzero: StoredTensor, _ mask: EncodedArray) -> EncodedOperation {
        let output = [(type: nonzero.type, shape: mask.shape)]
        let data = EncodedParameter.array(EncodedArray(nonzero))
        if form == .iOS16 {
            let bits = mask.reinterpreted(as: .uint8, shape: [mask.bytes.count])
            return EncodedOperation(
                "constexpr_sparse_to_dense", usesAttributes: true,
                [("nonzero_data", data), ("mask", .array(bits)), ("shape", .uint32s(mask.shape))], outputs: output)
        }
        return EncodedOperation(
            "constexpr_sparse_to_dense", [("nonzero_data", data), ("mask", .array(mask))], outputs: output)
    }
}
