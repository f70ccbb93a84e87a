/// What changed between the operation sets of ML Programs. The tables are generated; see `scripts/opset_table.py` for
/// where they come from and for the reason of every verdict.
enum OpsetChanges {
    /// The value of an added parameter.
    enum Addition: Sendable, Equatable {
        case bool(Bool)
        case int32(Int32)
        case string(String)
        /// Zero in the type of the operation's result.
        case zero
    }

    /// A change that needs more than the new parameters' defaults.
    enum Rule: Sendable, Equatable {
        /// Indices from the end are out of bounds now.
        case nonNegativeIndices
        /// `alpha` must be smaller than `beta` now.
        case orderedBounds
        /// Parameters of compressed weights are inputs now, with types below a byte.
        case constexpr
        /// There is no equal form.
        case blocked(parameter: String, String)
    }

    /// The change of one operation type on the way from one opset to another.
    struct Change: Sendable {
        var additions: [(parameter: String, value: Addition)] = []
        var rules: [Rule] = []
    }

    /// The first opset that has each operation.
    static let firstOpset: [String: Int] = {
        var first: [String: Int] = [:]
        for (opset, names) in operations {
            for name in names.split(whereSeparator: \.isWhitespace) { first[String(name)] = opset }
        }
        return first
    }()

    /// The operations that differ.
    static func between(_ old: Int, _ new: Int) -> [String: Change] {
        var changes: [String: Change] = [:]
        for entry in additions where entry.opset > old && entry.opset <= new {
            changes[entry.operation, default: Change()].additions.append((entry.parameter, entry.value))
        }
        for entry in rules where entry.opset > old && entry.opset <= new {
            changes[entry.operation, default: Change()].rules.append(entry.rule)
        }
        return changes
    }

    /// 5 for `CoreML5`; nil for names that are no opset's.
    static func number(_ opset: String) -> Int? {
        guard opset.hasPrefix("CoreML"), let number = Int(opset.dropFirst("CoreML".count)), number >= 5 else {
            return nil
        }
        return number
    }

    /// `iOS15` for 5.
    static func system(_ opset: Int) -> String { DeploymentTarget.name(specificationVersion: opset + 1) }
}
