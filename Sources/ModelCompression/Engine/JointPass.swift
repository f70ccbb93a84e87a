import CoreMLPackage
import TensorCompression

/// Compresses what is compressed already: one more `constexpr_*` operation in the chain of a weight.
struct JointPass {
    let chain: ProgramIndex.Compressed
    let evaluator: ConstexprEvaluator
    let context: EncodingContext

    private var pool: WorkPool { context.pool }
    private var source: StoredOperation { StoredOperation(evaluator: evaluator, operation: chain.operation) }
    private var arithmetic: ConstexprArithmetic { ConstexprArithmetic(pool: pool) }

    /// - Throws: `.declined` when this weight does not suit the scheme.
    func encode(_ scheme: JointScheme) throws -> EncodedWeight {
        let before = try evaluator.evaluate(chain.operation, named: chain.outputName)
        do {
            return try encode(scheme, before)
        } catch let error as ConstexprError {
            throw CompressionError(kind: .declined, message: "[joint] \(error.message)")
        }
    }

    private func encode(_ scheme: JointScheme, _ before: StoredTensor) throws -> EncodedWeight {
        var encoded =
            switch scheme {
            case .quantizeTable(let scheme): try quantizeTable(scheme, before.shape)
            case .quantizeSparse(let scheme): try quantizeSparse(scheme)
            case .palettizeSparse(let scheme): try palettizeSparse(scheme)
            case .palettizeQuantized(let scheme): try palettizeQuantized(scheme)
            case .pruneQuantized(let scheme): try prune(before, scheme, pruneQuantized)
            case .prunePalettized(let scheme): try prune(before, scheme, prunePalettized)
            }
        encoded.measures = try measures(encoded.operations, before)
        return encoded
    }

    /// The error against the weight as it was before this step.
    private func measures(_ operations: [EncodedOperation], _ before: StoredTensor) throws -> ErrorMeasures {
        let after: StoredTensor
        do {
            after = try EncodedSource(
                operations: operations, number: operations.count - 1, original: source, pool: pool
            ).result()
        } catch let error as ConstexprError {
            throw CompressionError(kind: .internal, message: "[joint] \(error.message)")
        }
        guard after.type == before.type, after.shape == before.shape else {
            throw CompressionError(
                kind: .internal,
                message: "[joint] \(before.type.name) \(before.shape) became \(after.type.name) \(after.shape)")
        }
        defer { withExtendedLifetime(after) {} }
        return ErrorMeasures(
            try errorStatistics(
                before.view(), decoded: UnsafeRawPointer(after.start(as: UInt8.self)), pool: pool))
    }

    // MARK: - Parts of the chain

    /// A binding of the chain that stays.
    private func kept(_ key: String, of operation: MILOperation? = nil) throws -> EncodedParameter {
        let operation = operation ?? chain.operation
        guard let binding = operation.input(key).first else {
            throw CompressionError(kind: .declined, message: "[joint] \(operation.type) has no \(key)")
        }
        return .kept(binding, byteCount: storedBytes(binding))
    }

    private func keptIfPresent(
        _ keys: [String], of operation: MILOperation? = nil
    ) throws -> [(key: String, value: EncodedParameter)] {
        try keys.filter { !(operation ?? chain.operation).input($0).isEmpty }.map { ($0, try kept($0, of: operation)) }
    }

    private func storedBytes(_ binding: MILBinding) -> Int {
        let value: MILValue? =
            switch binding {
            case .value(let value): value
            case .name(let name): chain.definitions[name]?.attribute("val")
            }
        return value?.type.tensor?.storedByteCount ?? 0
    }

    private func required(_ key: String) throws -> StoredTensor { try source.required(key) }

    // MARK: - Quantization

    /// - Parameter shape: the weight's.
    private func quantizeTable(_ scheme: QuantizationScheme, _ shape: [Int]) throws -> EncodedWeight {
        let inner: MILOperation
        if case .sparsePalettized(let operation) = ChainForm(chain) {
            guard operation.outputs.count == 2 else {
                throw CompressionError(
                    kind: .declined, message: "[quantize] \(operation.type) has \(operation.outputs.count) outputs")
            }
            inner = operation
        } else {
            inner = chain.operation
        }
        let table = try StoredOperation(evaluator: evaluator, operation: inner).required("lut")
        guard table.type == .float16 || table.type == .float32 else {
            throw CompressionError(kind: .declined, message: "[quantize] the lookup table holds \(table.type.name)")
        }
        guard table.count >= Selector.smallestCount else {
            throw CompressionError(
                kind: .declined, message: "[quantize] a lookup table of \(table.count) elements is too small")
        }
        var options = scheme.options
        options.blockSizes = table.shape.map { _ in 0 }
        let parts = try QuantizedParts(try table.view(), options, pool: pool)
        withExtendedLifetime(table) {}
        let operations = try tableOperations(scheme, inner, parts, tableType: table.type, shape)
        return EncodedWeight(
            action: .quantized, operations: operations,
            scheme: "lookup table \(scheme.options.mode.rawValue) \(scheme.options.type.name) per_tensor",
            nbits: scheme.options.type.bits, measures: .exact)
    }

    private func tableOperations(
        _ scheme: QuantizationScheme, _ inner: MILOperation, _ parts: QuantizedParts, tableType: MILDataType,
        _ shape: [Int]
    ) throws -> [EncodedOperation] {
        let codes = EncodedArray(type: parts.milType, shape: parts.layout.shape, memory: parts.data)
        if inner.type == "constexpr_lut_to_dense", scheme.form == .iOS26 {
            // coremltools' `canonicalize_quantized_lut_pattern`: from iOS26 on the look-up comes first.
            var factors = try parts.factors(pool: pool)
            for index in factors.indices {
                if case .array(let array) = factors[index].value {
                    let ones = array.reinterpreted(as: array.type, shape: shape.map { _ in 1 })
                    factors[index].value = .array(ones)
                }
            }
            return [
                EncodedOperation(
                    "constexpr_lut_to_dense", suffix: "_palette",
                    [("indices", try kept("indices")), ("lut", .array(codes))] + (try keptIfPresent(["vector_axis"])),
                    outputs: [(parts.milType, shape)]),
                EncodedOperation(
                    "constexpr_blockwise_shift_scale", [("data", .output(of: 0))] + factors,
                    outputs: [(tableType, shape)]),
            ]
        }
        let dequantized = EncodedOperation(
            "constexpr_blockwise_shift_scale", suffix: "_lut",
            [("data", .array(codes))] + (try parts.factors(pool: pool)),
            outputs: [(tableType, parts.layout.shape)])
        if inner.type == "constexpr_lut_to_dense" {
            return [
                dequantized,
                EncodedOperation(
                    "constexpr_lut_to_dense",
                    [("indices", try kept("indices")), ("lut", .output(of: 0))] + (try keptIfPresent(["vector_axis"])),
                    outputs: [(tableType, shape)]),
            ]
        }
        let outputs = inner.outputs.map { ($0.type.tensor?.dataType ?? tableType, $0.type.tensor?.shape ?? []) }
        return [
            dequantized,
            EncodedOperation(
                "constexpr_lut_to_sparse", suffix: "_sparse",
                [
                    ("indices_mask", try kept("indices_mask", of: inner)),
                    ("indices_nonzero_data", try kept("indices_nonzero_data", of: inner)), ("lut", .output(of: 0)),
                ] + (try keptIfPresent(["vector_axis"], of: inner)), outputs: outputs),
            EncodedOperation(
                "constexpr_sparse_to_dense",
                [("nonzero_data", .output(of: 1, number: 1)), ("mask", try mask(insteadOf: inner, at: 1))],
                outputs: [(tableType, shape)]),
        ]
    }

    /// The mask of the last operation: the replaced operation's mask is that of its successor.
    private func mask(insteadOf inner: MILOperation, at number: Int) throws -> EncodedParameter {
        if case .name(let name)? = chain.operation.input("mask").first, name == inner.outputs.first?.name {
            return .output(of: number, number: 0)
        }
        return try kept("mask")
    }

    private func quantizeSparse(_ scheme: QuantizationScheme) throws -> EncodedWeight {
        let (dense, mask) = try denseAndMask()
        defer { withExtendedLifetime(dense) {} }
        let parts = try QuantizedParts(try dense.view(), scheme.options, pool: pool)
        let codes = StoredTensor(
            type: parts.milType.isSubByte ? .uint8 : parts.milType, shape: dense.shape, memory: parts.data)
        let nonzero = try arithmetic.gathered(codes, mask)
        let data = try EncodedArray(codes: nonzero, type: parts.milType, shape: [nonzero.count], pool: pool)
        let operations = [
            EncodedOperation(
                "constexpr_sparse_blockwise_shift_scale", suffix: "_sparse",
                [("data_mask", try kept("mask")), ("nonzero_data", .array(data))] + (try parts.factors(pool: pool)),
                outputs: [(.uint1, mask.shape), (dense.type, [nonzero.count])]),
            EncodedOperation(
                "constexpr_sparse_to_dense",
                [("nonzero_data", .output(of: 0, number: 1)), ("mask", try kept("mask"))],
                outputs: [(dense.type, mask.shape)]),
        ]
        return EncodedWeight(
            action: .quantized, operations: operations, scheme: "sparse " + scheme.text,
            nbits: scheme.options.type.bits, measures: .exact)
    }

    private func denseAndMask() throws -> (dense: StoredTensor, mask: StoredTensor) {
        let mask = try required("mask")
        let data = try required("nonzero_data")
        guard data.type == .float16 || data.type == .float32 else {
            throw CompressionError(kind: .declined, message: "[joint] the non-zero data are \(data.type.name)")
        }
        // As in coremltools, to which so small a constant is no weight.
        guard data.count >= Selector.smallestCount else {
            throw CompressionError(kind: .declined, message: "[joint] only \(data.count) elements are not zero")
        }
        return (try arithmetic.scattered(data, mask), mask)
    }

    // MARK: - Palettization

    private func palettizeSparse(_ scheme: PalettizationScheme) throws -> EncodedWeight {
        let (dense, mask) = try denseAndMask()
        defer { withExtendedLifetime(dense) {} }
        var options = scheme.options(seed: context.seed)
        let parts = try scheme.palettized(try dense.view(), options: &options, pool: pool)
        let codes = StoredTensor(
            type: .uint8, shape: dense.shape, bytes: UnsafeRawBufferPointer(start: parts.indices, count: dense.count),
            owner: parts)
        let nonzero = try arithmetic.gathered(codes, mask)
        let type = MILDataType.unsigned(bits: parts.layout.nbits)
        let data = try EncodedArray(codes: nonzero, type: type, shape: [nonzero.count], pool: pool)
        let operations = [
            EncodedOperation(
                "constexpr_lut_to_sparse", suffix: "_sparse",
                [
                    ("indices_mask", try kept("mask")), ("indices_nonzero_data", .array(data)),
                    ("lut", .array(parts.lutArray)),
                ], outputs: [(.uint1, mask.shape), (dense.type, [nonzero.count])]),
            EncodedOperation(
                "constexpr_sparse_to_dense",
                [("nonzero_data", .output(of: 0, number: 1)), ("mask", .output(of: 0, number: 0))],
                outputs: [(dense.type, mask.shape)]),
        ]
        return EncodedWeight(
            action: .palettized, operations: operations, scheme: "sparse " + scheme.text(nbits: parts.layout.nbits),
            nbits: parts.layout.nbits, measures: .exact)
    }

    private func palettizeQuantized(_ scheme: PalettizationScheme) throws -> EncodedWeight {
        let data = try required("data")
        let scale = try required("scale")
        guard data.type == .int8 || data.type == .uint8 else {
            throw CompressionError(kind: .declined, message: "[palettize] the data are \(data.type.name)")
        }
        // In binary64, as NumPy computes with integers; every int8 is exact in it.
        let values = try TensorMemory(byteCount: 8 * data.count)
        for index in 0..<data.count {
            values.start(as: Double.self)[index] =
                data.type == .int8
                ? Double(data.start(as: Int8.self)[index]) : Double(data.start(as: UInt8.self)[index])
        }
        let wide = StoredTensor(type: .float64, shape: data.shape, memory: values)
        var options = scheme.options(seed: context.seed)
        let parts = try scheme.palettized(try wide.view(), options: &options, pool: pool)
        withExtendedLifetime(wide) {}
        let table = try integerTable(parts, data.type)
        let operations = try scheme.scaled(
            parts, try parts.indicesArray(pool: pool), table: table, scale: try kept("scale"), scaleShape: scale.shape,
            scale.type, try keptIfPresent(["offset"])
        ) { value, shape throws(CompressionError) in try self.reshaped(value, shape) }
        return EncodedWeight(
            action: .palettized, operations: operations,
            scheme: "\(data.type.name) data " + scheme.text(nbits: parts.layout.nbits), nbits: parts.layout.nbits,
            measures: .exact)
    }

    /// The entries as integers: the nearest ones, or cut off as coremltools does.
    private func integerTable(_ parts: PaletteParts, _ type: MILDataType) throws(CompressionError) -> EncodedArray {
        let count = parts.layout.lutElementCount
        let entries = parts.lut.assumingMemoryBound(to: Double.self)
        let memory = try TensorMemory(byteCount: count)
        for index in 0..<count {
            let entry = entries[index].rounded(context.cutsIntegerTables ? .towardZero : .toNearestOrEven)
            memory.start(as: UInt8.self)[index] =
                type == .int8
                ? UInt8(bitPattern: Int8(max(-128, min(127, entry)))) : UInt8(max(0, min(255, entry)))
        }
        return EncodedArray(type: type, shape: parts.layout.lutShape, memory: memory)
    }

    /// What is kept, copied in another shape.
    private func reshaped(_ value: EncodedParameter, _ shape: [Int]) throws(CompressionError) -> EncodedParameter {
        guard case .kept(let binding, _) = value else { return value }
        do {
            return .array(EncodedArray(try source.tensor(binding, "scale").reshaped(shape)))
        } catch {
            throw CompressionError(kind: .declined, message: "[palettize] the scale cannot be read: \(error)")
        }
    }

    // MARK: - Pruning

    private func prune(
        _ dense: StoredTensor, _ scheme: PruningScheme,
        _ operation: (PruningMask, EncodedArray) throws -> EncodedOperation
    ) throws -> EncodedWeight {
        let mask = try PruningMask(try dense.view(), scheme.method, pool: pool)
        let bits = try mask.packed(dense.shape, pool: pool)
        let operations = [
            try operation(mask, bits),
            EncodedOperation(
                "constexpr_sparse_to_dense",
                [("nonzero_data", .output(of: 0, number: 1)), ("mask", .output(of: 0, number: 0))],
                outputs: [(dense.type, dense.shape)]),
        ]
        return EncodedWeight(
            action: .pruned, operations: operations, scheme: scheme.text + mask.text, nbits: nil, measures: .exact,
            note: mask.note)
    }

    private func pruneQuantized(_ mask: PruningMask, _ bits: EncodedArray) throws -> EncodedOperation {
        let data = try required("data")
        let type = try required("scale").type
        return EncodedOperation(
            "constexpr_sparse_blockwise_shift_scale", suffix: "_sparse",
            [("data_mask", .array(bits)), ("nonzero_data", .array(try keptCodes(data, mask)))]
                + [("scale", try kept("scale"))] + (try keptIfPresent(["offset"])),
            outputs: [(.uint1, bits.shape), (type, [mask.kept])])
    }

    private func prunePalettized(_ mask: PruningMask, _ bits: EncodedArray) throws -> EncodedOperation {
        let indices = try required("indices")
        let type = try required("lut").type
        return EncodedOperation(
            "constexpr_lut_to_sparse", suffix: "_sparse",
            [
                ("indices_mask", .array(bits)), ("indices_nonzero_data", .array(try keptCodes(indices, mask))),
                ("lut", try kept("lut")),
            ], outputs: [(.uint1, bits.shape), (type, [mask.kept])])
    }

    /// The codes that stay, in the width they had.
    private func keptCodes(_ codes: StoredTensor, _ mask: PruningMask) throws -> EncodedArray {
        guard codes.count == mask.count, codes.type.bitWidth <= 8 else {
            throw CompressionError(
                kind: .declined,
                message: "[prune] found \(codes.count) codes of \(codes.type.name) for \(mask.count) elements")
        }
        let kept = try mask.gathered(try codes.unpacked(pool: pool), pool: pool)
        return try EncodedArray(codes: kept, type: codes.type, shape: [mask.kept], pool: pool)
    }
}
