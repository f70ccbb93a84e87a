import CoreMLPackage
import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Memory for the elements of one tensor. Running out of it is an error and not the end of the process.
final class TensorMemory: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    /// Whose first bytes these are; nil for memory of its own.
    private let owner: TensorMemory?
    /// Where the memory came from or goes to, and its size there.
    private let spare: SpareMemory?
    private let capacity: Int

    /// Uninitialised, aligned to 64 bytes. Memory of 2 MB and more is asked for in pages of that size, where the system has
    /// them: a page fault for each 4 KB costs as much as the work on it.
    ///
    /// - pool: the pool of the call, whose spare memory is used.
    init(byteCount: Int, pool: WorkPool? = nil) throws(CompressionError) {
        let isHuge = byteCount >= SpareMemory.pageSize
        spare = isHuge ? pool?.spareMemory : nil
        owner = nil
        if let block = spare?.take(byteCount) {
            bytes = UnsafeMutableRawBufferPointer(start: block.address, count: byteCount)
            capacity = block.byteCount
            return
        }
        var memory: UnsafeMutableRawPointer?
        guard byteCount >= 0, posix_memalign(&memory, isHuge ? SpareMemory.pageSize : 64, max(byteCount, 1)) == 0,
            let memory
        else {
            throw CompressionError(kind: .outOfMemory, message: "[decompress] out of memory: \(byteCount) bytes")
        }
        #if os(Linux)
        if isHuge { madvise(memory, byteCount / SpareMemory.pageSize * SpareMemory.pageSize, MADV_HUGEPAGE) }
        #endif
        bytes = UnsafeMutableRawBufferPointer(start: memory, count: byteCount)
        capacity = byteCount
    }

    private init(prefix byteCount: Int, of owner: TensorMemory) {
        bytes = UnsafeMutableRawBufferPointer(rebasing: owner.bytes[..<byteCount])
        self.owner = owner
        spare = nil
        capacity = byteCount
    }

    /// The first bytes, not copied.
    func prefix(_ byteCount: Int) -> TensorMemory {
        byteCount == bytes.count ? self : TensorMemory(prefix: byteCount, of: self)
    }

    /// A copy of `array`.
    convenience init(_ array: [UInt8]) throws(CompressionError) {
        try self.init(byteCount: array.count)
        bytes.copyBytes(from: array)
    }

    deinit {
        guard owner == nil else { return }
        if let spare, let address = bytes.baseAddress {
            spare.give(address, capacity)
        } else {
            free(bytes.baseAddress)
        }
    }

    /// The first element. There is one address even for no elements.
    func start<Element>(as _: Element.Type) -> UnsafeMutablePointer<Element> {
        bytes.baseAddress!.assumingMemoryBound(to: Element.self)
    }
}

/// The elements of a constant as they are stored, in a mapped file or in memory of their own: C order, little endian,
/// elements narrower than a byte packed, the address aligned to the element.
struct StoredTensor: @unchecked Sendable {
    let type: MILDataType
    let shape: [Int]
    let bytes: UnsafeRawBufferPointer
    let owner: AnyObject?

    /// - Parameter owner: keeps `bytes` alive.
    init(type: MILDataType, shape: [Int], bytes: UnsafeRawBufferPointer, owner: AnyObject?) {
        self.type = type
        self.shape = shape
        self.bytes = bytes
        self.owner = owner
    }

    init(type: MILDataType, shape: [Int], memory: TensorMemory) {
        self.init(type: type, shape: shape, bytes: UnsafeRawBufferPointer(memory.bytes), owner: memory)
    }

    var count: Int { shape.reduce(1, *) }

    func start<Element>(as _: Element.Type) -> UnsafePointer<Element> {
        // An empty tensor has no address of its own.
        (bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 64)!).assumingMemoryBound(to: Element.self)
    }

    /// The same elements in another shape of as many.
    func reshaped(_ shape: [Int]) -> StoredTensor {
        StoredTensor(type: type, shape: shape, bytes: bytes, owner: owner)
    }

    /// One code in each byte; the tensor itself where it has bytes already.
    func unpacked(pool: WorkPool) throws(CompressionError) -> StoredTensor {
        guard type.isSubByte else { return self }
        let memory = try TensorMemory(byteCount: count, pool: pool)
        try unpackBits(
            start(as: UInt8.self), byteCount: bytes.count, count: count, nbits: type.bitWidth, signed: type == .int4,
            into: memory.start(as: UInt8.self), pool: pool)
        return StoredTensor(type: type == .int4 ? .int8 : .uint8, shape: shape, memory: memory)
    }

    /// The elements as float32; nil for types that are no numbers of 32 bits or less.
    func floats(pool: WorkPool) throws(CompressionError) -> [Float]? {
        try floatTensor(pool: pool).map { Array(UnsafeBufferPointer(start: $0.start(as: Float.self), count: count)) }
    }

    /// The same, for tensors of any size: where there is no memory that is an error.
    func floatTensor(pool: WorkPool) throws(CompressionError) -> StoredTensor? {
        if type.isSubByte { return try unpacked(pool: pool).floatTensor(pool: pool) }
        guard [.float16, .float32, .int8, .uint8].contains(type) else { return nil }
        if type == .float32 { return self }
        let memory = try TensorMemory(byteCount: 4 * count)
        let target = memory.start(as: Float.self)
        for index in 0..<count {
            target[index] =
                switch type {
                case .float16: Half.toFloat(start(as: UInt16.self)[index])
                case .int8: Float(start(as: Int8.self)[index])
                default: Float(start(as: UInt8.self)[index])
                }
        }
        return StoredTensor(type: .float32, shape: shape, memory: memory)
    }

    /// The elements as integers; nil for other types than int32 and uint32.
    var integers: [Int]? {
        switch type {
        case .int32: (0..<count).map { Int(start(as: Int32.self)[$0]) }
        case .uint32: (0..<count).map { Int(start(as: UInt32.self)[$0]) }
        default: nil
        }
    }

    /// - Throws: `.invalidArgument` unless the elements are fp16, fp32 or fp64.
    func view() throws(CompressionError) -> TensorView {
        guard let floatType = FloatType(type) else {
            throw CompressionError(
                kind: .invalidArgument, message: "[decompress] data: found \(type.name), allowed fp16, fp32, fp64")
        }
        return TensorView(base: UnsafeRawPointer(start(as: UInt8.self)), type: floatType, shape: shape)
    }
}

extension FloatType {
    /// nil for everything but fp16, fp32 and fp64.
    init?(_ type: MILDataType) {
        switch type {
        case .float16: self = .float16
        case .float32: self = .float32
        case .float64: self = .float64
        default: return nil
        }
    }

    var milType: MILDataType {
        switch self {
        case .float16: .float16
        case .float32: .float32
        case .float64: .float64
        }
    }
}
