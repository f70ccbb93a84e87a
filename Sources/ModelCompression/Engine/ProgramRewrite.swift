import CoreMLPackage
import TensorCompression

/// Puts encoded weights into the program that is being written.
final class ProgramRewrite {
    /// What was written for one weight.
    struct Outcome {
        var byteCount: Int
        var note: String?
        /// The constant that scales the results of its consumers.
        var outputScale: String?
    }

    let writer: PackageWriter
    private let index: ProgramIndex
    private var names: Set<String>
    /// How often each name is used by now, as in `ProgramIndex.uses`.
    private var uses: [String: Int]
    /// What replaced chains are made of, by its place in the file, with the function.
    private var parts: [Int: (function: String, operation: MILOperation)] = [:]
    /// Operations of the package that are gone or replaced.
    private var replaced: Set<Range<Int>> = []
    /// Consumers that a scale follows now, by `Consumer.position`.
    private var scaled: Set<Int> = []
    /// Names of operations beside the constants.
    private(set) var addedOperations: [String] = []

    init(_ index: ProgramIndex, _ writer: PackageWriter) {
        self.index = index
        self.writer = writer
        names = index.outputNames
        uses = index.uses
    }

    /// Writes the arrays of a weight once, and its operations in the place of each of `subjects`.
    /// - Parameter file: the weight file for new arrays; nil: they are written into the program.
    func replace(_ subjects: [Subject], by encoded: EncodedWeight, file: String?) throws -> [Outcome] {
        var scaled = encoded.outputScaled
        var obstacle = encoded.isScaledInside ? subjects[0].scaleText : nil
        if let wanted = scaled, let reason = outputScaleObstacle(subjects, wanted.scale) {
            (scaled, obstacle) = (nil, reason)
        }
        let operations = scaled?.operations ?? encoded.operations
        let byteCount = operations.byteCount + (scaled?.scale.bytes.count ?? 0)
        let note = obstacle.map { "its scale multiplies the weight itself, not what its consumers compute: \($0)" }
        let values = try values(operations, file)
        return try subjects.map { subject in
            try write(operations, values, for: subject)
            let name = try scaled.flatMap { try scaleOutputs(of: subject, $0.scale, file) }
            return Outcome(byteCount: byteCount, note: note, outputScale: name)
        }
    }

    private func write(_ operations: [EncodedOperation], _ values: [[NewValue?]], for subject: Subject) throws {
        try replace(subject.range, with: build(operations, values, name: subject.outputName))
        if let chain = subject.compressed { release(chain, operations) }
    }

    private func replace(_ range: Range<Int>, with operations: [NewOperation]) throws {
        replaced.insert(range)
        try writer.replace(operationAt: range, with: operations)
    }

    /// Makes the edits of a raise in everything that has not been replaced.
    func apply(_ raise: TargetRaise) throws { try raise.apply(to: writer, names: &names, except: replaced) }

    // MARK: - Values

    /// The constant behind every parameter that is one; arrays go into the weight file here.
    private func values(_ operations: [EncodedOperation], _ file: String?) throws -> [[NewValue?]] {
        try operations.map { operation in try operation.parameters.map { try value($0.value, file) } }
    }

    private func value(_ parameter: EncodedParameter, _ file: String?) throws -> NewValue? {
        switch parameter {
        case .int32(let value): return .int32(value)
        case .uint32s(let values): return .uint32s(values.map { UInt32(truncatingIfNeeded: $0) })
        case .output: return nil
        case .kept(.name, _): return nil
        case .kept(.value(let value), _): return try kept(value)
        case .array(let array): return try constant(array, file)
        }
    }

    /// Arrays below ten elements are written in place, as coremltools does.
    func constant(_ array: EncodedArray, _ file: String?) throws -> NewValue {
        guard array.count >= Selector.smallestCount, let file else {
            return try NewValue.tensor(array.type, shape: array.shape, bytes: array.bytes)
        }
        let offset = try writer.appendBlob(file: file, type: array.type, bytes: array.bytes, count: array.count)
        return NewValue.blob(array.type, shape: array.shape, file: file, offset: offset)
    }

    private func kept(_ value: MILValue) throws -> NewValue {
        guard case .blob(let file, let offset) = value.content, let type = value.type.tensor,
            let dataType = type.dataType, let shape = type.shape
        else { return try NewValue.copy(value) }
        return NewValue.blob(
            dataType, shape: shape, file: file, offset: try writer.keepBlob(file: file, offset: offset))
    }

    // MARK: - Operations

    /// The operations of one weight: the last has its name, so that every consumer stays as it is.
    private func build(_ encoded: [EncodedOperation], _ values: [[NewValue?]], name: String) -> [NewOperation] {
        let outputs = encoded.enumerated().map { position, operation in
            position == encoded.count - 1
                ? [name]
                : operation.outputs.indices.map { number in
                    let isMask = operation.outputs.count == 2 && number == 0
                    return freshName(name + operation.suffix + (isMask ? "_mask" : ""))
                }
        }
        return zip(encoded, values).enumerated().map { position, pair in
            let (operation, values) = pair
            let own = outputs[position].last ?? name
            var attributes: [(key: String, value: NewValue)] = [("name", .string(own))]
            var inputs: [(key: String, bindings: [NewBinding])] = []
            for (parameter, value) in zip(operation.parameters, values) {
                switch (parameter.value, value) {
                case (_, let value?) where operation.usesAttributes: attributes.append((parameter.key, value))
                case (_, let value?): inputs.append((parameter.key, [.value(value)]))
                case (.output(let source, let number), nil):
                    inputs.append((parameter.key, [.name(outputs[source][number])]))
                case (.kept(.name(let source), _), nil): inputs.append((parameter.key, [.name(source)]))
                default: break
                }
            }
            return NewOperation(
                type: operation.type, inputs: inputs,
                outputs: zip(outputs[position], operation.outputs).map { name, output in
                    (name, .tensor(output.type, output.shape))
                }, attributes: attributes)
        }
    }

    private func freshName(_ wanted: String) -> String { OperationChange.freshName(wanted, &names) }

    private func countUses(of bindings: [MILBinding], in function: String, _ change: Int) {
        for case .name(let name) in bindings { uses[function + "\u{0}" + name, default: 0] += change }
    }

    /// Remembers the constants and operations of a replaced chain.
    private func release(_ chain: ProgramIndex.Compressed, _ operations: [EncodedOperation]) {
        let kept = operations.flatMap(\.parameters).compactMap { parameter in
            if case .kept(let binding, _) = parameter.value { binding } else { nil }
        }
        countUses(of: kept, in: chain.function, 1)
        countUses(of: chain.operation.inputs.flatMap(\.bindings), in: chain.function, -1)
        for part in chain.definitions.values { parts[part.range.lowerBound] = (chain.function, part) }
    }

    /// Removes what only replaced chains have used.
    func removeUnusedParts() throws {
        // From the consumers back to what they use. Names that nested blocks repeat are counted together.
        for (function, part) in parts.sorted(by: { $0.key > $1.key }).map(\.value) {
            guard !replaced.contains(part.range),
                part.outputs.allSatisfy({ uses[function + "\u{0}" + $0.name, default: 0] == 0 })
            else { continue }
            countUses(of: part.inputs.flatMap(\.bindings), in: function, -1)
            try replace(part.range, with: [])
        }
        parts = [:]
    }
}

// MARK: - Scales after the consumers

extension ProgramRewrite {
    /// Why the results of a weight's consumers cannot be scaled instead of the weight; nil when they can.
    private func outputScaleObstacle(_ subjects: [Subject], _ scale: EncodedArray) -> String? {
        var found = scaled
        for subject in subjects {
            for consumer in subject.site.consumers {
                // One scale can follow an operation, whether its weights have the same data or not.
                guard let entry = index.consumers[consumer.position], found.insert(consumer.position).inserted else {
                    return "another weight of \(consumer.text) has a scale too"
                }
                let outputs = entry.operation.outputs
                guard outputs.count == 1, let type = outputs[0].type.tensor, type.dataType == scale.type else {
                    return "\(consumer.text) has another type than the weight"
                }
                let shape = consumer.outputScaleShape(channels: scale.count, rank: subject.site.shape.count)
                guard type.keepsShape(multipliedBy: shape) else {
                    let found = valueTypeText(.tensor(type))
                    return "the results of \(consumer.text) have \(found), not the weight's channels"
                }
                let isPlain = entry.operation.inputs.flatMap(\.bindings).allSatisfy { binding in
                    if case .value(let value) = binding, case .blob = value.content { false } else { true }
                }
                guard isPlain, entry.operation.blocks.isEmpty else { return "\(consumer.text) has constants in place" }
                if !entry.operation.input("bias").isEmpty, scaledBias(entry, scale) == nil {
                    return "the bias of \(consumer.text) cannot be divided by the scale"
                }
            }
        }
        return nil
    }

    /// The bias that gives, multiplied by the scale, the old one; nil where it is no constant or leaves the type's range.
    private func scaledBias(_ entry: ProgramIndex.ConsumerOperation, _ scale: EncodedArray) -> EncodedArray? {
        guard let bias = entry.bias, let type = bias.type.tensor, type.dataType == scale.type,
            type.elementCount == scale.count, let bytes = try? writer.package.tensorBytes(of: bias),
            let floats = try? StoredTensor(type: scale.type, shape: [scale.count], bytes: bytes, owner: nil)
                .floats(pool: WorkPool(threads: 1)),
            let factors = try? scale.stored.floats(pool: WorkPool(threads: 1)),
            let memory = try? TensorMemory(byteCount: scale.bytes.count)
        else { return nil }
        for channel in 0..<scale.count {
            let value = floats[channel] / factors[channel]
            if scale.type == .float16 {
                let half = Half.fromFloat(value)
                guard Half.toFloat(half).isFinite else { return nil }
                memory.start(as: UInt16.self)[channel] = half
            } else {
                guard value.isFinite else { return nil }
                memory.start(as: Float.self)[channel] = value
            }
        }
        return EncodedArray(type: scale.type, shape: type.shape ?? [scale.count], memory: memory)
    }

    /// Lets a multiplication follow each consumer; the product has the consumer's old name, so that nothing else changes.
    /// - Returns: the name of the first one's scale.
    private func scaleOutputs(of subject: Subject, _ scale: EncodedArray, _ file: String?) throws -> String? {
        var first: String?
        for consumer in subject.site.consumers {
            guard let entry = index.consumers[consumer.position], scaled.insert(consumer.position).inserted else {
                continue
            }
            let output = entry.operation.outputs[0]
            let shape = consumer.outputScaleShape(channels: scale.count, rank: subject.site.shape.count)
            let scaleName = freshName(subject.outputName + "_scale")
            let unscaled = freshName(output.name + "_unscaled")
            let product = freshName(output.name + "_scaled")
            var inputs = try entry.operation.inputs.map { input in
                (key: input.key, bindings: try input.bindings.map(binding))
            }
            var operations: [NewOperation] = []
            if let bias = entry.operation.input("bias").isEmpty ? nil : scaledBias(entry, scale),
                let position = inputs.firstIndex(where: { $0.key == "bias" })
            {
                let name = freshName(output.name + "_bias_unscaled")
                operations.append(.const(name, try constant(bias, file)))
                inputs[position].bindings = [.name(name)]
            }
            operations.append(
                NewOperation(
                    type: consumer.type, inputs: inputs, outputs: [(unscaled, output.type)],
                    attributes: try entry.operation.attributes.map { ($0.key, try NewValue.copy($0.value)) }))
            let factors = scale.reinterpreted(as: scale.type, shape: shape)
            operations.append(.const(scaleName, try constant(factors, file)))
            operations.append(
                NewOperation(
                    type: "mul", inputs: [("x", [.name(unscaled)]), ("y", [.name(scaleName)])],
                    outputs: [output], attributes: [("name", .string(product))]))
            try replace(entry.operation.range, with: operations)
            addedOperations.append(product)
            first = first ?? scaleName
        }
        return first
    }

    private func binding(_ binding: MILBinding) throws -> NewBinding {
        switch binding {
        case .name(let name): .name(name)
        case .value(let value): .value(try NewValue.copy(value))
        }
    }
}

extension MILTensorType {
    /// Whether the product with an array of `shape` has this shape again: `matmul` drops axes of vectors.
    fileprivate func keepsShape(multipliedBy shape: [Int]) -> Bool {
        guard shape.count <= dimensions.count, !dimensions.contains(.unknown(variadic: true)) else { return false }
        return zip(shape.reversed(), dimensions.reversed()).allSatisfy { size, dimension in
            if case .constant(let own) = dimension { size == 1 || size == own } else { true }
        }
    }
}
