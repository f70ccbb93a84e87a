#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Writes an edited copy of a package: new blobs are streamed to a temporary folder beside the target, and `finish()`
/// puts the whole package in place in one step.
///
/// Everything that is not edited is copied byte for byte: the model file but for the edits and the lengths around them,
/// the manifest, and every other file. A weight file is written anew when a blob is appended to or kept in it, or when
/// an operation that refers to it is replaced; the blobs that still count are then those appended, those kept, and those
/// that the edited program still refers to (copied once each, in the order of first reference). Blobs that nothing
/// refers to are dropped then, and only then.
///
/// Not for use from two threads at once. Dropping the writer, or `abandon()`, removes the temporary folder; a process
/// that may be ended by a signal calls `abandon()` in its own handling of it.
public final class PackageWriter {
    public let package: ModelPackage
    /// Path of the finished package, links in it resolved.
    public var outputPath: String { location.target }
    /// The folder the package is built in, beside the output: `.NAME.mlpackage.tmp-<pid>-<random>`.
    public var temporaryPath: String { location.temporary }
    /// After `finish()`: where the package that was replaced still lies, when it could not be removed.
    public private(set) var leftoverPath: String?

    private let location: OutputLocation
    private var isOpen = true
    private var replacements: [(range: Range<Int>, bytes: [UInt8])] = []
    private var insertions: [Edit] = []
    private var versions: [Int: Int] = [:]
    private var opsets: [String: String] = [:]
    private var blobWriters: [(name: String, relativePath: String, writer: BlobFileWriter)] = []
    private var kept: [BlobKey: UInt64] = [:]
    private var keptBytes: [String: Int] = [:]

    private struct BlobKey: Hashable {
        let file: String
        let offset: UInt64
    }

    /// Checks the target and creates the temporary folder.
    /// - Parameter output: ends in `.mlpackage`; may be the input package itself.
    /// - Throws: `.invalidArgument` for another ending; `.exists` when something is there that is no package;
    ///   `.notFound` when its parent is missing; `.readOnly`, `.io`.
    public init(_ package: ModelPackage, output: String) throws(PackageError) {
        self.package = package
        location = try OutputLocation(output, source: package.path)
    }

    deinit { abandon() }

    // MARK: - Weights

    /// Appends a tensor to a weight file.
    /// - Parameters:
    ///   - file: the name in the program: "@model_path/weights/weight.bin".
    ///   - bytes: the elements in C order, little endian, sub-byte types packed.
    ///   - count: number of elements.
    /// - Returns: the offset for `NewValue.blob`.
    @discardableResult
    public func appendBlob(
        file: String, type: MILDataType, bytes: UnsafeRawBufferPointer, count: Int
    ) throws(PackageError) -> UInt64 {
        try requireOpen()
        return try blobWriter(file).append(type, bytes, count: count)
    }

    /// Copies a blob of the input, once however often it is asked for.
    /// - Parameter offset: its offset in the input's weight file.
    /// - Returns: its offset in the new file.
    @discardableResult
    public func keepBlob(file: String, offset: UInt64) throws(PackageError) -> UInt64 {
        try requireOpen()
        let key = BlobKey(file: file, offset: offset)
        if let known = kept[key] { return known }
        let source = try package.weightFile(named: file)
        let blob = try source.blob(at: offset)
        // Blobs that overlap would let a small damaged file grow without limit.
        let total = keptBytes[file, default: 0] + blob.data.count
        guard total <= source.byteCount else {
            throw source.file.damaged(Int(offset), "found blobs that overlap")
        }
        keptBytes[file] = total
        let new = try blobWriter(file).append(
            code: blob.typeCode, bytes: source.bytes(of: blob), paddingBits: blob.paddingBits)
        source.releasePages(of: blob)
        kept[key] = new
        return new
    }

    private func blobWriter(_ name: String) throws(PackageError) -> BlobFileWriter {
        if let known = blobWriters.first(where: { $0.name == name }) { return known.writer }
        let relative = try ModelPackage.weightPath(name, model: package.model, manifest: package.manifest)
        let isListed = package.manifest.items.contains { item in
            relative.hasPrefix("Data/\(item.path)/") || relative == "Data/\(item.path)"
        }
        guard isListed else {
            throw PackageError(
                .unsupported, file: package.path, "found no item for the weight file \"\(name)\" in Manifest.json")
        }
        try makeFolders(relative[..<relative.lastIndex(of: "/")!], in: temporaryPath)
        let writer = try BlobFileWriter(path: temporaryPath + "/" + relative)
        blobWriters.append((name, relative, writer))
        return writer
    }

    // MARK: - Program

    /// Puts new operations where one operation is.
    /// - Parameters:
    ///   - range: `MILOperation.range`.
    ///   - operations: may be empty.
    public func replace(operationAt range: Range<Int>, with operations: [NewOperation]) throws(PackageError) {
        try requireOpen()
        guard range.lowerBound >= 0, !range.isEmpty, range.upperBound <= package.model.byteCount else {
            throw PackageError(
                .invalidArgument, file: package.model.path, "found the range \(range), expected an operation's")
        }
        replacements.append((range, operations.flatMap(\.encodedField)))
    }

    /// Puts new operations in front of one, which stays, though it may be replaced or have its inputs set as well.
    public func insert(_ operations: [NewOperation], before operation: MILOperation) throws(PackageError) {
        try requireOpen()
        insertions.append(
            Edit(range: operation.range, bytes: operations.flatMap(\.encodedField), isBefore: true))
    }

    /// Binds an input of an operation that is not replaced; what it was bound to before, if anything, is dropped.
    public func setInput(
        _ key: String, of operation: MILOperation, to bindings: [NewBinding]
    ) throws(PackageError) {
        try requireOpen()
        let bytes = NewOperation.encodedInput(key, bindings)
        let known = operation.inputRecords.last { $0.key == key }?.record
        if let known {
            replacements.append((known, bytes))
        } else {
            let start = operation.view.range.lowerBound
            insertions.append(Edit(range: start..<start, bytes: bytes))
        }
    }

    /// Raises the specification version of a program's model, and of the pipelines around it, where it is lower.
    /// - Parameter program: nil for every program.
    public func setSpecificationVersion(_ version: Int, for program: MILProgram? = nil) throws(PackageError) {
        try requireOpen()
        let models = package.model.scanned.models
        for candidate in program.map({ [$0] }) ?? package.model.programs {
            var index: Int? = candidate.model
            while let model = index {
                let current = max(models[model].specificationVersion, versions[model] ?? 0)
                if version > current { versions[model] = version }
                index = models[model].parent
            }
        }
    }

    /// Renames an opset in every function that uses it, block specializations included.
    public func setOpset(from old: String, to new: String) throws(PackageError) {
        try requireOpen()
        opsets[old] = new
    }

    // MARK: - Ending

    /// Writes the model, copies the rest, waits for the disk and moves the package to its place.
    public func finish() throws(PackageError) {
        try requireOpen()
        do {
            try writePackage()
            leftoverPath = try AtomicReplace.move(temporaryPath, to: outputPath)
        } catch {
            abandon()
            throw error
        }
        isOpen = false
        try? synchronizeFolder(location.folder)
    }

    /// Removes the temporary folder; the target is as it was. Does nothing after `finish()`.
    public func abandon() {
        guard isOpen else { return }
        isOpen = false
        blobWriters = []
        removeTree(temporaryPath)
    }

    private func requireOpen() throws(PackageError) {
        guard isOpen else {
            throw PackageError(.invalidArgument, file: outputPath, "this writer is finished or abandoned")
        }
    }

    private func writePackage() throws(PackageError) {
        let edits = try modelEdits()
        var written = Set(blobWriters.map(\.relativePath))
        for entry in blobWriters { try entry.writer.finish() }
        if !edits.isEmpty {
            let relative = "Data/" + package.manifest.rootItem.path
            try makeFolders(relative[..<relative.lastIndex(of: "/")!], in: temporaryPath)
            let segments = try Splice.apply(edits, to: package.model.file)
            try write(segments, of: package.model.file, to: temporaryPath + "/" + relative)
            written.insert(relative)
        }
        try copyTree(from: package.path, to: temporaryPath, skipping: written)
        try package.requireUnchanged()
        try restrictPermissions(of: temporaryPath, like: package.path)
        try synchronizeFolders(temporaryPath)
    }

    /// Every edit of the model file; copies the blobs that are still referred to on the way.
    private func modelEdits() throws(PackageError) -> [Edit] {
        var edits = try replacementEdits()
        let scanned = package.model.scanned
        let replaced = edits.map(\.range)
        var position = 0
        var surviving: [BlobReference] = []
        for reference in scanned.blobReferences.sorted(by: { $0.position < $1.position }) {
            while position < replaced.count, replaced[position].upperBound <= reference.position { position += 1 }
            if position < replaced.count, replaced[position].contains(reference.position) {
                _ = try blobWriter(scanned.blobFiles[reference.file])
            } else {
                surviving.append(reference)
            }
        }
        let rewritten = Set(blobWriters.map(\.name))
        for reference in surviving where rewritten.contains(scanned.blobFiles[reference.file]) {
            let new = try keepBlob(file: scanned.blobFiles[reference.file], offset: reference.offset)
            guard new != reference.offset, let record = reference.record else { continue }
            var writer = WireWriter()
            writer.integer(2, new)
            edits.append(Edit(range: record, bytes: writer.bytes))
        }
        edits += insertions
        edits += versionEdits()
        edits += try opsetEdits()
        return edits
    }

    private func replacementEdits() throws(PackageError) -> [Edit] {
        let sorted = replacements.sorted { $0.range.lowerBound < $1.range.lowerBound }
        for (first, second) in zip(sorted, sorted.dropFirst()) where first.range.upperBound > second.range.lowerBound {
            throw PackageError(
                .invalidArgument, file: package.model.path, offset: UInt64(second.range.lowerBound),
                "found two replacements of the same operation, or of one inside another")
        }
        return sorted.map { Edit(range: $0.range, bytes: $0.bytes) }
    }

    private func versionEdits() -> [Edit] {
        versions.map { index, version in
            let model = package.model.scanned.models[index]
            var writer = WireWriter()
            writer.integer(1, UInt64(version))
            let start = model.payload.lowerBound
            return Edit(range: model.versionRecord ?? start..<start, bytes: writer.bytes)
        }
    }

    private func opsetEdits() throws(PackageError) -> [Edit] {
        var edits: [Edit] = []
        for function in package.model.scanned.programs.flatMap(\.functions) {
            for record in function.opsetRecords {
                guard let new = opsets[record.name], new != record.name else { continue }
                if record.field == 1, function.blocks.contains(where: { $0.name == new }) {
                    throw PackageError(
                        .unsupported, file: package.model.path, offset: UInt64(record.record.lowerBound),
                        "found block specializations for both \(record.name) and \(new)")
                }
                var writer = WireWriter()
                writer.string(record.field, new)
                edits.append(Edit(range: record.record, bytes: writer.bytes))
            }
        }
        return edits
    }

    private func write(_ segments: [Segment], of source: MappedFile, to path: String) throws(PackageError) {
        let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC)
        defer { file.close() }
        var buffer: [UInt8] = []
        let limit = 1 << 20
        for segment in segments {
            switch segment {
            case .source(let range) where range.count >= limit:
                try file.writeFully(buffer)
                buffer.removeAll(keepingCapacity: true)
                try file.writeFully(source.bytes(range))
            case .source(let range): buffer.append(contentsOf: source.bytes(range))
            case .bytes(let bytes): buffer.append(contentsOf: bytes)
            }
            if buffer.count >= limit {
                try file.writeFully(buffer)
                buffer.removeAll(keepingCapacity: true)
            }
        }
        try file.writeFully(buffer)
        try file.synchronize()
    }
}

extension ModelPackage {
    /// Writes a copy of the package in which every file has the same bytes.
    /// - Parameter output: see `PackageWriter.init`.
    public func save(to output: String) throws(PackageError) {
        try PackageWriter(self, output: output).finish()
    }
}
