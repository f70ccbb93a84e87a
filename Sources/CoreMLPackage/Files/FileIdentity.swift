#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What tells a file or folder from another at the same path, and from itself after a write.
struct FileIdentity: Equatable {
    private let device: UInt64
    private let node: UInt64
    private let size: Int64
    private let seconds: Int
    private let nanoseconds: Int

    init(_ status: stat) {
        device = UInt64(truncatingIfNeeded: status.st_dev)
        node = UInt64(truncatingIfNeeded: status.st_ino)
        let isFolder = status.st_mode & S_IFMT == S_IFDIR
        #if canImport(Darwin)
        let modified = status.st_mtimespec
        #else
        let modified = status.st_mtim
        #endif
        // A folder stays the same one when files are added to it.
        size = isFolder ? 0 : Int64(status.st_size)
        seconds = isFolder ? 0 : Int(modified.tv_sec)
        nanoseconds = isFolder ? 0 : Int(modified.tv_nsec)
    }

    /// What is at `path` now, links followed; nil when nothing is.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }
}
