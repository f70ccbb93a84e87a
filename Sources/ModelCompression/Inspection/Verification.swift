import CoreMLPackage
import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

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
    let comparison = PackageComparison(written: written, source: source, report: report)
    var result = try comparison.run(WorkPool(threads: threads))
    if let report { result.problems += comparison.disagreements(result, report) }
    return result
}

private struct PackageComparison: Sendable {
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

    func run(_ pool: WorkPool) throws -> VerificationReport {
        var problems: [String] = []
        let operations = after.skeleton.filter { !added.contains($0.name) }
        if !before.skeleton.elementsEqual(operations, by: ==) {
            problems.append("the operations that are not weights differ from the source's")
        }
        let pairs = pairs(&problems)
        let outcomes = ResultSlots<Outcome>(pairs.count, empty: .success(nil))
        pool.forEach(pairs.count) { number in
            outcomes[number] = Outcome { try compare(pairs[number].0, pairs[number].1, pool) }
        }
        var weights: [VerificationReport.Weight] = []
        for (pair, outcome) in zip(pairs, outcomes.values) {
            if let weight = try outcome.get() {
                weights.append(weight)
            } else {
                problems.append("weight '\(pair.0.outputName)' is stored with other values or another type or shape")
            }
        }
        return VerificationReport(weights: weights, problems: problems)
    }

    /// Every weight of the source with the operation that gives it in the written package.
    private func pairs(_ problems: inout [String]) -> [(ProgramIndex.Weight, MILOperation)] {
        var result: [(ProgramIndex.Weight, MILOperation)] = []
        var seen: [String: Int] = [:]
        for weight in before.weights where !weight.isInline {
            // One name can stand in several nested blocks: the n-th here is the n-th there.
            let key = weight.site.function + "\u{0}" + weight.outputName
            let number = seen[key, default: 0]
            seen[key] = number + 1
            if let operations = after.occurrences[key], number < operations.count {
                result.append((weight, operations[number]))
            } else {
                problems.append("weight '\(weight.outputName)' is missing")
            }
        }
        return result
    }

    /// nil when the weight is not what it should be.
    private func compare(
        _ weight: ProgramIndex.Weight, _ operation: MILOperation, _ pool: WorkPool
    ) throws -> VerificationReport.Weight? {
        let original = try source.tensorBytes(of: weight.value)
        var result = VerificationReport.Weight(
            name: weight.outputName, function: weight.site.function, state: .identical, snrDecibel: nil, maxError: 0,
            meanSquaredError: 0)
        if operation.type == "const" {
            guard let value = operation.attribute("val"), value.type == weight.value.type else { return nil }
            let stored = try written.tensorBytes(of: value)
            return stored.elementsEqual(original) ? result : nil
        }
        let evaluator = ConstexprEvaluator(
            package: written, definitions: after.definitions[weight.site.function] ?? [:], pool: pool)
        let decoded = try scaled(try evaluator.evaluate(operation, named: weight.outputName), weight, evaluator)
        guard decoded.type == weight.site.type, decoded.shape == weight.site.shape, let base = original.baseAddress,
            let type = FloatType(decoded.type), let start = decoded.bytes.baseAddress
        else { return nil }
        let tensor = TensorView(base: base, type: type, shape: weight.site.shape)
        let isEqual = decoded.bytes.count == original.count && memcmp(start, base, original.count) == 0
        let measures =
            isEqual ? .exact : ErrorMeasures(try errorStatistics(tensor, decoded: start, pool: pool))
        result.state = .decoded
        result.snrDecibel = measures.snrDecibel
        result.maxError = measures.maxError
        result.meanSquaredError = measures.meanSquaredError
        return result
    }

    /// The weight that the consumers and the multiplication after them amount to.
    private func scaled(
        _ decoded: StoredTensor, _ weight: ProgramIndex.Weight, _ evaluator: ConstexprEvaluator
    ) throws -> StoredTensor {
        guard let name = outputScales[weight.site.function + "\u{0}" + weight.site.name],
            let constant = evaluator.definitions[name], let consumer = weight.site.consumers.first
        else { return decoded }
        let scale = try evaluator.evaluate(constant, named: name)
        var shape = decoded.shape.map { _ in 1 }
        shape[consumer.channelAxes(rank: shape.count).output] = scale.count
        let operation = EncodedOperation(
            "constexpr_blockwise_shift_scale",
            [
                ("data", .array(EncodedArray(decoded))),
                ("scale", .array(EncodedArray(scale).reinterpreted(as: scale.type, shape: shape))),
            ], outputs: [(scale.type, decoded.shape)])
        return try EncodedSource(operations: [operation], number: 0, original: nil, pool: evaluator.pool).result()
    }

    func disagreements(_ result: VerificationReport, _ report: CompressionReport) -> [String] {
        let records = report.weights.filter { record in
            before.weights.contains { !$0.isInline && $0.site.name == record.name }
        }
        guard records.count == result.weights.count else { return ["the report lists other weights than the package"] }
        var found: [String] = []
        for (record, weight) in zip(records, result.weights) {
            let isCompressed = record.action != .declined
            if isCompressed != (weight.state == .decoded) {
                found.append(
                    "weight '\(weight.name)' is \(weight.state.rawValue), the report says \(record.action.rawValue)")
            } else if isCompressed,
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
