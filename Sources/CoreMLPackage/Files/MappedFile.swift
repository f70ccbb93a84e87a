#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The bytes of one file, read-only, for as long as this object lives.
///
/// Files up to `copyLimit` are read into memory, so that nothing that happens to the file later matters. Larger ones
/// are mapped: opening costs nothing, however big the file, but a file that another program *shortens* while it is
/// mapped ends this process with SIGBUS, as for every program that maps files. Replacing the file by rename, which is
/// how this module and most tools save, is harmless: the mapping keeps the old file.
final class MappedFile: @unchecked Sendable {
    let path: String
    let base: UnsafeRawPointer
    let count: Int
    private let isMapping: Bool
    private let identity: FileIdentity?

    /// - Throws: `.notFound`, `.io`, or `.unsupported` when `path` is no regular file.
    init(path: String, copyLimit: Int = 0) throws(PackageError) {
        // Without O_NONBLOCK, opening a pipe in place of a file would wait for ever.
        let file = try FileDescriptor.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        defer { file.close() }
        let (size, identity) = try file.regularFile()
        self.path = path
        self.identity = identity
        if size > copyLimit, size > 0 {
            guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, file.number, 0), address != MAP_FAILED else {
                throw PackageError.system(errno, path, "cannot map \(size) bytes")
            }
            base = UnsafeRawPointer(address)
            count = size
            isMapping = true
            return
        }
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(size, 1), alignment: 64)
        do {
            try file.readFully(into: buffer, count: size, at: 0)
        } catch {
            buffer.deallocate()
            throw error
        }
        base = UnsafeRawPointer(buffer)
        count = size
        isMapping = false
    }

    /// Takes a copy of bytes that are in memory already.
    init(path: String, bytes: UnsafeRawBufferPointer) {
        self.path = path
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
        if let source = bytes.baseAddress { buffer.copyMemory(from: source, byteCount: bytes.count) }
        base = UnsafeRawPointer(buffer)
        count = bytes.count
        isMapping = false
        identity = nil
    }

    /// Whether the path still leads to the file that was opened, unwritten since.
    var isUnchanged: Bool { identity == FileIdentity(path) }

    deinit {
        if isMapping {
            munmap(UnsafeMutableRawPointer(mutating: base), count)
        } else {
            UnsafeMutableRawPointer(mutating: base).deallocate()
        }
    }

    /// The bytes of a range that has been checked against `count`.
    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    func damaged(_ offset: Int, _ message: String) -> PackageError {
        PackageError(.damaged, file: path, offset: UInt64(offset), message)
    }
}
