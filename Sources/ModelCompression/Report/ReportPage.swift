extension CompressionReport {
    /// The report as one page for a browser: complete in itself, nothing is loaded from elsewhere. Without scripts it
    /// says all there is; with them its table can be sorted.
    public func html() -> String { ReportPage(self).html }

    /// The page for a report in JSON, as `encodeJSON` or `--json` writes it.
    /// - Throws: `CompressionError` when it is no such report.
    public static func html(json: [UInt8]) throws -> [UInt8] {
        Array(try CompressionReport(json: json).html().utf8)
    }
}

/// Builds the page.
struct ReportPage {
    private let report: CompressionReport
    private let compressed: [WeightRecord]
    private let isMultiFunction: Bool
    /// The longest bar.
    private let largest: Int

    /// Decibels below which a weight is marked: an error of a tenth of its energy, and of a thirtieth.
    private static let poor = 10.0
    private static let fair = 15.0
    /// A full bar.
    private static let best = 60.0

    init(_ report: CompressionReport) {
        self.report = report
        compressed = report.weights.filter { $0.action != .declined }
        isMultiFunction = Set(report.weights.map(\.function)).count > 1
        largest = max(compressed.map { max($0.bytesBefore, $0.bytesAfter) }.max() ?? 1, 1)
    }

    var html: String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="generator" content="swiftcompress">
        <title>\(escaped(modelName)): \(pastTense)</title>
        <style>
        \(ReportStyle.css)
        </style>
        </head>
        <body>
        <main>
        \(header)
        \(warnings)\(table)\(declined)</main>
        <script>
        \(ReportStyle.script)
        </script>
        </body>
        </html>

        """
    }

    private var pastTense: String { CompressionReport.pastTense(report.operation) }

    private var modelName: String { Self.lastPart(report.input) }

    private static func lastPart(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    // MARK: - Head

    private var header: String {
        let (before, after) = (report.packageBytes.before, report.packageBytes.after)
        let longest = Double(max(before, after, 1))
        return """
            <header>
            <p class="kind">\(escaped(pastTense)) with swiftcompress</p>
            <h1>\(escaped(modelName))</h1>
            <div class="total">
            <p class="size"><span class="was">\(Text.bytes(before))</span> <span class="to">→</span> \
            \(Text.bytes(after)) <span class="ratio">\(ratio)</span></p>
            <div class="bars wide" aria-hidden="true"><i class="before" style="width:\(percent(before, longest))"></i>\
            <i class="after" style="width:\(percent(after, longest))"></i></div>
            </div>
            <dl class="facts">
            \(facts.map { "<div><dt>\($0.name)</dt><dd>\($0.value)</dd></div>" }.joined(separator: "\n"))
            </dl>
            <p class="paths"><code>\(escaped(report.input))</code> → <code>\(escaped(report.output))</code></p>
            </header>
            """
    }

    private var ratio: String {
        let (before, after) = (Double(report.packageBytes.before), Double(report.packageBytes.after))
        guard before > 0, after > 0 else { return "" }
        return before >= after
            ? Text.fixed(before / after, 2) + "× smaller" : Text.fixed(after / before, 2) + "× larger"
    }

    private var facts: [(name: String, value: String)] {
        var facts = [("Weights \(pastTense)", "\(compressed.count) <small>of \(report.weights.count)</small>")]
        let elements = compressed.reduce(0) { $0 + $1.shape.reduce(1, *) }
        if elements > 0 {
            let bits = Double(compressed.reduce(0) { $0 + $1.bytesAfter } * 8) / Double(elements)
            facts.append(("Mean bits per weight", Text.fixed(bits, 2)))
        }
        let ratios = compressed.compactMap(\.snrDecibel)
        if let lowest = ratios.min() {
            facts.append(("Lowest signal to noise", decibel(lowest)))
            facts.append(("Median signal to noise", decibel(ratios.sorted()[ratios.count / 2])))
        }
        let version = report.specificationVersion
        if version.before != version.after {
            let names = [version.before, version.after].map { DeploymentTarget.name(specificationVersion: $0) }
            facts.append(("Needs", "\(names[1]) <small>was \(names[0])</small>"))
        } else {
            facts.append(("Needs", DeploymentTarget.name(specificationVersion: version.after)))
        }
        facts.append(("Time", Text.fixed(report.seconds, 2) + " <small>s</small>"))
        return facts
    }

    private func decibel(_ value: Double) -> String {
        "<span class=\"\(Self.grade(value))\">\(Text.fixed(value, 1)) <small>dB</small></span>"
    }

    private static func grade(_ decibel: Double) -> String {
        decibel < poor ? "poor" : decibel < fair ? "fair" : "good"
    }

    private var warnings: String {
        guard !report.warnings.isEmpty else { return "" }
        let items = report.warnings.map { "<li>\(escaped($0))</li>" }.joined(separator: "\n")
        return "<section class=\"warnings\">\n<h2>Warnings</h2>\n<ul>\n\(items)\n</ul>\n</section>\n"
    }

    // MARK: - Weights

    private var table: String {
        guard !compressed.isEmpty else { return "" }
        let columns = [
            ("Weight", "text"), ("How", "text"), ("Size", "number"), ("Bits", "number"), ("Signal to noise", "number"),
            ("Max error", "number"), ("Time", "number"),
        ]
        let head = columns.map { "<th scope=\"col\" class=\"\($0.1)\">\($0.0)</th>" }.joined()
        return """
            <section>
            <h2>\(pastTense)</h2>
            <table id="weights">
            <thead><tr>\(head)</tr></thead>
            <tbody>
            \(compressed.map(row).joined(separator: "\n"))
            </tbody>
            </table>
            <p class="legend"><i class="before"></i> before <i class="after"></i> after; larger weights have longer bars. \
            Signal to noise: the weight's energy over the error's; <i class="poor"></i> below \(Text.fixed(Self.poor, 0)) dB, <i class="fair"></i> below \
            \(Text.fixed(Self.fair, 0)) dB, <i class="good"></i> better.</p>
            </section>

            """
    }

    private func row(_ record: WeightRecord) -> String {
        let cells = [
            cell("name", sort: nil, "<code>\(name(record))</code><small>\(escaped(details(record)))</small>"),
            cell("how", sort: nil, breakable(record.scheme ?? record.action.rawValue) + note(record)),
            cell(
                "size", sort: Double(record.bytesBefore),
                sizeBar(record) + "\(Text.bytes(record.bytesBefore)) → \(Text.bytes(record.bytesAfter))"),
            cell("number", sort: record.bitsPerWeight, Text.fixed(record.bitsPerWeight, 2)),
            noise(record),
            cell("number", sort: record.maxError ?? .infinity, record.maxError.map { Text.short($0) } ?? "–"),
            cell("number", sort: record.seconds, duration(record.seconds)),
        ]
        return "<tr>\(cells.joined())</tr>"
    }

    private func cell(_ kind: String, sort: Double?, _ content: String) -> String {
        "<td class=\"\(kind)\"\(sort.map { " data-sort=\"\($0)\"" } ?? "")>\(content)</td>"
    }

    /// The larger of the two sizes is the whole bar, whose length grows with the square root of it: most models have a
    /// few weights that are a hundred times larger than the others.
    private func sizeBar(_ record: WeightRecord) -> String {
        let (before, after) = (record.bytesBefore, record.bytesAfter)
        let whole = max(before, after, 1)
        let length = Text.fixed(max((Double(whole) / Double(largest)).squareRoot(), 0.06) * 100, 1)
        let (outer, inner, part) = before >= after ? ("before", "after", after) : ("poor", "before", before)
        return "<div class=\"bar \(outer)\" aria-hidden=\"true\" style=\"width:\(length)%\"><i class=\"\(inner)\" "
            + "style=\"width:\(percent(part, Double(whole)))\"></i></div>"
    }

    /// A bar on a scale up to 60 dB.
    private func noise(_ record: WeightRecord) -> String {
        guard let value = record.snrDecibel else {
            let isExact = record.maxError == 0
            return cell("noise", sort: .infinity, isExact ? "<span class=\"good\">exact</span>" : "–")
        }
        let part = min(max(value / Self.best, 0), 1)
        let grade = Self.grade(value)
        return cell(
            "noise", sort: value,
            "<div class=\"bar\" aria-hidden=\"true\"><i class=\"\(grade)\" style=\"width:\(Text.fixed(part * 100, 1))%\"></i>"
                + "</div><span class=\"\(grade)\">\(Text.fixed(value, 1)) dB</span>")
    }

    private func name(_ record: WeightRecord) -> String {
        breakable(isMultiFunction ? "\(record.function)/\(record.name)" : record.name)
    }

    /// Long names may break behind their separators.
    private func breakable(_ text: String) -> String {
        escaped(text).reduce(into: "") { $0 += "_/.".contains($1) ? "\($1)<wbr>" : String($1) }
    }

    private func details(_ record: WeightRecord) -> String {
        let shape = record.shape.isEmpty ? "scalar" : record.shape.map(String.init).joined(separator: "×")
        return [record.consumerType, shape, record.dtype].filter { !$0.isEmpty }.joined(separator: " · ")
    }

    private func note(_ record: WeightRecord) -> String { record.note.map { "<small>\(escaped($0))</small>" } ?? "" }

    private func duration(_ seconds: Double) -> String {
        seconds < 1 ? Text.fixed(seconds * 1000, seconds < 0.01 ? 1 : 0) + " ms" : Text.fixed(seconds, 1) + " s"
    }

    // MARK: - Declined

    private var declined: String {
        let records = report.weights.filter { $0.action == .declined }
        guard !records.isEmpty else { return "" }
        var order: [String] = []
        var groups: [String: [WeightRecord]] = [:]
        for record in records {
            let reason = record.reason ?? "no reason given"
            if groups[reason] == nil { order.append(reason) }
            groups[reason, default: []].append(record)
        }
        let parts = order.map { reason in
            let members = groups[reason] ?? []
            let bytes = members.reduce(0) { $0 + $1.bytesBefore }
            let items = members.map { record in
                "<li><code>\(name(record))</code> <small>\(escaped(details(record)))"
                    + " · \(Text.bytes(record.bytesBefore))</small>\(note(record))</li>"
            }
            return """
                <details\(members.count <= 12 ? " open" : "")>
                <summary>\(escaped(reason)) <small>\(Text.count(members.count, "weight")), \(Text.bytes(bytes))</small></summary>
                <ul>
                \(items.joined(separator: "\n"))
                </ul>
                </details>
                """
        }
        return "<section class=\"declined\">\n<h2>Left as they are</h2>\n\(parts.joined(separator: "\n"))\n</section>\n"
    }

    // MARK: - Text

    private func percent(_ bytes: Int, _ scale: Double) -> String { Text.fixed(Double(bytes) / scale * 100, 2) + "%" }

    /// Names come from the model and may hold anything.
    private func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            // Control characters are not allowed in HTML.
            case "\0"..."\u{8}", "\u{b}"..."\u{1f}", "\u{7f}"..."\u{9f}": result += "\u{fffd}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
