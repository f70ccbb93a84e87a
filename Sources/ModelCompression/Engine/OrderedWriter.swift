/// A thread that takes finished pieces in the order they are handed over, while the caller makes the next ones.
///
/// The bytes that wait are bounded by the caller, which calls `makeRoom` before it begins a piece. After the first error
/// nothing more is taken, and `stop` is called so that the caller ends early too; `finish` throws the error.
final class OrderedWriter<Piece>: @unchecked Sendable {
    private let monitor = Monitor()
    private let take: (Piece) throws -> Void
    private let stop: @Sendable () -> Void
    private var waiting: [(piece: Piece, bytes: Int)] = []
    /// Of what waits and of what is being taken.
    private var bytes = 0
    private var isClosed = false
    private var failure: (any Error)?
    private var thread: BackgroundThread?

    /// - Parameters:
    ///   - background: false takes every piece at once, on the caller's thread.
    ///   - take: runs on one thread at a time.
    init(background: Bool, stop: @escaping @Sendable () -> Void, take: @escaping (Piece) throws -> Void) throws {
        self.take = take
        self.stop = stop
        if background { thread = try BackgroundThread { [self] in work() } }
    }

    /// Waits until the pieces that were handed over and not yet taken hold at most this many bytes.
    func makeRoom(_ limit: Int) throws {
        try monitor.locked {
            while bytes > max(limit, 0), failure == nil { monitor.wait() }
            if let failure { throw failure }
        }
    }

    func hand(_ piece: Piece, bytes count: Int) throws {
        guard thread != nil else { return try take(piece) }
        monitor.locked {
            waiting.append((piece, count))
            bytes += count
            monitor.signalAll()
        }
    }

    /// Waits until everything is taken. Must be called once; without `writing`, what has not begun is dropped.
    func finish(writing: Bool = true) throws {
        monitor.locked {
            isClosed = true
            if !writing { waiting.removeAll() }
            monitor.signalAll()
        }
        thread?.join()
        if let failure { throw failure }
    }

    private func work() {
        while let (piece, count) = next() {
            do {
                try take(piece)
            } catch {
                monitor.locked {
                    failure = error
                    waiting.removeAll()
                    isClosed = true
                    monitor.signalAll()
                }
                stop()
                return
            }
            monitor.locked {
                bytes -= count
                monitor.signalAll()
            }
        }
    }

    private func next() -> (Piece, Int)? {
        monitor.locked {
            while waiting.isEmpty, !isClosed { monitor.wait() }
            return waiting.isEmpty ? nil : waiting.removeFirst()
        }
    }
}
