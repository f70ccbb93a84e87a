import CoreMLPackage

/// Sizes and kinds of the arrays behind one compressed weight, in any `constexpr_*` form of iOS16 and iOS18, joined
/// ones included. No data is read.
struct CompressedStorage {
    private(set) var bytes = 0
    /// Of the first array in a weight file.
    private(set) var position: MILValue.Position?
    private var parts: [String] = []
    private var seen: Set<Int> = []

    init(_ compressed: ProgramIndex.Compressed) {
        add(compressed.operation, compressed.definitions, depth: 0)
    }

    /// E.g. `sparse, 50.0 % zeros, palettized 4 bit`.
    var text: String { parts.joined(separator: ", ") }

    private mutating func add(_ operation: MILOperation, _ definitions: [String: MILOperation], depth: Int) {
        // Both outputs of a sparse operation can lead to it.
        guard depth < 8, seen.insert(operation.range.lowerBound).inserted else { return }
        var types: [String: MILTensorType] = [:]
        var inner: [MILOperation] = []
        for attribute in operation.attributes where attribute.key != "name" {
            take(attribute.key, attribute.value, &types)
        }
        for input in operation.inputs {
            switch input.bindings.first {
            case .value(let value): take(input.key, value, &types)
            case .name(let name):
                guard let source = definitions[name] else { break }
                if source.type == "const" {
                    if let value = source.attribute("val") { take(input.key, value, &types) }
                } else {
                    types[input.key] = source.outputs.first { $0.name == name }?.type.tensor
                    inner.append(source)
                }
            case nil: break
            }
        }
        let description = Self.describe(operation, types, isStored: inner.isEmpty)
        if !description.isEmpty { parts.append(description) }
        for source in inner { add(source, definitions, depth: depth + 1) }
    }

    private mutating func take(_ key: String, _ value: MILValue, _ types: inout [String: MILTensorType]) {
        guard let type = value.type.tensor, let data = type.dataType, data != .string else { return }
        types[key] = type
        bytes += type.storedByteCount
        // Codes are the data proper; lookup tables and scales follow them.
        let isData = ["indices", "data", "quantized_data", "nonzero_data", "indices_nonzero_data"].contains(key)
        if position == nil || isData { position = value.position ?? position }
    }

    // MARK: - Text

    /// - Parameter isStored: its data is stored, not made by another operation of the chain.
    private static func describe(
        _ operation: MILOperation, _ types: [String: MILTensorType], isStored: Bool
    ) -> String {
        switch operation.type {
        case "constexpr_lut_to_dense", "constexpr_lut_to_sparse": palette(types["lut"])
        case "constexpr_blockwise_shift_scale", "constexpr_sparse_blockwise_shift_scale":
            scales(types["data"] ?? types["nonzero_data"], types["scale"], types["offset"], isStored: isStored)
        case "constexpr_affine_dequantize": scales(types["quantized_data"], types["scale"], nil, isStored: true)
        case "constexpr_sparse_to_dense":
            sparse(types["nonzero_data"], of: operation.outputs.first?.type.tensor)
        case "constexpr_cast": "cast from " + (types["source_val"]?.dataType?.name ?? "another type")
        case let type: type
        }
    }

    private static func palette(_ table: MILTensorType?) -> String {
        guard let shape = table?.shape, !shape.isEmpty, table?.elementCount != nil else { return "palettized" }
        let entries = shape.count < 3 ? shape.reduce(1, *) : shape[shape.count - 2]
        let groups = shape.dropLast(2).reduce(1, *)
        var text = "palettized \(entries.trailingZeroBitCount) bit"
        if groups > 1 { text += ", \(groups) lookup tables" }
        if let vector = shape.last, shape.count >= 3, vector > 1 { text += ", vectors of \(vector)" }
        if let type = table?.dataType, !type.isFloatingPoint { text += ", \(type.name) entries" }
        return text
    }

    /// - Parameter isStored: false where the scales belong to a lookup table or its entries.
    private static func scales(
        _ data: MILTensorType?, _ scale: MILTensorType?, _ offset: MILTensorType?, isStored: Bool
    ) -> String {
        let count = scale?.elementCount ?? 1
        var text = count == 1 ? "1 scale" : "\(count) scales"
        if offset != nil { text += " and zero points" }
        if isStored, let type = data?.dataType, !type.isFloatingPoint { text = "quantized \(type.name), " + text }
        return text
    }

    private static func sparse(_ nonzero: MILTensorType?, of whole: MILTensorType?) -> String {
        guard let stored = nonzero?.elementCount, let count = whole?.elementCount, count > 0, stored <= count
        else { return "sparse" }
        let tenths = Int((Double(count - stored) / Double(count) * 1000).rounded())
        return "sparse, \(tenths / 10).\(tenths % 10) % zeros"
    }
}
