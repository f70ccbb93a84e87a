import CoreMLPackage

/// Which indices may count from the end. iOS16 and before take -1 for the last element; from iOS17 on that is out of
/// bounds.
extension TargetWalk {
    /// What makes an operation's indices count from the front; nil when they always do.
    func indexGuard(_ operation: MILOperation, _ type: String) throws(Refusal) -> IndexGuard? {
        let what = "iOS17 no longer counts negative indices from the end, and "
        switch operation.input("indices").first {
        case nil: throw Refusal("indices", "it has none")
        case .value(let value):
            do {
                if try isNonNegative(value) { return nil }
            } catch {
                throw Refusal(error)
            }
            throw Refusal("indices", what + "these are written inside the operation and negative")
        case .name(let source):
            guard let definition = scope[source] else { throw Refusal("indices", what + "these have no definition") }
            if definition.isNonNegative { return nil }
            guard let tensor = definition.type.tensor, let element = tensor.dataType, element == .int32 else {
                throw Refusal("indices", what + "these are not of int32, for which alone that can be made up for")
            }
            let isVector = type.hasSuffix("_nd")
            let sizes = try indexedSizes(operation, isVector ? tensor : nil)
            guard let sizes else {
                throw Refusal("indices", what + "the size of the axis that they go along is not fixed")
            }
            return IndexGuard(source: source, type: tensor, sizes: sizes, isVector: isVector)
        }
    }

    /// Sizes of the axes that the indices go along; nil where one is not known.
    /// - Parameter vectors: the indices, where each is a vector along their last axis.
    private func indexedSizes(_ operation: MILOperation, _ vectors: MILTensorType?) throws(Refusal) -> [Int32]? {
        let key = operation.input("data").isEmpty ? "x" : "data"
        let data: MILValueType?
        switch operation.input(key).first {
        case .name(let name): data = scope[name]?.type
        case .value(let value): data = value.type
        case nil: data = nil
        }
        guard let dimensions = data?.tensor?.dimensions else { return nil }
        let axes: Range<Int>
        if let vectors {
            guard case .constant(let length)? = vectors.dimensions.last,
                let first = integer(operation, "batch_dims", default: 0), first >= 0, first <= dimensions.count,
                length >= 0, length <= dimensions.count - first
            else { return nil }
            axes = first..<(first + length)
        } else {
            guard let axis = integer(operation, "axis", default: 0), axis >= -dimensions.count, axis < dimensions.count
            else { return nil }
            let first = axis < 0 ? axis + dimensions.count : axis
            axes = first..<(first + 1)
        }
        var sizes: [Int32] = []
        for axis in axes {
            guard case .constant(let size) = dimensions[axis], let size = Int32(exactly: size) else { return nil }
            sizes.append(size)
        }
        return sizes
    }

    private func integer(_ operation: MILOperation, _ key: String, default missing: Int) -> Int? {
        operation.input(key).isEmpty ? missing : constant(operation, key)?.integer
    }

    // MARK: - Signs

    /// Whether all results of an operation are integers that are never negative.
    func isNonNegative(_ operation: MILOperation, _ type: String, _ constant: MILValue?) throws -> Bool {
        func areNonNegative(_ keys: String...) -> Bool {
            keys.allSatisfy { key in
                let bindings = operation.input(key)
                return !bindings.isEmpty
                    && bindings.allSatisfy { binding in
                        if case .name(let name) = binding { scope[name]?.isNonNegative ?? false } else { false }
                    }
            }
        }
        guard checksSigns else { return false }
        switch type {
        case "const": return try constant.map { value in try isNonNegative(value) } ?? false
        case "shape", "argsort", "non_zero", "reduce_argmax", "reduce_argmin": return true
        case "expand_dims", "squeeze", "reshape", "transpose", "identity", "slice_by_index", "slice_by_size", "split",
            "tile", "reverse", "gather", "gather_along_axis", "gather_nd":
            return areNonNegative("x")
        case "concat", "stack": return areNonNegative("values")
        case "select": return areNonNegative("a", "b")
        // Steps upwards from a start.
        case "range_1d": return areNonNegative("start", "step")
        case "cast": return areNonNegative("x") && self.constant(operation, "dtype")?.string == "int32"
        default: return false
        }
    }

    /// Whether a constant holds integers, none of them negative.
    func isNonNegative(_ value: MILValue) throws(PackageError) -> Bool {
        guard let type = value.type.tensor?.dataType else { return false }
        switch type {
        case .uint8, .uint16, .uint32: return true
        case .int8, .int16, .int32: break
        default: return false
        }
        if case .immediate(.tensor(let tensor)) = value.content {
            return tensor.integers(as: type)?.allSatisfy { $0 >= 0 } ?? false
        }
        // The sign is in the last byte of each element.
        let bytes = try package.tensorBytes(of: value)
        let width = type.bitWidth / 8
        return stride(from: width - 1, to: bytes.count, by: width).allSatisfy { bytes[$0] < 0x80 }
    }
}
