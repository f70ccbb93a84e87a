import CSwiftCompress

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Threads for one call: fork-join loops whose results do not depend on the number of threads.
///
/// `forEach` runs a closure for every index of a range; the calling thread works too, so a pool of `n` threads adds
/// `n - 1`. A closure may itself call `forEach` on the same pool: the inner loop is offered to idle threads, the caller
/// works on it, and nothing can deadlock because every thread that waits waits only for pieces that are already running
/// (`forEachAdmitted`: or for who calls `reconsider`).
/// Which thread runs an index, and when, is not defined: pieces must write to places of their own.
///
/// Threads start at the first loop that can use them and end when the pool is released; no state outlives it, so a
/// process may fork between calls. They block every signal, so that the host program's handlers run where it expects.
public final class WorkPool: Sendable {
    /// The number of threads that work, the caller included.
    public let threadCount: Int
    /// Raising this makes the loops of this pool skip what they have not begun.
    public let cancellation: Cancellation
    /// Memory that the parts of the call pass on.
    package let spareMemory = SpareMemory()
    private let workers: Workers

    /// - Parameters:
    ///   - threads: threads to use, the caller included; 0 or less: one for each core this process may run on. At most 1,024.
    ///   - cancellation: a flag to share with other pools or with a progress callback.
    public init(threads: Int = 0, cancellation: Cancellation = Cancellation()) {
        threadCount = max(1, min(threads > 0 ? threads : Int(swc_available_cores()), 1024))
        self.cancellation = cancellation
        workers = Workers(extraThreads: threadCount - 1)
    }

    deinit { workers.stop() }

    /// Runs `body(0)` to `body(count - 1)`, each once, in no defined order; returns when all have ended.
    /// After a cancellation the rest are skipped: check `cancellation.isCancelled`, or use `tryForEach`.
    public func forEach(_ count: Int, _ body: (Int) -> Void) {
        guard count > 0 else { return }
        if threadCount == 1 || count == 1 {
            for index in 0..<count {
                if cancellation.isCancelled { return }
                body(index)
            }
            return
        }
        withoutActuallyEscaping(body) { body in
            workers.run(LoopJob(count: count, cancellation: cancellation, body: body))
        }
    }

    /// `forEach` in order, for pieces that must not all run at once. Before a piece begins, `admit` is asked; where it says
    /// no, the threads work on the loops inside the pieces that run, and ask again when one of them has ended or
    /// `reconsider()` was called.
    /// - Parameter admit: true counts as the piece's beginning. One call at a time; quick, and calls nothing of this pool.
    ///   Must say yes when no piece runs and nothing is left that calls `reconsider()`.
    package func forEachAdmitted(_ count: Int, admit: (Int) -> Bool, _ body: (Int) -> Void) {
        guard count > 0 else { return }
        withoutActuallyEscaping(admit) { admit in
            withoutActuallyEscaping(body) { body in
                workers.run(LoopJob(count: count, cancellation: cancellation, admit: admit, body: body))
            }
        }
    }

    /// Loops that are under way.
    var loopCount: Int { workers.jobCount }

    /// Asks anew for pieces that were not admitted, and looks at the cancellation; from any thread.
    package func reconsider() { workers.reconsider() }

    /// `forEach` for pieces that can fail. Throws the error of the lowest index that failed (later pieces may or may
    /// not have run), or `.cancelled`.
    public func tryForEach(
        _ count: Int, operation: String, _ body: (Int) throws(CompressionError) -> Void
    ) throws(CompressionError) {
        let failure = FirstFailure()
        forEach(count) { index in
            if failure.isBelow(index) { return }
            do throws(CompressionError) { try body(index) } catch { failure.record(index, error) }
        }
        if let error = failure.error { throw error }
        if cancellation.isCancelled { throw .cancelled(operation) }
    }

    /// Throws `.cancelled` once the pool's flag is up.
    public func checkCancellation(_ operation: String) throws(CompressionError) {
        if cancellation.isCancelled { throw .cancelled(operation) }
    }
}

/// The error of the lowest failing index. Only indices below it still run, so the answer is the same for any number
/// of threads.
private final class FirstFailure: @unchecked Sendable {
    private let lock = Mutex()
    private var index = Int.max
    private var stored: CompressionError?

    func isBelow(_ other: Int) -> Bool { lock.locked { index < other } }
    var error: CompressionError? { lock.locked { stored } }
    func record(_ failed: Int, _ error: CompressionError) {
        lock.locked {
            if failed < index {
                index = failed
                stored = error
            }
        }
    }
}

/// A pthread mutex at a fixed address.
final class Mutex: @unchecked Sendable {
    let handle: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        handle = .allocate(capacity: 1)
        handle.initialize(to: pthread_mutex_t())
        pthread_mutex_init(handle, nil)
    }

    deinit {
        pthread_mutex_destroy(handle)
        handle.deallocate()
    }

    func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(handle)
        defer { pthread_mutex_unlock(handle) }
        return body()
    }
}

/// One loop. Every field is guarded by the mutex of `Workers`.
private final class LoopJob: @unchecked Sendable {
    let count: Int
    let cancellation: Cancellation
    // Dropped when the loop ends: a worker may hold the job a little longer, and must not hold the caller's closures.
    var admit: ((Int) -> Bool)?
    var body: ((Int) -> Void)?
    var next = 0
    var running = 0

    init(
        count: Int, cancellation: Cancellation, admit: ((Int) -> Bool)? = nil, body: @escaping (Int) -> Void
    ) {
        self.count = count
        self.cancellation = cancellation
        self.admit = admit
        self.body = body
    }

    // Not inlined, so that the closure is released before the mutex is taken again.
    @inline(never)
    func call(_ index: Int) { body?(index) }
}

private final class Workers: @unchecked Sendable {
    private let extraThreads: Int
    private let mutex = Mutex()
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var threads: [pthread_t] = []
    private var started = false
    private var stopping = false
    // The newest loop last: inner loops go first.
    private var jobs: [LoopJob] = []

    init(extraThreads: Int) {
        self.extraThreads = extraThreads
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
    }

    func run(_ job: LoopJob) {
        pthread_mutex_lock(mutex.handle)
        if !started {
            started = true
            startThreads()
        }
        jobs.append(job)
        pthread_cond_broadcast(condition)
        while job.next < job.count || job.running > 0 {
            if take(job) {
                perform(job)
            } else if job.admit != nil, let other = takeAny() {
                perform(other)
            } else if job.next < job.count || job.running > 0 {
                pthread_cond_wait(condition, mutex.handle)
            }
        }
        // Nobody need have looked at it since its last piece began.
        if let place = jobs.lastIndex(where: { $0 === job }) { jobs.remove(at: place) }
        job.admit = nil
        job.body = nil
        pthread_mutex_unlock(mutex.handle)
    }

    /// Loops that are listed: none, between calls.
    var jobCount: Int { mutex.locked { jobs.count } }

    func reconsider() { mutex.locked { _ = pthread_cond_broadcast(condition) } }

    func stop() {
        mutex.locked {
            stopping = true
            pthread_cond_broadcast(condition)
        }
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Whether the next index of a job may begin, with the mutex held; `perform` must follow. Unlists a job without any.
    private func take(_ job: LoopJob) -> Bool {
        if job.next < job.count, !job.cancellation.isCancelled { return job.admit?(job.next) ?? true }
        job.next = job.count
        jobs.removeAll { $0 === job }
        return false
    }

    /// The newest job that has something to begin, likewise.
    private func takeAny() -> LoopJob? {
        for job in jobs.reversed() where take(job) { return job }
        return nil
    }

    /// Runs the claimed index with the mutex released.
    private func perform(_ job: LoopJob) {
        let index = job.next
        job.next += 1
        job.running += 1
        pthread_mutex_unlock(mutex.handle)
        job.call(index)
        pthread_mutex_lock(mutex.handle)
        job.running -= 1
        if job.running == 0 && job.next >= job.count || job.admit != nil { pthread_cond_broadcast(condition) }
    }

    private func work() {
        pthread_mutex_lock(mutex.handle)
        while true {
            if let job = takeAny() {
                perform(job)
            } else if stopping {
                break
            } else {
                pthread_cond_wait(condition, mutex.handle)
            }
        }
        pthread_mutex_unlock(mutex.handle)
    }

    /// Fewer threads than asked for, even none, only make the loop slower.
    private func startThreads() {
        var attributes = pthread_attr_t()
        guard pthread_attr_init(&attributes) == 0 else { return }
        // Musl's 128 KB and macOS's 512 KB are small for debug builds.
        pthread_attr_setstacksize(&attributes, 4 << 20)
        var everySignal = sigset_t()
        var before = sigset_t()
        sigfillset(&everySignal)
        pthread_sigmask(SIG_SETMASK, &everySignal, &before)
        for _ in 0..<extraThreads {
            let argument = Unmanaged.passRetained(self)
            guard let thread = startThread(&attributes, argument.toOpaque()) else {
                argument.release()
                break
            }
            threads.append(thread)
        }
        pthread_sigmask(SIG_SETMASK, &before, nil)
        pthread_attr_destroy(&attributes)
    }

    private func startThread(
        _ attributes: UnsafePointer<pthread_attr_t>, _ argument: UnsafeMutableRawPointer
    ) -> pthread_t? {
        #if canImport(Darwin)
        var thread: pthread_t?
        let code = pthread_create(&thread, attributes, { Workers.enter($0) }, argument)
        #else
        var thread = pthread_t()
        let code = pthread_create(&thread, attributes, { Workers.enter($0.unsafelyUnwrapped) }, argument)
        #endif
        return code == 0 ? thread : nil
    }

    private static func enter(_ argument: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        Unmanaged<Workers>.fromOpaque(argument).takeRetainedValue().work()
        return nil
    }
}
