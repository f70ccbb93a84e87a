/// What an input of a new operation is bound to.
public enum NewBinding: Sendable, Equatable {
    case name(String)
    case value(NewValue)
}

/// An operation to be written into a program. Maps are written in the order given.
public struct NewOperation: Sendable {
    public var type: String
    public var inputs: [(key: String, bindings: [NewBinding])]
    public var outputs: [(name: String, type: MILValueType)]
    public var attributes: [(key: String, value: NewValue)]

    public init(
        type: String, inputs: [(key: String, bindings: [NewBinding])] = [],
        outputs: [(name: String, type: MILValueType)], attributes: [(key: String, value: NewValue)] = []
    ) {
        self.type = type
        self.inputs = inputs
        self.outputs = outputs
        self.attributes = attributes
    }

    /// A `const` with one output of the value's type. Its `name` attribute is the output's name, as coremltools writes it.
    public static func const(_ name: String, _ value: NewValue) -> NewOperation {
        NewOperation(
            type: "const", outputs: [(name, value.type)], attributes: [("name", .string(name)), ("val", value)])
    }

    /// The operation's field in a block: tag, length and message.
    var encodedField: [UInt8] {
        var writer = WireWriter()
        writer.message(3) { encode(&$0) }
        return writer.bytes
    }

    private func encode(_ writer: inout WireWriter) {
        writer.string(1, type)
        for input in inputs { Self.encode(input, &writer) }
        for output in outputs {
            writer.message(3) { named in
                named.string(1, output.name)
                named.message(2) { output.type.encode(&$0) }
            }
        }
        for attribute in attributes {
            writer.message(5) { entry in
                entry.string(1, attribute.key)
                entry.data(2, attribute.value.encoded)
            }
        }
    }

    /// One input as a field of an operation.
    static func encodedInput(_ key: String, _ bindings: [NewBinding]) -> [UInt8] {
        var writer = WireWriter()
        encode((key, bindings), &writer)
        return writer.bytes
    }

    private static func encode(_ input: (key: String, bindings: [NewBinding]), _ writer: inout WireWriter) {
        writer.message(2) { entry in
            entry.string(1, input.key)
            entry.message(2) { argument in
                for binding in input.bindings {
                    argument.message(1) { message in
                        switch binding {
                        case .name(let name): message.string(1, name)
                        case .value(let value): message.data(2, value.encoded)
                        }
                    }
                }
            }
        }
    }
}
