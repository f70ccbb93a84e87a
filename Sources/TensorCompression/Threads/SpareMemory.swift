#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Large blocks of memory that one part of a call has done with and another can use. Memory that comes anew from the system
/// is cleared page by page first, which takes as long as filling it.
package final class SpareMemory: @unchecked Sendable {
    /// Blocks begin at a multiple of this, the size of a large page; smaller blocks are not kept.
    package static let pageSize = 2 << 20
    /// Bytes that are kept at most.
    private static let limit = 16 << 20

    private let mutex = Mutex()
    private var blocks: [(address: UnsafeMutableRawPointer, byteCount: Int)] = []
    private var total = 0

    init() {}

    deinit { for block in blocks { free(block.address) } }

    /// A block of at least `byteCount` bytes and not much more, and its size; nil: none is here.
    package func take(_ byteCount: Int) -> (address: UnsafeMutableRawPointer, byteCount: Int)? {
        mutex.locked {
            var best: Int?
            for (number, block) in blocks.enumerated()
            where block.byteCount >= byteCount && block.byteCount <= byteCount + byteCount / 4 {
                if best.map({ block.byteCount < blocks[$0].byteCount }) ?? true { best = number }
            }
            guard let best else { return nil }
            total -= blocks[best].byteCount
            return blocks.remove(at: best)
        }
    }

    /// Takes over a block of `posix_memalign`; the oldest go where there are too many.
    package func give(_ address: UnsafeMutableRawPointer, _ byteCount: Int) {
        var surplus: [UnsafeMutableRawPointer] = []
        mutex.locked {
            blocks.append((address, byteCount))
            total += byteCount
            while total > Self.limit {
                let oldest = blocks.removeFirst()
                total -= oldest.byteCount
                surplus.append(oldest.address)
            }
        }
        for address in surplus { free(address) }
    }

    /// Frees everything.
    package func clear() {
        let all = mutex.locked {
            defer { (blocks, total) = ([], 0) }
            return blocks
        }
        for block in all { free(block.address) }
    }
}
