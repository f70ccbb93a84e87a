import CoreMLPackage

/// A weight of a package, plain or compressed, and where it is.
struct StoredWeight: Sendable {
    enum Source: Sendable {
        case value(MILValue)
        case compressed(ProgramIndex.Compressed)
    }

    var info: PackageInfo.Weight
    /// The name its consumers use; empty for a value inside its consumer.
    var outputName: String
    var source: Source
    /// Through which the first consumer uses it.
    var parameter: String
    /// Of the operation in the file.
    private var position: Int

    /// Every weight of ten or more elements, in program order. A constant inside a chain is counted with the chain.
    static func all(_ index: ProgramIndex) -> [StoredWeight] {
        var seen: Set<MILValue.Position> = []
        var result: [StoredWeight] = []
        for weight in index.weights where !weight.site.consumers.contains(where: \.isConstexpr) {
            result.append(StoredWeight(weight, &seen))
        }
        for compressed in index.compressed {
            result.append(StoredWeight(compressed, &seen))
        }
        return result.sorted { $0.position < $1.position }
    }

    private init(_ weight: ProgramIndex.Weight, _ seen: inout Set<MILValue.Position>) {
        let site = weight.site
        info = PackageInfo.Weight(
            name: site.name, function: site.function, consumer: site.consumers.first?.name ?? "",
            consumerType: site.consumers.first?.type ?? "", dtype: site.type.name, shape: site.shape,
            bytes: weight.byteCount, bitsPerWeight: Double(site.type.bitWidth), compression: nil,
            isShared: weight.value.position.map { !seen.insert($0).inserted } ?? false)
        outputName = weight.outputName
        source = .value(weight.value)
        parameter = site.consumers.first?.parameters.first ?? ""
        position = weight.range.lowerBound
    }

    private init(_ weight: ProgramIndex.Compressed, _ seen: inout Set<MILValue.Position>) {
        let storage = CompressedStorage(weight)
        let count = weight.type?.elementCount ?? 0
        info = PackageInfo.Weight(
            name: weight.outputName, function: weight.function, consumer: weight.consumers.first?.name ?? "",
            consumerType: weight.consumers.first?.type ?? "", dtype: weight.type?.dataType?.name ?? "unknown",
            shape: weight.type?.shape ?? [], bytes: storage.bytes,
            bitsPerWeight: count == 0 ? 0 : Double(storage.bytes * 8) / Double(count), compression: storage.text,
            isShared: storage.position.map { !seen.insert($0).inserted } ?? false)
        outputName = weight.outputName
        source = .compressed(weight)
        parameter = weight.consumers.first?.parameters.first ?? ""
        position = weight.operation.range.lowerBound
    }
}

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
