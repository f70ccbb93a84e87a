import ArgumentParser
import CoreMLPackage
import ModelCompression

/// `swiftcompress info`.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Show what a package holds: functions, operations, weights, and how they are compressed.",
        discussion: "Reads the program only, not the weights' data, so it is fast however large the package is.")

    @Argument(help: "The package to look at. It is only read.", completion: .file(extensions: ["mlpackage"]))
    var input: String

    @Flag(help: "Print JSON, every weight included.")
    var json = false

    @Flag(help: "List every weight.")
    var weights = false

    func run() throws {
        do {
            let info = try PackageInfo(ModelPackage(path: input))
            print(json ? try CommandOutput.json(info) : InfoText.text(info, listsWeights: weights))
        } catch {
            throw CommandFailure(error)
        }
    }
}

/// What a package holds, for people.
enum InfoText {
    static func text(_ info: PackageInfo, listsWeights: Bool) -> String {
        var parts = [head(info)]
        for function in info.functions { parts.append(operations(function)) }
        parts.append(summary(info))
        if listsWeights, !info.weights.isEmpty { parts.append(table(info)) }
        return parts.joined(separator: "\n\n")
    }

    private static func head(_ info: PackageInfo) -> String {
        var lines = [
            info.path,
            "  \(info.modelType), specification version \(info.specificationVersion) (\(info.deploymentTarget)), "
                + Text.bytes(info.packageBytes),
        ]
        let metadata = [
            ("description", info.metadata.description), ("version", info.metadata.version),
            ("author", info.metadata.author), ("license", info.metadata.license),
        ]
        for (name, value) in metadata + info.metadata.userDefined.sorted(by: { $0.key < $1.key }) where !value.isEmpty {
            lines.append("  \(name): \(value)")
        }
        for (title, features) in [("inputs", info.inputs), ("outputs", info.outputs), ("states", info.states)]
        where !features.isEmpty {
            lines.append("  \(title): " + features.map(feature).joined(separator: ", "))
        }
        return lines.joined(separator: "\n")
    }

    private static func feature(_ feature: PackageInfo.Feature) -> String {
        let type = feature.dtype.isEmpty ? feature.kind : feature.dtype
        return feature.shape.isEmpty
            ? "\(feature.name) (\(type))" : "\(feature.name) (\(type) \(Text.shape(feature.shape)))"
    }

    private static func operations(_ function: PackageInfo.Function) -> String {
        let types = function.operationTypes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        let list = types.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return
            "function \(function.name) (\(function.opset)): \(Text.count(function.operations, "operation"))\n  \(list)"
    }

    private static func summary(_ info: PackageInfo) -> String {
        guard !info.weights.isEmpty else { return "no weights" }
        var order: [String] = []
        // Elements as floating-point numbers: what a damaged program states need not fit an integer.
        var groups: [String: (count: Int, elements: Double, bytes: Int, bits: Double)] = [:]
        for weight in info.weights {
            let key = weight.compression.map { "\(weight.dtype), \($0)" } ?? weight.dtype
            if groups[key] == nil { order.append(key) }
            var group = groups[key] ?? (0, 0, 0, 0)
            group.count += 1
            let elements = weight.shape.reduce(1) { $0 * Double($1) }
            group.elements += elements
            if !weight.isShared { group.bytes += weight.bytes }
            group.bits += weight.bitsPerWeight * elements
            groups[key] = group
        }
        let rows = order.sorted { (groups[$0]?.bytes ?? 0) > (groups[$1]?.bytes ?? 0) }.map { key in
            let group = groups[key] ?? (0, 0, 0, 0)
            return [
                key, String(group.count), Text.fixed(group.elements, 0), Text.bytes(group.bytes),
                Text.fixed(group.bits / Double(max(group.elements, 1)), 3),
            ]
        }
        return Text.table(
            ["weights stored as", "number", "elements", "size", "bits/weight"], rows,
            alignRight: [false, true, true, true, true])
    }

    private static func table(_ info: PackageInfo) -> String {
        let isMultiFunction = Set(info.weights.map(\.function)).count > 1
        let rows = info.weights.map { weight in
            [
                isMultiFunction ? "\(weight.function)/\(weight.name)" : weight.name, weight.consumerType, weight.dtype,
                Text.shape(weight.shape), Text.bytes(weight.bytes), Text.fixed(weight.bitsPerWeight, 3),
                [weight.compression, weight.isShared ? "shared" : nil].compactMap { $0 }.joined(separator: ", "),
            ]
        }
        return Text.table(
            ["weight", "used by", "type", "shape", "size", "bits/weight", "compression"], rows,
            alignRight: [false, false, false, false, true, true, false])
    }
}
