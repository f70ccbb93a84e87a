import CoreMLPackage
import TensorCompression

/// How a compressed weight is built: the chains that joint compression can go on with.
enum ChainForm {
    /// `constexpr_lut_to_dense` with a constant table.
    case palettized
    /// `constexpr_blockwise_shift_scale` of constant integers.
    case quantized
    /// `constexpr_sparse_to_dense` of constant non-zero data.
    case sparse
    /// `constexpr_sparse_to_dense` of `constexpr_lut_to_sparse` with a constant table.
    case sparsePalettized(MILOperation)
    /// Anything else.
    case other

    init(_ chain: ProgramIndex.Compressed) {
        /// The operation behind an input, unless that is a constant.
        func source(_ operation: MILOperation, _ key: String) -> MILOperation? {
            guard case .name(let name)? = operation.input(key).first else { return nil }
            return chain.definitions[name].flatMap { $0.type == "const" ? nil : $0 }
        }
        let operation = chain.operation
        self = .other
        // The form before iOS18, which a run that raises the target finds: it has attributes instead of inputs.
        if operation.inputs.isEmpty { return }
        switch operation.type {
        case "constexpr_lut_to_dense" where source(operation, "lut") == nil: self = .palettized
        case "constexpr_blockwise_shift_scale" where source(operation, "data") == nil: self = .quantized
        case "constexpr_sparse_to_dense":
            guard let inner = source(operation, "nonzero_data") else {
                self = .sparse
                return
            }
            if inner.type == "constexpr_lut_to_sparse", source(inner, "lut") == nil { self = .sparsePalettized(inner) }
        default: break
        }
    }
}

/// What joint compression does with one compressed weight.
enum JointScheme: Sendable, Hashable {
    /// The lookup tables become integers with one scale.
    case quantizeTable(QuantizationScheme)
    /// The non-zero elements become integers.
    case quantizeSparse(QuantizationScheme)
    /// The non-zero elements become codes of a lookup table.
    case palettizeSparse(PalettizationScheme)
    /// The integers become codes of a lookup table of integers.
    case palettizeQuantized(PalettizationScheme)
    /// Elements become zero, and only the integers of the others stay.
    case pruneQuantized(PruningScheme)
    /// Elements become zero, and only the codes of the others stay.
    case prunePalettized(PruningScheme)
}

extension Selector {
    /// The scheme for a compressed weight: which operations can follow which is coremltools'
    /// `_validate_child_constexpr_for_compress`.
    /// - Throws: what the reference raises.
    func jointScheme(
        for site: WeightSite, _ chain: ProgramIndex.Compressed, config: WeightConfig
    ) throws(CompressionError) -> Result<JointScheme, Decline> {
        if ConstexprForm(opset: site.opset) == .iOS16 {
            throw needsIOS18(
                site, "joint_compression", coremltools: "Joint compression", operation: options.operation,
                instead: "none of it")
        }
        switch (config, ChainForm(chain)) {
        case (.quantizer(let config), .palettized), (.quantizer(let config), .sparsePalettized):
            return try tableScheme(site, chain, config)
        case (.quantizer(let config), .sparse):
            return try scheme(for: site, config: config).map { .quantizeSparse($0) }
        case (.palettizer(let config), .sparse):
            if config.clusterDim > 1 { return .failure(.unplanned("a sparse weight has no vectors to palettize")) }
            return try palettizable(site, config).flatMap { config throws(CompressionError) in
                try scheme(for: site, config: config).map { .palettizeSparse($0) }
            }
        case (.palettizer(let config), .quantized):
            guard let type = dataType(chain, "data"), type == .int8 || type == .uint8 else {
                return .failure(.unplanned("only int8 and uint8 data can be palettized"))
            }
            return try palettizable(site, config).flatMap { config throws(CompressionError) in
                try scheme(for: site, config: config).map { .palettizeQuantized($0) }
            }
        case (.magnitudePruner(let config), .quantized): return prunable(site, config) { .pruneQuantized($0) }
        case (.magnitudePruner(let config), .palettized):
            return prunable(site, config, table: chain) { .prunePalettized($0) }
        case (.thresholdPruner(let config), .quantized):
            return .success(.pruneQuantized(scheme(for: site, config: config)))
        case (.thresholdPruner(let config), .palettized):
            if let decline = vectorDecline(chain) { return .failure(decline) }
            return .success(.prunePalettized(scheme(for: site, config: config)))
        case _ where chain.operation.inputs.isEmpty:
            return .failure(
                .unplanned("compressed in the form before iOS18: raise the target first, in a run of its own"))
        default:
            let what = chain.operation.type.dropFirst("constexpr_".count)
            return .failure(
                .planned("compressed already (\(what)); \(options.operation.rawValue) has no form on top of that"))
        }
    }

    private func tableScheme(
        _ site: WeightSite, _ chain: ProgramIndex.Compressed, _ config: QuantizerConfig
    ) throws(CompressionError) -> Result<JointScheme, Decline> {
        guard config.granularity == .perTensor else {
            throw OptionError.make(
                "granularity", found: config.granularity.rawValue,
                allowed: "per_tensor for the lookup tables of a palettized weight; first weight concerned: "
                    + "'\(site.name)'", operation: .quantize, notImplemented: true)
        }
        guard config.dtype.bits == 8 else {
            return .failure(.unplanned("lookup tables hold int8 or uint8, not \(config.dtype.rawValue)"))
        }
        return .success(
            .quantizeTable(quantization(config, [], ConstexprForm(opset: site.opset))))
    }

    private func palettizable(
        _ site: WeightSite, _ config: PalettizerConfig
    ) throws(CompressionError) -> Result<PalettizerConfig, Decline> {
        if config.enablePerChannelScale {
            return .failure(.unplanned("a weight that is compressed already takes no per-channel scale"))
        }
        if config.mode == .custom {
            return .failure(.unplanned("mode custom is for weights that are not compressed yet"))
        }
        return .success(config)
    }

    private func prunable(
        _ site: WeightSite, _ config: MagnitudePrunerConfig, table: ProgramIndex.Compressed? = nil,
        _ make: (PruningScheme) -> JointScheme
    ) -> Result<JointScheme, Decline> {
        if let decline = table.flatMap(vectorDecline) { return .failure(decline) }
        return scheme(for: site, config: config).map(make)
    }

    private func vectorDecline(_ chain: ProgramIndex.Compressed) -> Decline? {
        chain.operation.input("vector_axis").isEmpty
            ? nil : .unplanned("codes of vectors cannot be pruned element by element")
    }

    /// The element type of an input.
    private func dataType(_ chain: ProgramIndex.Compressed, _ key: String) -> MILDataType? {
        switch chain.operation.input(key).first {
        case .value(let value): value.type.tensor?.dataType
        case .name(let name): chain.definitions[name]?.outputs.first?.type.tensor?.dataType
        case nil: nil
        }
    }
}

extension Result where Failure == Decline {
    fileprivate func flatMap<Value>(
        _ body: (Success) throws(CompressionError) -> Result<Value, Decline>
    ) throws(CompressionError) -> Result<Value, Decline> {
        switch self {
        case .success(let value): try body(value)
        case .failure(let decline): .failure(decline)
        }
    }
}
