import CoreMLPackage

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Bytes of all files below a folder; links are not followed.
func directorySize(_ path: String) throws(PackageError) -> Int {
    guard let folder = opendir(path) else { throw PackageError(.io(errno), file: path, "cannot list the folder") }
    defer { closedir(folder) }
    var total = 0
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
        case S_IFDIR: total += try directorySize(child)
        case S_IFREG: total += Int(status.st_size)
        default: break
        }
    }
    return total
}
