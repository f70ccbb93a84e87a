#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What a path holds, links not followed.
enum EntryKind {
    case none
    case file
    case folder
    case link
    case other

    /// - Parameter followingLinks: what the link at `path` leads to instead; a dangling one counts as `none`.
    init(_ path: String, followingLinks: Bool = false) throws(PackageError) {
        var status = stat()
        guard (followingLinks ? stat(path, &status) : lstat(path, &status)) == 0 else {
            guard errno == ENOENT || errno == ENOTDIR else { throw .system(errno, path, "cannot look at it") }
            self = .none
            return
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: self = .file
        case S_IFDIR: self = .folder
        case S_IFLNK: self = .link
        default: self = .other
        }
    }
}

/// Folders of real packages nest two or three deep.
private let folderDepthLimit = 32

/// Names in a folder, without "." and "..", in byte order.
func folderEntries(_ path: String) throws(PackageError) -> [String] {
    guard let folder = opendir(path) else { throw .system(errno, path, "cannot list the folder") }
    defer { closedir(folder) }
    var names: [String] = []
    while true {
        errno = 0
        guard let entry = readdir(folder) else {
            if errno != 0 { throw .system(errno, path, "cannot list the folder") }
            break
        }
        let offset = MemoryLayout<dirent>.offset(of: \dirent.d_name) ?? 0
        let name = String(
            cString: UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self))
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}

/// Creates a folder and those above it down from `root`, which exists.
func makeFolders(_ relative: some StringProtocol, in root: String) throws(PackageError) {
    var path = root
    for part in relative.split(separator: "/") {
        path += "/" + part
        if mkdir(path, 0o777) != 0, errno != EEXIST { throw .system(errno, path, "cannot create", writing: true) }
    }
}

/// Copies a folder's contents, links replaced by the files they lead to.
/// - Parameters:
///   - prefix: the folder's path inside the package, "" at its top.
///   - skipped: paths inside the package that are left out.
/// - Throws: `.unsupported` for links to folders and for anything but files and folders.
func copyTree(
    from source: String, to target: String, prefix: String = "", skipping skipped: Set<String>, depth: Int = 0
) throws(PackageError) {
    guard depth < folderDepthLimit else {
        throw PackageError(.unsupported, file: source, "found folders nested deeper than \(folderDepthLimit)")
    }
    for name in try folderEntries(source) {
        let relative = prefix + name
        if skipped.contains(relative) { continue }
        let (from, to) = (source + "/" + name, target + "/" + name)
        var kind = try EntryKind(from)
        let isLink = kind == .link
        if isLink { kind = try EntryKind(from, followingLinks: true) }
        switch kind {
        case .file: try copyFile(from: from, to: to)
        case .folder where !isLink:
            if mkdir(to, 0o777) != 0, errno != EEXIST { throw .system(errno, to, "cannot create", writing: true) }
            try copyTree(from: from, to: to, prefix: relative + "/", skipping: skipped, depth: depth + 1)
        case .folder:
            throw PackageError(.unsupported, file: from, "found a link to a folder, expected files and folders")
        case .none: throw PackageError(.notFound, file: from, "found a link to nothing, expected files and folders")
        case .link, .other:
            throw PackageError(.unsupported, file: from, "found a special file, expected files and folders")
        }
    }
}

/// Takes from files and folders the permissions that their counterparts in `source` do not give, but for the owner's.
func restrictPermissions(of target: String, like source: String) throws(PackageError) {
    var (wanted, given) = (stat(), stat())
    guard stat(target, &wanted) == 0 else { throw .system(errno, target, "cannot look at it") }
    let isFolder = wanted.st_mode & S_IFMT == S_IFDIR
    if stat(source, &given) == 0 {
        let mode = (wanted.st_mode & given.st_mode & 0o777) | (isFolder ? 0o700 : 0o600)
        if mode != wanted.st_mode & 0o777, chmod(target, mode) != 0 {
            throw .system(errno, target, "cannot set the permissions", writing: true)
        }
    }
    guard isFolder else { return }
    for name in try folderEntries(target) {
        try restrictPermissions(of: target + "/" + name, like: source + "/" + name)
    }
}

private func copyFile(from source: String, to target: String) throws(PackageError) {
    let input = try FileDescriptor.open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    defer { input.close() }
    _ = try input.regularFile()
    let output = try FileDescriptor.open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC)
    defer { output.close() }
    let chunk = 1 << 20
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: chunk, alignment: 4096)
    defer { buffer.deallocate() }
    while true {
        let count = try input.readSome(into: buffer, count: chunk)
        if count == 0 { break }
        try output.writeFully(UnsafeRawBufferPointer(start: buffer, count: count))
    }
    try output.synchronize()
}

/// Waits until the names in a folder, and in those below it, are on the disk.
func synchronizeFolders(_ path: String) throws(PackageError) {
    for name in try folderEntries(path) where try EntryKind(path + "/" + name) == .folder {
        try synchronizeFolders(path + "/" + name)
    }
    try synchronizeFolder(path)
}

func synchronizeFolder(_ path: String) throws(PackageError) {
    let folder = try FileDescriptor.open(path, O_RDONLY | O_CLOEXEC)
    defer { folder.close() }
    try folder.synchronize()
}

/// Removes a folder and everything in it; links are removed, not followed. Goes on after a failure.
/// - Returns: whether it is gone.
@discardableResult
func removeTree(_ path: String) -> Bool {
    guard let kind = try? EntryKind(path) else { return false }
    guard kind == .folder else { return kind == .none || unlink(path) == 0 }
    if let names = try? folderEntries(path), !names.isEmpty {
        // A folder without write permission keeps its entries: it is about to go, so ours to open.
        if access(path, W_OK | X_OK) != 0 { chmod(path, 0o700) }
        for name in names { removeTree(path + "/" + name) }
    }
    return rmdir(path) == 0
}
