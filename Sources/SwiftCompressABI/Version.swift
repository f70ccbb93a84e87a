// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress

@c @implementation
public func swc_abi_version() -> Int32 { SWC_ABI_VERSION }
