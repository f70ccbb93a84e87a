import CoreMLPackage

/// Compares what two packages compute, weights aside: functions, operations, their inputs and attributes.
struct ProgramComparison {
    private let first: Side
    private let second: Side

    /// One package, with its weights numbered so that those that belong together have one number.
    private struct Side {
        let package: ModelPackage
        let definitions: [String: [String: MILOperation]]
        let functions: [(name: String, function: MILFunction)]
        var weights: [String: Int] = [:]

        init(_ compared: ComparedPackage) {
            package = compared.package
            definitions = compared.index.definitions
            let programs = package.model.programs
            functions = programs.enumerated().flatMap { number, program in
                program.functions.map { (programs.count == 1 ? $0.name : "\(number)/\($0.name)", $0) }
            }
        }
    }

    /// What an input of an operation is bound to.
    private enum Bound {
        case output(String)
        case weight(Int, name: String)
        case value(MILValue)
    }

    init(_ before: ComparedPackage, _ after: ComparedPackage, _ pairs: WeightPairs) {
        var (first, second) = (Side(before), Side(after))
        func key(_ weight: StoredWeight) -> String {
            weight.info.function + "\u{0}" + (weight.outputName.isEmpty ? weight.info.name : weight.outputName)
        }
        for (number, pair) in pairs.both.enumerated() {
            first.weights[key(before.weights[pair.0])] = number
            second.weights[key(after.weights[pair.1])] = number
        }
        // Numbers of their own for those without a partner.
        for number in pairs.onlyFirst { first.weights[key(before.weights[number])] = -1 - 2 * number }
        for number in pairs.onlySecond { second.weights[key(after.weights[number])] = -2 - 2 * number }
        (self.first, self.second) = (first, second)
    }

    func changes() throws -> [PackageDifference.Change] {
        var changes: [PackageDifference.Change] = []
        for (name, function) in first.functions {
            guard let other = second.functions.first(where: { $0.name == name })?.function else {
                changes.append(.init(area: .program, name: name, what: "function", first: function.opset))
                continue
            }
            changes.add(.program, name, "operation set", function.opset, other.opset)
            changes.add(.program, name, "inputs", text(function.inputs), text(other.inputs))
            try compare(function, other, name: name, &changes)
        }
        for (name, function) in second.functions where !first.functions.contains(where: { $0.name == name }) {
            changes.append(.init(area: .program, name: name, what: "function", second: function.opset))
        }
        return changes
    }

    private func compare(
        _ function: MILFunction, _ other: MILFunction, name: String, _ changes: inout [PackageDifference.Change]
    ) throws {
        guard let block = function.block, let otherBlock = other.block else { return }
        let operations = list(block)
        let others = list(otherBlock)
        var open: [String: [Int]] = [:]
        for number in others.indices.reversed() { open[others[number].key, default: []].append(number) }
        var order: [Int] = []
        var taken: Set<Int> = []
        for entry in operations {
            let text = name + "/" + entry.name
            guard let partner = open[entry.key]?.popLast() else {
                changes.append(.init(area: .operation, name: text, what: "", first: entry.operation.type))
                continue
            }
            order.append(partner)
            taken.insert(partner)
            try compare(entry.operation, others[partner].operation, function: name, name: text, &changes)
        }
        for (number, entry) in others.enumerated() where !taken.contains(number) {
            changes.append(
                .init(area: .operation, name: name + "/" + entry.name, what: "", second: entry.operation.type))
        }
        if zip(order, order.dropFirst()).contains(where: { $0 > $1 }) {
            changes.append(.init(area: .operation, name: name, what: "order of the operations"))
        }
        compareOutputs(of: block, otherBlock, function: name, name: name, &changes)
    }

    private typealias Entry = (key: String, name: String, operation: MILOperation)

    /// Operations that neither are nor make a constant, nested ones included.
    private func list(_ block: MILBlock) -> [Entry] {
        var entries: [Entry] = []
        func walk(_ block: MILBlock) {
            for operation in block.operations {
                let type = operation.type
                if type == "const" || type.hasPrefix("constexpr_") { continue }
                let outputs = operation.outputs.map(\.name)
                let name = operation.attribute("name")?.string ?? outputs.first ?? type
                entries.append((outputs.isEmpty ? name : outputs.joined(separator: ","), name, operation))
                for nested in operation.blocks { walk(nested) }
            }
        }
        walk(block)
        return entries
    }

    // MARK: - One operation

    private func compare(
        _ one: MILOperation, _ other: MILOperation, function: String, name: String,
        _ changes: inout [PackageDifference.Change]
    ) throws {
        changes.add(.operation, name, "type", one.type, other.type)
        changes.add(.operation, name, "outputs", text(one.outputs), text(other.outputs))
        let inputs = (bindings(one, first, function), bindings(other, second, function))
        for key in Set(inputs.0.keys).union(inputs.1.keys).sorted() {
            try add("input \(key)", inputs.0[key], inputs.1[key])
        }
        let attributes = (values(one), values(other))
        for key in Set(attributes.0.keys).union(attributes.1.keys).sorted() {
            try add(
                key == "name" ? key : "attribute \(key)", attributes.0[key].map { [.value($0)] },
                attributes.1[key].map { [.value($0)] })
        }
        let blocks = (one.blocks, other.blocks)
        changes.add(.operation, name, "nested blocks", String(blocks.0.count), String(blocks.1.count))
        for (block, otherBlock) in zip(blocks.0, blocks.1) {
            changes.add(.operation, name, "inputs of a block", text(block.inputs), text(otherBlock.inputs))
            compareOutputs(of: block, otherBlock, function: function, name: name, &changes)
        }

        func add(_ what: String, _ one: [Bound]?, _ other: [Bound]?) throws {
            if let one, let other, one.count == other.count, try zip(one, other).allSatisfy(same) { return }
            changes.append(
                .init(
                    area: .operation, name: name, what: what, first: one.map { text($0, first) },
                    second: other.map { text($0, second) }))
        }
    }

    private func compareOutputs(
        of block: MILBlock, _ other: MILBlock, function: String, name: String,
        _ changes: inout [PackageDifference.Change]
    ) {
        let one = block.outputs.map { bound($0, first, function) }
        let two = other.outputs.map { bound($0, second, function) }
        if one.count == two.count, (try? zip(one, two).allSatisfy(same)) ?? false { return }
        changes.add(
            .operation, name, "outputs of a block", block.outputs.joined(separator: ", "),
            other.outputs.joined(separator: ", "))
    }

    private func bindings(_ operation: MILOperation, _ side: Side, _ function: String) -> [String: [Bound]] {
        let weightInPlace = { (key: String) in side.weights[function + "\u{0}" + key] }
        let name = operation.attribute("name")?.string ?? operation.outputs.first?.name ?? ""
        return Dictionary(
            operation.inputs.map { input in
                let list = input.bindings.map { binding -> Bound in
                    switch binding {
                    case .name(let source): return bound(source, side, function)
                    // A large value in place is listed among the weights.
                    case .value(let value):
                        let place = name + "." + input.key
                        return weightInPlace(place).map { .weight($0, name: place) } ?? .value(value)
                    }
                }
                return (input.key, list)
            }, uniquingKeysWith: { $1 })
    }

    private func bound(_ name: String, _ side: Side, _ function: String) -> Bound {
        if let weight = side.weights[function + "\u{0}" + name] { return .weight(weight, name: name) }
        if let constant = side.definitions[function]?[name], constant.type == "const",
            let value = constant.attribute("val")
        {
            return .value(value)
        }
        return .output(name)
    }

    private func values(_ operation: MILOperation) -> [String: MILValue] {
        Dictionary(operation.attributes.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
    }

    private func same(_ one: Bound, _ other: Bound) throws -> Bool {
        switch (one, other) {
        case (.output(let a), .output(let b)): a == b
        case (.weight(let a, _), .weight(let b, _)): a == b
        case (.value(let a), .value(let b)): sameValue(a, b)
        default: false
        }
    }

    private func sameValue(_ one: MILValue, _ other: MILValue) -> Bool {
        guard one.type == other.type else { return false }
        if one.position == nil, other.position == nil, one.isWritten(like: other) { return true }
        if let texts = one.immediateTensor?.strings, !texts.isEmpty {
            return texts == other.immediateTensor?.strings
        }
        guard let a = try? first.package.tensorBytes(of: one), let b = try? second.package.tensorBytes(of: other)
        else { return false }
        return haveSameBytes(a, b)
    }

    // MARK: - Text

    private func text(_ types: [MILNamedType]) -> String {
        types.map { "\($0.name) \(valueTypeText($0.type))" }.joined(separator: ", ")
    }

    private func text(_ bound: [Bound], _ side: Side) -> String {
        bound.map { bound in
            switch bound {
            case .output(let name): name
            case .weight(_, let name): "weight \(name)"
            case .value(let value): valueText(value, side.package)
            }
        }.joined(separator: ", ")
    }
}

extension [PackageDifference.Change] {
    /// Adds a change unless both are the same.
    mutating func add(
        _ area: PackageDifference.Change.Area, _ name: String, _ what: String, _ first: String?, _ second: String?
    ) {
        if first != second { append(.init(area: area, name: name, what: what, first: first, second: second)) }
    }
}
