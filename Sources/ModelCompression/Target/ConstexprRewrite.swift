import CoreMLPackage

/// A compressed weight of iOS16 and iOS17 in the form of iOS18: inputs instead of attributes, types below a byte with
/// the weight's shape instead of packed bytes with a shape beside them. Every number stays what it is.
///
/// - `constexpr_lut_to_dense`: `lut` [2^n] becomes [1, ..., 1, 2^n, 1], `indices` uint-n in the weight's shape.
/// - `constexpr_sparse_to_dense`: `mask` becomes uint1 in the weight's shape.
/// - `constexpr_affine_dequantize` becomes `constexpr_blockwise_shift_scale`: `scale` and `zero_point` get the weight's
///   rank, and there is no `offset` where the zero point is zero.
/// - `constexpr_cast`: attributes become inputs.
struct ConstexprRewrite: Sendable {
    enum Part: Sendable {
        /// The elements of a value as they are, in a shape of their own.
        case stored(MILValue, MILDataType, [Int])
        /// Packed bytes read as elements of a type below a byte.
        case packed(MILValue, MILDataType, [Int])
        case bytes(MILDataType, [Int], [UInt8])
        case copy(MILValue)
    }

    let type: String
    let inputs: [(key: String, part: Part)]

    init(_ operation: MILOperation, _ type: String, package: ModelPackage) throws(TargetWalk.Refusal) {
        let source = Source(operation: operation, package: package)
        switch type {
        case "constexpr_lut_to_dense": (self.type, inputs) = (type, try source.lookUp())
        case "constexpr_sparse_to_dense": (self.type, inputs) = (type, try source.sparse())
        case "constexpr_affine_dequantize":
            (self.type, inputs) = ("constexpr_blockwise_shift_scale", try source.affine())
        default:
            self.type = type
            let value = try source.attribute("source_val")
            inputs = [
                ("source_val", .stored(value.value, value.type, value.shape)),
                ("output_dtype", .copy(try source.value("output_dtype"))),
            ]
        }
    }

    func operation(replacing old: MILOperation, _ blobs: inout RewrittenBlobs) throws -> NewOperation {
        // Arrays made anew lie in the weight file that the operation used.
        let file = old.attributes.lazy.compactMap { entry -> String? in
            if case .blob(let file, _) = entry.value.content { file } else { nil }
        }.first
        var bindings: [(key: String, bindings: [NewBinding])] = []
        for (key, part) in inputs { bindings.append((key, [.value(try blobs.value(part, file: file))])) }
        let name = try old.attribute("name").map { value throws(PackageError) in try NewValue.copy(value) }
        return NewOperation(
            type: type, inputs: bindings, outputs: old.outputs, attributes: name.map { [("name", $0)] } ?? [])
    }
}

/// The attributes of an operation of iOS16.
private struct Source {
    let operation: MILOperation
    let package: ModelPackage

    typealias Refusal = TargetWalk.Refusal
    typealias Inputs = [(key: String, part: ConstexprRewrite.Part)]
    typealias Array = (value: MILValue, type: MILDataType, shape: [Int], count: Int)

    func value(_ key: String) throws(Refusal) -> MILValue {
        guard let value = operation.attribute(key) else {
            throw Refusal(key, "it is not among the attributes, where operations of this type have it before iOS18")
        }
        return value
    }

    func attribute(_ key: String) throws(Refusal) -> Array {
        let value = try value(key)
        guard let tensor = value.type.tensor, let type = tensor.dataType, let shape = tensor.shape,
            let count = tensor.elementCount
        else { throw Refusal(key, "it is no array of a fixed shape") }
        // What it states is what it holds: nothing is made as large as a damaged file says.
        _ = try elements(of: value)
        return (value, type, shape, count)
    }

    /// The attribute `shape`: that of the weight, and how many elements that is.
    private func weightShape() throws(Refusal) -> (sizes: [Int], count: Int) {
        let value = try value("shape")
        guard let type = value.type.tensor?.dataType, let sizes = value.immediateTensor?.integers(as: type) else {
            throw Refusal("shape", "it holds no whole numbers")
        }
        let shape = MILTensorType(.uint8, shape: sizes.map { Int(truncatingIfNeeded: $0) })
        guard !sizes.isEmpty, let dimensions = shape.shape, let count = shape.elementCount else {
            throw Refusal("shape", "found \(sizes), and iOS18 wants at least one dimension")
        }
        return (dimensions, count)
    }

    func lookUp() throws(Refusal) -> Inputs {
        let (lut, indices, (shape, count)) = (try attribute("lut"), try attribute("indices"), try weightShape())
        let bits = lut.count.trailingZeroBitCount
        guard [1, 2, 4, 6, 8].contains(bits), lut.count == 1 << bits else {
            throw Refusal("lut", "found \(lut.count) entries, expected 2, 4, 16, 64 or 256")
        }
        try requirePacked(indices, "indices", bits: bits, count: count)
        let table = shape.map { _ in 1 } + [lut.count, 1]
        return [
            ("indices", .packed(indices.value, MILDataType.unsigned(bits: bits), shape)),
            ("lut", .stored(lut.value, lut.type, table)),
        ]
    }

    func sparse() throws(Refusal) -> Inputs {
        let (data, mask, (shape, count)) = (try attribute("nonzero_data"), try attribute("mask"), try weightShape())
        try requirePacked(mask, "mask", bits: 1, count: count)
        return [
            ("nonzero_data", .stored(data.value, data.type, data.shape)),
            ("mask", .packed(mask.value, .uint1, shape)),
        ]
    }

    private func requirePacked(_ array: Array, _ key: String, bits: Int, count: Int) throws(Refusal) {
        let (total, overflow) = count.multipliedReportingOverflow(by: bits)
        guard !overflow, array.type == .uint8, array.count == total / 8 + (total % 8 == 0 ? 0 : 1) else {
            throw Refusal(
                key, "found \(array.count) elements of \(array.type.name), expected \(bits) bits for each of \(count)")
        }
    }

    func affine() throws(Refusal) -> Inputs {
        let (data, scale) = (try attribute("quantized_data"), try attribute("scale"))
        let offsets = try zeroPoints(data.type)
        let rank = data.shape.count
        guard let given = try value("axis").integer, given >= -rank, given < rank else {
            throw Refusal("axis", "expected a number from \(-rank) to \(rank - 1)")
        }
        let axis = given < 0 ? given + rank : given
        let scales = max(scale.count, offsets?.count ?? 1)
        guard scale.count > 0 else { throw Refusal("scale", "it has no elements") }
        for (key, found) in [("scale", scale.count), ("zero_point", offsets?.count ?? 1)]
        where found != 1 && found != data.shape[axis] {
            throw Refusal(key, "found \(found) values for an axis of \(data.shape[axis])")
        }
        var shape = data.shape.map { _ in 1 }
        if scales > 1 { shape[axis] = scales }
        var inputs: Inputs = [("data", .stored(data.value, data.type, data.shape))]
        if scale.count == scales {
            inputs.append(("scale", .stored(scale.value, scale.type, shape)))
        } else {
            let one = try bytes(scale.value)
            inputs.append(("scale", .bytes(scale.type, shape, (0..<scales).flatMap { _ in one })))
        }
        if let offsets {
            let all = offsets.count == scales ? offsets : [UInt8](repeating: offsets[0], count: scales)
            inputs.append(("offset", .bytes(data.type, shape, all)))
        }
        return inputs
    }

    /// The zero points in the type of the data, which `offset` has; nil when all are zero.
    private func zeroPoints(_ type: MILDataType) throws(Refusal) -> [UInt8]? {
        let found = try attribute("zero_point")
        let tensor = DenseTensor(type: found.type, shape: found.shape, bytes: try bytes(found.value))
        guard type == .int8 || type == .uint8, let numbers = tensor.floats(), !numbers.isEmpty else {
            throw Refusal("zero_point", "found \(found.type.name) for data of \(type.name)")
        }
        if numbers.allSatisfy({ $0 == 0 }) { return nil }
        var points: [UInt8] = []
        for number in numbers {
            let exact = type == .int8 ? Int8(exactly: number).map { UInt8(bitPattern: $0) } : UInt8(exactly: number)
            guard let exact else {
                throw Refusal("zero_point", "found \(number), which is not in \(type.name), the type of the data")
            }
            points.append(exact)
        }
        return points
    }

    private func bytes(_ value: MILValue) throws(Refusal) -> [UInt8] { [UInt8](try elements(of: value)) }

    private func elements(of value: MILValue) throws(Refusal) -> UnsafeRawBufferPointer {
        do {
            return try package.tensorBytes(of: value)
        } catch {
            throw Refusal(error)
        }
    }
}

/// Writes the arrays of rewritten weights; one that several share is written once.
struct RewrittenBlobs {
    let package: ModelPackage
    let writer: PackageWriter
    private var packed: [Key: UInt64] = [:]

    private struct Key: Hashable {
        let file: String
        let offset: UInt64
        let type: MILDataType
    }

    init(package: ModelPackage, writer: PackageWriter) {
        self.package = package
        self.writer = writer
    }

    /// - Parameter file: where an array goes that is in none yet, unless it is short.
    mutating func value(_ part: ConstexprRewrite.Part, file: String?) throws -> NewValue {
        switch part {
        case .copy(let value): return try .copy(value)
        case .packed(let value, let type, let shape) where type.isSubByte: return try packedValue(value, type, shape)
        case .stored(let value, let type, let shape), .packed(let value, let type, let shape):
            if case .blob(let file, let offset) = value.content {
                return .blob(type, shape: shape, file: file, offset: try writer.keepBlob(file: file, offset: offset))
            }
            return try .tensor(type, shape: shape, bytes: package.tensorBytes(of: value))
        case .bytes(let type, let shape, let bytes):
            let count = shape.reduce(1, *)
            return try bytes.withUnsafeBytes { raw in
                guard count >= Selector.smallestCount, let file else {
                    return try .tensor(type, shape: shape, bytes: raw)
                }
                let offset = try writer.appendBlob(file: file, type: type, bytes: raw, count: count)
                return .blob(type, shape: shape, file: file, offset: offset)
            }
        }
    }

    private mutating func packedValue(_ value: MILValue, _ type: MILDataType, _ shape: [Int]) throws -> NewValue {
        let count = shape.reduce(1, *)
        var key: Key?
        if case .blob(let file, let offset) = value.content {
            let place = Key(file: file, offset: offset, type: type)
            if let known = packed[place] { return .blob(type, shape: shape, file: file, offset: known) }
            key = place
        }
        var bytes = [UInt8](try package.tensorBytes(of: value))
        // What follows the last element may be anything before iOS18.
        let used = count * type.bitWidth % 8
        if used > 0, let last = bytes.indices.last { bytes[last] &= 1 << UInt8(used) - 1 }
        return try bytes.withUnsafeBytes { raw in
            guard let key else { return try .tensor(type, shape: shape, bytes: raw) }
            let offset = try writer.appendBlob(file: key.file, type: type, bytes: raw, count: count)
            packed[key] = offset
            return .blob(type, shape: shape, file: key.file, offset: offset)
        }
    }
}
