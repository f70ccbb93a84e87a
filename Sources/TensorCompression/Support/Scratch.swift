#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Uninitialised working memory of `Element` places, freed at the end of its scope. Unlike `allocate`, running out of
/// memory is an error and not the end of the process.
///
/// Large memory comes from the system and goes back to it at once: allocators keep what one thread has freed for that
/// thread, and the next weight may be another's. Zeroed memory does so earlier, because the system's pages are zero.
struct Scratch<Element: BitwiseCopyable>: ~Copyable {
    let pointer: UnsafeMutablePointer<Element>
    let count: Int
    /// Of memory that comes from the system itself.
    private let mappedBytes: Int

    init(_ count: Int, operation: String) throws(CompressionError) {
        try self.init(count, isZeroed: false, operation)
    }

    /// Memory with every byte zero.
    init(zeroed count: Int, operation: String) throws(CompressionError) {
        try self.init(count, isZeroed: true, operation)
    }

    private init(_ count: Int, isZeroed: Bool, _ operation: String) throws(CompressionError) {
        let (bytes, overflow) = max(count, 1).multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        let isMapped = bytes >= (isZeroed ? 4 : 8) << 20
        guard !overflow, let memory = isMapped ? mappedMemory(bytes) : heapMemory(bytes) else {
            throw CompressionError(
                kind: .outOfMemory,
                message: "[\(operation)] out of memory: \(count) * \(MemoryLayout<Element>.stride) bytes")
        }
        if isZeroed, !isMapped { zeroBytes(memory, bytes) }
        pointer = memory.bindMemory(to: Element.self, capacity: max(count, 1))
        self.count = count
        mappedBytes = isMapped ? bytes : 0
    }

    deinit {
        if mappedBytes > 0 { munmap(pointer, mappedBytes) } else { free(pointer) }
    }
}

/// Aligned for the vector records of the solver.
private func heapMemory(_ bytes: Int) -> UnsafeMutableRawPointer? {
    var memory: UnsafeMutableRawPointer?
    return posix_memalign(&memory, 64, bytes) == 0 ? memory : nil
}

/// Pages of zeros.
private func mappedMemory(_ bytes: Int) -> UnsafeMutableRawPointer? {
    #if canImport(Darwin)
    let flags = MAP_PRIVATE | MAP_ANON
    #else
    let flags = MAP_PRIVATE | MAP_ANONYMOUS
    #endif
    let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard memory != MAP_FAILED else { return nil }
    #if !canImport(Darwin)
    // Few large pages are found at once; for hundreds the system may take a second, where memory is full of files.
    if bytes <= 33 << 20 { madvise(memory, bytes, MADV_HUGEPAGE) }
    #endif
    return memory
}

/// A pointer that pieces of a parallel loop share; each writes its own places.
struct Shared<Pointer>: @unchecked Sendable {
    let pointer: Pointer
    init(_ pointer: Pointer) { self.pointer = pointer }
}

/// Copies bytes.
@inline(__always)
func copyBytes(_ source: UnsafeRawPointer, _ count: Int, to target: UnsafeMutableRawPointer) {
    if count > 0 { memcpy(target, source, count) }
}

/// Zeroes bytes.
@inline(__always)
func zeroBytes(_ target: UnsafeMutableRawPointer, _ count: Int) {
    if count > 0 { memset(target, 0, count) }
}

/// Elements in one piece of a loop over a large tensor. Fixed, so that sums never depend on the number of threads; a
/// multiple of 8, so that pieces of packed codes begin at whole bytes.
let pieceLength = 1 << 16

extension WorkPool {
    /// Runs `body(start, end)` for pieces of 0..<count, in parallel when there is more than one.
    func forEachPiece(_ count: Int, length: Int = pieceLength, _ body: (Int, Int) -> Void) {
        forEach((count + length - 1) / length) { body($0 * length, min(count, ($0 + 1) * length)) }
    }
}
