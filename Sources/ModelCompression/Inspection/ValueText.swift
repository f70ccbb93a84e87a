import CoreMLPackage

/// A type as MIL text has it: `fp16[1,3,224,224]`.
func valueTypeText(_ type: MILValueType) -> String {
    switch type {
    case .tensor(let tensor):
        let sizes = tensor.dimensions.map { dimension in
            switch dimension {
            case .constant(let size): String(size)
            case .unknown(let variadic): variadic ? "..." : "?"
            }
        }
        let name = tensor.dataType?.name ?? "type \(tensor.rawDataType)"
        return sizes.isEmpty ? name : "\(name)[\(sizes.joined(separator: ","))]"
    case .list(let element, _): return "list of \(valueTypeText(element))"
    case .tuple(let types): return "(\(types.map(valueTypeText).joined(separator: ", ")))"
    case .dictionary(let key, let value): return "dictionary of \(valueTypeText(key)) to \(valueTypeText(value))"
    case .state(let wrapped): return "state of \(valueTypeText(wrapped))"
    case .unknown: return "unknown"
    }
}

/// A constant in a few words: its elements when there are few, else its type.
func valueText(_ value: MILValue, _ package: ModelPackage) -> String {
    let most = 8
    guard let tensor = value.type.tensor, let type = tensor.dataType, let count = tensor.elementCount, count <= most,
        let shape = tensor.shape
    else { return valueTypeText(value.type) }
    var elements: [String]?
    if type == .string {
        elements = value.immediateTensor?.strings.map { "\"\($0)\"" }
    } else if type == .bool {
        elements = value.immediateTensor?.integers(as: type)?.map { $0 == 0 ? "false" : "true" }
    } else if let integers = value.immediateTensor?.integers(as: type), !type.isFloatingPoint {
        elements = integers.map { String($0) }
    } else if let bytes = try? package.tensorBytes(of: value) {
        elements = DenseTensor(type: type, shape: shape, bytes: Array(bytes)).floats()?.map { "\($0)" }
    }
    guard let elements else { return valueTypeText(value.type) }
    return shape.isEmpty && elements.count == 1 ? elements[0] : "[\(elements.joined(separator: ", "))]"
}
