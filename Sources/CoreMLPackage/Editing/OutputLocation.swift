#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Where a package is to be written, checked: the target, and a fresh temporary folder beside it.
struct OutputLocation {
    /// The target with links in its path resolved, so that saving through a link writes what it leads to.
    let target: String
    let folder: String
    let temporary: String

    /// Checks the target and creates the temporary folder.
    init(_ output: String, source: String) throws(PackageError) {
        var path = output
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard !path.utf8.contains(0), Self.name(path).utf8.count > ".mlpackage".utf8.count,
            path.hasSuffix(".mlpackage")
        else {
            throw PackageError(.invalidArgument, file: output, "found an output path that does not end in .mlpackage")
        }
        if try EntryKind(path) == .link {
            let resolved = try Self.resolve(path)
            guard resolved.hasSuffix(".mlpackage") else {
                throw PackageError(.exists, file: output, "found a link to \(resolved), which is no .mlpackage")
            }
            path = resolved
        }
        let parent = path.contains("/") ? String(path[..<path.lastIndex(of: "/")!]) : "."
        folder = try Self.resolve(parent.isEmpty ? "/" : parent)
        target = (folder == "/" ? "" : folder) + "/" + Self.name(path)
        try Self.refuseNesting(target, try Self.resolve(source))
        try AtomicReplace.requireReplaceable(target)
        temporary = try Self.makeTemporaryFolder(in: folder, name: Self.name(path))
    }

    private static func name(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? ""
    }

    private static func resolve(_ path: String) throws(PackageError) -> String {
        guard let resolved = realpath(path, nil) else { throw .system(errno, path, "cannot find the folder") }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// A package inside the one it is made from would copy itself; one around it would remove its source.
    private static func refuseNesting(_ target: String, _ source: String) throws(PackageError) {
        if target.hasPrefix(source + "/") || source.hasPrefix(target + "/") {
            throw PackageError(
                .invalidArgument, file: target, "found an output inside the input package, or the input inside it")
        }
    }

    private static func makeTemporaryFolder(in folder: String, name: String) throws(PackageError) -> String {
        // File systems allow 255 bytes a name.
        var stem = name
        while stem.utf8.count > 200 { stem.removeLast() }
        let parent = folder == "/" ? "" : folder
        for _ in 0..<16 {
            let random = String(UInt64.random(in: 0...UInt64.max), radix: 36)
            let path = "\(parent)/.\(stem).tmp-\(getpid())-\(random)"
            if mkdir(path, 0o777) == 0 { return path }
            if errno != EEXIST { throw .system(errno, folder, "cannot create a folder here", writing: true) }
        }
        throw PackageError(.io(EEXIST), file: folder, "cannot find a free name for a temporary folder")
    }
}
