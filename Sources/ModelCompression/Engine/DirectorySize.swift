import CoreMLPackage

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Bytes of all files below a folder; links are not followed.
func directorySize(_ path: String) throws(PackageError) -> Int { try filesBelow(path).values.reduce(0, +) }

/// Size of every file below a folder, by its path from there; links are not followed.
func filesBelow(_ path: String) throws(PackageError) -> [String: Int] {
    var files: [String: Int] = [:]
    try addFiles(path, prefix: "", to: &files)
    return files
}

private func addFiles(_ path: String, prefix: String, to files: inout [String: Int]) throws(PackageError) {
    guard let folder = opendir(path) else { throw PackageError(.io(errno), file: path, "cannot list the folder") }
    defer { closedir(folder) }
    while let entry = readdir(folder) {
        let capacity = MemoryLayout.size(ofValue: entry.pointee.d_name)
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: capacity) { String(cString: $0) }
        }
        if name == "." || name == ".." { continue }
        var status = stat()
        let child = path + "/" + name
        // A file that went away meanwhile counts nothing.
        guard lstat(child, &status) == 0 else { continue }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: try addFiles(child, prefix: prefix + name + "/", to: &files)
        case S_IFREG: files[prefix + name] = Int(status.st_size)
        default: break
        }
    }
}
