import ModelCompression

/// Tables for people.
extension Text {
    static func padded(_ text: String, to width: Int, alignRight: Bool) -> String {
        let fill = String(repeating: " ", count: max(0, width - text.count))
        return alignRight ? fill + text : text + fill
    }

    /// Columns as wide as their widest cell, two spaces apart.
    /// - Parameter alignRight: one per column.
    static func table(_ header: [String], _ rows: [[String]], alignRight: [Bool]) -> String {
        let widths = header.indices.map { column in
            ([header] + rows).map { $0[column].count }.max() ?? 0
        }
        return ([header] + rows).map { row in
            var line = row.indices.map { padded(row[$0], to: widths[$0], alignRight: alignRight[$0]) }
                .joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}
