#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Copies of tensors that cannot be used where they lie, made once each and kept until the package is closed.
final class AlignedCopies: @unchecked Sendable {
    private var copies: [Key: UnsafeRawBufferPointer] = [:]
    private let lock: UnsafeMutablePointer<pthread_mutex_t>

    private enum Key: Hashable {
        /// Blobs of a damaged file can begin at one address and end at several.
        case bytes(address: Int, count: Int)
        case made(position: Int)
    }

    init() {
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
    }

    deinit {
        for copy in copies.values { copy.deallocate() }
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    /// The bytes themselves when they are aligned for their type, else a copy that is.
    func aligned(_ bytes: UnsafeRawBufferPointer, _ type: MILDataType) -> UnsafeRawBufferPointer {
        let address = Int(bitPattern: bytes.baseAddress)
        guard address % max(1, type.bitWidth / 8) != 0 else { return bytes }
        return locked { copy(.bytes(address: address, count: bytes.count), bytes) }
    }

    /// The kept bytes for `key` (a position in the model file), made on first use.
    func made(
        at key: Int, _ make: () throws(PackageError) -> [UInt8]
    ) throws(PackageError) -> UnsafeRawBufferPointer {
        if let known = locked({ copies[.made(position: key)] }) { return known }
        let bytes = try make()
        return locked { bytes.withUnsafeBytes { copy(.made(position: key), $0) } }
    }

    private func copy(_ key: Key, _ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        if let known = copies[key] { return known }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
        buffer.copyMemory(from: bytes)
        let copy = UnsafeRawBufferPointer(start: buffer.baseAddress, count: bytes.count)
        copies[key] = copy
        return copy
    }

    private func locked<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return body()
    }
}
