#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

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

    private struct File: Decodable {
        struct Entry: Decodable {
            let author: String?
            let name: String?
            let description: String?
            let path: String
        }

        let fileFormatVersion: String
        let itemInfoEntries: [String: Entry]
        let rootModelIdentifier: String
    }

    /// Far above any real manifest; JSON takes much more memory than its text.
    private static let sizeLimit = 16 << 20

    init(path: String) throws(PackageError) {
        let file = try MappedFile(path: path, copyLimit: Self.sizeLimit)
        guard file.count <= Self.sizeLimit else {
            throw file.damaged(0, "found a manifest of \(file.count) bytes, expected at most \(Self.sizeLimit)")
        }
        let contents: File
        do {
            contents = try JSONDecoder().decode(File.self, from: Data(file.bytes(0..<file.count)))
        } catch {
            throw file.damaged(0, "found no package manifest: \(Self.explain(error))")
        }
        fileFormatVersion = contents.fileFormatVersion
        rootModelIdentifier = contents.rootModelIdentifier
        items = contents.itemInfoEntries.sorted { $0.key < $1.key }.map { key, entry in
            Item(
                identifier: key, author: entry.author ?? "", name: entry.name ?? "",
                description: entry.description ?? "", path: entry.path)
        }
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

    private static func explain(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "\"\(key.stringValue)\" is missing"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "\"\(context.codingPath.map(\.stringValue).joined(separator: "."))\" has another type than expected"
        default: "it is not valid JSON"
        }
    }
}

/// Whether a relative path stays inside its folder: not empty, not absolute, no "..", no empty part, no zero byte.
func isContainedPath(_ path: String) -> Bool {
    guard !path.isEmpty, !path.utf8.contains(0) else { return false }
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    return parts.allSatisfy { !$0.isEmpty && $0 != ".." && $0 != "." }
}
