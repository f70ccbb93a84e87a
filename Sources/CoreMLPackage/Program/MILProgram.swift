/// One ML Program: the model's own, or that of a pipeline stage.
public struct MILProgram: Sendable {
    public let functions: [MILFunction]
    /// Position in each pipeline around it, outermost first; empty for a plain ML Program.
    public let stagePath: [Int]
    /// Specification version of the spec model that holds it.
    public let specificationVersion: Int
    let model: Int
}

/// A named tensor type: an input of a function or block, or an operation's output.
public typealias MILNamedType = (name: String, type: MILValueType)

public struct MILFunction: @unchecked Sendable {
    public let name: String
    /// "CoreML5" to "CoreML9".
    public let opset: String
    public let blockSpecializations: [(name: String, block: MILBlock)]
    let view: MessageView
    let model: Int

    public var inputs: [MILNamedType] { namedTypes(view, 1) }

    /// The block that runs: the specialization named after the opset, else the first.
    public var block: MILBlock? {
        blockSpecializations.first { $0.name == opset }?.block ?? blockSpecializations.first?.block
    }
}

/// A list of operations. Nothing is kept decoded: hold on to `operations` rather than asking in a loop.
public struct MILBlock: @unchecked Sendable {
    let view: MessageView

    public var inputs: [MILNamedType] { namedTypes(view, 1) }

    public var outputs: [String] { view.strings(2) }

    /// One light handle per operation, in program order; linear in the block's size in bytes.
    public var operations: [MILOperation] {
        var operations: [MILOperation] = []
        for field in view.fields where field.number == 3 && field.encoding == .lengthDelimited {
            operations.append(MILOperation(view: view.view(field), range: field.record))
        }
        return operations
    }

    public var attributes: [(key: String, value: MILValue)] { valueEntries(view, 4) }
}

/// What an operation's input is bound to: an earlier output by its name, or a constant in place.
public enum MILBinding: Sendable {
    case name(String)
    case value(MILValue)
}

/// One operation. The handle is a few words; each property decodes its part of the bytes when asked.
public struct MILOperation: @unchecked Sendable {
    let view: MessageView
    /// The operation's whole field in `model.mlmodel`: tag, length and message. Identifies it to the editor.
    public let range: Range<Int>

    /// "const", "conv", "constexpr_lut_to_dense", …
    public var type: String { view.string(1) }

    public var outputs: [MILNamedType] { namedTypes(view, 3) }

    public var inputs: [(key: String, bindings: [MILBinding])] {
        view.messages(2).map { entry in
            let argument = entry.last(2).map(entry.view)
            return (key: entry.string(1), bindings: argument.map { $0.messages(1).map(Self.binding) } ?? [])
        }
    }

    /// The fields that hold the inputs.
    var inputRecords: [(key: String, record: Range<Int>)] {
        view.fields.lazy.filter { $0.number == 2 && $0.encoding == .lengthDelimited }
            .map { (view.view($0).string(1), $0.record) }
    }

    public var attributes: [(key: String, value: MILValue)] { valueEntries(view, 5) }

    public var blocks: [MILBlock] { view.messages(4).map { MILBlock(view: $0) } }

    /// The attribute of that name.
    public func attribute(_ key: String) -> MILValue? { attributes.last { $0.key == key }?.value }

    /// The bindings of that input; empty when the operation has no such input.
    public func input(_ key: String) -> [MILBinding] { inputs.last { $0.key == key }?.bindings ?? [] }

    private static func binding(_ view: MessageView) -> MILBinding {
        var binding = MILBinding.name("")
        for field in view.fields where field.encoding == .lengthDelimited {
            switch field.number {
            case 1: binding = .name(view.string(field))
            case 2: binding = .value(MILValue(view: view.view(field)))
            default: break
            }
        }
        return binding
    }
}

private func namedTypes(_ view: MessageView, _ number: Int) -> [MILNamedType] {
    view.messages(number).map { named in (named.string(1), MILValueType(named.last(2).map(named.view))) }
}

private func valueEntries(_ view: MessageView, _ number: Int) -> [(key: String, value: MILValue)] {
    view.messages(number).map { entry in
        let empty = MessageView(file: entry.file, range: entry.range.upperBound..<entry.range.upperBound)
        return (entry.string(1), MILValue(view: entry.last(2).map(entry.view) ?? empty))
    }
}
