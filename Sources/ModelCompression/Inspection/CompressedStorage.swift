import CoreMLPackage

extension MILValue {
    /// A place in a weight file.
    struct Position: Hashable {
        let file: String
        let offset: UInt64
    }

    /// nil for an immediate value.
    var position: Position? {
        if case .blob(let file, let offset) = content { Position(file: file, offset: offset) } else { nil }
    }
}

/// Sizes and kinds of the arrays behind one compressed weight.
struct CompressedStorage {
    var bytes = 0
    /// Of the first array in a weight file.
    var position: MILValue.Position?
    private var parts: [String] = []

    init(_ compressed: ProgramIndex.Compressed) {
        add(compressed.operation, compressed.definitions, depth: 0)
    }

    var text: String { parts.joined(separator: ", ") }

    private mutating func add(_ operation: MILOperation, _ definitions: [String: MILOperation], depth: Int) {
        var types: [String: MILTensorType] = [:]
        var inner: [MILOperation] = []
        func take(_ key: String, _ value: MILValue) {
            guard let type = value.type.tensor, let data = type.dataType, data != .string else { return }
            types[key] = type
            // Codes are the data proper; lookup tables and scales follow them.
            if position == nil || key == "indices" || key == "data" { position = value.position ?? position }
        }
        for attribute in operation.attributes where attribute.key != "name" { take(attribute.key, attribute.value) }
        for input in operation.inputs {
            switch input.bindings.first {
            case .value(let value): take(input.key, value)
            case .name(let name):
                guard let source = definitions[name] else { break }
                if source.type == "const" {
                    if let value = source.attribute("val") { take(input.key, value) }
                } else {
                    types[input.key] = source.outputs.first?.type.tensor
                    inner.append(source)
                }
            case nil: break
            }
        }
        let derived = Set(inner.compactMap { $0.outputs.first?.name })
        for input in operation.inputs {
            if case .name(let name)? = input.bindings.first, derived.contains(name) { continue }
            bytes += Self.size(types[input.key])
        }
        for attribute in operation.attributes { bytes += Self.size(types[attribute.key]) }
        parts.append(Self.describe(operation.type, types))
        if depth < 8 { for source in inner { add(source, definitions, depth: depth + 1) } }
    }

    private static func size(_ type: MILTensorType?) -> Int {
        guard let type, let data = type.dataType, let count = type.elementCount else { return 0 }
        return data.byteCount(elements: count) ?? 0
    }

    private static func describe(_ operation: String, _ types: [String: MILTensorType]) -> String {
        switch operation {
        case "constexpr_lut_to_dense", "constexpr_lut_to_sparse":
            guard let shape = types["lut"]?.shape else { return "palettized" }
            let entries = shape.count < 3 ? shape.reduce(1, *) : shape[shape.count - 2]
            let groups = shape.dropLast(2).reduce(1, *)
            var text = "palettized \(entries.trailingZeroBitCount) bit"
            if groups > 1 { text += ", \(groups) lookup tables" }
            if let vector = shape.last, shape.count >= 3, vector > 1 { text += ", vectors of \(vector)" }
            return text
        case "constexpr_blockwise_shift_scale", "constexpr_sparse_blockwise_shift_scale":
            let scales = types["scale"]?.elementCount ?? 0
            guard let data = (types["data"] ?? types["nonzero_data"])?.dataType else { return "scaled" }
            return data.isFloatingPoint ? "\(scales) scales" : "quantized \(data.name), \(scales) scales"
        case "constexpr_affine_dequantize": return "quantized \(types["quantized_data"]?.dataType?.name ?? "int8")"
        case "constexpr_sparse_to_dense": return "sparse"
        case "constexpr_cast": return "cast"
        default: return operation
        }
    }
}
