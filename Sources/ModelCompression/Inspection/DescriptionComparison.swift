import CoreMLPackage

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What differs between two models outside their programs: kind, version, interface, metadata.
func describeChanges(_ first: MLModelDocument, _ second: MLModelDocument) -> [PackageDifference.Change] {
    var changes: [PackageDifference.Change] = []
    let kinds = [first, second].map { document in
        document.models.map { "\($0.type) \($0.specificationVersion)" }
    }
    if kinds[0] != kinds[1] {
        changes.add(.program, "model", "type", first.modelType, second.modelType)
        changes.add(
            .program, "model", "specification version", String(first.specificationVersion),
            String(second.specificationVersion))
        if first.models.count > 1 || second.models.count > 1 {
            changes.add(
                .program, "model", "models of the pipeline", kinds[0].joined(separator: ", "),
                kinds[1].joined(separator: ", "))
        }
    }
    let (one, other) = (first.description, second.description)
    let before = changes.count
    compare(one.inputs, other.inputs, "input", &changes)
    compare(one.outputs, other.outputs, "output", &changes)
    compare(one.states, other.states, "state", &changes)
    for name in orderedUnion(one.functions.map(\.name), other.functions.map(\.name)) {
        let pair = [one, other].map { $0.functions.first { $0.name == name } }
        for (kind, path) in [
            ("input", \FunctionDescription.inputs), ("output", \FunctionDescription.outputs),
            ("state", \FunctionDescription.states),
        ] {
            compare(pair[0]?[keyPath: path] ?? [], pair[1]?[keyPath: path] ?? [], "\(name) \(kind)", &changes)
        }
    }
    changes.add(.interface, "model", "default function", one.defaultFunctionName, other.defaultFunctionName)
    changes.add(.interface, "model", "predicted feature", one.predictedFeatureName, other.predictedFeatureName)
    changes.add(
        .interface, "model", "predicted probabilities", one.predictedProbabilitiesName,
        other.predictedProbabilitiesName)
    compare(one.metadata, other.metadata, &changes)
    if changes.count == before, first.descriptionBytes != second.descriptionBytes {
        changes.append(.init(area: .interface, name: "model", what: "details of the description"))
    }
    return changes
}

private func orderedUnion(_ first: [String], _ second: [String]) -> [String] {
    first + second.filter { !first.contains($0) }
}

private func compare(
    _ first: [FeatureDescription], _ second: [FeatureDescription], _ kind: String,
    _ changes: inout [PackageDifference.Change]
) {
    func text(_ feature: FeatureDescription) -> String {
        let type = feature.elementType.isEmpty ? feature.kind : feature.elementType
        let shape = feature.shape.map(String.init).joined(separator: ",")
        return type + (shape.isEmpty ? "" : "[\(shape)]") + (feature.isOptional ? ", optional" : "")
    }
    for name in orderedUnion(first.map(\.name), second.map(\.name)) {
        let (one, other) = (first.first { $0.name == name }, second.first { $0.name == name })
        changes.add(.interface, name, kind, one.map(text), other.map(text))
        if let one, let other {
            changes.add(
                .interface, name, "description of the \(kind)", one.shortDescription, other.shortDescription)
        }
    }
    if Set(first.map(\.name)) == Set(second.map(\.name)) {
        changes.add(
            .interface, "model", "order of the \(kind)s", first.map(\.name).joined(separator: ", "),
            second.map(\.name).joined(separator: ", "))
    }
}

private func compare(_ first: ModelMetadata, _ second: ModelMetadata, _ changes: inout [PackageDifference.Change]) {
    changes.add(.metadata, "description", "", first.shortDescription, second.shortDescription)
    changes.add(.metadata, "version", "", first.versionString, second.versionString)
    changes.add(.metadata, "author", "", first.author, second.author)
    changes.add(.metadata, "license", "", first.license, second.license)
    let tables = [first, second].map { Dictionary($0.userDefined.map { ($0.key, $0.value) }) { $1 } }
    for key in Set(tables[0].keys).union(tables[1].keys).sorted() {
        changes.add(.metadata, key, "", tables[0][key], tables[1][key])
    }
}

// MARK: - Files

/// What differs between the files of two packages that are neither the model nor its weights, and in the manifests.
func fileChanges(_ first: ModelPackage, _ second: ModelPackage) throws -> [PackageDifference.Change] {
    var changes: [PackageDifference.Change] = []
    func items(_ package: ModelPackage) -> [String: String] {
        Dictionary(
            package.manifest.items.map { ($0.path, "\($0.name), \($0.author), \($0.description)") },
            uniquingKeysWith: { $1 })
    }
    let tables = (items(first), items(second))
    for path in Set(tables.0.keys).union(tables.1.keys).sorted() {
        changes.add(.file, path, "manifest entry", tables.0[path], tables.1[path])
    }
    let files = (try others(first), try others(second))
    for path in Set(files.0.keys).union(files.1.keys).sorted() {
        let sizes = (files.0[path], files.1[path])
        if let size = sizes.0, size == sizes.1 {
            guard try !haveSameBytes(first.path + "/" + path, second.path + "/" + path) else { continue }
            changes.append(.init(area: .file, name: path, what: "content"))
        } else {
            changes.add(
                .file, path, "", sizes.0.map { "\($0) bytes" }, sizes.1.map { "\($0) bytes" })
        }
    }
    return changes
}

/// Sizes of the files of a package but for the manifest, the model and its weight files.
private func others(_ package: ModelPackage) throws -> [String: Int] {
    var files = try filesBelow(package.path)
    files["Manifest.json"] = nil
    for path in [package.model.path] + package.weightFiles.map(\.path) where path.hasPrefix(package.path + "/") {
        files[String(path.dropFirst(package.path.count + 1))] = nil
    }
    return files
}

private func haveSameBytes(_ one: String, _ other: String) throws -> Bool {
    func open(_ path: String) throws -> UnsafeMutablePointer<FILE> {
        guard let file = fopen(path, "rb") else { throw PackageError(.io(errno), file: path, "cannot open") }
        return file
    }
    let first = try open(one)
    defer { fclose(first) }
    let second = try open(other)
    defer { fclose(second) }
    var buffers = ([UInt8](repeating: 0, count: 1 << 18), [UInt8](repeating: 0, count: 1 << 18))
    while true {
        let counts = (fread(&buffers.0, 1, buffers.0.count, first), fread(&buffers.1, 1, buffers.1.count, second))
        if counts.0 != counts.1 || buffers.0[..<counts.0] != buffers.1[..<counts.1] { return false }
        if counts.0 < buffers.0.count { return true }
    }
}
