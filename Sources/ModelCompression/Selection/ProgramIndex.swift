import CoreMLPackage

/// Every constant and operation of a package's ML Programs: what selection, rewriting and inspection need, without
/// touching weight data.
///
/// All programs of a pipeline, all functions, all block specializations and all nested blocks are walked. Names are
/// resolved lexically: an operation in a nested block sees the outputs before it and those of the blocks around it.
struct ProgramIndex {
    /// A constant of `Selector.smallestCount` elements or more that could be a weight: floating point, int8 or uint8.
    struct Weight {
        var site: WeightSite
        /// The name that its consumers use.
        var outputName: String
        var value: MILValue
        /// The whole operation in `model.mlmodel`.
        var range: Range<Int>
        /// The constant is written in place inside its consumer; there is no operation to replace.
        var isInline = false
    }

    /// A weight that is compressed already: the last operation of a chain of `constexpr_*` operations.
    struct Compressed {
        var function: String
        var opset: String
        var operation: MILOperation
        /// The operation's name; its output's when it has none.
        var name: String
        var outputName: String
        var type: MILTensorType?
        var consumers: [Consumer]
        /// The constants and `constexpr_*` operations behind the names that the chain uses, as they are seen from it.
        var definitions: [String: MILOperation]
    }

    /// An operation that is no constant, with the constant bound to its `bias`, if any.
    struct ConsumerOperation {
        var operation: MILOperation
        var bias: MILValue?
    }

    private(set) var weights: [Weight] = []
    private(set) var compressed: [Compressed] = []
    /// The operations that use weights, by `Consumer.position`.
    private(set) var consumers: [Int: ConsumerOperation] = [:]
    /// How often each name is used, by function and name (a zero character between); block outputs count.
    private(set) var uses: [String: Int] = [:]
    /// Every operation that is not a constant.
    private(set) var operations: [(name: String, type: String)] = []
    private(set) var constantNames: Set<String> = []
    /// Where each name is defined, for looking up the inputs of compressed weights: function, then name.
    private(set) var definitions: [String: [String: MILOperation]] = [:]
    /// In the order of the file; a pipeline's are named `stage/function`.
    private(set) var functions: [String] = []
    /// Opset of each function.
    private(set) var opsets: [String: String] = [:]
    /// Operations that are not constants, by function and type.
    private(set) var operationTypes: [String: [String: Int]] = [:]
    /// Constants and `constexpr_*` operations by function and output name (a zero character between), in program order:
    /// nested blocks may repeat a name.
    private(set) var occurrences: [String: [MILOperation]] = [:]
    /// Outputs of all operations and inputs of functions: names that new operations must not take.
    private(set) var outputNames: Set<String> = []

    /// Name and type of every operation that neither is nor makes a constant.
    var skeleton: [(name: String, type: String)] { operations.filter { !$0.type.hasPrefix("constexpr_") } }

    /// - Parameter raise: gives the opset that each function will have.
    init(_ document: MLModelDocument, raise: TargetRaise? = nil) {
        for (number, program) in document.programs.enumerated() {
            for function in program.functions {
                for specialization in function.blockSpecializations {
                    var walk = FunctionWalk(
                        function: document.programs.count == 1 ? function.name : "\(number)/\(function.name)",
                        opset: raise?.opset(of: specialization.name) ?? specialization.name)
                    walk.visit(specialization.block)
                    add(walk)
                    outputNames.formUnion(function.inputs.map(\.name))
                }
            }
        }
    }

    private mutating func add(_ walk: FunctionWalk) {
        weights += walk.weights
        compressed += walk.chains.filter { chain in
            chain.consumers.isEmpty || chain.consumers.contains { !$0.isConstexpr }
        }
        consumers.merge(walk.consumers) { first, _ in first }
        for (name, count) in walk.uses { uses[walk.function + "\u{0}" + name, default: 0] += count }
        operations += walk.operations
        constantNames.formUnion(walk.constantNames)
        outputNames.formUnion(walk.outputNames)
        if !functions.contains(walk.function) { functions.append(walk.function) }
        opsets[walk.function] = walk.opset
        for operation in walk.operations {
            operationTypes[walk.function, default: [:]][operation.type, default: 0] += 1
        }
        for (name, operation) in walk.sources {
            occurrences[walk.function + "\u{0}" + name, default: []].append(operation)
        }
        definitions[walk.function, default: [:]].merge(walk.sources.map { ($0.name, $0.operation) }) { first, _ in first
        }
    }
}

/// One function's blocks, in program order.
private struct FunctionWalk {
    let function: String
    let opset: String
    var weights: [ProgramIndex.Weight] = []
    var chains: [ProgramIndex.Compressed] = []
    var operations: [(name: String, type: String)] = []
    var constantNames: Set<String> = []
    var outputNames: Set<String> = []
    /// Definitions of constants and `constexpr_*` operations, in program order.
    var sources: [(name: String, operation: MILOperation)] = []
    var consumers: [Int: ProgramIndex.ConsumerOperation] = [:]
    var uses: [String: Int] = [:]

    private enum Definition {
        case constant(MILValue, weight: Int?, MILOperation)
        /// The first output of a chain's operation, or another one.
        case chain(Int, isFirst: Bool)
        case other
    }

    private var scope: [String: Definition] = [:]

    init(function: String, opset: String) {
        self.function = function
        self.opset = opset
    }

    mutating func visit(_ block: MILBlock) {
        var hidden: [(name: String, definition: Definition?)] = []
        for input in block.inputs { define(input.name, .other, &hidden) }
        for operation in block.operations {
            let type = operation.type
            if type == "const" {
                visitConstant(operation, &hidden)
                continue
            }
            let outputs = operation.outputs
            let name = operation.attribute("name")?.string ?? outputs.first?.name ?? ""
            operations.append((name, type))
            use(operation, type: type, name: name)
            for nested in operation.blocks { visit(nested) }
            if type.hasPrefix("constexpr_") {
                visitConstexpr(operation, name: name, outputs, &hidden)
            } else {
                for output in outputs { define(output.name, .other, &hidden) }
            }
        }
        for name in block.outputs { uses[name, default: 0] += 1 }
        for (name, definition) in hidden.reversed() { scope[name] = definition }
    }

    private mutating func visitConstexpr(
        _ operation: MILOperation, name: String, _ outputs: [MILNamedType],
        _ hidden: inout [(name: String, definition: Definition?)]
    ) {
        let number = chains.count
        if let first = outputs.first {
            chains.append(
                ProgramIndex.Compressed(
                    function: function, opset: opset, operation: operation, name: name, outputName: first.name,
                    type: first.type.tensor, consumers: [], definitions: definitions(of: operation)))
        }
        for (position, output) in outputs.enumerated() {
            sources.append((output.name, operation))
            define(output.name, .chain(number, isFirst: position == 0), &hidden)
        }
    }

    /// More than any chain has: what a damaged program chains without end is not copied again for every operation.
    private static let mostDefinitions = 256

    /// What the names in a chain's operation mean here, those further up the chain included.
    private func definitions(of operation: MILOperation) -> [String: MILOperation] {
        var result: [String: MILOperation] = [:]
        for case .name(let name) in operation.inputs.flatMap(\.bindings) {
            switch scope[name] {
            case .constant(_, _, let source): result[name] = source
            case .chain(let number, _):
                result[name] = chains[number].operation
                guard chains[number].definitions.count < Self.mostDefinitions else { break }
                result.merge(chains[number].definitions) { first, _ in first }
            case .other, nil: break
            }
        }
        return result
    }

    private mutating func define(
        _ name: String, _ definition: Definition, _ hidden: inout [(name: String, definition: Definition?)]
    ) {
        outputNames.insert(name)
        hidden.append((name, scope[name]))
        scope[name] = definition
    }

    private mutating func visitConstant(
        _ operation: MILOperation, _ hidden: inout [(name: String, definition: Definition?)]
    ) {
        guard let output = operation.outputs.first, let value = operation.attribute("val") else { return }
        let name = operation.attribute("name")?.string ?? output.name
        constantNames.insert(name)
        sources.append((output.name, operation))
        var index: Int?
        if operation.outputs.count == 1, let site = site(value, name: name) {
            index = weights.count
            weights.append(
                ProgramIndex.Weight(site: site, outputName: output.name, value: value, range: operation.range))
        }
        define(output.name, .constant(value, weight: index, operation), &hidden)
    }

    private func site(_ value: MILValue, name: String) -> WeightSite? {
        guard let tensor = value.type.tensor, let type = tensor.dataType, let shape = tensor.shape,
            let count = tensor.elementCount, count >= Selector.smallestCount
        else { return nil }
        switch type {
        case .float16, .float32, .float64, .bfloat16, .int8, .uint8: break
        default: return nil
        }
        return WeightSite(function: function, opset: opset, name: name, type: type, shape: shape, consumers: [])
    }

    /// Records `operation` as a consumer of the weights among its inputs.
    private mutating func use(_ operation: MILOperation, type: String, name: String) {
        var used: [(weight: Int?, chain: Int?, parameter: String)] = []
        for input in operation.inputs {
            for binding in input.bindings {
                switch binding {
                case .name(let source):
                    uses[source, default: 0] += 1
                    switch scope[source] {
                    case .constant(_, let weight?, _): used.append((weight, nil, input.key))
                    case .chain(let chain, isFirst: _): used.append((nil, chain, input.key))
                    case .constant, .other, nil: break
                    }
                case .value(let value):
                    guard !type.hasPrefix("constexpr_"), var site = site(value, name: "\(name).\(input.key)"),
                        site.type.isFloatingPoint
                    else { break }
                    site.consumers = [consumer(operation, type: type, name: name, parameters: [input.key])]
                    weights.append(
                        ProgramIndex.Weight(
                            site: site, outputName: "", value: value, range: operation.range, isInline: true))
                }
            }
        }
        guard !used.isEmpty else { return }
        var bias: MILValue?
        if case .name(let source)? = operation.input("bias").first, case .constant(let value, _, _)? = scope[source] {
            bias = value
        }
        consumers[operation.range.lowerBound] = ProgramIndex.ConsumerOperation(operation: operation, bias: bias)
        for target in Set(used.compactMap(\.weight)).sorted() {
            let parameters = used.filter { $0.weight == target }.map(\.parameter)
            weights[target].site.consumers.append(
                consumer(operation, type: type, name: name, parameters: parameters))
        }
        for target in Set(used.compactMap(\.chain)).sorted() {
            let parameters = used.filter { $0.chain == target }.map(\.parameter)
            chains[target].consumers.append(consumer(operation, type: type, name: name, parameters: parameters))
        }
    }

    private func consumer(_ operation: MILOperation, type: String, name: String, parameters: [String]) -> Consumer {
        var result = Consumer(
            type: type, name: name, parameters: parameters, position: operation.range.lowerBound)
        switch type {
        case "matmul":
            result.transposeX = integer(operation, "transpose_x") ?? 0 != 0
            result.transposeY = integer(operation, "transpose_y") ?? 0 != 0
        case "conv", "conv_transpose": result.groups = integer(operation, "groups") ?? 1
        default: break
        }
        return result
    }

    /// The integer or bool bound to a parameter, in place or through a constant.
    private func integer(_ operation: MILOperation, _ parameter: String) -> Int? {
        switch operation.input(parameter).first {
        case .value(let value): return value.integer
        case .name(let name):
            if case .constant(let value, _, _) = scope[name] { return value.integer }
            return nil
        case nil: return nil
        }
    }
}
