import JSONText

/// A package's `Manifest.json`. It is read only: a saved package gets the same file, byte for byte.
public struct Manifest: @unchecked Sendable {
    /// One file or folder of the package.
    public struct Item: Sendable, Equatable {
        public let identifier: String
        public let author: String
        public let name: String
        public let description: String
        /// Relative to the package's `Data` folder: "com.apple.CoreML/model.mlmodel".
        public let path: String
    }

    public let fileFormatVersion: String
    public let rootModelIdentifier: String
    /// In the order of their identifiers.
    public let items: [Item]

    /// The item that holds the model.
    public let rootItem: Item

    let file: MappedFile

    /// Far above any real manifest; JSON takes much more memory than its text.
    private static let sizeLimit = 16 << 20

    init(path: String) throws(PackageError) {
        let file = try MappedFile(path: path, copyLimit: Self.sizeLimit)
        guard file.count <= Self.sizeLimit else {
            throw file.damaged(0, "found a manifest of \(file.count) bytes, expected at most \(Self.sizeLimit)")
        }
        let contents: ManifestFields
        do {
            contents = try ManifestFields(json: Array(file.bytes(0..<file.count)))
        } catch {
            throw file.damaged(0, "found no package manifest: \(error.text)")
        }
        fileFormatVersion = contents.fileFormatVersion
        rootModelIdentifier = contents.rootModelIdentifier
        items = contents.items
        for item in items where !isContainedPath(item.path) {
            throw file.damaged(0, "found the item path \"\(item.path)\", expected one inside the package")
        }
        guard let root = items.first(where: { $0.identifier == contents.rootModelIdentifier }) else {
            throw file.damaged(
                0, "found rootModelIdentifier \"\(contents.rootModelIdentifier)\", expected the identifier of an item")
        }
        rootItem = root
        self.file = file
    }
}

/// What a manifest says, as it stands in the file.
private struct ManifestFields {
    struct Problem: Error {
        let text: String
    }

    let fileFormatVersion: String
    let rootModelIdentifier: String
    let items: [Manifest.Item]

    init(json: [UInt8]) throws(Problem) {
        guard let manifest = try? JSONValue(json: json) else { throw Problem(text: "it is not valid JSON") }
        let fields = try Self.object(manifest, [])
        fileFormatVersion = try Self.string(fields, "fileFormatVersion", [])
        let entries = try Self.object(try Self.required(fields, "itemInfoEntries"), ["itemInfoEntries"])
        var items: [Manifest.Item] = []
        for (identifier, entry) in entries.sorted(by: { $0.key < $1.key }) {
            let path = ["itemInfoEntries", identifier]
            let entry = try Self.object(entry, path)
            items.append(
                Manifest.Item(
                    identifier: identifier, author: try Self.optional(entry, "author", path),
                    name: try Self.optional(entry, "name", path),
                    description: try Self.optional(entry, "description", path),
                    path: try Self.string(entry, "path", path)))
        }
        self.items = items
        rootModelIdentifier = try Self.string(fields, "rootModelIdentifier", [])
    }

    private static func required(_ fields: [String: JSONValue], _ key: String) throws(Problem) -> JSONValue {
        guard let value = fields[key] else { throw Problem(text: "\"\(key)\" is missing") }
        return value
    }

    private static func wrongType(_ path: [String]) -> Problem {
        Problem(text: "\"\(path.joined(separator: "."))\" has another type than expected")
    }

    private static func object(_ value: JSONValue, _ path: [String]) throws(Problem) -> [String: JSONValue] {
        guard case .object(let fields) = value else { throw wrongType(path) }
        return fields
    }

    private static func string(_ fields: [String: JSONValue], _ key: String, _ path: [String]) throws(Problem)
        -> String
    {
        guard case .string(let text) = try required(fields, key) else { throw wrongType(path + [key]) }
        return text
    }

    /// A field that may be absent or null.
    private static func optional(_ fields: [String: JSONValue], _ key: String, _ path: [String]) throws(Problem)
        -> String
    {
        guard let value = fields[key], value != .null else { return "" }
        return try string(fields, key, path)
    }
}

/// Whether a relative path stays inside its folder: not empty, not absolute, no "..", no empty part, no zero byte.
func isContainedPath(_ path: String) -> Bool {
    guard !path.isEmpty, !path.utf8.contains(0) else { return false }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    return parts.allSatisfy { !$0.isEmpty && $0 != ".." && $0 != "." }
}
