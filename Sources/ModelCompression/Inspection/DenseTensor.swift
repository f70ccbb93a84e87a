import CoreMLPackage

/// A constant in dense form.
public struct DenseTensor: Sendable, Equatable {
    public var type: MILDataType
    public var shape: [Int]
    /// The elements in C order, little endian; sub-byte types packed.
    public var bytes: [UInt8]

    public var count: Int { shape.reduce(1, *) }
}
