#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Writes a weight file front to back; the header's count is filled in by `finish()`. For the same blobs in the same
/// order the bytes are those of coremltools' own writer.
final class BlobFileWriter {
    let path: String
    private let file: FileDescriptor
    private var position = 0
    private var count: UInt32 = 0
    /// How much of the file the disk was asked to take.
    private var flushed = 0
    private var isOpen = true

    /// Creates the file; it must not exist.
    init(path: String) throws(PackageError) {
        self.path = path
        file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC)
        try write(BlobFormat.header(count: 0))
    }

    deinit { if isOpen { file.close() } }

    /// Appends a tensor.
    /// - Parameter bytes: `count` elements, sub-byte types packed.
    /// - Throws: `.invalidArgument` when their number does not fit, or weight files cannot hold the type.
    /// - Returns: offset of the metadata record.
    func append(
        _ type: MILDataType, _ bytes: UnsafeRawBufferPointer, count: Int
    ) throws(PackageError) -> UInt64 {
        guard let code = type.blobCode, let size = type.byteCount(elements: count), size == bytes.count else {
            throw PackageError(
                .invalidArgument, file: path, "found \(bytes.count) bytes for \(count) elements of type \(type.name)")
        }
        let padding = type.isSubByte ? size * 8 - count * type.bitWidth : 0
        return try append(code: code, bytes: bytes, paddingBits: padding)
    }

    /// Appends a record and its data.
    /// - Returns: offset of the metadata record.
    func append(code: UInt32, bytes: UnsafeRawBufferPointer, paddingBits: Int) throws(PackageError) -> UInt64 {
        guard count < UInt32.max else {
            throw PackageError(.unsupported, file: path, "found more than \(UInt32.max) blobs")
        }
        let offset = BlobFormat.aligned(position)
        let gap = [UInt8](repeating: 0, count: offset - position)
        let record = BlobFormat.record(
            code: code, size: bytes.count, dataOffset: offset + BlobFormat.recordSize, paddingBits: paddingBits)
        try write(gap + record)
        try file.writeFully(bytes)
        position += bytes.count
        count += 1
        flush()
        return UInt64(offset)
    }

    /// Keeps the disk busy while the next weights are compressed.
    private func flush() {
        guard position - flushed >= Self.flushBytes else { return }
        file.startWriteback(flushed..<position)
        flushed = position
    }

    private static let flushBytes = 8 << 20

    /// Writes the count, waits for the disk and closes the file.
    func finish() throws(PackageError) {
        try file.overwrite(BlobFormat.header(count: count), at: 0)
        try file.synchronize()
        isOpen = false
        file.close()
    }

    private func write(_ bytes: [UInt8]) throws(PackageError) {
        try file.writeFully(bytes)
        position += bytes.count
    }
}
