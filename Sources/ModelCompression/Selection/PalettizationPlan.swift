import TensorCompression

/// How one weight is palettized: its configuration with the axis decided. Equal schemes on equal data give equal bytes.
struct PalettizationScheme: Sendable, Hashable {
    var mode: PalettizationMode
    var nbits: Int?
    /// Channels per lookup table; nil: one table for the whole weight.
    var groupSize: Int?
    /// Axis of the groups, the vectors and the scale; 0 or more.
    var channelAxis: Int
    var clusterDim: Int
    var perChannelScale: ScaleAxis?
    /// The scale multiplies what the consumers compute, instead of the weight.
    var scalesOutput = false
    var lutFunction: Int?
    /// Which of the two forms of `constexpr_lut_to_dense` the opset has.
    var form: ConstexprForm

    enum ScaleAxis: Sendable, Hashable {
        /// One scale per output channel.
        case outputChannel
        /// coremltools 9.0: reduced over the output channels.
        case reference
    }
}

/// The generations of `constexpr_*` operations.
enum ConstexprForm: Sendable, Hashable {
    /// Packed byte arrays in attributes; opsets CoreML5 (raised to CoreML6), CoreML6 and CoreML7.
    case iOS16
    /// Sub-byte types in inputs, groups and vectors; opset CoreML8. A scale must come before a look-up.
    case iOS18
    /// As iOS18, but a scale can follow a look-up; opset CoreML9 and later.
    case iOS26

    /// `CoreML5` is iOS15, specification version 6; each later one adds one to both.
    init(opset: String) {
        switch opset.hasPrefix("CoreML") ? Int(opset.dropFirst("CoreML".count)) ?? 0 : 0 {
        case ...7: self = .iOS16
        case 8: self = .iOS18
        default: self = .iOS26
        }
    }
}

extension Selector {
    /// The scheme for a weight that `config(for:)` chose; a failure is why the weight is declined.
    /// - Throws: what the reference raises: an axis out of range, or a configuration that needs iOS18.
    func scheme(
        for site: WeightSite, config: PalettizerConfig
    ) throws(CompressionError) -> Result<PalettizationScheme, Decline> {
        let form = ConstexprForm(opset: site.opset)
        if form == .iOS16 {
            if config.granularity == .perGroupedChannel {
                throw needsIOS18(site, "granularity per_grouped_channel", "per_grouped_channel")
            }
            if config.clusterDim > 1 { throw needsIOS18(site, "cluster_dim \(config.clusterDim)", "vector") }
        }
        let axes: ChannelAxes
        switch channelAxes(of: site) {
        case .failure(let decline): return .failure(decline)
        case .success(let found): axes = found
        }
        var axis = axes.output
        var groupSize: Int?
        if config.granularity == .perGroupedChannel {
            axis = try channelAxis(config.channelAxis ?? axis, of: site)
            if config.groupSize != 0, config.groupSize != site.shape[axis] { groupSize = config.groupSize }
        }
        if let decline = divisibility(site, axis: axis, groupSize: groupSize, clusterDim: config.clusterDim) {
            return .failure(decline)
        }
        if form == .iOS16 {
            if config.enablePerChannelScale { throw needsIOS18(site, "enable_per_channel_scale", "per-channel-scale") }
            if config.nbits == 3 { throw needsIOS18(site, "nbits 3", "3-bit") }
        }
        return .success(
            PalettizationScheme(
                mode: config.mode, nbits: config.nbits, groupSize: groupSize, channelAxis: axis,
                clusterDim: config.clusterDim,
                perChannelScale: config.enablePerChannelScale
                    ? (options.compat == .coremltools ? .reference : .outputChannel) : nil,
                scalesOutput: config.enablePerChannelScale && options.compat == nil
                    && site.consumers.allSatisfy(\.canScaleOutput),
                lutFunction: config.lutFunction, form: form))
    }

    private func channelAxis(_ axis: Int, of site: WeightSite) throws(CompressionError) -> Int {
        let rank = site.shape.count
        guard axis >= -rank, axis < rank else {
            throw OptionError.make(
                "channel_axis", found: String(axis),
                allowed: "\(-rank) to \(rank - 1) for weight '\(site.name)' of shape \(site.shape)")
        }
        return axis < 0 ? axis + rank : axis
    }

    /// coremltools' `grouped_channelwise_compress` and `is_cluster_dim_valid`.
    private func divisibility(_ site: WeightSite, axis: Int, groupSize: Int?, clusterDim: Int) -> Decline? {
        let channels = site.shape[axis]
        if clusterDim > 1 {
            for consumer in site.consumers where consumer.type == "conv" || consumer.type == "conv_transpose" {
                let effective = axis == 0 ? channels / max(consumer.groups, 1) : channels
                if effective % clusterDim != 0 {
                    return .unplanned(
                        "cluster_dim \(clusterDim) does not divide the \(effective) channels on axis \(axis) in each "
                            + "group of \(consumer.text)")
                }
            }
        }
        if let groupSize, channels % groupSize != 0 {
            return .unplanned("group_size \(groupSize) does not divide the \(channels) channels on axis \(axis)")
        }
        let group = groupSize ?? channels
        if group % clusterDim != 0 {
            return .unplanned(
                "cluster_dim \(clusterDim) does not divide the \(group) channels of a group on axis \(axis)")
        }
        return nil
    }

    private func needsIOS18(_ site: WeightSite, _ what: String, _ kind: String) -> CompressionError {
        needsIOS18(
            site, what, coremltools: "The \(kind) palettization", operation: .palettize,
            instead: "granularity per_tensor, nbits 1, 2, 4, 6 or 8, cluster_dim 1, no per-channel scale")
    }

    /// The error before any work that a configuration needs a later target than the model has.
    ///
    /// coremltools' own sentence, which begins with `coremltools`, is a part of it: scripts look for that.
    func needsIOS18(
        _ site: WeightSite, _ what: String, coremltools: String, operation: CompressionOptions.Operation,
        instead: String
    ) -> CompressionError {
        CompressionError(
            kind: .invalidArgument,
            message: "[\(operation.rawValue)] \(what) needs deployment target iOS18 (specification version 9), this "
                + "model has \(DeploymentTarget.text(opset: site.opset)); first weight concerned: '\(site.name)'. "
                + "\(coremltools) is supported since iOS18. Please re-convert your model with minimum_deployment_target set "
                + "to at least ct.target.iOS18. Or raise it here by minimum_deployment_target=\"iOS18\", or choose what its "
                + "target has (\(instead)), or leave such weights out with op_names or op_types")
    }
}
