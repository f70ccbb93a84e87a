import TensorCompression

/// How one weight is quantized: its configuration with the axes decided. Equal schemes on equal data give equal bytes.
struct QuantizationScheme: Sendable, Hashable {
    var options: QuantizationOptions
    /// E.g. `per_channel (axis 0)`, for people.
    var granularity: String
    /// Which form of the operation the opset has.
    var form: ConstexprForm
}

extension Selector {
    /// The scheme for a weight that `config(for:)` chose; a failure is why the weight is declined.
    /// - Throws: what the reference raises: a configuration that needs iOS18, block sizes of another rank.
    func scheme(
        for site: WeightSite, config: QuantizerConfig
    ) throws(CompressionError) -> Result<QuantizationScheme, Decline> {
        let form = ConstexprForm(opset: site.opset)
        if form == .iOS16 {
            if config.granularity == .perBlock { throw needsIOS18(site, "granularity per_block", "per_block") }
            if config.dtype.bits == 4 { throw needsIOS18(site, "dtype \(config.dtype.rawValue)", "4-bit") }
        }
        let sizes: [Int]
        switch try blockSizes(site, config) {
        case .failure(let decline): return .failure(decline)
        case .success(let found): sizes = found
        }
        for (axis, size) in sizes.enumerated() where size > 0 && site.shape[axis] % size != 0 {
            return .failure(
                .unplanned("block_size \(size) does not divide the \(site.shape[axis]) elements on axis \(axis)"))
        }
        return .success(quantization(config, sizes, form))
    }

    func quantization(_ config: QuantizerConfig, _ sizes: [Int], _ form: ConstexprForm) -> QuantizationScheme {
        let options = QuantizationOptions(
            mode: config.mode, type: IntegerType(name: config.dtype.rawValue) ?? .int8, blockSizes: sizes,
            referenceArithmetic: self.options.compat == .coremltools)
        return QuantizationScheme(options: options, granularity: Self.text(config, sizes), form: form)
    }

    private static func text(_ config: QuantizerConfig, _ sizes: [Int]) -> String {
        switch config.granularity {
        case .perTensor: return "per_tensor"
        case .perChannel: return sizes.firstIndex(of: 1).map { "per_channel (axis \($0))" } ?? "per_channel"
        case .perBlock: return "per_block \(sizes)"
        }
    }

    /// One size per axis, 0 for a whole axis: coremltools' `infer_block_sizes`.
    private func blockSizes(
        _ site: WeightSite, _ config: QuantizerConfig
    ) throws(CompressionError) -> Result<[Int], Decline> {
        let rank = site.shape.count
        if config.granularity == .perBlock, case .perAxis(let sizes) = config.blockSize {
            guard sizes.count == rank else {
                throw OptionError.make(
                    "block_size", found: "\(sizes.count) sizes",
                    allowed: "one for each of the \(rank) axes of weight '\(site.name)' of shape \(site.shape)",
                    operation: .quantize)
            }
            return .success(sizes)
        }
        return channelAxes(of: site).map { axes in
            var sizes = [Int](repeating: 0, count: rank)
            if case .input(let size) = config.blockSize, config.granularity == .perBlock, axes.input < rank {
                sizes[axes.input] = size
            }
            if config.granularity != .perTensor, axes.output < rank { sizes[axes.output] = 1 }
            return sizes
        }
    }

    private func needsIOS18(_ site: WeightSite, _ what: String, _ kind: String) -> CompressionError {
        needsIOS18(
            site, what, coremltools: "The \(kind) quantization", operation: .quantize,
            instead: "dtype int8 or uint8, granularity per_tensor or per_channel")
    }
}
