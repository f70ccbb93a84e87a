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

    /// Asks for a range to be read from the disk by the time it is used. Only a hint.
    func prefetch(_ range: Range<Int>) { advise(range, MADV_WILLNEED) }

    /// Gives back the memory that whole pages of a range occupy. Whoever uses them again reads them again.
    func releasePages(_ range: Range<Int>) { advise(range, MADV_DONTNEED) }

    private func advise(_ range: Range<Int>, _ advice: Int32) {
        guard isMapping else { return }
        // Pages that the range shares with its neighbours stay; the mapping itself ends where the file does.
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = (range.lowerBound + page - 1) / page * page
        let end = range.upperBound == count ? count : range.upperBound / page * page
        if end > start { madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, advice) }
    }

    func damaged(_ offset: Int, _ message: String) -> PackageError {
        PackageError(.damaged, file: path, offset: UInt64(offset), message)
    }
}
