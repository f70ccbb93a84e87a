import CSwiftCompress
import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension swc_run {
    /// Runs `body` with a pool of this many threads. Where the caller wants to be asked, larger work runs on a thread of its
    /// own while this one asks every 50 ms; a wish to stop raises the pool's flag, which ends the work soon.
    /// - Parameter elements: how much there is to do; little work is done here, as nobody would notice it.
    func perform(elements: Int, _ body: (WorkPool) throws -> Void) throws {
        let pool = WorkPool(threads: Int(threads))
        guard let poll, elements >= Self.noticeable else { return try body(pool) }
        try withoutActuallyEscaping(body) { body in
            let work = BackgroundWork { try body(pool) }
            guard work.start() else { return try work.runHere() }
            while !work.wait(milliseconds: 50) {
                if poll(context) != 0 { pool.cancellation.cancel() }
            }
            try work.join()
        }
    }

    /// Elements that take some tens of milliseconds at the slowest.
    private static let noticeable = 20_000
}

/// One piece of work on a thread of its own.
private final class BackgroundWork: @unchecked Sendable {
    private let body: () throws -> Void
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isDone = false
    private var failure: (any Error)?
    #if canImport(Darwin)
    private var thread: pthread_t?
    #else
    private var thread = pthread_t()
    #endif

    init(_ body: @escaping () throws -> Void) {
        self.body = body
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// False when the system has no thread to give. The thread blocks every signal, so that the host program's handlers run
    /// where it expects.
    func start() -> Bool {
        var attributes = pthread_attr_t()
        guard pthread_attr_init(&attributes) == 0 else { return false }
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, 8 << 20)
        var everySignal = sigset_t()
        var before = sigset_t()
        sigfillset(&everySignal)
        pthread_sigmask(SIG_SETMASK, &everySignal, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let argument = Unmanaged.passRetained(self)
        #if canImport(Darwin)
        var started: pthread_t?
        let code = pthread_create(&started, &attributes, { BackgroundWork.enter($0) }, argument.toOpaque())
        #else
        var started = pthread_t()
        let code = pthread_create(
            &started, &attributes, { BackgroundWork.enter($0.unsafelyUnwrapped) }, argument.toOpaque())
        #endif
        thread = started
        if code != 0 { argument.release() }
        return code == 0
    }

    func runHere() throws { try body() }

    /// Whether the work is done; waits for it for about this time.
    func wait(milliseconds: Int) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if !isDone {
            var until = timespec()
            clock_gettime(CLOCK_REALTIME, &until)
            let nanoseconds = Int(until.tv_nsec) + milliseconds * 1_000_000
            until.tv_sec += nanoseconds / 1_000_000_000
            until.tv_nsec = nanoseconds % 1_000_000_000
            pthread_cond_timedwait(condition, mutex, &until)
        }
        return isDone
    }

    /// Ends the thread, and throws what the work threw.
    func join() throws {
        #if canImport(Darwin)
        if let thread { pthread_join(thread, nil) }
        #else
        pthread_join(thread, nil)
        #endif
        if let failure { throw failure }
    }

    private static func enter(_ argument: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        Unmanaged<BackgroundWork>.fromOpaque(argument).takeRetainedValue().run()
        return nil
    }

    private func run() {
        do { try body() } catch { failure = error }
        pthread_mutex_lock(mutex)
        isDone = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }
}
