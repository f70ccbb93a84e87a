import CoreMLPackage

/// The edit of one operation that keeps its meaning in a later opset.
struct OperationChange: Sendable {
    let operation: MILOperation
    var name: String
    /// Parameters that are written out, each as a constant before the operation.
    var additions: [(parameter: String, value: NewValue)] = []
    var indices: IndexGuard?
    /// The operation is replaced.
    var rewrite: ConstexprRewrite?

    func apply(to writer: PackageWriter, names: inout Set<String>, blobs: inout RewrittenBlobs) throws {
        if let rewrite {
            try writer.replace(operationAt: operation.range, with: [rewrite.operation(replacing: operation, &blobs)])
            return
        }
        var operations: [NewOperation] = []
        for (parameter, value) in additions {
            let constant = Self.freshName("\(name)_\(parameter)", &names)
            operations.append(.const(constant, value))
            try writer.setInput(parameter, of: operation, to: [.name(constant)])
        }
        if let indices {
            let counted = indices.operations(before: name, &names)
            operations += counted
            try writer.setInput("indices", of: operation, to: [.name(counted[counted.count - 1].outputs[0].name)])
        }
        try writer.insert(operations, before: operation)
    }

    static func freshName(_ wanted: String, _ names: inout Set<String>) -> String {
        var name = wanted
        var number = 0
        while !names.insert(name).inserted {
            number += 1
            name = "\(wanted)_\(number)"
        }
        return name
    }
}

/// `select(indices >= 0, indices, indices + size)`: indices counted from the end become those of the same elements
/// counted from the front. coremltools' pass guard_negative_gather_indices puts the same operations there.
struct IndexGuard: Sendable {
    static let types: Set = ["greater_equal", "add", "select"]

    /// What the indices are bound to.
    let source: String
    /// Of int32.
    let type: MILTensorType
    /// The size of the indexed axis, or of each axis that a vector of indices goes along.
    let sizes: [Int32]
    let isVector: Bool

    /// The last one's output is what the operation uses.
    func operations(before name: String, _ names: inout Set<String>) -> [NewOperation] {
        func fresh(_ suffix: String) -> String { OperationChange.freshName("\(name)_indices_\(suffix)", &names) }
        let (zero, size) = (fresh("zero"), fresh("size"))
        let (isFront, fromEnd, counted) = (fresh("are_from_front"), fresh("from_end"), fresh("from_front"))
        func operation(
            _ type: String, _ inputs: [(key: String, from: String)], _ output: String, _ dataType: MILDataType
        ) -> NewOperation {
            NewOperation(
                type: type, inputs: inputs.map { ($0.key, [.name($0.from)]) },
                outputs: [(output, .tensor(self.type.with(dataType)))], attributes: [("name", .string(output))])
        }
        return [
            .const(zero, .int32(0)), .const(size, isVector ? .int32s(sizes) : .int32(sizes[0])),
            operation("greater_equal", [("x", source), ("y", zero)], isFront, .bool),
            operation("add", [("x", source), ("y", size)], fromEnd, .int32),
            operation("select", [("cond", isFront), ("a", source), ("b", fromEnd)], counted, .int32),
        ]
    }
}
