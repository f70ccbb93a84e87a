import ModelCompression

/// A compression report for people.
enum ReportText {
    static func text(_ report: CompressionReport, _ verification: VerificationReport?) -> String {
        var parts: [String] = []
        let compressed = report.weights.filter { $0.action != .declined }
        if !compressed.isEmpty { parts.append(table(compressed, withFunction: isMultiFunction(report))) }
        let noted = report.weights.filter { $0.note != nil }
        if !noted.isEmpty { parts.append("Notes:\n" + list(noted) { $0.note ?? "" }) }
        let declined = report.weights.filter { $0.action == .declined }
        if !declined.isEmpty { parts.append("Left as they are:\n" + list(declined) { $0.reason ?? "" }) }
        parts.append(summary(report, compressed))
        if let verification, verification.problems.isEmpty {
            let decoded = verification.weights.filter { $0.state == .decoded }.count
            parts.append(
                "Verified: \(Text.count(decoded, "weight")) read back and expanded with the errors above; "
                    + "\(Text.count(verification.weights.count - decoded, "weight")) unchanged, bit for bit.")
        }
        return parts.joined(separator: "\n\n")
    }

    private static func isMultiFunction(_ report: CompressionReport) -> Bool {
        Set(report.weights.map(\.function)).count > 1
    }

    private static func table(_ records: [WeightRecord], withFunction: Bool) -> String {
        let rows = records.map { record in
            [
                withFunction ? "\(record.function)/\(record.name)" : record.name, record.consumerType,
                Text.shape(record.shape), record.scheme ?? record.action.rawValue, Text.fixed(record.bitsPerWeight, 3),
                Text.bytes(record.bytesBefore), Text.bytes(record.bytesAfter),
                noise(record), Text.fixed(record.seconds, 3),
            ]
        }
        return Text.table(
            ["weight", "used by", "shape", "how", "bits/weight", "before", "after", "SNR dB", "seconds"], rows,
            alignRight: [false, false, false, false, true, true, true, true, true])
    }

    private static func noise(_ record: WeightRecord) -> String {
        record.snrDecibel.map { Text.fixed($0, 1) } ?? (record.maxError == 0 ? "exact" : "")
    }

    /// Weights with the same text together.
    private static func list(_ records: [WeightRecord], _ text: (WeightRecord) -> String) -> String {
        var order: [String] = []
        var names: [String: [String]] = [:]
        for record in records {
            let reason = text(record)
            if names[reason] == nil { order.append(reason) }
            names[reason, default: []].append(record.name)
        }
        let lines = order.map { reason in
            let all = names[reason] ?? []
            let shown = all.prefix(3).joined(separator: ", ") + (all.count > 3 ? " and \(all.count - 3) more" : "")
            return "  \(shown): \(reason)"
        }
        return lines.joined(separator: "\n")
    }

    private static func summary(_ report: CompressionReport, _ compressed: [WeightRecord]) -> String {
        let before = compressed.reduce(0) { $0 + $1.bytesBefore }
        let after = compressed.reduce(0) { $0 + $1.bytesAfter }
        let elements = compressed.reduce(0) { $0 + $1.shape.reduce(1, *) }
        var text =
            "\(compressed.count) of \(Text.count(report.weights.count, "weight")) "
            + CompressionReport.pastTense(report.operation)
        if !compressed.isEmpty {
            text += ": \(Text.bytes(before)) -> \(Text.bytes(after)), "
            text += Text.fixed(Double(after * 8) / Double(max(elements, 1)), 3) + " bits per weight"
        }
        text += "\nPackage: \(Text.bytes(report.packageBytes.before)) -> \(Text.bytes(report.packageBytes.after)) in "
        text += Text.fixed(report.seconds, 2) + " s: \(report.output)"
        if report.specificationVersion.before != report.specificationVersion.after {
            text += "\nSpecification version: \(report.specificationVersion.before) -> "
            let target = DeploymentTarget.name(specificationVersion: report.specificationVersion.after)
            text += "\(report.specificationVersion.after) (\(target))"
        }
        return text
    }
}
