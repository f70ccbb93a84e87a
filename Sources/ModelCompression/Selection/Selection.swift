import CoreMLPackage
import TensorCompression

/// Why a weight is left as it is.
struct Decline: Error, Sendable, Equatable {
    var reason: String
    /// The options or the rules of selection say so (threshold, rank, no configuration). What is not planned is an
    /// error in a strict run.
    var isPlanned: Bool

    static func planned(_ reason: String) -> Decline { Decline(reason: reason, isPlanned: true) }
    static func unplanned(_ reason: String) -> Decline { Decline(reason: reason, isPlanned: false) }
}

/// Which weights are compressed, and with which configuration: coremltools' `AbstractCompressionPass` and
/// `OptimizationConfig._get_const_op_config`.
///
/// Where the reference raises because the consumers of a weight have different configurations, the most careful of them is
/// used: one that leaves the weight alone, else the one that keeps most of it, else the first consumer's.
struct Selector: Sendable {
    var options: CompressionOptions

    /// Constants below this many elements are never compressed, and not reported.
    static let smallestCount = 10

    /// A configuration, and what is worth knowing about its choice.
    typealias Choice = (config: WeightConfig, note: String?)

    /// The configuration for `site`, or why it is left alone.
    func config(for site: WeightSite) -> Result<Choice, Decline> {
        switch site.type {
        case .float16, .float32: break
        case .float64, .bfloat16:
            return .failure(.planned("\(site.type.name) weights cannot be compressed, only float16 and float32"))
        default: return .failure(.planned("not floating point (\(site.type.name))"))
        }
        guard !site.consumers.isEmpty else {
            return .failure(.planned("no operation uses it: it goes straight to the block's output"))
        }
        if let consumer = site.consumers.first(where: \.isConstexpr) {
            return .failure(.planned("part of a compressed weight already (\(consumer.text))"))
        }
        let resolved = resolve(site)
        guard case .success(let choice) = resolved else { return resolved }
        if site.shape.count <= 1 { return .failure(.planned("rank \(site.shape.count), only rank 2 or more")) }
        if site.count <= choice.config.weightThreshold {
            return .failure(
                .planned("\(site.count) elements, weight_threshold is \(choice.config.weightThreshold)"))
        }
        return .success(choice)
    }

    /// By the constant's name, else by its consumers.
    private func resolve(_ site: WeightSite) -> Result<Choice, Decline> {
        if let named = options.opNames[site.name] {
            return named.map { .success(($0, nil)) } ?? .failure(.planned("excluded by op_names[\"\(site.name)\"]"))
        }
        let found = site.consumers.map { lookUp($0) }
        if let none = found.firstIndex(where: { $0.config == nil }) {
            let source = found[none].source
            if source == "global" { return .failure(.planned("no configuration applies to it")) }
            let others =
                found.contains { $0.config != nil } ? " for \(site.consumers[none].text), which uses it too" : ""
            return .failure(.planned("excluded by \(source)\(others)"))
        }
        var best = 0
        for (number, other) in found.enumerated() {
            if let kept = other.config?.keptPart, kept > found[best].config?.keptPart ?? 0 { best = number }
        }
        guard let config = found[best].config else { return .failure(.planned("no configuration applies to it")) }
        let differ = found.contains { $0.config != config }
        let note =
            "its consumers have different configurations; \(found[best].source) of \(site.consumers[best].text) is the "
            + "most careful (op_names[\"\(site.name)\"] would give it its own)"
        return .success((config, differ ? note : nil))
    }

    private func lookUp(_ consumer: Consumer) -> (config: WeightConfig?, source: String) {
        if let config = options.opNames[consumer.name] { return (config, "op_names[\"\(consumer.name)\"]") }
        if let config = options.opTypes[consumer.type] { return (config, "op_types[\"\(consumer.type)\"]") }
        return (options.global, "global")
    }

    /// The channel axes of `site`, on which all its consumers must agree.
    func channelAxes(of site: WeightSite) -> Result<ChannelAxes, Decline> {
        let all = site.consumers.map { $0.channelAxes(rank: site.shape.count) }
        guard let first = all.first else { return .success(ChannelAxes(output: 0, input: 1)) }
        for (consumer, axes) in zip(site.consumers, all) where axes != first {
            let of = { (axes: ChannelAxes) in "output channels on axis \(axes.output)" }
            return .failure(
                .unplanned(
                    "its consumers disagree about the channel axis: \(site.consumers[0].text) has \(of(first)), "
                        + "\(consumer.text) has \(of(axes))"))
        }
        return .success(first)
    }

    /// Names and types in the options that match nothing in the program.
    /// - Parameters:
    ///   - operations: name and type of every operation that is not a constant.
    ///   - constants: names of all constants.
    func unmatched(
        operations: [(name: String, type: String)], constants: Set<String>, sites: [WeightSite]
    ) -> [String] {
        let names = Set(operations.map(\.name)).union(constants)
        let types = Set(operations.map(\.type))
        let consumerNames = Set(sites.flatMap { $0.consumers.map(\.name) }).union(sites.map(\.name))
        let consumerTypes = Set(sites.flatMap { $0.consumers.map(\.type) })
        var result: [String] = []
        for name in options.opNames.keys.sorted() {
            if !names.contains(name) {
                result.append("op_names[\"\(name)\"]: no constant and no operation has this name")
            } else if !consumerNames.contains(name) {
                result.append("op_names[\"\(name)\"]: it has no weight")
            }
        }
        for type in options.opTypes.keys.sorted() {
            if !types.contains(type) {
                result.append("op_types[\"\(type)\"]: the model has no operation of this type")
            } else if !consumerTypes.contains(type) {
                result.append("op_types[\"\(type)\"]: no operation of this type has a weight")
            }
        }
        return result
    }
}

extension WeightConfig {
    /// How much of a weight stays, for comparing configurations: about bits per element.
    fileprivate var keptPart: Double {
        switch self {
        case .palettizer(let config): Double(config.nbits ?? 16) / Double(config.clusterDim)
        case .quantizer(let config): Double(config.dtype.bits)
        case .magnitudePruner(let config):
            16 * (1 - (config.targetSparsity ?? config.ratio.map { Double($0.n) / Double($0.m) } ?? 0))
        case .thresholdPruner(let config): 16 / (1 + config.threshold)
        }
    }
}
