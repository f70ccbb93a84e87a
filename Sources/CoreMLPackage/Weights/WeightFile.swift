/// One blob of a weight file.
public struct WeightBlob: Sendable, Equatable {
    /// Offset of the metadata record, which is what a program refers to.
    public let offset: UInt64
    /// The number in the file; `dataType` is nil when this version does not know it.
    public let typeCode: UInt32
    /// Where the data lies in the file; checked against its size.
    public let data: Range<Int>
    /// Unused bits in the last byte; 0 for types of whole bytes, whatever the file says there.
    public let paddingBits: Int

    public var dataType: MILDataType? { MILDataType(blobCode: typeCode) }
}

/// A mapped weight file. Opening reads 64 bytes, whatever its size. Safe to share between threads.
public final class WeightFile: @unchecked Sendable {
    /// The name in the program: "@model_path/weights/weight.bin".
    public let name: String
    let file: MappedFile

    init(name: String, path: String) throws(PackageError) {
        self.name = name
        file = try MappedFile(path: path)
        guard file.count >= BlobFormat.headerSize else {
            throw file.damaged(0, "found a weight file of \(file.count) bytes, expected at least 64")
        }
        let version = number(at: 4, UInt32.self)
        guard version == BlobFormat.version else {
            throw file.damaged(4, "found weight file version \(version), expected 2")
        }
    }

    public var path: String { file.path }
    public var byteCount: Int { file.count }
    /// What the header claims; not needed for reading.
    public var declaredBlobCount: Int { Int(number(at: 0, UInt32.self)) }

    /// The blob whose metadata record is at `offset`.
    /// - Throws: `.damaged` when the record or its data does not lie in the file, or is no record.
    public func blob(at offset: UInt64) throws(PackageError) -> WeightBlob {
        let limit = UInt64(file.count)
        guard offset >= UInt64(BlobFormat.headerSize), offset <= limit,
            limit - offset >= UInt64(BlobFormat.recordSize)
        else {
            throw PackageError(
                .damaged, file: path, offset: offset,
                "found a blob at \(offset) in a weight file of \(limit) bytes, expected 64 to \(Int(limit) - 64)")
        }
        let position = Int(offset)
        let sentinel = number(at: position, UInt32.self)
        guard sentinel == BlobFormat.sentinel else {
            throw file.damaged(
                position, "found 0x\(String(sentinel, radix: 16)), expected 0xdeadbeef at the start of a blob")
        }
        let code = number(at: position + 4, UInt32.self)
        let size = number(at: position + 8, UInt64.self)
        let dataOffset = number(at: position + 16, UInt64.self)
        guard dataOffset <= limit, size <= limit - dataOffset else {
            throw file.damaged(
                position + 8, "found a blob of \(size) bytes at \(dataOffset), in a file of \(limit) bytes")
        }
        let padding = number(at: position + 24, UInt64.self)
        let isPadded = MILDataType(blobCode: code)?.isSubByte ?? true
        let start = Int(dataOffset)
        return WeightBlob(
            offset: offset, typeCode: code, data: start..<(start + Int(size)),
            paddingBits: isPadded && padding < 8 ? Int(padding) : 0)
    }

    /// The blob's bytes in the mapped file; valid as long as this object.
    public func bytes(of blob: WeightBlob) -> UnsafeRawBufferPointer { file.bytes(blob.data) }

    /// Every blob in the file's order, by the header's count; each is expected right after the one before, on the next
    /// multiple of 64.
    public func allBlobs() throws(PackageError) -> [WeightBlob] {
        var blobs: [WeightBlob] = []
        var offset = BlobFormat.headerSize
        for _ in 0..<declaredBlobCount {
            let blob = try blob(at: UInt64(offset))
            guard blob.data.upperBound > offset else {
                throw file.damaged(offset + 16, "found a blob's data before its record")
            }
            blobs.append(blob)
            offset = BlobFormat.aligned(max(blob.data.upperBound, offset + BlobFormat.recordSize))
        }
        return blobs
    }

    /// Gives back the memory that a blob's pages occupy; see `MappedFile.releasePages`.
    func releasePages(of blob: WeightBlob) { file.releasePages(blob.data) }

    private func number<T: FixedWidthInteger>(at offset: Int, _: T.Type) -> T {
        T(littleEndian: file.base.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
