import CoreMLPackage
import TensorCompression

/// What a comparison of a written package with its source found.
public struct VerificationReport: Codable, Sendable, Equatable {
    public struct Weight: Codable, Sendable, Equatable {
        public enum State: String, Codable, Sendable {
            /// Stored as before, bit for bit.
            case identical
            /// Stored compressed, and expanded for the comparison.
            case decoded
        }

        public var name: String
        public var function: String
        public var state: State
        /// nil when the values are equal.
        public var snrDecibel: Double?
        /// nil when infinite elements make it no number.
        public var maxError: Double?
        public var meanSquaredError: Double?

        public init(
            name: String, function: String, state: State, snrDecibel: Double? = nil, maxError: Double?,
            meanSquaredError: Double?
        ) {
            self.name = name
            self.function = function
            self.state = state
            self.snrDecibel = snrDecibel
            self.maxError = maxError
            self.meanSquaredError = meanSquaredError
        }

        enum CodingKeys: String, CodingKey {
            case name
            case function
            case state
            case snrDecibel = "snr_db"
            case maxError = "max_error"
            case meanSquaredError = "mse"
        }
    }

    public var weights: [Weight]
    /// What is not as it should be; empty when the package is good.
    public var problems: [String]

    public init(weights: [Weight], problems: [String]) {
        self.weights = weights
        self.problems = problems
    }
}

/// Expands every compressed weight of `written` and compares it with `source`; checks that everything else is the same.
///
/// What is expanded is what was written: every index, table, scale and mask of the new package as it lies on disk.
/// - Parameters:
///   - report: of the run that wrote the package; every error measure in it must come out again.
///   - threads: at most this many; 0: one per core.
public func verifyCompression(
    of written: ModelPackage, against source: ModelPackage, report: CompressionReport? = nil, threads: Int = 0
) throws -> VerificationReport {
    try Verifier(written: written, source: source, report: report)
        .run(WorkPool(threads: threads), report: report)
}

private struct Verifier: Sendable {
    let written: ModelPackage
    let source: ModelPackage
    let before: ProgramIndex
    let after: ProgramIndex
    /// Names of operations that the report says were added.
    private let added: Set<String>
    /// The constants that scale what a weight's consumers compute, by function and weight.
    private let outputScales: [String: String]

    init(written: ModelPackage, source: ModelPackage, report: CompressionReport?) {
        self.written = written
        self.source = source
        added = Set(report?.addedOperations ?? [])
        outputScales = Dictionary(
            (report?.weights ?? []).compactMap { record in
                record.outputScale.map { (record.function + "\u{0}" + record.name, $0) }
            }, uniquingKeysWith: { first, _ in first })
        before = ProgramIndex(source.model)
        after = ProgramIndex(written.model)
    }

    private typealias Outcome = Result<VerificationReport.Weight?, any Error>

    /// A weight of the source, and the operation that gives it in the written package.
    private struct Pair {
        let subject: Subject
        let operation: MILOperation
    }

    func run(_ pool: WorkPool, report: CompressionReport?) throws -> VerificationReport {
        var problems: [String] = []
        if !before.skeleton.elementsEqual(skeletonAfter, by: ==) {
            problems.append("the operations that are not weights differ from the source's")
        }
        let pairs = pairs(&problems)
        let outcomes = ResultSlots<Outcome>(pairs.count, empty: .success(nil))
        pool.forEach(pairs.count) { number in
            outcomes[number] = Outcome { try compare(pairs[number], pool) }
        }
        var checked: [(subject: Subject, weight: VerificationReport.Weight)] = []
        for (pair, outcome) in zip(pairs, outcomes.values) {
            if let weight = try outcome.get() {
                checked.append((pair.subject, weight))
            } else {
                problems.append(
                    "weight '\(pair.subject.outputName)' is stored with other values or another type or shape")
            }
        }
        if let report { problems += disagreements(checked, report) }
        return VerificationReport(weights: checked.map(\.weight), problems: problems)
    }

    /// The operations of the written package without those that scale the result of others, and those that count indices
    /// from the front in a raised one.
    private var skeletonAfter: [(name: String, type: String)] {
        let operations = after.skeleton.filter { !added.contains($0.name) }
        guard written.model.specificationVersion > source.model.specificationVersion else { return operations }
        return operations.filter { before.outputNames.contains($0.name) || !IndexGuard.types.contains($0.type) }
    }

    /// Every weight of the source, compressed ones too, with its counterpart.
    private func pairs(_ problems: inout [String]) -> [Pair] {
        var result: [Pair] = []
        var seen: [String: Int] = [:]
        for subject in Subject.all(before, CompressionOptions(joint: true)) where !subject.isInline {
            // One name can stand in several nested blocks: the n-th here is the n-th there.
            let key = subject.site.function + "\u{0}" + subject.outputName
            let number = seen[key, default: 0]
            seen[key] = number + 1
            if let operations = after.occurrences[key], number < operations.count {
                result.append(Pair(subject: subject, operation: operations[number]))
            } else {
                problems.append("weight '\(subject.outputName)' is missing")
            }
        }
        return result
    }

    /// nil when the weight is not what it should be.
    private func compare(_ pair: Pair, _ pool: WorkPool) throws -> VerificationReport.Weight? {
        let site = pair.subject.site
        let original = try original(pair.subject, pool)
        let evaluator = ConstexprEvaluator(
            package: written, definitions: after.definitions[site.function] ?? [:], pool: pool)
        let found = try evaluator.evaluate(pair.operation, named: pair.subject.outputName)
        let decoded = try scaled(found, site, evaluator)
        guard decoded.type == original.type, decoded.shape == original.shape else { return nil }
        let isEqual = haveSameBytes(decoded.bytes, original.bytes)
        var result = VerificationReport.Weight(
            name: pair.subject.outputName, function: site.function, state: .identical, snrDecibel: nil, maxError: 0,
            meanSquaredError: 0)
        if pair.operation.type == "const", pair.subject.compressed == nil { return isEqual ? result : nil }
        guard original.type == .float16 || original.type == .float32 else { return isEqual ? result : nil }
        let measured =
            isEqual
            ? .exact
            : try measureError(original.bytes, decoded.bytes, original.type, shape: original.shape, pool: pool)
        guard let measures = measured else { return nil }
        result.state = .decoded
        result.snrDecibel = measures.snrDecibel
        result.maxError = measures.maxError
        result.meanSquaredError = measures.meanSquaredError
        return result
    }

    private func original(_ subject: Subject, _ pool: WorkPool) throws -> StoredTensor {
        switch subject.data {
        case .constant(let value):
            return try ConstexprEvaluator(package: source, definitions: [:], pool: pool).stored(value)
        case .compressed(let chain):
            return try ConstexprEvaluator(package: source, definitions: chain.definitions, pool: pool)
                .evaluate(chain.operation, named: chain.outputName)
        }
    }

    /// The weight that the consumers and the multiplication after them amount to.
    private func scaled(
        _ decoded: StoredTensor, _ site: WeightSite, _ evaluator: ConstexprEvaluator
    ) throws -> StoredTensor {
        guard let name = outputScales[site.function + "\u{0}" + site.name],
            let constant = evaluator.definitions[name], let consumer = site.consumers.first
        else { return decoded }
        let scale = try evaluator.evaluate(constant, named: name)
        var shape = decoded.shape.map { _ in 1 }
        let axis = consumer.channelAxes(rank: shape.count).output
        guard shape.indices.contains(axis), decoded.shape[axis] == scale.count, scale.count > 0 else { return decoded }
        shape[axis] = scale.count
        let operation = EncodedOperation(
            "constexpr_blockwise_shift_scale",
            [
                ("data", .array(EncodedArray(decoded))),
                ("scale", .array(EncodedArray(scale).reinterpreted(as: scale.type, shape: shape))),
            ], outputs: [(scale.type, decoded.shape)])
        return try EncodedSource(operations: [operation], number: 0, original: nil, pool: evaluator.pool).result()
    }

    /// Where the report says something else than the package holds.
    private func disagreements(
        _ checked: [(subject: Subject, weight: VerificationReport.Weight)], _ report: CompressionReport
    ) -> [String] {
        func key(_ function: String, _ name: String) -> String { function + "\u{0}" + name }
        var records = Dictionary(grouping: report.weights) { key($0.function, $0.name) }.mapValues { $0[...] }
        var found: [String] = []
        for (subject, weight) in checked {
            guard let record = records[key(subject.site.function, subject.site.name)]?.popFirst() else {
                // What is compressed already is in the report only where the run dealt with it.
                if subject.compressed == nil { found.append("the report does not list weight '\(weight.name)'") }
                continue
            }
            let isChanged = record.action != .declined
            if subject.compressed == nil, isChanged != (weight.state == .decoded) {
                found.append(
                    "weight '\(weight.name)' is \(weight.state.rawValue), the report says \(record.action.rawValue)")
            } else if isChanged,
                record.meanSquaredError != weight.meanSquaredError || record.maxError != weight.maxError
            {
                found.append(
                    "weight '\(weight.name)' expands to a mean squared error of \(weight.meanSquaredError ?? .nan), "
                        + "the report says \(record.meanSquaredError ?? .nan)")
            }
        }
        return found
    }
}
