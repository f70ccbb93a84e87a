extension JSONValue {
    /// Reads JSON text (RFC 8259): UTF-8, with or without a byte order mark, and nothing after the value.
    ///
    /// Of several fields with one name the first counts. Lists and objects may be nested 512 deep, as in Foundation.
    package init(json bytes: [UInt8]) throws(JSONSyntaxError) {
        self = try bytes.withUnsafeBufferPointer { (text) throws(JSONSyntaxError) in
            var reader = JSONReader(text: text)
            return try reader.document()
        }
    }
}

/// The text is not JSON.
package struct JSONSyntaxError: Error, Sendable, Equatable {
    /// Where, in bytes from the start.
    package let offset: Int
}

private struct JSONReader {
    private static let deepest = 512

    let text: UnsafeBufferPointer<UInt8>
    private var position = 0
    private var depth = 0

    init(text: UnsafeBufferPointer<UInt8>) { self.text = text }

    private var wrong: JSONSyntaxError { JSONSyntaxError(offset: position) }

    /// The byte at the position; 0, which no token begins with or holds, at the end.
    private var byte: UInt8 { position < text.count ? text[position] : 0 }

    private mutating func skip(_ expected: UInt8) -> Bool {
        guard byte == expected, position < text.count else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    // MARK: Values

    mutating func document() throws(JSONSyntaxError) -> JSONValue {
        if text.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
        let result = try value()
        guard position == text.count else { throw wrong }
        return result
    }

    /// A value and the space around it.
    private mutating func value() throws(JSONSyntaxError) -> JSONValue {
        skipSpace()
        defer { skipSpace() }
        switch byte {
        case UInt8(ascii: "{"): return try nested { (reader) throws(JSONSyntaxError) in try reader.object() }
        case UInt8(ascii: "["): return try nested { (reader) throws(JSONSyntaxError) in try reader.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        default: return try number()
        }
    }

    private mutating func nested(_ read: (inout JSONReader) throws(JSONSyntaxError) -> JSONValue)
        throws(JSONSyntaxError) -> JSONValue
    {
        guard depth < Self.deepest else { throw wrong }
        position += 1
        depth += 1
        defer { depth -= 1 }
        return try read(&self)
    }

    private mutating func object() throws(JSONSyntaxError) -> JSONValue {
        var fields: [String: JSONValue] = [:]
        skipSpace()
        if skip(UInt8(ascii: "}")) { return .object(fields) }
        repeat {
            skipSpace()
            let key = try string()
            skipSpace()
            guard skip(UInt8(ascii: ":")) else { throw wrong }
            let value = try value()
            if fields[key] == nil { fields[key] = value }
        } while skip(UInt8(ascii: ","))
        guard skip(UInt8(ascii: "}")) else { throw wrong }
        return .object(fields)
    }

    private mutating func array() throws(JSONSyntaxError) -> JSONValue {
        var list: [JSONValue] = []
        skipSpace()
        if skip(UInt8(ascii: "]")) { return .array(list) }
        repeat { list.append(try value()) } while skip(UInt8(ascii: ","))
        guard skip(UInt8(ascii: "]")) else { throw wrong }
        return .array(list)
    }

    private mutating func literal(_ name: StaticString, _ value: JSONValue) throws(JSONSyntaxError) -> JSONValue {
        let end = position + name.utf8CodeUnitCount
        guard end <= text.count,
            text[position..<end].elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: end - position))
        else { throw wrong }
        position = end
        return value
    }

    // MARK: Numbers

    private mutating func number() throws(JSONSyntaxError) -> JSONValue {
        let start = position
        _ = skip(UInt8(ascii: "-"))
        if !skip(UInt8(ascii: "0")) { try digits() }
        var isInteger = true
        if skip(UInt8(ascii: ".")) {
            isInteger = false
            try digits()
        }
        if skip(UInt8(ascii: "e")) || skip(UInt8(ascii: "E")) {
            isInteger = false
            if !skip(UInt8(ascii: "+")) { _ = skip(UInt8(ascii: "-")) }
            try digits()
        }
        let token = String(decoding: text[start..<position], as: UTF8.self)
        if isInteger, let value = Int(token) { return .int(value) }
        guard let value = Double(token), value.isFinite else { throw JSONSyntaxError(offset: start) }
        return Int(exactly: value).map { .int($0) } ?? .double(value)
    }

    private mutating func digits() throws(JSONSyntaxError) {
        let start = position
        while byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { position += 1 }
        guard position > start else { throw wrong }
    }

    // MARK: Strings

    private mutating func string() throws(JSONSyntaxError) -> String {
        guard skip(UInt8(ascii: "\"")) else { throw wrong }
        let start = position
        var unescaped: [UInt8] = []
        var copied = position  // all before this is in `unescaped`
        while byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw wrong }  // also the end of the text
            guard byte == UInt8(ascii: "\\") else {
                position += 1
                continue
            }
            unescaped += text[copied..<position]
            position += 1
            unescaped += try escape()
            copied = position
        }
        let end = position
        position += 1
        let result =
            copied == start
            ? String(validating: text[start..<end], as: UTF8.self)
            : String(validating: unescaped + text[copied..<end], as: UTF8.self)
        guard let result else { throw JSONSyntaxError(offset: start) }
        return result
    }

    /// What stands after a backslash, as UTF-8.
    private mutating func escape() throws(JSONSyntaxError) -> [UInt8] {
        let kind = byte
        guard kind != 0 else { throw wrong }
        position += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [kind]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): break
        default: throw wrong
        }
        var code = try hexadecimal()
        if (0xd800..<0xdc00).contains(code) {
            guard skip(UInt8(ascii: "\\")), skip(UInt8(ascii: "u")) else { throw wrong }
            let low = try hexadecimal()
            guard (0xdc00..<0xe000).contains(low) else { throw wrong }
            code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw wrong }
        return Array(String(Character(scalar)).utf8)
    }

    private mutating func hexadecimal() throws(JSONSyntaxError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { throw wrong }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }
}
