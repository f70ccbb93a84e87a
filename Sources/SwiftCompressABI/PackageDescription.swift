import CoreMLPackage

/// What `swc_package_describe` tells about a package, in JSON.
struct ModelPart: Encodable {
    struct Feature: Encodable {
        let name: String
        let kind: String
        let shape: [Int]
        let dtype: String
        let optional: Bool
        let description: String
    }

    struct Function: Encodable {
        let name: String
        let opset: String
        let inputs: [String]
        let outputs: [String]
    }

    struct Metadata: Encodable {
        let description: String
        let version: String
        let author: String
        let license: String
        let user: [String: String]
    }

    let specificationVersion: Int
    let modelType: String
    let functions: [Function]
    let inputs: [Feature]
    let outputs: [Feature]
    let states: [Feature]
    let metadata: Metadata

    enum CodingKeys: String, CodingKey {
        case specificationVersion = "specification_version"
        case modelType = "model_type"
        case functions, inputs, outputs, states, metadata
    }
}

extension ModelPart {
    init(_ package: ModelPackage) {
        let model = package.model
        let description = model.description
        specificationVersion = model.specificationVersion
        modelType = model.modelType
        functions = programFunctions(model).map { name, function in
            Function(
                name: name, opset: function.opset, inputs: function.inputs.map(\.name),
                outputs: function.block?.outputs ?? [])
        }
        inputs = description.inputs.map { Feature($0) }
        outputs = description.outputs.map { Feature($0) }
        states = description.states.map { Feature($0) }
        metadata = Metadata(description.metadata)
    }
}

extension ModelPart.Feature {
    init(_ feature: FeatureDescription) {
        name = feature.name
        kind = feature.kind
        shape = feature.shape
        dtype = feature.elementType
        optional = feature.isOptional
        description = feature.shortDescription
    }
}

extension ModelPart.Metadata {
    init(_ metadata: ModelMetadata) {
        description = metadata.shortDescription
        version = metadata.versionString
        author = metadata.author
        license = metadata.license
        user = Dictionary(metadata.userDefined, uniquingKeysWith: { _, last in last })
    }
}

/// Functions with the names that are used everywhere: a pipeline's begin with the number of its program.
func programFunctions(_ model: MLModelDocument) -> [(name: String, function: MILFunction)] {
    model.programs.enumerated().flatMap { number, program in
        program.functions.map { (model.programs.count == 1 ? $0.name : "\(number)/\($0.name)", $0) }
    }
}

// MARK: - Operations

/// One operation of a program, constants included; nested ones follow the operation whose blocks they are in.
struct OperationEntry: Encodable {
    let name: String
    let type: String
    let function: String
    let outputs: [String]
    /// 0 in a function's own block, one more in each block inside.
    let depth: Int
}

/// Every operation of every function's block, in program order.
func visitOperations(
    _ model: MLModelDocument, _ visit: (_ function: String, _ operation: MILOperation, _ depth: Int) -> Void
) {
    func walk(_ block: MILBlock, _ function: String, _ depth: Int) {
        for operation in block.operations {
            visit(function, operation, depth)
            for nested in operation.blocks { walk(nested, function, depth + 1) }
        }
    }
    for (name, function) in programFunctions(model) {
        for specialization in function.blockSpecializations { walk(specialization.block, name, 0) }
    }
}

func operationName(_ operation: MILOperation) -> String {
    operation.attribute("name")?.string ?? operation.outputs.first?.name ?? ""
}

func listOperations(_ model: MLModelDocument) -> [OperationEntry] {
    var list: [OperationEntry] = []
    visitOperations(model) { function, operation, depth in
        list.append(
            OperationEntry(
                name: operationName(operation), type: operation.type, function: function,
                outputs: operation.outputs.map(\.name), depth: depth))
    }
    return list
}

// MARK: - Weights

/// One stored array.
struct WeightEntry: Encodable {
    /// The name that consumers use; the operation's and the parameter's with a dot between for values written in place.
    let name: String
    let function: String
    let dtype: String
    let bits: Int
    let shape: [Int]
    /// "const", or the type of the operation that the array is written into.
    let operation: String
    /// Empty for a value in `model.mlmodel`.
    let file: String
    let offset: UInt64
}

/// A weight that is stored compressed: the last operation of its chain.
struct CompressedEntry: Encodable {
    let name: String
    let function: String
    let operation: String
    let dtype: String
    let shape: [Int]
}

struct WeightPart: Encodable {
    let weights: [WeightEntry]
    let compressed: [CompressedEntry]

    init(_ list: WeightList) {
        weights = list.entries
        compressed = list.compressed
    }
}

/// Stored arrays and compressed weights, in program order.
///
/// A stored array is a constant in a weight file, an array parameter of a `constexpr_*` operation, or a floating-point
/// constant of rank 1 or more written into the program.
struct WeightList {
    private(set) var entries: [WeightEntry] = []
    private(set) var values: [MILValue] = []
    private(set) var compressed: [CompressedEntry] = []

    private static let arrayParameters: Set<String> = [
        "lut", "indices", "data", "scale", "offset", "quantized_data", "zero_point", "mask", "nonzero_data",
        "indices_mask", "indices_nonzero_data", "data_mask",
    ]

    init(_ model: MLModelDocument) {
        var list = WeightList()
        // Outputs of constexpr operations that only feed another one are not weights of their own.
        var inner: Set<String> = []
        var outer: Set<String> = []
        visitOperations(model) { function, operation, _ in
            let isConstexpr = operation.type.hasPrefix("constexpr_")
            for input in operation.inputs {
                for case .name(let source) in input.bindings {
                    if isConstexpr {
                        inner.insert(function + "\n" + source)
                    } else {
                        outer.insert(function + "\n" + source)
                    }
                }
            }
        }
        inner.subtract(outer)
        visitOperations(model) { function, operation, _ in list.add(function, operation, inner) }
        self = list
    }

    private init() {}

    private mutating func add(_ function: String, _ operation: MILOperation, _ inner: Set<String>) {
        let type = operation.type
        if type == "const" {
            if let value = operation.attribute("val"), let output = operation.outputs.first {
                add(value, name: output.name, function, "const", isParameter: false)
            }
            return
        }
        let isConstexpr = type.hasPrefix("constexpr_")
        let name = isConstexpr ? operation.outputs.first?.name ?? "" : operationName(operation)
        if isConstexpr, let output = operation.outputs.first, let tensor = output.type.tensor,
            !inner.contains(function + "\n" + output.name)
        {
            compressed.append(
                CompressedEntry(
                    name: name, function: function, operation: type, dtype: tensor.dataType?.name ?? "unknown",
                    shape: tensor.shape ?? []))
        }
        for input in operation.inputs {
            for case .value(let value) in input.bindings {
                add(
                    value, name: "\(name).\(input.key)", function, type,
                    isParameter: isConstexpr && Self.arrayParameters.contains(input.key))
            }
        }
        guard isConstexpr else { return }
        for (key, value) in operation.attributes where Self.arrayParameters.contains(key) {
            add(value, name: "\(name).\(key)", function, type, isParameter: true)
        }
    }

    private mutating func add(
        _ value: MILValue, name: String, _ function: String, _ operation: String, isParameter: Bool
    ) {
        guard let tensor = value.type.tensor, let type = tensor.dataType, type != .string, let shape = tensor.shape
        else {
            return
        }
        var file = ""
        var offset: UInt64 = 0
        switch value.content {
        case .blob(let name, let position): (file, offset) = (name, position)
        case .immediate(.tensor): if !isParameter && !(type.isFloatingPoint && !shape.isEmpty) { return }
        case .immediate, .none: return
        }
        values.append(value)
        entries.append(
            WeightEntry(
                name: name, function: function, dtype: type.name, bits: type.bitWidth, shape: shape,
                operation: operation, file: file, offset: offset))
    }
}
