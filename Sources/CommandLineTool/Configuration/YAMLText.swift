import JSONText
import ModelCompression

/// A scalar as it is written.
struct YAMLText {
    var text: String
    var isQuoted: Bool

    func value(at place: YAMLCursor) throws(YAMLError) -> JSONValue {
        if isQuoted { return .string(text) }
        guard let value = YAMLScalar.value(text) else {
            throw place.error(
                "found \(text), which YAML reads as a number in base 60: put it in quotes, or write a list")
        }
        return value
    }

    /// Reads the scalar at the cursor.
    static func read(_ cursor: inout YAMLCursor, inFlow: Bool) throws(YAMLError) -> YAMLText {
        switch cursor.peek() {
        case "\"": return YAMLText(text: try doubleQuoted(&cursor), isQuoted: true)
        case "'": return YAMLText(text: try singleQuoted(&cursor), isQuoted: true)
        default: return YAMLText(text: try plain(&cursor, inFlow: inFlow), isQuoted: false)
        }
    }

    // MARK: - Plain

    private static let notHere: [Unicode.Scalar: String] = [
        "!": "a tag", "|": "a | text", ">": "a > text", "?": "a ? key", "@": "@", "`": "`", "%": "%",
        "&": "an anchor before a key", "*": "an alias as a key",
    ]

    private static func plain(_ cursor: inout YAMLCursor, inFlow: Bool) throws(YAMLError) -> String {
        let first = cursor.peek()
        if let first, let what = notHere[first], first != "?" || cursor.isBlank(1) {
            throw cursor.error("found \(what), expected a plain or quoted value")
        }
        var text = ""
        var spaces = ""
        while let next = cursor.peek(), !cursor.isBreak(next) {
            if next == " " || next == "\t" {
                spaces.unicodeScalars.append(next)
                cursor.advance()
                continue
            }
            if next == "#", !spaces.isEmpty || text.isEmpty { break }
            if next == ":", cursor.isBlank(1) || (inFlow && isFlowMark(cursor.peek(1))) { break }
            if isFlowMark(next), inFlow || text.isEmpty { break }
            if text.isEmpty, next == "-", cursor.isBlank(1) { throw cursor.error("found \"-\", expected a value") }
            text += spaces
            spaces = ""
            text.unicodeScalars.append(next)
            cursor.advance()
        }
        if text.isEmpty {
            throw cursor.error("found \(cursor.peek().map { "\"\($0)\"" } ?? "the end"), expected a value")
        }
        return text
    }

    private static func isFlowMark(_ scalar: Unicode.Scalar?) -> Bool {
        scalar.map { ",[]{}".unicodeScalars.contains($0) } ?? false
    }

    // MARK: - Quoted

    private static func singleQuoted(_ cursor: inout YAMLCursor) throws(YAMLError) -> String {
        let start = cursor
        var text = ""
        cursor.advance()
        while let next = cursor.peek() {
            if next == "'" {
                cursor.advance()
                guard cursor.peek() == "'" else { return text }
                text += "'"
                cursor.advance()
            } else if cursor.isBreak(next) {
                fold(&text, &cursor)
            } else {
                text.unicodeScalars.append(next)
                cursor.advance()
            }
        }
        throw start.error("found a text without its closing '")
    }

    private static func doubleQuoted(_ cursor: inout YAMLCursor) throws(YAMLError) -> String {
        let start = cursor
        var text = ""
        cursor.advance()
        while let next = cursor.peek() {
            if next == "\"" {
                cursor.advance()
                return text
            } else if next == "\\" {
                try escape(&text, &cursor)
            } else if cursor.isBreak(next) {
                fold(&text, &cursor)
            } else {
                text.unicodeScalars.append(next)
                cursor.advance()
            }
        }
        throw start.error("found a text without its closing \"")
    }

    /// A line break in quotes is a space, an empty line a line break.
    private static func fold(_ text: inout String, _ cursor: inout YAMLCursor) {
        while let last = text.unicodeScalars.last, last == " " || last == "\t" { text.unicodeScalars.removeLast() }
        var lines = 0
        while let next = cursor.peek(), cursor.isBlank() {
            if next == "\n" || (next == "\r" && cursor.peek(1) != "\n") { lines += 1 }
            cursor.advance()
        }
        text += lines == 1 ? " " : String(repeating: "\n", count: lines - 1)
    }

    private static let escapes: [Unicode.Scalar: Unicode.Scalar] = [
        "0": "\0", "a": "\u{7}", "b": "\u{8}", "t": "\t", "\t": "\t", "n": "\n", "v": "\u{b}", "f": "\u{c}", "r": "\r",
        "e": "\u{1b}", " ": " ", "\"": "\"", "/": "/", "\\": "\\", "N": "\u{85}", "_": "\u{a0}", "L": "\u{2028}",
        "P": "\u{2029}",
    ]

    private static func escape(_ text: inout String, _ cursor: inout YAMLCursor) throws(YAMLError) {
        let start = cursor
        cursor.advance()
        guard let code = cursor.peek() else { return }
        if cursor.isBreak(code) {
            // The line goes on without a space.
            while cursor.peek() != nil, cursor.isBlank() { cursor.advance() }
            return
        }
        cursor.advance()
        if let plain = escapes[code] { return text.unicodeScalars.append(plain) }
        guard let length = ["x": 2, "u": 4, "U": 8][code] else {
            throw start.error("found the unknown escape \\\(code)")
        }
        var digits = ""
        for _ in 0..<length {
            if let next = cursor.peek() { digits.unicodeScalars.append(next) }
            cursor.advance()
        }
        guard digits.count == length, let number = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(number) else {
            throw start.error("found \\\(code)\(digits), expected the \(length) digits of a character")
        }
        text.unicodeScalars.append(scalar)
    }
}
