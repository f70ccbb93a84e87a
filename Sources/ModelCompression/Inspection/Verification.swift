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
/// The expansion is not the one compression measures its error with, so the two check each other.
/// - Parameters:
///   - report: of the run that wrote the package; every error measure in it must come out again.
///   - threads: at most this many; 0: one per core.
public func verifyCompression(
    of written: ModelPackage, against source: ModelPackage, report: CompressionReport? = nil, threads: Int = 0
) throws -> VerificationReport {
    let comparison = PackageComparison(written: written, source: source)
    var result = try comparison.run(WorkPool(threads: threads))
    if let report { result.problems += comparison.disagreements(result, report) }
    return result
}

private struct PackageComparison: Sendable {
    let written: ModelPackage
    let source: ModelPackage
    let before: ProgramIndex
    let after: ProgramIndex

    init(written: ModelPackage, source: ModelPackage) {
        self.written = written
        self.source = source
        before = ProgramIndex(source.model)
        after = ProgramIndex(written.model)
    }

    private typealias Outcome = Result<VerificationReport.Weight?, any Error>

    func run(_ pool: WorkPool) throws -> VerificationReport {
        var problems: [String] = []
        if !before.skeleton.elementsEqual(after.skeleton, by: ==) {
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
        let decoded = try ConstexprEvaluator(
            package: written, definitions: after.definitions[weight.site.function] ?? [:]
        ).evaluate(operation, depth: 0)
        guard decoded.type == weight.site.type, decoded.shape == weight.site.shape, let base = original.baseAddress,
            let type = FloatType(decoded.type)
        else { return nil }
        let tensor = TensorView(base: base, type: type, shape: weight.site.shape)
        let measures = try decoded.bytes.withUnsafeBytes { bytes in
            bytes.elementsEqual(original)
                ? .exact : ErrorMeasures(try errorStatistics(tensor, decoded: bytes.baseAddress!, pool: pool))
        }
        result.state = .decoded
        result.snrDecibel = measures.snrDecibel
        result.maxError = measures.maxError
        result.meanSquaredError = measures.meanSquaredError
        return result
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

extension FloatType {
    /// nil for everything but fp16, fp32 and fp64.
    init?(_ type: MILDataType) {
        switch type {
        case .float16: self = .float16
        case .float32: self = .float32
        case .float64: self = .float64
        default: return nil
        }
    }
}
