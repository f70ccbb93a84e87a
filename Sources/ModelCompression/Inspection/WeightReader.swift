import CoreMLPackage
import TensorCompression

/// Reads constants of a package in dense form, expanding compressed ones: every `constexpr_*` operation of iOS16 and
/// iOS18, in chains of any order.
public final class WeightReader: @unchecked Sendable {
    public let package: ModelPackage
    private let index: ProgramIndex
    private let pool: WorkPool

    /// - Parameter threads: at most this many for one weight; 0: one per core.
    public init(_ package: ModelPackage, threads: Int = 0) {
        self.package = package
        index = ProgramIndex(package.model)
        pool = WorkPool(threads: threads)
    }

    /// Names of all compressed weights, by function.
    public var compressedWeights: [(function: String, name: String)] {
        index.compressed.map { ($0.function, $0.outputName) }
    }

    /// The dense values of a constant or a compressed weight.
    /// - Parameters:
    ///   - name: the name its consumers use.
    ///   - function: nil looks in all functions, in their order in the file.
    /// - Throws: `PackageError`: `.notFound`; `.unsupported` for a form this version does not expand; `.damaged`.
    ///   `CompressionError`: `.outOfMemory`.
    public func decodedWeight(_ name: String, function: String? = nil) throws -> DenseTensor {
        for table in function.map({ [$0] }) ?? index.functions {
            guard let operation = index.definitions[table]?[name] else { continue }
            let tensor = try ConstexprEvaluator(
                package: package, definitions: index.definitions[table] ?? [:], pool: pool
            ).evaluate(operation, named: name)
            return DenseTensor(type: tensor.type, shape: tensor.shape, bytes: Array(tensor.bytes))
        }
        throw PackageError(.notFound, file: package.model.path, "found no constant named \"\(name)\"")
    }
}

/// Computes constants of one function.
struct ConstexprEvaluator: Sendable {
    let package: ModelPackage
    let definitions: [String: MILOperation]
    let pool: WorkPool

    /// Chains are two or three long.
    private static let deepest = 8

    /// - Parameter name: which of the operation's outputs is wanted.
    func evaluate(_ operation: MILOperation, named name: String) throws -> StoredTensor {
        try evaluate(operation, named: name, depth: 0)
    }

    fileprivate func evaluate(_ operation: MILOperation, named name: String, depth: Int) throws -> StoredTensor {
        guard depth < Self.deepest else { throw damaged(operation, "found a chain of constants without end") }
        guard operation.type != "const" else {
            guard let value = operation.attribute("val") else { throw damaged(operation, "found a const without val") }
            return try stored(value)
        }
        guard ConstexprArithmetic.operationTypes.contains(operation.type) else {
            throw PackageError(
                .unsupported, file: package.model.path, offset: UInt64(operation.range.lowerBound),
                "found \(operation.type), expected const or a constexpr operation of iOS16 or iOS18")
        }
        let output = operation.outputs.firstIndex { $0.name == name } ?? 0
        do {
            let result = try ConstexprArithmetic(pool: pool).evaluate(
                StoredOperation(evaluator: self, operation: operation, depth: depth), output: output)
            // What replaces the operation must have the type that its consumers count on.
            let declared = operation.outputs.indices.contains(output) ? operation.outputs[output].type.tensor : nil
            if let type = declared?.dataType, type != result.type {
                throw ConstexprError("found an output of \(type.name), expected \(result.type.name)")
            }
            return result
        } catch let error as ConstexprError {
            throw damaged(operation, error.message)
        } catch let error as CompressionError where error.kind == .invalidArgument {
            throw damaged(operation, error.plainMessage)
        }
    }

    func stored(_ value: MILValue) throws(PackageError) -> StoredTensor {
        let bytes = try package.tensorBytes(of: value)
        guard let tensor = value.type.tensor, let type = tensor.dataType, let shape = tensor.shape else {
            throw PackageError(.unsupported, file: package.model.path, "found a constant without a fixed shape")
        }
        return StoredTensor(type: type, shape: shape, bytes: bytes, owner: package)
    }

    fileprivate func damaged(_ operation: MILOperation, _ message: String) -> PackageError {
        PackageError(.damaged, file: package.model.path, offset: UInt64(operation.range.lowerBound), message)
    }
}

/// A `constexpr_*` operation of a package.
struct StoredOperation: ConstexprSource {
    let evaluator: ConstexprEvaluator
    let operation: MILOperation
    var depth = 0

    var type: String { operation.type }
    var isPacked: Bool { operation.inputs.isEmpty }

    func declaredShape(output: Int) -> [Int]? {
        let outputs = operation.outputs
        return outputs.indices.contains(output) ? outputs[output].type.tensor?.shape : nil
    }

    /// In place, a constant, or the output of another operation of the chain.
    func tensor(_ key: String) throws -> StoredTensor? {
        if let binding = operation.input(key).first { return try tensor(binding, key) }
        return try packedAttribute(key).map { try evaluator.stored($0) }
    }

    func tensor(_ binding: MILBinding, _ key: String) throws -> StoredTensor {
        switch binding {
        case .value(let value): try evaluator.stored(value)
        case .name(let name): try evaluator.evaluate(try definition(key, name), named: name, depth: depth + 1)
        }
    }

    func integer(_ key: String) throws -> Int? { try value(key)?.integer }

    func text(_ key: String) throws -> String? { try value(key)?.string }

    func operation(_ key: String) throws -> (any ConstexprSource)? {
        guard case .name(let name)? = operation.input(key).first else { return nil }
        let source = try definition(key, name)
        guard source.type != "const" else { return nil }
        return StoredOperation(evaluator: evaluator, operation: source, depth: depth + 1)
    }

    private func value(_ key: String) throws -> MILValue? {
        if let binding = operation.input(key).first { return try value(binding, key) }
        return packedAttribute(key)
    }

    /// The form before iOS18 has its parameters in attributes, the other in inputs; none has some of both.
    private func packedAttribute(_ key: String) -> MILValue? { isPacked ? operation.attribute(key) : nil }

    func value(_ binding: MILBinding, _ key: String) throws -> MILValue? {
        switch binding {
        case .value(let value): value
        case .name(let name): try definition(key, name).attribute("val")
        }
    }

    private func definition(_ key: String, _ name: String) throws -> MILOperation {
        guard let source = evaluator.definitions[name] else {
            throw ConstexprError("found \(key) bound to \"\(name)\", which is no constant")
        }
        return source
    }
}
