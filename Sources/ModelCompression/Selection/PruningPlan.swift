import TensorCompression

/// How one weight is pruned. Equal schemes on equal data give equal bytes.
struct PruningScheme: Sendable, Hashable {
    var method: PruningMethod
    /// Which form of the operation the opset has.
    var form: ConstexprForm

    /// E.g. `magnitude 50 %`, for people.
    var text: String {
        switch method {
        case .magnitude(let sparsity): "magnitude \(Self.percent(sparsity))"
        case .blockMagnitude(let sparsity, let size, let dim):
            "magnitude \(Self.percent(sparsity)) in blocks of \(size) (axis \(dim))"
        case .nOfM(let n, let m, let dim): "\(n):\(m) (axis \(dim))"
        case .threshold(let threshold, _): "threshold \(threshold)"
        }
    }

    private static func percent(_ part: Double) -> String {
        let rounded = (part * 1000).rounded() / 10
        return rounded == rounded.rounded() ? "\(Int(rounded)) %" : "\(rounded) %"
    }
}

extension Selector {
    /// The scheme for a weight that `config(for:)` chose; a failure is why the weight is declined.
    func scheme(for site: WeightSite, config: MagnitudePrunerConfig) -> Result<PruningScheme, Decline> {
        if config.isStructural {
            // coremltools' `_check_const_op_is_valid`: a name in `op_names` overrules it.
            let isNamed = options.opNames[site.name] != nil
            let other = site.consumers.first { consumer in
                !["conv", "linear"].contains(consumer.type) || consumer.parameters != ["weight"]
            }
            if let other, !isNamed {
                return .failure(
                    .unplanned("blocks and ratios are for the weights of conv and linear, \(other.text) uses it"))
            }
            guard (2...5).contains(site.shape.count) else {
                return .failure(.unplanned("rank \(site.shape.count), blocks and ratios are for ranks 2 to 5"))
            }
        }
        let method: PruningMethod
        if let ratio = config.ratio {
            method = .nOfM(n: ratio.n, m: ratio.m, dim: config.dim ?? 1)
        } else if let blockSize = config.blockSize {
            method = .blockMagnitude(
                targetSparsity: config.targetSparsity ?? 0, blockSize: blockSize, dim: config.dim ?? 0)
        } else {
            method = .magnitude(targetSparsity: config.targetSparsity ?? 0)
        }
        return .success(PruningScheme(method: method, form: ConstexprForm(opset: site.opset)))
    }

    func scheme(for site: WeightSite, config: ThresholdPrunerConfig) -> PruningScheme {
        PruningScheme(
            method: .threshold(config.threshold, minimumSparsity: config.minimumSparsity),
            form: ConstexprForm(opset: site.opset))
    }
}
