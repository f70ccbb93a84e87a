// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import TensorCompression

@c @implementation
public func swc_text_free(_ text: UnsafeMutablePointer<swc_text>) {
    text.pointee.data?.deallocate()
    text.pointee = swc_text()
}

extension swc_text {
    /// A copy that the caller releases with `swc_text_free`.
    init(copying bytes: [UInt8]) {
        let place = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
        bytes.withUnsafeBytes {
            UnsafeMutableRawPointer(place).copyMemory(from: $0.baseAddress ?? .init(place), byteCount: $0.count)
        }
        place[bytes.count] = 0
        self.init(data: place, length: bytes.count)
    }
}
