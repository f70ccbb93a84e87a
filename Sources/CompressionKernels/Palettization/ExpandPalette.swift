/// Palette to dense: `target[i] = lut[code * dimension + component]`, for elements of 1, 2, 4 and 8 bytes.
///
/// Packed 1-, 2- and 4-bit codes go through a table of all 256 bytes, each with the elements of its 2, 4 or 8 codes, so
/// that one byte of codes is one load and one store. Values are copied, never computed.
/// coremltools repeats the palette for every element first (`lut_to_dense`), 2^n times the memory; same result.

@inline(__always)
private func expand<Element>(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<Element>, _ dimension: Int, _ component: Int,
    _ target: UnsafeMutablePointer<Element>
) {
    if dimension == 1 {
        for i in 0..<count { target[i] = lut[Int(codes[i])] }
    } else {
        let base = lut + component
        for i in 0..<count { target[i] = base[Int(codes[i]) &* dimension] }
    }
}

/// Expands `count` codes to one component each; every code must be below the number of entries.
public func expandCodes(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<UInt8>, _ dimension: Int, _ component: Int,
    _ target: UnsafeMutablePointer<UInt8>
) { expand(codes, count, lut, dimension, component, target) }

/// As above, for elements of two bytes.
public func expandCodes(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<UInt16>, _ dimension: Int, _ component: Int,
    _ target: UnsafeMutablePointer<UInt16>
) { expand(codes, count, lut, dimension, component, target) }

/// As above, for elements of four bytes.
public func expandCodes(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<UInt32>, _ dimension: Int, _ component: Int,
    _ target: UnsafeMutablePointer<UInt32>
) { expand(codes, count, lut, dimension, component, target) }

/// As above, for elements of eight bytes.
public func expandCodes(
    _ codes: UnsafePointer<UInt8>, _ count: Int, _ lut: UnsafePointer<UInt64>, _ dimension: Int, _ component: Int,
    _ target: UnsafeMutablePointer<UInt64>
) { expand(codes, count, lut, dimension, component, target) }

@inline(__always)
private func expandWhole<Element>(
    _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<Element>, _ dimension: Int,
    _ target: UnsafeMutablePointer<Element>
) {
    // Element `first + i` of the vectors laid end to end.
    var vector = first / dimension
    var component = first % dimension
    var i = 0
    while i < count {
        let entry = lut + Int(codes[vector]) &* dimension
        while component < dimension && i < count {
            target[i] = entry[component]
            component &+= 1
            i &+= 1
        }
        component = 0
        vector &+= 1
    }
}

/// Expands vectors that lie end to end: `count` elements from element `first` on, code v standing for the elements
/// v * dimension to v * dimension + dimension - 1.
public func expandVectors(
    _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<UInt8>, _ dimension: Int,
    _ target: UnsafeMutablePointer<UInt8>
) { expandWhole(codes, first, count, lut, dimension, target) }

/// As above, for elements of two bytes.
public func expandVectors(
    _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<UInt16>, _ dimension: Int,
    _ target: UnsafeMutablePointer<UInt16>
) { expandWhole(codes, first, count, lut, dimension, target) }

/// As above, for elements of four bytes.
public func expandVectors(
    _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<UInt32>, _ dimension: Int,
    _ target: UnsafeMutablePointer<UInt32>
) { expandWhole(codes, first, count, lut, dimension, target) }

/// As above, for elements of eight bytes.
public func expandVectors(
    _ codes: UnsafePointer<UInt8>, _ first: Int, _ count: Int, _ lut: UnsafePointer<UInt64>, _ dimension: Int,
    _ target: UnsafeMutablePointer<UInt64>
) { expandWhole(codes, first, count, lut, dimension, target) }

/// Bytes of the table of `expandPacked`.
public let packedTableBytes = 4096

/// Expands whole bytes of packed codes of 1, 2 or 4 bits to elements of two bytes.
///
/// - byteCount: bytes of codes; `target` gets byteCount * 8 / nbits elements.
/// - table: working space of `packedTableBytes` bytes, aligned to 8.
public func expandPacked(
    _ packed: UnsafePointer<UInt8>, _ byteCount: Int, _ nbits: Int, _ lut: UnsafePointer<UInt16>,
    _ table: UnsafeMutableRawPointer, _ target: UnsafeMutablePointer<UInt16>
) {
    let out = UnsafeMutableRawPointer(target)
    let perByte = 8 / nbits
    let entries = table.assumingMemoryBound(to: UInt16.self)
    for byte in 0..<256 {
        for j in 0..<perByte {
            entries[byte &* perByte &+ j] = lut[(byte &>> (j &* nbits)) & ((1 &<< nbits) &- 1)]
        }
    }
    switch nbits {
    case 4:
        let pairs = table.assumingMemoryBound(to: UInt32.self)
        for i in 0..<byteCount { out.storeBytes(of: pairs[Int(packed[i])], toByteOffset: i &* 4, as: UInt32.self) }
    case 2:
        let quads = table.assumingMemoryBound(to: UInt64.self)
        for i in 0..<byteCount { out.storeBytes(of: quads[Int(packed[i])], toByteOffset: i &* 8, as: UInt64.self) }
    default:
        let quads = table.assumingMemoryBound(to: UInt64.self)
        for i in 0..<byteCount {
            let place = 2 &* Int(packed[i])
            out.storeBytes(of: quads[place], toByteOffset: i &* 16, as: UInt64.self)
            out.storeBytes(of: quads[place &+ 1], toByteOffset: i &* 16 &+ 8, as: UInt64.self)
        }
    }
}

/// Expands whole bytes of packed 4-bit codes to elements of four bytes; two for each byte.
public func expandPackedPairs(
    _ packed: UnsafePointer<UInt8>, _ byteCount: Int, _ lut: UnsafePointer<UInt32>,
    _ table: UnsafeMutableRawPointer, _ target: UnsafeMutablePointer<UInt32>
) {
    let out = UnsafeMutableRawPointer(target)
    let pairs = table.assumingMemoryBound(to: UInt64.self)
    for byte in 0..<256 { pairs[byte] = UInt64(lut[byte & 15]) | UInt64(lut[byte >> 4]) &<< 32 }
    for i in 0..<byteCount { out.storeBytes(of: pairs[Int(packed[i])], toByteOffset: i &* 8, as: UInt64.self) }
}
