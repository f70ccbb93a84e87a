import CSystem

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension PackageError {
    /// The error for a failed call: a missing file and a refused write have kinds of their own.
    static func system(_ code: Int32, _ path: String, _ action: String, writing: Bool = false) -> PackageError {
        let kind: Kind
        switch code {
        case ENOENT: kind = .notFound
        case EROFS, EACCES, EPERM: kind = writing ? .readOnly : .io(code)
        default: kind = .io(code)
        }
        return PackageError(kind, file: path, "\(action): \(String(cString: strerror(code)))")
    }
}

/// An open file, with calls that retry after a signal and finish short reads and writes.
struct FileDescriptor {
    let number: Int32
    let path: String

    static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o666) throws(PackageError) -> FileDescriptor {
        let writing = flags & (O_WRONLY | O_RDWR) != 0
        guard !path.utf8.contains(0) else {
            throw PackageError(.invalidArgument, file: path, "found a path with a zero byte")
        }
        while true {
            #if canImport(Glibc)
            let number = Glibc.open(path, flags, mode)
            #elseif canImport(Musl)
            let number = Musl.open(path, flags, mode)
            #else
            let number = Darwin.open(path, flags, mode)
            #endif
            if number >= 0 { return FileDescriptor(number: number, path: path) }
            guard errno == EINTR else {
                throw .system(errno, path, writing ? "cannot create" : "cannot open", writing: writing)
            }
        }
    }

    func close() {
        #if canImport(Glibc)
        _ = Glibc.close(number)
        #elseif canImport(Musl)
        _ = Musl.close(number)
        #else
        _ = Darwin.close(number)
        #endif
    }

    /// Size in bytes and identity of what must be a regular file.
    func regularFile() throws(PackageError) -> (size: Int, identity: FileIdentity) {
        var status = stat()
        guard fstat(number, &status) == 0 else { throw .system(errno, path, "cannot read the file's size") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw PackageError(.unsupported, file: path, "found a folder or special file, expected a regular file")
        }
        return (Int(status.st_size), FileIdentity(status))
    }

    func readFully(into buffer: UnsafeMutableRawPointer, count: Int, at offset: Int) throws(PackageError) {
        var done = 0
        while done < count {
            let got = pread(number, buffer + done, min(count - done, 1 << 30), off_t(offset + done))
            if got < 0 {
                if errno == EINTR { continue }
                throw .system(errno, path, "cannot read")
            }
            guard got > 0 else {
                throw PackageError(
                    .damaged, file: path, offset: UInt64(offset + done),
                    "found the end of the file, expected \(count - done) more bytes: was it shortened just now?")
            }
            done += got
        }
    }

    /// Reads up to `count` bytes from the current position; 0 at the end.
    func readSome(into buffer: UnsafeMutableRawPointer, count: Int) throws(PackageError) -> Int {
        while true {
            let got = read(number, buffer, count)
            if got >= 0 { return got }
            if errno != EINTR { throw .system(errno, path, "cannot read") }
        }
    }

    func writeFully(_ bytes: UnsafeRawBufferPointer) throws(PackageError) {
        var done = 0
        while done < bytes.count {
            let wrote = write(number, bytes.baseAddress! + done, min(bytes.count - done, 1 << 30))
            if wrote < 0 {
                if errno == EINTR { continue }
                throw .system(errno, path, "cannot write", writing: true)
            }
            done += wrote
        }
    }

    func writeFully(_ bytes: [UInt8]) throws(PackageError) {
        let result: Result<Void, PackageError> = bytes.withUnsafeBytes { buffer in
            Result { () throws(PackageError) in try writeFully(buffer) }
        }
        try result.get()
    }

    /// Overwrites bytes inside the file without moving its position.
    func overwrite(_ bytes: [UInt8], at offset: Int) throws(PackageError) {
        var done = 0
        while done < bytes.count {
            let wrote = bytes.withUnsafeBytes {
                pwrite(number, $0.baseAddress! + done, bytes.count - done, off_t(offset + done))
            }
            if wrote < 0 {
                if errno == EINTR { continue }
                throw .system(errno, path, "cannot write", writing: true)
            }
            done += wrote
        }
    }

    /// Lets the disk begin to take bytes that were written, so that less is left to wait for in `synchronize()`.
    func startWriteback(_ range: Range<Int>) {
        system_start_writeback(number, Int64(range.lowerBound), Int64(range.count))
    }

    /// Waits until the bytes are on the disk.
    func synchronize() throws(PackageError) {
        while fsync(number) != 0 {
            // Some file systems cannot sync a folder (EINVAL): there is nothing more to ask of them.
            if errno == EINVAL { return }
            if errno != EINTR { throw .system(errno, path, "cannot write to the disk", writing: true) }
        }
    }
}
