import JSONText
import ModelCompression

/// Reads the YAML of configuration files: one document of block and flow collections, quoted and plain scalars,
/// comments, anchors, aliases and merge keys.
///
/// What such files do not need is refused with its place, never guessed: tags, `|` and `>` texts, plain text over
/// several lines, collections as keys, several documents. A key that stands twice is an error too. The usual Swift reader, Yams, needs
/// all of Foundation, which would make the Python wheel four times as large.
struct YAMLReader {
    private var cursor: YAMLCursor
    private var anchors: [String: JSONValue] = [:]
    private var depth = 0

    private static let deepest = 64

    static func read(_ text: String) throws(YAMLError) -> JSONValue {
        var reader = YAMLReader(cursor: YAMLCursor(text))
        return try reader.document()
    }

    private init(cursor: YAMLCursor) { self.cursor = cursor }

    private mutating func document() throws(YAMLError) -> JSONValue {
        try cursor.skipToContent()
        while cursor.peek() == "%", cursor.column == 0 {
            while let next = cursor.peek(), !cursor.isBreak(next) { cursor.advance() }
            try cursor.skipToContent()
        }
        if cursor.isMarker("-") { cursor.advance(3) }
        let value = try node(parent: -1, allowsMapping: cursor.isLineDone || cursor.column == 0)
        try cursor.skipToContent()
        if cursor.isMarker(".") {
            cursor.advance(3)
            try cursor.skipToContent()
        }
        if cursor.isMarker("-") { throw cursor.error("found a second document, expected one") }
        if !cursor.isAtEnd { throw cursor.error("found text after the end of the configuration") }
        return value
    }

    // MARK: - Nodes

    /// A value, after the `:` or `-` it belongs to.
    /// - Parameters:
    ///   - parent: the column of the collection around it; in a later line it stands further right.
    ///   - allowsMapping: whether `key: value` may begin here, on this line.
    ///   - sequenceColumn: in a later line, where a sequence may begin though it does not stand further right.
    private mutating func node(
        parent: Int, allowsMapping: Bool, sequenceColumn: Int? = nil
    ) throws(YAMLError) -> JSONValue {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.deepest { throw cursor.error("found more than \(Self.deepest) levels") }
        var allowsMapping = allowsMapping
        var anchor: String?
        while true {
            if cursor.isLineDone {
                try cursor.skipToContent()
                let isSequence = cursor.column == sequenceColumn && cursor.peek() == "-" && cursor.isBlank(1)
                guard !cursor.isAtEnd, cursor.column > parent || isSequence, !isEnd else {
                    return remember(.null, anchor)
                }
                allowsMapping = true
            } else {
                cursor.skipSpaces()
            }
            guard anchor == nil, cursor.peek() == "&" else { break }
            cursor.advance()
            anchor = try name("an anchor")
            // Written before a key, it would be the key's.
            allowsMapping = false
        }
        return remember(try content(parent: parent, allowsMapping: allowsMapping), anchor)
    }

    private mutating func remember(_ value: JSONValue, _ anchor: String?) -> JSONValue {
        if let anchor { anchors[anchor] = value }
        return value
    }

    private var isEnd: Bool { cursor.isMarker("-") || cursor.isMarker(".") }

    private mutating func content(parent: Int, allowsMapping: Bool) throws(YAMLError) -> JSONValue {
        let column = cursor.column
        switch cursor.peek() {
        case "[", "{":
            let value = try flow()
            try requireLineEnd()
            return value
        case "-" where cursor.isBlank(1):
            guard allowsMapping else { throw cursor.error("found \"-\", expected a value") }
            return try sequence(column)
        case "?" where cursor.isBlank(1) && allowsMapping: return try mapping(column, first: nil)
        case "*":
            cursor.advance()
            let value = try alias()
            try requireLineEnd()
            return value
        default:
            let scalar = try self.scalar(inFlow: false)
            cursor.skipSpaces()
            guard cursor.peek() == ":", cursor.isBlank(1) else {
                try requireLineEnd()
                try refuseContinuation(parent)
                return try value(scalar)
            }
            guard allowsMapping else { throw cursor.error("found \": \" inside a value, expected quotes around it") }
            return try mapping(column, first: scalar)
        }
    }

    private func requireLineEnd() throws(YAMLError) {
        if !cursor.isLineDone { throw cursor.error("found more text, expected the end of the line") }
    }

    /// Text that goes on in the next line would be one value in YAML.
    private func refuseContinuation(_ parent: Int) throws(YAMLError) {
        var ahead = cursor
        try ahead.skipToContent()
        if !ahead.isAtEnd, ahead.column > parent, !ahead.isMarker("-"), !ahead.isMarker(".") {
            throw ahead.error("found text that goes on from the line before, expected one line")
        }
    }

    private mutating func alias() throws(YAMLError) -> JSONValue {
        let start = cursor
        let name = try name("an alias")
        guard let value = anchors[name] else { throw start.error("found *\(name), expected an anchor &\(name) before") }
        return value
    }

    private mutating func name(_ what: String) throws(YAMLError) -> String {
        var name = ""
        while let next = cursor.peek(), !cursor.isBlank(), !",[]{}".unicodeScalars.contains(next) {
            name.unicodeScalars.append(next)
            cursor.advance()
        }
        if name.isEmpty { throw cursor.error("found no name for \(what)") }
        return name
    }

    // MARK: - Block collections

    private mutating func sequence(_ column: Int) throws(YAMLError) -> JSONValue {
        var values: [JSONValue] = []
        while cursor.column == column, cursor.peek() == "-", cursor.isBlank(1), !isEnd {
            cursor.advance()
            values.append(try node(parent: column, allowsMapping: true))
            try cursor.skipToContent()
        }
        try requireOutside(column)
        return .array(values)
    }

    /// - Parameter first: the first key, if it has been read up to its colon.
    private mutating func mapping(_ column: Int, first: YAMLText?) throws(YAMLError) -> JSONValue {
        var fields = YAMLFields()
        var next = first
        while true {
            let isExplicit = next == nil && cursor.peek() == "?"
            let key = if let next { next } else { try self.key(column) }
            next = nil
            let place = cursor
            cursor.advance()
            // Behind `? key` a mapping may begin on the line of the colon.
            let value = try node(parent: column, allowsMapping: isExplicit, sequenceColumn: column)
            try fields.add(key, value, at: place)
            try cursor.skipToContent()
            guard cursor.column == column, !cursor.isAtEnd, !isEnd, !(cursor.peek() == "-" && cursor.isBlank(1)) else {
                break
            }
        }
        try requireOutside(column)
        return fields.value
    }

    /// Reads `key` or `? key`, up to its colon.
    private mutating func key(_ column: Int) throws(YAMLError) -> YAMLText {
        let isExplicit = cursor.peek() == "?" && cursor.isBlank(1)
        if isExplicit {
            cursor.advance()
            try cursor.skipToContent()
        }
        let key = try scalar(inFlow: false)
        if isExplicit { try cursor.skipToContent() } else { cursor.skipSpaces() }
        guard cursor.peek() == ":", cursor.isBlank(1), !isExplicit || cursor.column == column else {
            throw cursor.error("found no \":\" after a key")
        }
        return key
    }

    private func requireOutside(_ column: Int) throws(YAMLError) {
        if !cursor.isAtEnd, cursor.column > column {
            throw cursor.error("found text further right than the line before")
        }
    }

    // MARK: - Flow collections

    private mutating func flow() throws(YAMLError) -> JSONValue {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.deepest { throw cursor.error("found more than \(Self.deepest) levels") }
        let isMapping = cursor.peek() == "{"
        let close: Unicode.Scalar = isMapping ? "}" : "]"
        var values: [JSONValue] = []
        var fields = YAMLFields()
        cursor.advance()
        while true {
            try cursor.skipToContent(tabs: true)
            if cursor.peek() == close { break }
            if isMapping { try flowField(&fields) } else { values.append(try flowNode()) }
            try cursor.skipToContent(tabs: true)
            if cursor.peek() == close { break }
            guard cursor.peek() == "," else { throw cursor.error("found no \",\" or \"\(close)\"") }
            cursor.advance()
        }
        cursor.advance()
        return isMapping ? fields.value : .array(values)
    }

    private mutating func flowField(_ fields: inout YAMLFields) throws(YAMLError) {
        if cursor.peek() == "?", cursor.isBlank(1) {
            cursor.advance()
            try cursor.skipToContent(tabs: true)
        }
        let key = try scalar(inFlow: true)
        try cursor.skipToContent(tabs: true)
        let place = cursor
        var value = JSONValue.null
        if cursor.peek() == ":" {
            cursor.advance()
            try cursor.skipToContent(tabs: true)
            if let next = cursor.peek(), next != ",", next != "}" { value = try flowNode() }
        }
        try fields.add(key, value, at: place)
    }

    private mutating func flowNode() throws(YAMLError) -> JSONValue {
        var anchor: String?
        if cursor.peek() == "&" {
            cursor.advance()
            anchor = try name("an anchor")
            try cursor.skipToContent(tabs: true)
        }
        switch cursor.peek() {
        case "[", "{": return remember(try flow(), anchor)
        case "*":
            cursor.advance()
            return remember(try alias(), anchor)
        default: return remember(try value(try scalar(inFlow: true)), anchor)
        }
    }

    // MARK: - Scalars

    private mutating func scalar(inFlow: Bool) throws(YAMLError) -> YAMLText {
        try YAMLText.read(&cursor, inFlow: inFlow)
    }

    private func value(_ scalar: YAMLText) throws(YAMLError) -> JSONValue { try scalar.value(at: cursor) }
}

/// The entries of a mapping while it is read.
private struct YAMLFields {
    private var own: [String: JSONValue] = [:]
    private var merged: [String: JSONValue] = [:]

    var value: JSONValue { .object(merged.merging(own) { $1 }) }

    mutating func add(_ key: YAMLText, _ value: JSONValue, at place: YAMLCursor) throws(YAMLError) {
        if key.text == "<<", !key.isQuoted { return try merge(value, place) }
        var isName = key.isQuoted || YAMLScalar.isTextOfOldRules(key.text)
        if !isName, case .string = try key.value(at: place) { isName = true }
        guard isName else { throw place.error("found the key \(key.text), which is no text: put it in quotes") }
        let name = key.text
        if own.updateValue(value, forKey: name) != nil { throw place.error("found the key \"\(name)\" a second time") }
    }

    private mutating func merge(_ value: JSONValue, _ place: YAMLCursor) throws(YAMLError) {
        let sources = if case .array(let list) = value { list } else { [value] }
        for source in sources {
            guard case .object(let fields) = source else {
                throw place.error("found << with something else than a mapping or a list of them")
            }
            merged.merge(fields) { first, _ in first }
        }
    }
}
