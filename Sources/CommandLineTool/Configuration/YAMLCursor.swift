/// A place in a YAML text.
struct YAMLCursor {
    private let text: [Unicode.Scalar]
    private(set) var position = 0
    private(set) var line = 1
    private var lineStart = 0
    /// Only spaces and tabs stand before the place in its line.
    private(set) var isIndentation = true
    private var hasTab = false

    init(_ text: String) {
        self.text = Array(text.unicodeScalars.drop { $0 == "\u{feff}" })
    }

    /// Of the place in its line, from 0.
    var column: Int { position - lineStart }

    var isAtEnd: Bool { position == text.count }

    func peek(_ offset: Int = 0) -> Unicode.Scalar? {
        position + offset < text.count ? text[position + offset] : nil
    }

    /// Whether white space or nothing follows the next `offset` characters.
    func isBlank(_ offset: Int = 0) -> Bool {
        guard let next = peek(offset) else { return true }
        return next == " " || next == "\t" || isBreak(next)
    }

    func isBreak(_ scalar: Unicode.Scalar) -> Bool { scalar == "\n" || scalar == "\r" }

    /// The rest of the line is empty but for a comment.
    var isLineDone: Bool {
        var ahead = 0
        while let next = peek(ahead), next == " " || next == "\t" { ahead += 1 }
        guard let next = peek(ahead) else { return true }
        if next == "#" { return ahead > 0 || column == 0 || text[position - 1] == " " || text[position - 1] == "\t" }
        return isBreak(next)
    }

    mutating func advance(_ count: Int = 1) {
        for _ in 0..<count {
            guard let next = peek() else { return }
            let endsLine = next == "\n" || (next == "\r" && peek(1) != "\n")
            position += 1
            if endsLine {
                line += 1
                lineStart = position
                isIndentation = true
                hasTab = false
            } else if next == "\t" {
                if isIndentation { hasTab = true }
            } else if next != " " {
                isIndentation = false
            }
        }
    }

    mutating func skipSpaces() { while let next = peek(), next == " " || next == "\t" { advance() } }

    /// Goes to the next thing that is neither white space nor a comment.
    /// - Parameter tabs: whether a tab may indent it.
    mutating func skipToContent(tabs: Bool = false) throws(YAMLError) {
        while true {
            skipSpaces()
            guard let next = peek() else { return }
            if next == "#" {
                guard isIndentation || isBlankBefore else { return }
                while let next = peek(), !isBreak(next) { advance() }
            } else if isBreak(next) {
                advance()
            } else {
                if hasTab, isIndentation, !tabs { throw error("found a tab in the indentation, expected spaces") }
                return
            }
        }
    }

    private var isBlankBefore: Bool { position > 0 && (text[position - 1] == " " || text[position - 1] == "\t") }

    /// `---` or `...` alone at the beginning of a line.
    func isMarker(_ mark: Unicode.Scalar) -> Bool {
        column == 0 && peek() == mark && peek(1) == mark && peek(2) == mark && isBlank(3)
    }

    func error(_ message: String) -> YAMLError { YAMLError(line: line, column: column + 1, message: message) }
}
