import ModelCompression

/// The difference of two packages for people.
enum DifferenceText {
    static func text(_ difference: PackageDifference, listsEveryWeight: Bool) -> String {
        var parts = [head(difference)]
        let listed = difference.weights.filter { listsEveryWeight || $0.state != .identical }
        if !listed.isEmpty { parts.append(table(listed, isMultiFunction(difference))) }
        for (package, weights) in [
            (difference.first.path, difference.onlyInFirst), (difference.second.path, difference.onlyInSecond),
        ] where !weights.isEmpty {
            parts.append("Weights only in \(package):\n" + weights.map(lone).joined(separator: "\n"))
        }
        for area in PackageDifference.Change.Area.allCases {
            let changes = difference.changes.filter { $0.area == area }
            if !changes.isEmpty { parts.append(title(area) + ":\n" + changes.map(change).joined(separator: "\n")) }
        }
        parts.append(summary(difference))
        return parts.joined(separator: "\n\n")
    }

    private static func head(_ difference: PackageDifference) -> String {
        let rows = [("first", difference.first), ("second", difference.second)].map { name, package in
            [
                name, Text.bytes(package.packageBytes), Text.bytes(package.weightBytes) + " weights",
                "\(package.deploymentTarget) (version \(package.specificationVersion))", package.path,
            ]
        }
        return Text.table(
            ["package", "size", "", "needs", "path"], rows, alignRight: [false, true, true, false, false])
    }

    private static func isMultiFunction(_ difference: PackageDifference) -> Bool {
        Set(difference.weights.map(\.function)).count > 1
    }

    private static func table(_ weights: [PackageDifference.Weight], _ withFunction: Bool) -> String {
        let rows = weights.map { weight in
            let name = withFunction ? "\(weight.function)/\(weight.first.name)" : weight.first.name
            return [
                name + (weight.first.name == weight.second.name ? "" : " -> \(weight.second.name)"),
                weight.consumerType, Text.shape(weight.first.shape), storage(weight), Text.bytes(weight.first.bytes),
                Text.bytes(weight.second.bytes), weight.snrDecibel.map { Text.fixed($0, 1) } ?? state(weight),
                weight.state == .changed ? weight.maxError.map { Text.short($0) } ?? "" : "",
            ]
        }
        return Text.table(
            ["weight", "used by", "shape", "stored as", "first", "second", "SNR dB", "max error"], rows,
            alignRight: [false, false, false, false, true, true, true, true])
    }

    private static func state(_ weight: PackageDifference.Weight) -> String {
        switch weight.state {
        case .identical: "same"
        case .equal: "equal"
        case .changed: weight.reason ?? "changed"
        case .incomparable: weight.reason ?? "not compared"
        }
    }

    private static func storage(_ weight: PackageDifference.Weight) -> String {
        let (one, other) = (stored(weight.first), stored(weight.second))
        return one == other ? one : "\(one) -> \(other)"
    }

    private static func stored(_ weight: PackageDifference.Stored) -> String {
        weight.compression.map { "\(weight.dtype) \($0)" } ?? weight.dtype
    }

    private static func lone(_ weight: PackageDifference.Lone) -> String {
        let user = weight.consumer.isEmpty ? "" : " used by \(weight.consumerType) '\(weight.consumer)'"
        return "  \(weight.function)/\(weight.stored.name): \(stored(weight.stored)) "
            + "\(Text.shape(weight.stored.shape)), \(Text.bytes(weight.stored.bytes))\(user)"
    }

    private static func title(_ area: PackageDifference.Change.Area) -> String {
        switch area {
        case .program: "Model and functions"
        case .operation: "Operations"
        case .interface: "Inputs, outputs, states and their descriptions"
        case .metadata: "Metadata"
        case .file: "Other files"
        }
    }

    private static func change(_ change: PackageDifference.Change) -> String {
        let what = [change.name, change.what].filter { !$0.isEmpty }.joined(separator: ", ")
        switch (change.first, change.second) {
        case (let first?, let second?): return "  \(what): \(quoted(first)) -> \(quoted(second))"
        case (let first?, nil): return "  \(what): only in the first (\(first))"
        case (nil, let second?): return "  \(what): only in the second (\(second))"
        case (nil, nil): return "  \(what): differs"
        }
    }

    /// An empty text would not be seen.
    private static func quoted(_ text: String) -> String { text.isEmpty ? "\"\"" : text }

    private static func summary(_ difference: PackageDifference) -> String {
        if difference.isIdentical {
            return "The packages are the same: \(Text.count(difference.weights.count, "weight")) "
                + "with the same values, and nothing else differs."
        }
        let states: [(PackageDifference.Weight.State, String)] = [
            (.identical, "the same"), (.equal, "stored in another way with the same values"), (.changed, "changed"),
            (.incomparable, "not comparable"),
        ]
        let counts = states.compactMap { state, text in
            let count = difference.weights.count { $0.state == state }
            return count == 0 ? nil : "\(count) \(text)"
        }
        var text = Text.count(difference.weights.count, "weight") + " in both"
        if !counts.isEmpty { text += ": " + counts.joined(separator: ", ") }
        if let worst = difference.weights.filter({ $0.snrDecibel != nil }).min(by: { $0.snrDecibel! < $1.snrDecibel! })
        {
            text += "\nLowest signal-to-noise ratio: \(Text.fixed(worst.snrDecibel ?? 0, 1)) dB (\(worst.first.name))"
        }
        let (before, after) = (difference.first, difference.second)
        text += "\nWeights: \(Text.bytes(before.weightBytes)) -> \(Text.bytes(after.weightBytes)); package: "
        text += "\(Text.bytes(before.packageBytes)) -> \(Text.bytes(after.packageBytes))"
        if difference.changes.isEmpty { text += "\nNothing but weights differs." }
        return text
    }
}
