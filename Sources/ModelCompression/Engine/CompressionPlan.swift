import CoreMLPackage
import TensorCompression

/// What to do with the data of one weight. Every pass adds its case.
enum WeightScheme: Sendable, Hashable {
    case palette(PalettizationScheme)

    func encode(_ tensor: TensorView, context: EncodingContext) throws -> EncodedWeight {
        switch self {
        case .palette(let scheme): try scheme.encode(tensor, context: context)
        }
    }
}

extension Selector {
    /// The scheme for a weight that `config(for:)` chose; a failure is why the weight is declined.
    func scheme(
        for site: WeightSite, config: WeightConfig
    ) throws(CompressionError) -> Result<WeightScheme, Decline> {
        switch config {
        case .palettizer(let palettizer): return try scheme(for: site, config: palettizer).map { .palette($0) }
        case .quantizer, .magnitudePruner, .thresholdPruner:
            throw OptionError.make(
                "operation", found: options.operation.rawValue, allowed: "palettize", operation: options.operation,
                notImplemented: true)
        }
    }
}

/// Everything that is decided before any data is read.
struct CompressionPlan {
    /// Data to compress once; several constants may point at it.
    struct Job {
        var scheme: WeightScheme
        /// Indices into `index.weights`; all have the same data, type and shape.
        var weights: [Int]
        var byteCount: Int
    }

    var index: ProgramIndex
    var jobs: [Job] = []
    /// Why a weight is left alone; nil for those in `jobs`.
    var declines: [Decline?]
    var warnings: [String] = []

    /// - Throws: what the options make an error: an axis out of range, a target that is too old; in a strict run also
    ///   names that match nothing and weights that cannot be compressed.
    init(_ package: ModelPackage, options: CompressionOptions) throws {
        try Self.requirePrograms(package)
        index = ProgramIndex(package.model)
        declines = Array(repeating: nil, count: index.weights.count)
        let selector = Selector(options: options)
        warnings = selector.unmatched(
            operations: index.operations, constants: index.constantNames, sites: index.weights.map(\.site))
        if options.strict, !warnings.isEmpty { throw Self.strictError(warnings) }
        var known: [JobKey: Int] = [:]
        for (number, weight) in index.weights.enumerated() {
            switch try Self.decide(weight, selector) {
            case .failure(let decline): declines[number] = decline
            case .success(let scheme):
                let key = JobKey(weight, scheme)
                if let job = known[key] {
                    jobs[job].weights.append(number)
                } else {
                    known[key] = jobs.count
                    jobs.append(Job(scheme: scheme, weights: [number], byteCount: weight.byteCount))
                }
            }
        }
        if !index.compressed.isEmpty {
            warnings.append(
                "\(index.compressed.count) weights of this model are compressed already and stay as they are")
        }
        if options.strict {
            try requireNoUnplannedDeclines()
            if jobs.isEmpty { throw Self.strictError(["the options leave nothing to compress"]) }
        }
    }

    private static func decide(
        _ weight: ProgramIndex.Weight, _ selector: Selector
    ) throws(CompressionError) -> Result<WeightScheme, Decline> {
        if weight.isInline {
            return .failure(.planned("written inside its operation instead of as a constant of its own"))
        }
        switch selector.config(for: weight.site) {
        case .failure(let decline): return .failure(decline)
        case .success(let config): return try selector.scheme(for: weight.site, config: config)
        }
    }

    /// In a strict run: declined weights that nobody asked for are an error.
    func requireNoUnplannedDeclines() throws {
        let found = zip(index.weights, declines).compactMap { weight, decline in
            decline.flatMap { $0.isPlanned ? nil : "weight '\(weight.site.name)': \($0.reason)" }
        }
        if !found.isEmpty { throw Self.strictError(found) }
    }

    private static func strictError(_ problems: [String]) -> CompressionError {
        let shown = problems.prefix(5).joined(separator: "; ")
        let rest = problems.count > 5 ? "; and \(problems.count - 5) more" : ""
        return CompressionError(kind: .declined, message: "strict: \(shown)\(rest)")
    }

    private static func requirePrograms(_ package: ModelPackage) throws {
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
        let file: String
        let position: UInt64
        let type: MILDataType
        let shape: [Int]
        let scheme: WeightScheme

        init(_ weight: ProgramIndex.Weight, _ scheme: WeightScheme) {
            if case .blob(let name, let offset) = weight.value.content {
                file = name
                position = offset
            } else {
                file = ""
                position = UInt64(weight.range.lowerBound)
            }
            type = weight.site.type
            shape = weight.site.shape
            self.scheme = scheme
        }
    }
}

extension ProgramIndex.Weight {
    /// Bytes of the elements.
    var byteCount: Int { site.type.byteCount(elements: site.count) ?? 0 }

    /// The weight file its data lies in; nil for a value in the program itself.
    var fileName: String? {
        if case .blob(let name, _) = value.content { name } else { nil }
    }
}
