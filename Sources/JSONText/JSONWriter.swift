/// Writes any `Encodable` as JSON, character for character as Foundation's `JSONEncoder` does with sorted keys.
///
/// Foundation's own encoder is not used because its static library would be a third of the wheel. The file stands alone:
/// setup.py also compiles it into the wheel's ArgumentParser.
package enum JSONWriter {
    /// - Parameters:
    ///   - pretty: indented by two spaces, one field a line.
    ///   - escapesSlashes: writes "/" as "\/".
    /// - Throws: `EncodingError` for a number that JSON cannot hold, and what `value` throws.
    package static func write(_ value: some Encodable, pretty: Bool = false, escapesSlashes: Bool = false) throws
        -> [UInt8]
    {
        let root = JSONNode()
        try value.encode(to: NodeEncoder(node: root, codingPath: []))
        var output = JSONOutput(pretty: pretty, escapesSlashes: escapesSlashes)
        output.write(root, depth: 0)
        return output.bytes
    }
}

// MARK: - The tree

/// A value while it is being encoded: containers are filled after they have their place in the tree.
private final class JSONNode {
    enum Content {
        case literal(String)
        case string(String)
        case array([JSONNode])
        case object([String: JSONNode])
    }

    /// A value that encodes nothing is an empty object.
    var content = Content.object([:])

    func append() -> JSONNode {
        let node = JSONNode()
        guard case .array(var list) = content else { preconditionFailure("not a list") }
        content = .literal("")  // so that the list is not copied
        list.append(node)
        content = .array(list)
        return node
    }

    func set(_ key: String) -> JSONNode {
        let node = JSONNode()
        guard case .object(var fields) = content else { preconditionFailure("not an object") }
        content = .literal("")
        fields[key] = node
        content = .object(fields)
        return node
    }

    var count: Int {
        guard case .array(let list) = content else { return 0 }
        return list.count
    }
}

private struct JSONOutput {
    let pretty: Bool
    let escapesSlashes: Bool
    var bytes: [UInt8] = []

    mutating func write(_ node: JSONNode, depth: Int) {
        switch node.content {
        case .literal(let text): bytes.append(contentsOf: text.utf8)
        case .string(let text): write(text)
        case .array(let list):
            write(list, depth: depth, between: ("[", "]")) { output, node in output.write(node, depth: depth + 1) }
        case .object(let fields):
            let sorted = fields.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            write(sorted, depth: depth, between: ("{", "}")) { output, field in
                output.write(field.key)
                output.bytes.append(contentsOf: (output.pretty ? " : " : ":").utf8)
                output.write(field.value, depth: depth + 1)
            }
        }
    }

    private mutating func write<Item>(
        _ items: [Item], depth: Int, between brackets: (String, String),
        _ writeItem: (inout JSONOutput, Item) -> Void
    ) {
        bytes.append(contentsOf: brackets.0.utf8)
        for (number, item) in items.enumerated() {
            if number > 0 { bytes.append(UInt8(ascii: ",")) }
            newLine(depth + 1)
            writeItem(&self, item)
        }
        if items.isEmpty, pretty { bytes.append(UInt8(ascii: "\n")) }
        newLine(depth)
        bytes.append(contentsOf: brackets.1.utf8)
    }

    private mutating func newLine(_ depth: Int) {
        guard pretty else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
    }

    private mutating func write(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case UInt8(ascii: "/") where escapesSlashes: bytes += [UInt8(ascii: "\\"), byte]
            case 0x08: bytes.append(contentsOf: #"\b"#.utf8)
            case 0x09: bytes.append(contentsOf: #"\t"#.utf8)
            case 0x0a: bytes.append(contentsOf: #"\n"#.utf8)
            case 0x0c: bytes.append(contentsOf: #"\f"#.utf8)
            case 0x0d: bytes.append(contentsOf: #"\r"#.utf8)
            case ..<0x20:
                bytes.append(contentsOf: (byte < 0x10 ? #"\u000"# : #"\u00"#).utf8)
                bytes.append(contentsOf: String(byte, radix: 16).utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

// MARK: - Encoder

private struct NodeEncoder: Encoder, SingleValueEncodingContainer {
    let node: JSONNode
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        if case .object = node.content {} else { node.content = .object([:]) }
        return KeyedEncodingContainer(FieldEncoder<Key>(node: node, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        if case .array = node.content {} else { node.content = .array([]) }
        return ListEncoder(node: node, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { self }

    func encodeNil() { node.content = .literal("null") }

    /// Every value comes through here, those for which `Encoder` lists methods of their own too.
    func encode<T: Encodable>(_ value: T) throws {
        switch value {
        case let value as String: node.content = .string(value)
        case let value as Bool: node.content = .literal(value ? "true" : "false")
        case let value as any BinaryInteger: node.content = .literal(String(value))
        case let value as Double: try encode(value, isFinite: value.isFinite, value.description)
        case let value as Float: try encode(value, isFinite: value.isFinite, value.description)
        default: try value.encode(to: self)
        }
    }

    private func encode(_ value: any Encodable, isFinite: Bool, _ text: String) throws {
        guard isFinite else {
            throw EncodingError.invalidValue(
                value, .init(codingPath: codingPath, debugDescription: "JSON has no number for \(text)"))
        }
        node.content = .literal(text.hasSuffix(".0") ? String(text.dropLast(2)) : text)
    }
}

private struct ListEncoder: UnkeyedEncodingContainer {
    let node: JSONNode
    let codingPath: [any CodingKey]
    var count: Int { node.count }

    private func next() -> NodeEncoder {
        let key = PathKey(intValue: node.count)
        return NodeEncoder(node: node.append(), codingPath: codingPath + [key])
    }

    func encodeNil() { next().encodeNil() }
    func encode<T: Encodable>(_ value: T) throws { try next().encode(value) }
    func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        next().container(keyedBy: type)
    }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { next().unkeyedContainer() }
    func superEncoder() -> any Encoder { next() }
}

private struct FieldEncoder<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let node: JSONNode
    let codingPath: [any CodingKey]

    private func field(_ key: any CodingKey) -> NodeEncoder {
        NodeEncoder(node: node.set(key.stringValue), codingPath: codingPath + [key])
    }

    func encodeNil(forKey key: Key) { field(key).encodeNil() }
    func encode<T: Encodable>(_ value: T, forKey key: Key) throws { try field(key).encode(value) }
    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key)
        -> KeyedEncodingContainer<Nested>
    {
        field(key).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { field(key).unkeyedContainer() }
    func superEncoder() -> any Encoder { field(PathKey(stringValue: "super")) }
    func superEncoder(forKey key: Key) -> any Encoder { field(key) }
}

/// A place in a list, or the name that `superEncoder()` uses.
private struct PathKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(stringValue: String) {
        self.stringValue = stringValue
        intValue = nil
    }

    init(intValue: Int) {
        stringValue = "Index \(intValue)"
        self.intValue = intValue
    }
}
