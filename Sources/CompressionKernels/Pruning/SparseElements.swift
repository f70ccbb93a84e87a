/// Between dense and sparse: kept elements one after the other, and back among zeros.
///
/// A mask has a byte for each element, 0 or 1. Elements are copied by their size, whatever their type. The loops have no
/// branch that depends on the mask: where it is 0 the next element is written over.

@inline(__always)
private func gather<Element>(
    _ source: UnsafePointer<Element>, _ mask: UnsafePointer<UInt8>, _ kept: Int,
    _ target: UnsafeMutablePointer<Element>
) {
    var next = 0
    var i = 0
    while next < kept {
        target[next] = source[i]
        next &+= Int(mask[i])
        i &+= 1
    }
}

@inline(__always)
private func scatter<Element: FixedWidthInteger>(
    _ elements: UnsafePointer<Element>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
    _ target: UnsafeMutablePointer<Element>
) {
    var next = 0
    var i = 0
    while next < kept {
        target[i] = elements[next] & (0 &- Element(truncatingIfNeeded: mask[i]))
        next &+= Int(mask[i])
        i &+= 1
    }
    while i < count {
        target[i] = 0
        i &+= 1
    }
}

/// Copies the `kept` elements whose mask is 1.
public func gatherKept(
    _ source: UnsafePointer<UInt16>, _ mask: UnsafePointer<UInt8>, _ kept: Int,
    _ target: UnsafeMutablePointer<UInt16>
) { gather(source, mask, kept, target) }

/// As above, for elements of four bytes.
public func gatherKept(
    _ source: UnsafePointer<UInt32>, _ mask: UnsafePointer<UInt8>, _ kept: Int,
    _ target: UnsafeMutablePointer<UInt32>
) { gather(source, mask, kept, target) }

/// As above, for elements of eight bytes.
public func gatherKept(
    _ source: UnsafePointer<UInt64>, _ mask: UnsafePointer<UInt8>, _ kept: Int,
    _ target: UnsafeMutablePointer<UInt64>
) { gather(source, mask, kept, target) }

/// As above, for elements of one byte.
public func gatherKept(
    _ source: UnsafePointer<UInt8>, _ mask: UnsafePointer<UInt8>, _ kept: Int, _ target: UnsafeMutablePointer<UInt8>
) { gather(source, mask, kept, target) }

/// Puts `kept` elements where the mask is 1, and zeros elsewhere.
public func scatterKept(
    _ elements: UnsafePointer<UInt8>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
    _ target: UnsafeMutablePointer<UInt8>
) { scatter(elements, kept, mask, count, target) }

/// As above, for elements of two bytes.
public func scatterKept(
    _ elements: UnsafePointer<UInt16>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
    _ target: UnsafeMutablePointer<UInt16>
) { scatter(elements, kept, mask, count, target) }

/// As above, for elements of four bytes.
public func scatterKept(
    _ elements: UnsafePointer<UInt32>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
    _ target: UnsafeMutablePointer<UInt32>
) { scatter(elements, kept, mask, count, target) }

/// As above, for elements of eight bytes.
public func scatterKept(
    _ elements: UnsafePointer<UInt64>, _ kept: Int, _ mask: UnsafePointer<UInt8>, _ count: Int,
    _ target: UnsafeMutablePointer<UInt64>
) { scatter(elements, kept, mask, count, target) }
