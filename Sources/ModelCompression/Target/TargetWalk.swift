import CoreMLPackage
import TensorCompression

/// The operations of one block and all blocks in it, on the way from one opset to a later one.
struct TargetWalk {
    let package: ModelPackage
    let function: String
    let from: Int
    let to: Int
    private(set) var blockers: [TargetBlocker] = []
    private(set) var changes: [OperationChange] = []

    private let differing: [String: OpsetChanges.Change]
    /// Whether it matters which integers can be negative.
    let checksSigns: Bool
    var scope: [String: Definition] = [:]

    /// What a name stands for.
    struct Definition {
        var type: MILValueType
        /// The constant's value, where it is one.
        var value: MILValue?
        /// An integer tensor that has no negative elements in any run.
        var isNonNegative = false
    }

    init(package: ModelPackage, function: String, from: Int, to: Int) {
        self.package = package
        self.function = function
        self.from = from
        self.to = to
        differing = OpsetChanges.between(from, to)
        checksSigns = differing.values.contains { $0.rules.contains(.nonNegativeIndices) }
    }

    mutating func run(_ block: MILBlock, inputs: [MILNamedType]) throws {
        for input in inputs { scope[input.name] = Definition(type: input.type) }
        try visit(block)
    }

    private mutating func visit(_ block: MILBlock) throws {
        var hidden: [(name: String, definition: Definition?)] = []
        func define(_ name: String, _ definition: Definition) {
            hidden.append((name, scope[name]))
            scope[name] = definition
        }
        for input in block.inputs { define(input.name, Definition(type: input.type)) }
        for operation in block.operations {
            let type = operation.type
            let outputs = operation.outputs
            if type != "const" { try check(operation, type, outputs) }
            for nested in operation.blocks { try visit(nested) }
            let value = type == "const" ? operation.attribute("val") : nil
            let isNonNegative = try isNonNegative(operation, type, value)
            for (position, output) in outputs.enumerated() {
                let isUnsigned = output.type.tensor?.dataType.map { $0 == .uint8 || $0 == .uint16 } ?? false
                define(
                    output.name,
                    Definition(
                        type: output.type, value: value,
                        isNonNegative: isNonNegative || isUnsigned || type == "topk" && position == 1))
            }
        }
        for (name, definition) in hidden.reversed() { scope[name] = definition }
    }

    // MARK: - One operation

    private mutating func check(_ operation: MILOperation, _ type: String, _ outputs: [MILNamedType]) throws {
        let name = operation.attribute("name")?.string ?? outputs.first?.name ?? ""
        func blocker(_ parameter: String?, _ reason: String) -> TargetBlocker {
            TargetBlocker(function: function, operation: name, type: type, parameter: parameter, reason: reason)
        }
        guard let first = OpsetChanges.firstOpset[type] else {
            blockers.append(
                blocker(
                    nil,
                    "an operation of this type is not known, so neither is whether it means the same in "
                        + OpsetChanges.system(to)))
            return
        }
        guard first <= from else {
            blockers.append(
                blocker(
                    nil,
                    "this operation begins with \(OpsetChanges.system(first)), and its function has the opset of "
                        + OpsetChanges.system(from)))
            return
        }
        guard let difference = differing[type] else { return }
        var change = OperationChange(operation: operation, name: name)
        for (parameter, value) in difference.additions where operation.input(parameter).isEmpty {
            // topk without indices must not have their type.
            if parameter == "output_indices_dtype", outputs.count < 2 { continue }
            change.additions.append((parameter, try newValue(value, outputs)))
        }
        for rule in difference.rules {
            do throws(Refusal) {
                try apply(rule, to: operation, type, &change)
            } catch {
                if let failure = error.failure { throw failure }
                blockers.append(blocker(error.parameter, error.reason))
            }
        }
        if !change.additions.isEmpty || change.indices != nil || change.rewrite != nil { changes.append(change) }
    }

    /// Why an operation cannot be raised, or could not be looked at.
    struct Refusal: Error {
        var parameter: String?
        var reason: String
        var failure: PackageError?

        init(_ parameter: String?, _ reason: String) {
            self.parameter = parameter
            self.reason = reason
        }

        init(_ failure: PackageError) {
            reason = failure.message
            self.failure = failure
        }
    }

    private func apply(
        _ rule: OpsetChanges.Rule, to operation: MILOperation, _ type: String, _ change: inout OperationChange
    ) throws(Refusal) {
        switch rule {
        case .nonNegativeIndices: change.indices = try indexGuard(operation, type)
        case .orderedBounds: try requireOrderedBounds(operation)
        case .constexpr: change.rewrite = try ConstexprRewrite(operation, type, package: package)
        case .blocked(let parameter, let reason): throw Refusal(parameter, reason)
        }
    }

    private func newValue(_ value: OpsetChanges.Addition, _ outputs: [MILNamedType]) throws -> NewValue {
        switch value {
        case .bool(let value): return .bool(value)
        case .int32(let value): return .int32(value)
        case .string(let value): return .string(value)
        case .zero:
            let type = outputs.first?.type.tensor?.dataType == .float16 ? MILDataType.float16 : .float32
            let bytes = [UInt8](repeating: 0, count: type.bitWidth / 8)
            return try bytes.withUnsafeBytes { try .tensor(type, shape: [], bytes: $0) }
        }
    }

    /// iOS17's `clip` wants `alpha < beta`.
    private func requireOrderedBounds(_ operation: MILOperation) throws(Refusal) {
        guard let alpha = try number(operation, "alpha"), let beta = try number(operation, "beta") else {
            throw Refusal("alpha", "iOS17 wants alpha below beta, and these are no constant numbers")
        }
        if !(alpha < beta) {
            throw Refusal("alpha", "iOS17 wants alpha below beta, and these are \(alpha) and \(beta)")
        }
    }

    // MARK: - Constants

    /// The constant that a parameter is bound to.
    func constant(_ operation: MILOperation, _ key: String) -> MILValue? {
        switch operation.input(key).first {
        case .value(let value): value
        case .name(let name): scope[name]?.value
        case nil: nil
        }
    }

    private func number(_ operation: MILOperation, _ key: String) throws(Refusal) -> Float? {
        guard let value = constant(operation, key), let tensor = value.type.tensor, let type = tensor.dataType,
            let shape = tensor.shape
        else { return nil }
        do {
            return DenseTensor(type: type, shape: shape, bytes: Array(try package.tensorBytes(of: value)))
                .floats()?.first
        } catch {
            throw Refusal(error)
        }
    }
}
