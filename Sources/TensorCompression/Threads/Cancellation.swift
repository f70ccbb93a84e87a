import Synchronization

/// A flag that one thread raises to make running work end early.
///
/// Work polls the flag between pieces, so it ends within a fraction of a second; what it had written so far is to be
/// thrown away by the caller.
public final class Cancellation: Sendable {
    // An atomic at a fixed address, so that kernels can poll it through a plain pointer.
    private nonisolated(unsafe) let storage: UnsafeMutablePointer<Atomic<Int32>>

    public init() {
        storage = .allocate(capacity: 1)
        storage.initialize(to: Atomic(0))
    }

    deinit {
        storage.deinitialize(count: 1)
        storage.deallocate()
    }

    /// Asks running work to end. Safe from any thread, any number of times.
    public func cancel() { storage.pointee.store(1, ordering: .relaxed) }

    /// Whether `cancel()` was called.
    public var isCancelled: Bool { storage.pointee.load(ordering: .relaxed) != 0 }

    /// The flag for kernels: non-zero once cancelled. Valid as long as this object lives.
    public var flag: UnsafePointer<Int32> {
        UnsafePointer(UnsafeMutableRawPointer(storage).assumingMemoryBound(to: Int32.self))
    }
}
