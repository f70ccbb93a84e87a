import CoreMLPackage
import TensorCompression

/// Everything that is decided before any data is read.
struct CompressionPlan {
    /// Data to compress once; several constants may point at it.
    struct Job {
        var scheme: WeightScheme
        /// Indices into `subjects`; all have the same data, type and shape.
        var subjects: [Int]
        /// Of the dense weight.
        var byteCount: Int
    }

    var index: ProgramIndex
    /// Everything that gets a record in the report, in program order.
    var subjects: [Subject]
    var jobs: [Job] = []
    /// Why a weight is left alone; nil for those in `jobs`.
    var declines: [Decline?]
    /// What is worth knowing about the choice of a weight's configuration.
    var notes: [String?]
    var warnings: [String] = []
    /// Set when the options ask for a later target than the model has.
    var raise: TargetRaise?

    /// - Throws: what the options make an error: an axis out of range, a target that is too old; in a strict run also
    ///   names that match nothing and weights that cannot be compressed.
    init(_ package: ModelPackage, options: CompressionOptions) throws {
        try Self.requirePrograms(package)
        raise = try TargetRaise.required(package, by: options)
        index = ProgramIndex(package.model, raise: raise)
        let selector = Selector(options: options)
        subjects = Subject.all(index, options)
        declines = Array(repeating: nil, count: subjects.count)
        notes = declines.map { _ in nil }
        warnings = selector.unmatched(
            operations: index.operations, constants: index.constantNames, sites: subjects.map(\.site))
        if options.strict, !warnings.isEmpty { throw Self.strictError(warnings) }
        try decideAll(selector)
        if !options.joint, options.operation != .decompress, !index.compressed.isEmpty {
            warnings.append(
                "\(index.compressed.count) weights of this model are compressed already and stay as they are")
        }
        if let summary = raise?.summary { warnings.append(summary) }
        if options.strict {
            try requireNoUnplannedDeclines()
            if jobs.isEmpty { throw Self.strictError(["the options leave nothing to \(options.operation.rawValue)"]) }
        }
    }

    private mutating func decideAll(_ selector: Selector) throws(CompressionError) {
        var known: [JobKey: Int] = [:]
        for (number, subject) in subjects.enumerated() {
            switch try selector.decide(subject) {
            case .failure(let decline): declines[number] = decline
            case .success(let decision):
                notes[number] = decision.note
                let key = JobKey(
                    data: subject.identity, names: decision.scheme.keepsNames ? subject.boundNames : [],
                    shape: subject.site.shape, scheme: decision.scheme)
                if let job = known[key] {
                    jobs[job].subjects.append(number)
                } else {
                    known[key] = jobs.count
                    jobs.append(Job(scheme: decision.scheme, subjects: [number], byteCount: subject.denseBytes))
                }
            }
        }
    }

    /// In a strict run: declined weights that nobody asked for are an error.
    func requireNoUnplannedDeclines() throws {
        let found = zip(subjects, declines).compactMap { subject, decline in
            decline.flatMap { $0.isPlanned ? nil : "weight '\(subject.site.name)': \($0.reason)" }
        }
        if !found.isEmpty { throw Self.strictError(found) }
    }

    private static func strictError(_ problems: [String]) -> CompressionError {
        let shown = problems.prefix(5).joined(separator: "; ")
        let rest = problems.count > 5 ? "; and \(problems.count - 5) more" : ""
        return CompressionError(kind: .declined, message: "strict: \(shown)\(rest)")
    }

    static func requirePrograms(_ package: ModelPackage) throws {
        guard package.model.programs.isEmpty else { return }
        let type = package.modelType
        let advice =
            type.hasPrefix("neuralNetwork")
            ? ", the format before ML Program; convert the original model again with convert_to=\"mlprogram\""
            : type.hasPrefix("pipeline") ? " without an ML Program among its models" : ""
        throw PackageError(
            .unsupported, file: package.model.path,
            "found a model of type \(type)\(advice); only ML Programs can be compressed")
    }

    /// Constants that point at one blob and get the same scheme are compressed once.
    private struct JobKey: Hashable {
        let data: String
        /// What the operations of the result are bound to.
        let names: [String]
        let shape: [Int]
        let scheme: WeightScheme
    }
}

extension WeightScheme {
    /// The result is bound to constants of the program by their names, so weights share it only where the names agree.
    fileprivate var keepsNames: Bool {
        if case .joint = self { true } else { false }
    }
}

extension ProgramIndex.Compressed {
    /// Why no operation can take the place of the chain's last one; nil when one can.
    fileprivate var obstacle: String? {
        guard operation.outputs.count == 1 else {
            return "\(operation.type) has \(operation.outputs.count) outputs, and another operation uses it"
        }
        let known = ConstexprArithmetic.operationTypes.union(["const"])
        let unknown = ([operation] + definitions.values).map(\.type).filter { !known.contains($0) }.min()
        return unknown.map { "\($0) is no operation of iOS16 or iOS18" }
    }
}

extension Selector {
    /// What to do with a weight, or why nothing.
    func decide(
        _ subject: Subject
    ) throws(CompressionError) -> Result<(scheme: WeightScheme, note: String?), Decline> {
        if subject.isInline {
            return .failure(.planned("written inside its operation instead of as a constant of its own"))
        }
        if let chain = subject.compressed, let reason = chain.obstacle { return .failure(.unplanned(reason)) }
        if options.operation == .decompress {
            return subject.compressed == nil
                ? .failure(.planned("not compressed")) : .success((.dense, nil))
        }
        let config: WeightConfig
        let note: String?
        switch self.config(for: subject.site) {
        case .failure(let decline): return .failure(decline)
        case .success(let found): (config, note) = found
        }
        let result: Result<WeightScheme, Decline> =
            if let chain = subject.compressed {
                try jointScheme(for: subject.site, chain, config: config).map { .joint($0) }
            } else {
                try scheme(for: subject.site, config: config)
            }
        return result.map { ($0, note) }
    }

    /// The scheme for a weight that `config(for:)` chose; a failure is why the weight is declined.
    func scheme(
        for site: WeightSite, config: WeightConfig
    ) throws(CompressionError) -> Result<WeightScheme, Decline> {
        switch config {
        case .palettizer(let config): return try scheme(for: site, config: config).map { .palette($0) }
        case .quantizer(let config): return try scheme(for: site, config: config).map { .quantized($0) }
        case .magnitudePruner where options.joint, .thresholdPruner where options.joint:
            return .failure(.planned("not compressed: joint pruning is for what is compressed already"))
        case .magnitudePruner(let config): return scheme(for: site, config: config).map { .pruned($0) }
        case .thresholdPruner(let config): return .success(.pruned(scheme(for: site, config: config)))
        }
    }
}
