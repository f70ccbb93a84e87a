/// The layout of `weight.bin` (MILBlob storage version 2), all numbers little endian:
///
///     0    u32 count of blobs, u32 version = 2, 56 bytes reserved
///     64   per blob a metadata record of 64 bytes and its data, each starting on a multiple of 64:
///          u32 0xDEADBEEF, u32 type, u64 size in bytes, u64 offset of the data, u64 padding in bits, 32 bytes reserved
///
/// The padding is the number of unused bits in the last byte of a sub-byte type. coremltools 6 and 7 left garbage in
/// it for all other types, and in the reserved words: neither is read here, and both are written as zero. The file
/// ends where its last blob ends.
enum BlobFormat {
    static let headerSize = 64
    static let recordSize = 64
    static let alignment = 64
    static let version: UInt32 = 2
    static let sentinel: UInt32 = 0xdead_beef

    static func aligned(_ offset: Int) -> Int { (offset + alignment - 1) & ~(alignment - 1) }

    static func header(count: UInt32) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: headerSize)
        bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: count.littleEndian, toByteOffset: 0, as: UInt32.self)
            $0.storeBytes(of: version.littleEndian, toByteOffset: 4, as: UInt32.self)
        }
        return bytes
    }

    static func record(code: UInt32, size: Int, dataOffset: Int, paddingBits: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: recordSize)
        bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: sentinel.littleEndian, toByteOffset: 0, as: UInt32.self)
            $0.storeBytes(of: code.littleEndian, toByteOffset: 4, as: UInt32.self)
            $0.storeBytes(of: UInt64(size).littleEndian, toByteOffset: 8, as: UInt64.self)
            $0.storeBytes(of: UInt64(dataOffset).littleEndian, toByteOffset: 16, as: UInt64.self)
            $0.storeBytes(of: UInt64(paddingBits).littleEndian, toByteOffset: 24, as: UInt64.self)
        }
        return bytes
    }
}
