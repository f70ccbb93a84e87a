import CoreMLPackage
import TensorCompression

/// A constant in dense form.
public struct DenseTensor: Sendable, Equatable {
    public var type: MILDataType
    public var shape: [Int]
    /// The elements in C order, little endian; sub-byte types packed.
    public var bytes: [UInt8]

    public var count: Int { shape.reduce(1, *) }
}

extension DenseTensor {
    /// The elements as float32; nil for types that are no numbers of 32 bits or less, and where there is no memory.
    func floats() -> [Float]? {
        guard let memory = try? TensorMemory(bytes) else { return nil }
        return (try? StoredTensor(type: type, shape: shape, memory: memory).floats(pool: WorkPool(threads: 1))) ?? nil
    }
}
