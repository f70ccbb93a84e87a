import CoreMLPackage
import TensorCompression

/// What to do with the data of one weight. Every pass adds its case.
enum WeightScheme: Sendable, Hashable {
    case palette(PalettizationScheme)
    case quantized(QuantizationScheme)
    case pruned(PruningScheme)
    /// For a weight that is compressed already.
    case joint(JointScheme)
    /// A constant again.
    case dense

    /// Compresses one weight; its data is only read.
    /// - Throws: `.declined` when this weight does not suit the scheme.
    func encode(_ subject: Subject, of package: ModelPackage, context: EncodingContext) throws -> EncodedWeight {
        switch (self, subject.data) {
        case (.palette(let scheme), .constant(let value)):
            return try scheme.encode(try subject.tensor(value, of: package), context: context)
        case (.quantized(let scheme), .constant(let value)):
            return try scheme.encode(try subject.tensor(value, of: package), context: context)
        case (.pruned(let scheme), .constant(let value)):
            return try scheme.encode(try subject.tensor(value, of: package), context: context)
        case (.joint(let scheme), .compressed(let chain)):
            let evaluator = ConstexprEvaluator(package: package, definitions: chain.definitions, pool: context.pool)
            return try JointPass(chain: chain, evaluator: evaluator, context: context).encode(scheme)
        case (.dense, .compressed(let chain)):
            let evaluator = ConstexprEvaluator(package: package, definitions: chain.definitions, pool: context.pool)
            return Self.dense(try evaluator.evaluate(chain.operation, named: chain.outputName))
        default:
            throw CompressionError(
                kind: .internal, message: "[compress] '\(subject.site.name)' has another scheme's data")
        }
    }

    private static func dense(_ tensor: StoredTensor) -> EncodedWeight {
        let operation = EncodedOperation(
            "const", usesAttributes: true, [("val", .array(EncodedArray(tensor)))],
            outputs: [(tensor.type, tensor.shape)])
        return EncodedWeight(
            action: .decompressed, operations: [operation], scheme: "dense \(tensor.type.name)", nbits: nil,
            measures: .exact)
    }
}
