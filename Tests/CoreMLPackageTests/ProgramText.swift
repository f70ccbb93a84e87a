import CoreMLPackage

/// A package's model as text; `Fixtures/program_text.py` prints the same text with Google's protobuf.
struct ProgramText {
    let package: ModelPackage

    static func of(_ package: ModelPackage) throws -> String { try ProgramText(package: package).text() }

    private func text() throws -> String {
        var lines: [String] = []
        for (stage, type, version) in package.model.models {
            lines.append("model [\(stage.map(String.init).joined(separator: ", "))] \(type) \(version)")
            if stage.isEmpty { lines += descriptionLines() }
            for program in package.model.programs where program.stagePath == stage {
                lines += try programLines(program)
            }
        }
        return lines.map(trimmed).joined(separator: "\n") + "\n"
    }

    private func trimmed(_ line: String) -> String {
        var line = line
        while line.last == " " { line.removeLast() }
        return line
    }

    private func descriptionLines() -> [String] {
        let description = package.model.description
        func list(_ features: [FeatureDescription]) -> String {
            features.map { "\(quoted($0.name)):\($0.kind)" }.joined(separator: " ")
        }
        var lines = [
            "input " + list(description.inputs), "output " + list(description.outputs),
            "state " + list(description.states),
        ]
        for function in description.functions {
            let features = list(function.inputs + function.outputs + function.states)
            lines.append("function \(quoted(function.name)) " + features)
        }
        let meta = description.metadata
        let texts = [meta.shortDescription, meta.versionString, meta.author, meta.license]
        let user = meta.userDefined.sorted { $0.key < $1.key }.map { "\(quoted($0.key))=\(quoted($0.value))" }
        lines.append(
            "metadata "
                + ((texts + [description.defaultFunctionName]).map(quoted) + user).joined(separator: " "))
        return lines
    }

    private func programLines(_ program: MILProgram) throws -> [String] {
        var lines: [String] = []
        for function in program.functions.sorted(by: { isBefore($0.name, $1.name) }) {
            lines.append("func \(quoted(function.name)) \(function.opset) (\(named(function.inputs)))")
            for (name, block) in function.blockSpecializations.sorted(by: { isBefore($0.name, $1.name) }) {
                lines.append("specialization \(name)")
                lines += try blockLines(block, "")
            }
        }
        return lines
    }

    private func blockLines(_ block: MILBlock, _ indent: String) throws -> [String] {
        var lines = ["\(indent)block (\(named(block.inputs))) \(try entries(block.attributes))"]
        for op in block.operations {
            let inputs = try op.inputs.sorted { isBefore($0.key, $1.key) }.map { key, bindings in
                "\(quoted(key))=[\(try bindings.map(binding).joined(separator: ","))]"
            }
            lines.append(
                "\(indent)  \(op.type) (\(inputs.joined(separator: " "))) -> (\(named(op.outputs))) "
                    + (try entries(op.attributes)))
            for inner in op.blocks { lines += try blockLines(inner, indent + "    ") }
        }
        lines.append("\(indent)return " + block.outputs.map(quoted).joined(separator: " "))
        return lines
    }

    private func named(_ types: [MILNamedType]) -> String {
        types.map { "\(quoted($0.name)):\(text($0.type))" }.joined(separator: " ")
    }

    private func entries(_ entries: [(key: String, value: MILValue)]) throws -> String {
        try entries.sorted { isBefore($0.key, $1.key) }.map { "\(quoted($0.key))=\(try text($0.value))" }
            .joined(separator: " ")
    }

    private func binding(_ binding: MILBinding) throws -> String {
        switch binding {
        case .name(let name): "%" + quoted(name)
        case .value(let value): try text(value)
        }
    }

    private func text(_ value: MILValue) throws -> String {
        let content: String
        switch value.content {
        case .blob(let file, let offset): content = "blob(\(quoted(file)),\(offset))"
        case .none, .immediate(.none): content = "none"
        case .immediate(.tensor(let tensor)): content = try text(tensor, of: value)
        case .immediate(.tuple(let values)): content = "tuple(\(try values.map(text).joined(separator: ",")))"
        case .immediate(.list(let values)): content = "list(\(try values.map(text).joined(separator: ",")))"
        case .immediate(.dictionary(let pairs)):
            content =
                "dict(\(try pairs.map { "\(try text($0.key)):\(try text($0.value))" }.joined(separator: ",")))"
        }
        return "\(text(value.type))=\(content)"
    }

    private func text(_ tensor: MILTensorValue, of value: MILValue) throws -> String {
        switch tensor.storage {
        case .none: return "tensor()"
        case .strings: return "strings(" + tensor.strings.map(quoted).joined(separator: ",") + ")"
        default: return "\(tensor.storage)(\(hex(try package.tensorBytes(of: value))))"
        }
    }

    private func text(_ type: MILValueType) -> String {
        switch type {
        case .tensor(let tensor):
            "\(tensor.rawDataType)[\(tensor.dimensions.map(text).joined(separator: ","))]"
        case .list(let element, let length): "list<\(text(element));\(text(length))>"
        case .tuple(let types): "tuple<\(types.map { text($0) }.joined(separator: ";"))>"
        case .dictionary(let key, let value): "dict<\(text(key));\(text(value))>"
        case .state(let wrapped): "state<\(text(wrapped))>"
        case .unknown: "none"
        }
    }

    private func text(_ dimension: MILDimension) -> String {
        switch dimension {
        case .constant(let size): "\(size)"
        case .unknown(let variadic): variadic ? "*" : "?"
        }
    }

    private func isBefore(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

    private func quoted(_ text: String) -> String { "\"" + hex(Array(text.utf8)) + "\"" }

    private func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
