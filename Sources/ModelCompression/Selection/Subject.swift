import CoreMLPackage
import TensorCompression

/// One weight that a run deals with.
struct Subject {
    enum Data {
        case constant(MILValue)
        case compressed(ProgramIndex.Compressed)
    }

    var site: WeightSite
    /// The name that its consumers use.
    var outputName: String
    var data: Data
    /// The operation that gives it, in `model.mlmodel`.
    var range: Range<Int>
    /// The constant is written in place inside its consumer; there is no operation to replace.
    var isInline = false
    /// Bytes of all its arrays as they are stored.
    var storedBytes: Int
    /// Bytes of its elements in dense form.
    var denseBytes: Int
    /// Equal for weights with the same data.
    var identity: String
    /// The weight file its data lies in; nil for values in the program itself.
    var fileName: String?

    var compressed: ProgramIndex.Compressed? {
        if case .compressed(let chain) = data { chain } else { nil }
    }

    /// The weights of a program, those in compressed form where the operation deals with them.
    static func all(_ index: ProgramIndex, _ options: CompressionOptions) -> [Subject] {
        var result = index.weights.map { Subject($0) }
        guard options.joint || options.operation == .decompress else { return result }
        // Constants inside a chain are dealt with as parts of it.
        result.removeAll { subject in
            !subject.site.consumers.isEmpty && subject.site.consumers.allSatisfy(\.isConstexpr)
        }
        result += index.compressed.map { Subject($0) }
        return result.sorted { $0.range.lowerBound < $1.range.lowerBound }
    }

    private init(_ weight: ProgramIndex.Weight) {
        site = weight.site
        outputName = weight.outputName
        data = .constant(weight.value)
        range = weight.range
        isInline = weight.isInline
        storedBytes = weight.byteCount
        denseBytes = weight.byteCount
        if case .blob(let name, let offset) = weight.value.content {
            fileName = name
            identity = "\(weight.site.type.name) \(name) \(offset)"
        } else {
            identity = "\(weight.site.type.name) \(weight.range.lowerBound)"
        }
    }

    private init(_ chain: ProgramIndex.Compressed) {
        let storage = CompressedStorage(chain)
        let type = chain.type?.dataType ?? .float32
        site = WeightSite(
            function: chain.function, opset: chain.opset, name: chain.name, type: type, shape: chain.type?.shape ?? [],
            consumers: chain.consumers)
        outputName = chain.outputName
        data = .compressed(chain)
        range = chain.operation.range
        storedBytes = storage.bytes
        denseBytes = chain.type?.storedByteCount ?? 0
        fileName = storage.position?.file
        identity = Self.identity(chain.operation, chain.definitions, depth: 0)
    }

    /// The operations of a chain and where their data lies, without names.
    private static func identity(
        _ operation: MILOperation, _ definitions: [String: MILOperation], depth: Int
    ) -> String {
        func text(_ value: MILValue) -> String {
            if case .blob(let file, let offset) = value.content { return "\(file) \(offset)" }
            return String(describing: Array(value.encodedBytes))
        }
        var parts = [operation.type]
        for attribute in operation.attributes.sorted(by: { $0.key < $1.key }) where attribute.key != "name" {
            parts.append(attribute.key + "=" + text(attribute.value))
        }
        for input in operation.inputs.sorted(by: { $0.key < $1.key }) {
            switch input.bindings.first {
            case .value(let value): parts.append(input.key + "=" + text(value))
            case .name(let name):
                guard let source = definitions[name], depth < 8 else {
                    parts.append("\(input.key)=\(name)@\(operation.range.lowerBound)")
                    continue
                }
                let output = source.outputs.firstIndex { $0.name == name } ?? 0
                parts.append("\(input.key)=\(identity(source, definitions, depth: depth + 1)).\(output)")
            case nil: break
            }
        }
        return "(" + parts.joined(separator: ", ") + ")"
    }

    /// The names in the last two operations of a chain, which joint compression can keep. Together with `identity` they
    /// say what the result is bound to.
    var boundNames: [String] {
        guard let chain = compressed else { return [] }
        func names(_ operation: MILOperation) -> [(key: String, name: String)] {
            operation.inputs.sorted { $0.key < $1.key }.flatMap { input in
                input.bindings.compactMap { if case .name(let name) = $0 { (input.key, name) } else { nil } }
            }
        }
        return names(chain.operation).flatMap { key, name in
            ["\(key)=\(name)"] + (chain.definitions[name].map(names) ?? []).map { "\(key).\($0.key)=\($0.name)" }
        }
    }

    /// Which consumers keep a scale from following them.
    var scaleText: String {
        let obstacles = site.consumers.filter { !$0.canScaleOutput }.map(\.text)
        return "a scale cannot follow \(obstacles.joined(separator: ", "))"
    }

    /// The elements of a constant.
    func tensor(_ value: MILValue, of package: ModelPackage) throws -> TensorView {
        let bytes = try package.tensorBytes(of: value)
        guard let base = bytes.baseAddress else {
            throw PackageError(.damaged, file: package.model.path, "found weight '\(site.name)' without data")
        }
        return TensorView(base: base, type: site.type == .float16 ? .float16 : .float32, shape: site.shape)
    }
}

extension ProgramIndex.Weight {
    /// Bytes of the elements.
    var byteCount: Int { MILTensorType(site.type, shape: site.shape).storedByteCount }
}
