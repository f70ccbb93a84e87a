import CoreMLPackage

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Reads constants of a package in dense form, expanding compressed ones.
///
/// Understands `const`, both forms of `constexpr_lut_to_dense`, and `constexpr_blockwise_shift_scale`.
public final class WeightReader: @unchecked Sendable {
    public let package: ModelPackage
    private let index: ProgramIndex

    public init(_ package: ModelPackage) {
        self.package = package
        index = ProgramIndex(package.model)
    }

    /// Names of all compressed weights, by function.
    public var compressedWeights: [(function: String, name: String)] {
        index.compressed.map { ($0.function, $0.outputName) }
    }

    /// The dense values of a constant or a compressed weight.
    /// - Parameters:
    ///   - name: the name its consumers use.
    ///   - function: nil looks in all functions, in their order in the file.
    /// - Throws: `.notFound`; `.unsupported` for a form this version does not expand; `.damaged`.
    public func decodedWeight(_ name: String, function: String? = nil) throws(PackageError) -> DenseTensor {
        let tables = function.map { [$0] } ?? index.functions
        for table in tables {
            if let operation = index.definitions[table]?[name] {
                return try ConstexprEvaluator(package: package, definitions: index.definitions[table] ?? [:])
                    .evaluate(operation, depth: 0)
            }
        }
        throw PackageError(.notFound, file: package.model.path, "found no constant named \"\(name)\"")
    }
}

/// Computes one constant.
struct ConstexprEvaluator {
    let package: ModelPackage
    let definitions: [String: MILOperation]

    /// Chains are two or three long.
    private static let deepest = 8

    func evaluate(_ operation: MILOperation, depth: Int) throws(PackageError) -> DenseTensor {
        guard depth < Self.deepest else { throw damaged(operation, "found a chain of constants without end") }
        switch operation.type {
        case "const":
            guard let value = operation.attribute("val") else { throw damaged(operation, "found a const without val") }
            return try dense(value)
        case "constexpr_lut_to_dense":
            return operation.attribute("lut") == nil
                ? try lookUp(operation, depth: depth) : try lookUpPacked(operation)
        case "constexpr_blockwise_shift_scale": return try scale(operation, depth: depth)
        case let type:
            throw PackageError(
                .unsupported, file: package.model.path, offset: UInt64(operation.range.lowerBound),
                "found \(type), expected const, constexpr_lut_to_dense or constexpr_blockwise_shift_scale")
        }
    }

    private func dense(_ value: MILValue) throws(PackageError) -> DenseTensor {
        let bytes = try package.tensorBytes(of: value)
        guard let tensor = value.type.tensor, let type = tensor.dataType, let shape = tensor.shape else {
            throw PackageError(.unsupported, file: package.model.path, "found a constant without a fixed shape")
        }
        return DenseTensor(type: type, shape: shape, bytes: Array(bytes))
    }

    /// An input: in place, a constant, or another operation of the chain.
    private func input(_ operation: MILOperation, _ key: String, depth: Int) throws(PackageError) -> DenseTensor? {
        switch operation.input(key).first {
        case .value(let value): return try dense(value)
        case .name(let name):
            guard let source = definitions[name] else {
                throw damaged(operation, "found \(key) bound to \"\(name)\", which is no constant")
            }
            return try evaluate(source, depth: depth + 1)
        case nil: return try operation.attribute(key).map { value throws(PackageError) in try dense(value) }
        }
    }

    private func required(_ operation: MILOperation, _ key: String, depth: Int) throws(PackageError) -> DenseTensor {
        guard let value = try input(operation, key, depth: depth) else {
            throw damaged(operation, "found \(operation.type) without \(key)")
        }
        return value
    }

    private func lookUp(_ operation: MILOperation, depth: Int) throws(PackageError) -> DenseTensor {
        let indices = try required(operation, "indices", depth: depth)
        let lut = try required(operation, "lut", depth: depth)
        let rank = indices.shape.count
        guard !indices.type.isFloatingPoint, (1...8).contains(indices.type.bitWidth), lut.shape.count == rank + 2,
            lut.shape[rank] == 1 << indices.type.bitWidth, lut.shape[rank + 1] >= 1,
            [8, 16, 32].contains(lut.type.bitWidth)
        else {
            throw damaged(
                operation,
                "found a lut of \(lut.type.name) \(lut.shape) with indices of \(indices.type.name) \(indices.shape)")
        }
        for axis in 0..<rank where lut.shape[axis] < 1 || indices.shape[axis] % lut.shape[axis] != 0 {
            throw damaged(
                operation, "found a lut of shape \(lut.shape) that does not divide indices of \(indices.shape)")
        }
        var vectorAxis: Int?
        if lut.shape[rank + 1] > 1 {
            let given = try vectorAxisValue(operation)
            guard let given, given >= -rank, given < rank else {
                throw damaged(operation, "found no vector_axis from \(-rank) to \(rank - 1)")
            }
            vectorAxis = given < 0 ? given + rank : given
        }
        var shape = indices.shape
        if let vectorAxis {
            let (length, overflow) = shape[vectorAxis].multipliedReportingOverflow(by: lut.shape[rank + 1])
            guard !overflow else { throw damaged(operation, "found vectors that make an axis longer than 2^63") }
            shape[vectorAxis] = length
        }
        try requireRoom(operation, type: lut.type, shape: shape)
        if shape.contains(0) { return DenseTensor(type: lut.type, shape: shape, bytes: []) }
        return ConstexprDecoding.lookUp(indices.codes(), shape: indices.shape, lut: lut, vectorAxis: vectorAxis)
    }

    /// The result must be what the operation declares, and there must be memory for it: a small file can ask for any size.
    private func requireRoom(_ operation: MILOperation, type: MILDataType, shape: [Int]) throws(PackageError) {
        if let declared = operation.outputs.first?.type.tensor, declared.shape.map({ $0 != shape }) ?? false {
            throw damaged(operation, "found an output of shape \(declared.shape ?? []), expected \(shape)")
        }
        guard let count = MILTensorType(type, shape: shape).elementCount, let size = type.byteCount(elements: count)
        else { throw damaged(operation, "found an output of shape \(shape), larger than any memory") }
        guard let probe = malloc(max(size, 1)) else {
            throw PackageError(.io(ENOMEM), file: package.model.path, "cannot expand a weight to \(size) bytes")
        }
        free(probe)
    }

    private func vectorAxisValue(_ operation: MILOperation) throws(PackageError) -> Int? {
        switch operation.input("vector_axis").first {
        case .value(let value): value.integer
        case .name(let name): definitions[name]?.attribute("val")?.integer
        case nil: nil
        }
    }

    /// The iOS16 form: lookup table and packed indices in attributes, shape explicit.
    private func lookUpPacked(_ operation: MILOperation) throws(PackageError) -> DenseTensor {
        guard let lutValue = operation.attribute("lut"), let indexValue = operation.attribute("indices"),
            let shapeValue = operation.attribute("shape"), let shapeType = shapeValue.type.tensor?.dataType,
            let sizes = shapeValue.immediateTensor?.integers(as: shapeType)
        else { throw damaged(operation, "found constexpr_lut_to_dense without lut, indices or shape") }
        var lut = try dense(lutValue)
        let packed = try dense(indexValue)
        let bits = lut.count.trailingZeroBitCount
        let type = MILTensorType(.uint8, shape: sizes.map { Int(truncatingIfNeeded: $0) })
        guard let shape = type.shape, let count = type.elementCount, lut.shape.count == 1, (1...8).contains(bits),
            lut.count == 1 << bits, packed.type == .uint8, [8, 16, 32].contains(lut.type.bitWidth),
            !count.multipliedReportingOverflow(by: bits).overflow, packed.bytes.count == (count * bits + 7) / 8
        else {
            throw damaged(
                operation, "found a lut of \(lut.shape) and \(packed.bytes.count) bytes of indices for shape \(sizes)")
        }
        lut.shape = shape.map { _ in 1 } + [lut.count, 1]
        try requireRoom(operation, type: lut.type, shape: shape)
        if count == 0 { return DenseTensor(type: lut.type, shape: shape, bytes: []) }
        let codes = packed.bytes.withUnsafeBytes { BitStream.unpack($0, bits: bits, count: count) }
        return ConstexprDecoding.lookUp(codes, shape: shape, lut: lut, vectorAxis: nil)
    }

    private func scale(_ operation: MILOperation, depth: Int) throws(PackageError) -> DenseTensor {
        let data = try required(operation, "data", depth: depth)
        let scale = try required(operation, "scale", depth: depth)
        let offset = try input(operation, "offset", depth: depth)
        let rank = data.shape.count
        let divides =
            scale.shape.count == rank
            && (0..<rank).allSatisfy { scale.shape[$0] > 0 && data.shape[$0] % scale.shape[$0] == 0 }
        guard divides, offset == nil || offset?.shape == scale.shape, scale.type == .float16 || scale.type == .float32,
            let values = data.floats(),
            let result = ConstexprDecoding.scale(values, shape: data.shape, scale: scale, offset: offset?.floats())
        else {
            throw damaged(
                operation,
                "found data of \(data.type.name) \(data.shape) with a scale of \(scale.type.name) \(scale.shape)")
        }
        return result
    }

    private func damaged(_ operation: MILOperation, _ message: String) -> PackageError {
        PackageError(.damaged, file: package.model.path, offset: UInt64(operation.range.lowerBound), message)
    }
}
