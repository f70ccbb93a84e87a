import CoreMLPackage

/// An operation that takes constant arrays.
struct ConsumerEntry: Encodable {
    struct Parameter: Encodable {
        let name: String
        /// The number of the constant.
        let constant: Int
    }

    let name: String
    let type: String
    fileprivate(set) var parameters: [Parameter]
}

/// A constant array: the value of a `const` operation, or one written into another operation.
struct ConstantEntry: Encodable {
    /// The `const` operation's own name, which may differ from the name that consumers use.
    let name: String
    let function: String
    let dtype: String
    let bits: Int
    let shape: [Int]
    /// The number that `swc_package_tensor` takes.
    let tensor: Int
    /// Numbers of the operations that take it, each once, in the order of the program.
    fileprivate(set) var consumers: [Int]
}

struct ConstantPart: Encodable {
    let operations: [ConsumerEntry]
    let constants: [ConstantEntry]
    /// Numbers of the constants in the order in which coremltools' `get_weights_metadata` lists them: those of nested
    /// blocks before those of the block around.
    let order: [Int]
}

/// Constant arrays (rank 1 or more, numbers) and what takes them, of the block of each function that runs.
///
/// Names, consumers, and the order of constants, consumers and parameters are those of coremltools'
/// `get_weights_metadata`, where a program becomes a graph: an array written into an operation is a constant of its own
/// with a name made of the operation's, the parameter's and a counter; a name of a nested block hides one from outside from
/// there on; an operation counts as a consumer after those in its blocks.
struct ConstantList {
    private(set) var values: [MILValue] = []
    private var operations: [ConsumerEntry] = []
    private var constants: [ConstantEntry] = []
    private var order: [Int] = []
    /// The constant that a name stands for at this point of the program.
    private var bound: [String: Int] = [:]
    /// How often a name was made.
    private var made: [String: Int] = [:]
    private let firstTensor: Int

    var part: ConstantPart { ConstantPart(operations: operations, constants: constants, order: order) }

    init(_ model: MLModelDocument, firstTensor: Int) {
        self.firstTensor = firstTensor
        for (name, function) in programFunctions(model) {
            bound = [:]
            if let block = function.block { order += walk(block, name) }
        }
    }

    private mutating func walk(_ block: MILBlock, _ function: String) -> [Int] {
        var inner: [Int] = []
        var own: [Int] = []
        for operation in block.operations {
            if operation.type == "const" {
                let name = operation.outputs.first?.name ?? ""
                bound[name] = operation.attribute("val").flatMap { add($0, operationName(operation), function) }
                if let constant = bound[name] { own.append(constant) }
                continue
            }
            var parameters = self.parameters(operation, function, &own)
            for nested in operation.blocks {
                for input in nested.inputs { bound[input.name] = nil }
                inner += walk(nested, function)
            }
            for output in operation.outputs { bound[output.name] = nil }
            if parameters.isEmpty { continue }
            parameters.sort { Self.place($0.name) < Self.place($1.name) }
            for parameter in parameters where constants[parameter.constant].consumers.last != operations.count {
                constants[parameter.constant].consumers.append(operations.count)
            }
            operations.append(
                ConsumerEntry(name: operationName(operation), type: operation.type, parameters: parameters))
        }
        return inner + own
    }

    /// The constant parameters of an operation; arrays written into it are added to `own`.
    private mutating func parameters(
        _ operation: MILOperation, _ function: String, _ own: inout [Int]
    ) -> [ConsumerEntry.Parameter] {
        var found: [ConsumerEntry.Parameter] = []
        var written: [(key: String, value: MILValue)] = []
        for input in operation.inputs {
            for (number, binding) in input.bindings.enumerated() {
                let key = input.bindings.count == 1 ? input.key : "\(input.key)[\(number)]"
                switch binding {
                case .name(let name):
                    if let constant = bound[name] { found.append(.init(name: key, constant: constant)) }
                case .value(let value): written.append((key, value))
                }
            }
        }
        if operation.type.hasPrefix("constexpr_") { written += operation.attributes.filter { $0.key != "name" } }
        written.sort { Self.place($0.key) < Self.place($1.key) }
        for (key, value) in written {
            let name = "\(operationName(operation))_\(key)"
            guard let constant = add(value, "\(name)_\(made[name, default: 0])", function) else { continue }
            made[name, default: 0] += 1
            own.append(constant)
            found.append(.init(name: key, constant: constant))
        }
        return found
    }

    /// The number of a new constant; nil for what is no array of numbers.
    private mutating func add(_ value: MILValue, _ name: String, _ function: String) -> Int? {
        guard let tensor = value.type.tensor, let type = tensor.dataType, type != .string, let shape = tensor.shape,
            !shape.isEmpty
        else { return nil }
        switch value.content {
        case .blob, .immediate(.tensor): break
        case .immediate, .none: return nil
        }
        constants.append(
            ConstantEntry(
                name: name, function: function, dtype: type.name, bits: type.bitWidth, shape: shape,
                tensor: firstTensor + values.count, consumers: []))
        values.append(value)
        return constants.count - 1
    }

    // A file lists parameters in any order. This is the order in which coremltools declares them, one for all operations;
    // what is not here comes last, by name.
    private static let places: [String: Int] = {
        let names = [
            "cond", "data", "data_mask", "indices_mask", "input", "query", "quantized_data", "source_val", "values",
            "x",
            "a", "indices_nonzero_data", "key", "nonzero_data", "zero_point", "indices", "boxes", "coordinates",
            "initial_h", "mask", "roi", "transform_matrix", "update", "weight", "y", "b", "scale", "lut", "scores",
            "box_indices", "initial_c", "offset", "updates", "shape", "weight_ih", "alpha", "mean", "prob", "value",
            "weight_hh", "bias", "variance", "attn_mask", "gamma", "peephole", "beta", "weight_ih_back", "quant_scale",
            "weight_hh_back", "quant_bias", "bias_back", "peephole_back", "input_bias",
        ]
        return Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
    }()

    private static func place(_ key: String) -> (Int, String) {
        (places[String(key.prefix { $0 != "[" })] ?? places.count, key)
    }
}
