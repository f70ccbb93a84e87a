#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// An opened `.mlpackage`: its manifest, its model and its weight files, all read-only.
///
/// Opening costs a scan of the model file (a few MB for the largest language models) and 64 bytes of each weight
/// file. Safe to share between threads. Pointers from `tensorBytes(of:)` are valid as long as this object. See
/// `WeightFile` for what must not happen to the files meanwhile: weight files are mapped, and one that another program
/// shortens under a reader ends the process.
public final class ModelPackage: @unchecked Sendable {
    /// As given to `init`.
    public let path: String
    public let manifest: Manifest
    public let model: MLModelDocument
    /// Weight files the programs refer to, in the order of their first reference.
    public let weightFiles: [WeightFile]
    private let identity: FileIdentity
    private let copies = AlignedCopies()

    /// Opens a package.
    /// - Throws: `.notFound`; `.notAPackage` for anything but a folder with a manifest; `.damaged` with the file and
    ///   offset; `.io`.
    public init(path: String) throws(PackageError) {
        try Self.requirePackage(path)
        self.path = path
        // Another process may replace the package meanwhile: never mix the files of two.
        for _ in 0..<8 {
            let identity = FileIdentity(path)
            let contents: Result<Contents, PackageError> = Result { () throws(PackageError) in try Self.read(path) }
            guard let identity, identity == FileIdentity(path) else { continue }
            (manifest, model, weightFiles) = try contents.get()
            self.identity = identity
            return
        }
        throw PackageError(.io(EBUSY), file: path, "other processes keep replacing it")
    }

    private typealias Contents = (Manifest, MLModelDocument, [WeightFile])

    private static func read(_ path: String) throws(PackageError) -> Contents {
        let manifest = try Manifest(path: path + "/Manifest.json")
        let model = try MLModelDocument(path: path + "/Data/" + manifest.rootItem.path)
        var files: [WeightFile] = []
        for name in model.blobFileNames {
            let relative = try weightPath(name, model: model, manifest: manifest)
            files.append(try WeightFile(name: name, path: path + "/" + relative))
        }
        return (manifest, model, files)
    }

    /// Throws unless the files are still those that were opened: what has been read is what is being copied.
    func requireUnchanged() throws(PackageError) {
        guard identity == FileIdentity(path), manifest.file.isUnchanged else {
            throw PackageError(
                .io(EBUSY), file: path, "the package was replaced since it was opened; open it again")
        }
        for file in [model.file] + weightFiles.map(\.file) where !file.isUnchanged {
            throw PackageError(
                .io(EBUSY), file: file.path, "the file was changed since the package was opened; open it again")
        }
    }

    /// The outermost model's type: see `MLModelDocument.modelType`.
    public var modelType: String { model.modelType }

    /// The weight file a program names so.
    public func weightFile(named name: String) throws(PackageError) -> WeightFile {
        guard let file = weightFiles.first(where: { $0.name == name }) else {
            throw PackageError(.invalidArgument, file: path, "found no weight file named \"\(name)\"")
        }
        return file
    }

    /// The blob a value refers to; nil for an immediate value.
    public func blob(of value: MILValue) throws(PackageError) -> WeightBlob? {
        guard case .blob(let name, let offset) = value.content else { return nil }
        return try weightFile(named: name).blob(at: offset)
    }

    // MARK: - Paths

    /// Path of a weight file relative to the package, from the name in a program.
    static func weightPath(
        _ name: String, model: MLModelDocument, manifest: Manifest
    ) throws(PackageError) -> String {
        let prefix = "@model_path/"
        let relative = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : ""
        guard isContainedPath(relative) else {
            throw PackageError(
                .damaged, file: model.path, "found the weight file name \"\(name)\", expected @model_path/ and a path")
        }
        let folder = manifest.rootItem.path.split(separator: "/").dropLast().joined(separator: "/")
        return (folder.isEmpty ? "Data/" : "Data/\(folder)/") + relative
    }

    private static func requirePackage(_ path: String) throws(PackageError) {
        guard !path.utf8.contains(0) else {
            throw PackageError(.invalidArgument, file: path, "found a path with a zero byte")
        }
        var status = stat()
        guard stat(path, &status) == 0 else { throw .system(errno, path, "cannot open") }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw PackageError(.notAPackage, file: path, "found a file, expected a .mlpackage folder")
        }
        guard stat(path + "/Manifest.json", &status) == 0 else {
            let hint = path.hasSuffix(".mlmodelc") ? " (a compiled model cannot be edited)" : ""
            throw PackageError(.notAPackage, file: path, "found a folder without Manifest.json\(hint)")
        }
    }

    // MARK: - Memory

    /// Asks for the data of a constant in a weight file to be read from the disk by the time it is used. Only a hint.
    public func prefetch(_ value: MILValue) {
        guard case .blob(let name, let offset) = value.content, let file = try? weightFile(named: name),
            let blob = try? file.blob(at: offset)
        else { return }
        file.file.prefetch(blob.data)
    }

    /// Gives back the memory that the weight files occupy. Whoever uses them again reads them again.
    public func releasePages() {
        for file in weightFiles { file.file.releasePages(0..<file.byteCount) }
    }

    // MARK: - Tensor data

    /// The elements of a constant tensor, dense, in C order, in the type's stored form (sub-byte types packed), aligned
    /// for their type.
    ///
    /// Blobs and most immediate tensors are returned where they lie in the mapped files; a misaligned one, or one the
    /// file stores as numbers of another width, is copied once and the copy kept with the package.
    /// - Throws: `.unsupported` for types without numbers or unknown shapes; `.damaged` when type or size disagree.
    public func tensorBytes(of value: MILValue) throws(PackageError) -> UnsafeRawBufferPointer {
        guard let type = value.type.tensor, let dataType = type.dataType, dataType != .string else {
            throw refuse(value, .unsupported, "found a value that is no tensor of numbers")
        }
        guard type.declaredRank < 0 || type.declaredRank == type.dimensions.count else {
            throw refuse(value, .damaged, "found rank \(type.declaredRank) and \(type.dimensions.count) dimensions")
        }
        guard let count = type.elementCount, let size = dataType.byteCount(elements: count) else {
            throw refuse(value, .unsupported, "found a constant without a fixed shape")
        }
        switch value.content {
        case .blob(let name, let offset):
            let file = try weightFile(named: name)
            let blob = try file.blob(at: offset)
            guard blob.typeCode == dataType.blobCode else {
                let found = blob.dataType?.name ?? "\(blob.typeCode)"
                throw file.file.damaged(
                    Int(offset) + 4, "found a blob of type \(found), expected \(dataType.name) as in the program")
            }
            guard blob.data.count == size else {
                throw file.file.damaged(
                    Int(offset) + 8, "found a blob of \(blob.data.count) bytes, expected \(size) as in the program")
            }
            return copies.aligned(file.bytes(of: blob), dataType)
        case .immediate(.tensor(let tensor)):
            return try immediateBytes(value, tensor, dataType, count: count, size: size)
        case .immediate, .none: throw refuse(value, .unsupported, "found a value without elements")
        }
    }

    private func immediateBytes(
        _ value: MILValue, _ tensor: MILTensorValue, _ type: MILDataType, count: Int, size: Int
    ) throws(PackageError) -> UnsafeRawBufferPointer {
        let payload: UnsafeRawBufferPointer
        if let bytes = tensor.rawBytes ?? tensor.packedNumbers(type) {
            payload = copies.aligned(bytes, type)
        } else {
            payload = try copies.made(at: value.range.lowerBound) { () throws(PackageError) in
                guard let bytes = tensor.convertedNumbers(type) else {
                    throw refuse(value, .unsupported, "found \(type.name) elements stored as \(tensor.storage)")
                }
                return bytes
            }
        }
        guard payload.count == size else {
            throw refuse(value, .damaged, "found \(payload.count) bytes for \(count) \(type.name) elements")
        }
        return payload
    }

    private func refuse(_ value: MILValue, _ kind: PackageError.Kind, _ message: String) -> PackageError {
        PackageError(kind, file: model.path, offset: UInt64(value.range.lowerBound), message)
    }
}
