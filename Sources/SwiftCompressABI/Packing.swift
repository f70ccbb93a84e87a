// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import TensorCompression

@c @implementation
public func swc_pack_bits(
    _ codes: UnsafePointer<UInt8>, _ count: Int64, _ nbits: Int32, _ isSigned: Int32,
    _ packed: UnsafeMutablePointer<UInt8>, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        try packBits(
            codes, count: Int(count), nbits: Int(nbits), signed: isSigned != 0, into: packed, pool: WorkPool())
    }
}

@c @implementation
public func swc_unpack_bits(
    _ packed: UnsafePointer<UInt8>, _ packedBytes: Int64, _ count: Int64, _ nbits: Int32, _ isSigned: Int32,
    _ codes: UnsafeMutablePointer<UInt8>, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        try unpackBits(
            packed, byteCount: Int(packedBytes), count: Int(count), nbits: Int(nbits), signed: isSigned != 0,
            into: codes, pool: WorkPool())
    }
}
