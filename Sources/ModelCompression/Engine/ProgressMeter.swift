import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A mutex with a condition.
final class Monitor: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init() {
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func locked<Value>(_ body: () throws -> Value) rethrows -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }

    /// Only inside `locked`.
    func wait() { pthread_cond_wait(condition, mutex) }

    /// Only inside `locked`. Returns after a signal, or after about this time.
    func wait(milliseconds: Int) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let nanoseconds = Int(now.tv_nsec) + milliseconds * 1_000_000
        now.tv_sec += nanoseconds / 1_000_000_000
        now.tv_nsec = nanoseconds % 1_000_000_000
        pthread_cond_timedwait(condition, mutex, &now)
    }

    func signalAll() { pthread_cond_broadcast(condition) }
}

/// Seconds of a clock that only goes forward.
func monotonicSeconds() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
}

/// How far a run is.
public struct CompressionProgress: Sendable, Equatable {
    /// Weights finished.
    public var weightsDone: Int
    public var weightsTotal: Int
    /// Bytes of the originals finished.
    public var bytesDone: Int
    public var bytesTotal: Int
    /// The weight that finished last; empty at the start.
    public var name: String

    public init(weightsDone: Int, weightsTotal: Int, bytesDone: Int, bytesTotal: Int, name: String) {
        self.weightsDone = weightsDone
        self.weightsTotal = weightsTotal
        self.bytesDone = bytesDone
        self.bytesTotal = bytesTotal
        self.name = name
    }
}

/// Runs work on its own thread while the calling thread reports progress and runs what must be run on it.
final class ForegroundLoop: @unchecked Sendable {
    private let monitor = Monitor()
    private var state = CompressionProgress(weightsDone: 0, weightsTotal: 0, bytesDone: 0, bytesTotal: 0, name: "")
    private var isFinished = false
    private var request: (() -> Void)?

    /// Time between two calls of `progress`.
    private static let interval = 50

    func start(weights: Int, bytes: Int) {
        monitor.locked {
            state.weightsTotal = weights
            state.bytesTotal = bytes
        }
    }

    func advance(name: String, bytes: Int) {
        monitor.locked {
            state.weightsDone += 1
            state.bytesDone += bytes
            state.name = name
        }
    }

    /// Runs `body` on the thread that called `run`, one at a time; called by workers.
    func onCallingThread<Value>(_ body: @escaping () throws -> Value) throws -> Value {
        var result: Result<Value, any Error>?
        monitor.locked {
            while request != nil { monitor.wait() }
            request = { [monitor] in
                let outcome = Result { try body() }
                monitor.locked { result = outcome }
            }
            monitor.signalAll()
            while result == nil { monitor.wait() }
        }
        return try result!.get()
    }

    /// Runs `work` on a new thread; meanwhile calls `progress` about every 50 ms, and once more at the end.
    /// - Parameter cancel: called once when `progress` returns false; `work` is then expected to end soon.
    func run(
        _ work: @escaping @Sendable () -> Void, progress: ((CompressionProgress) -> Bool)?, cancel: () -> Void
    ) throws {
        let thread = try BackgroundThread { [self] in
            work()
            monitor.locked {
                isFinished = true
                monitor.signalAll()
            }
        }
        defer { thread.join() }
        var isCancelled = false
        var last = state
        while true {
            var pending: (() -> Void)?
            var finished = false
            monitor.locked {
                if request == nil, !isFinished { monitor.wait(milliseconds: Self.interval) }
                pending = request
                finished = isFinished
                last = state
            }
            if let pending { serve(pending) }
            if !isCancelled, let progress, !progress(last) {
                isCancelled = true
                cancel()
            }
            if finished { return }
        }
    }

    private func serve(_ pending: () -> Void) {
        pending()
        monitor.locked {
            request = nil
            monitor.signalAll()
        }
    }
}
