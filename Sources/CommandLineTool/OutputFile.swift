#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A text file beside the package: complete or not there.
enum OutputFile {
    /// Throws when the file could not be written, before there is anything to write.
    static func requireWritable(_ path: String) throws {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw CommandFailure("\(path): found a folder, expected a place for a file")
        }
        let folder = folder(of: path)
        if access(folder, W_OK | X_OK) != 0 { throw failure(path, errno) }
    }

    /// Writes beside the file and renames.
    static func write(_ text: String, to path: String) throws {
        let temporary = path + ".tmp-\(getpid())"
        guard let file = fopen(temporary, "wb") else { throw failure(path, errno) }
        var code: Int32 = 0
        let bytes = Array(text.utf8)
        if fwrite(bytes, 1, bytes.count, file) != bytes.count { code = errno }
        if fclose(file) != 0, code == 0 { code = errno }
        if code == 0, rename(temporary, path) != 0 { code = errno }
        if code != 0 {
            unlink(temporary)
            throw failure(path, code)
        }
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func failure(_ path: String, _ code: Int32) -> CommandFailure {
        CommandFailure("\(path): cannot write the report: \(String(cString: strerror(code)))")
    }
}
