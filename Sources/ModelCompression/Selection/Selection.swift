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
/// Where the reference raises because the consumers of a weight have different configurations, the weight is declined.
struct Selector: Sendable {
    var options: CompressionOptions

    /// Constants below this many elements are never compressed, and not reported.
    static let smallestCount = 10

    /// The configuration for `site`, or why it is left alone.
    func config(for site: WeightSite) -> Result<WeightConfig, Decline> {
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
            return .failure(
                .planned("part of a compressed weight already (\(consumer.text)); joint compression is not available"))
        }
        let resolved = resolve(site)
        guard case .success(let config) = resolved else { return resolved }
        if site.shape.count <= 1 { return .failure(.planned("rank \(site.shape.count), only rank 2 or more")) }
        if site.count <= config.weightThreshold {
            return .failure(
                .planned("\(site.count) elements, weight_threshold is \(config.weightThreshold)"))
        }
        return .success(config)
    }

    /// By the constant's name, else by its consumers, which must agree.
    private func resolve(_ site: WeightSite) -> Result<WeightConfig, Decline> {
        if let named = options.opNames[site.name] {
            return named.map { .success($0) } ?? .failure(.planned("excluded by op_names[\"\(site.name)\"]"))
        }
        let found = site.consumers.map { lookUp($0) }
        for (consumer, other) in zip(site.consumers, found) where other.config != found[0].config {
            return .failure(
                .unplanned(
                    "conflicting configurations: \(site.consumers[0].text) gets \(found[0].source), \(consumer.text) "
                        + "gets \(other.source); give the weight its own by op_names[\"\(site.name)\"]"))
        }
        if let config = found[0].config { return .success(config) }
        return .failure(
            .planned(found[0].source == "global" ? "no configuration applies to it" : "excluded by \(found[0].source)"))
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
