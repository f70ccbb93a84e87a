/// A thread that takes finished pieces in the order of their numbers, while other threads make more of them.
///
/// Pieces may be handed over in any order, each number from 0 once. After the first error nothing more is taken, and `stop`
/// is called so that the others end early too; `finish` throws the error.
final class OrderedWriter<Piece>: @unchecked Sendable {
    private let monitor = Monitor()
    private let take: (Piece) throws -> Void
    private let taken: (Int) -> Void
    private let stop: @Sendable () -> Void
    private var waiting: [Int: Piece] = [:]
    /// The number that is taken next.
    private var next = 0
    private var isClosed = false
    private var failure: (any Error)?
    private var thread: BackgroundThread?

    /// - Parameters:
    ///   - background: false takes every piece at once, on the caller's thread; they must come in order then.
    ///   - take: runs on one thread at a time.
    ///   - taken: hears the number of every piece that was given to `take`, on a background thread after the piece is
    ///     released. Pieces that are dropped after an error are not heard of.
    init(
        background: Bool, stop: @escaping @Sendable () -> Void, take: @escaping (Piece) throws -> Void,
        taken: @escaping (Int) -> Void = { _ in }
    ) throws {
        self.take = take
        self.taken = taken
        self.stop = stop
        if background { thread = try BackgroundThread { [self] in work() } }
    }

    /// From any thread. After an error the piece is dropped.
    func hand(_ piece: Piece, number: Int) {
        guard thread != nil else {
            if failure == nil {
                takeOrFail(piece)
                taken(number)
            }
            return
        }
        monitor.locked {
            guard !isClosed else { return }
            waiting[number] = piece
            if number == next { monitor.signalAll() }
        }
    }

    /// Waits until everything is taken. Must be called once, when nothing more is handed over; without `writing`, what has
    /// not begun is dropped.
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
        while let number = takeNext() { taken(number) }
    }

    private func takeNext() -> Int? {
        let (number, piece) = monitor.locked {
            while waiting[next] == nil, !isClosed { monitor.wait() }
            defer { next += 1 }
            return (next, waiting.removeValue(forKey: next))
        }
        guard let piece else { return nil }
        takeOrFail(piece)
        return number
    }

    private func takeOrFail(_ piece: consuming Piece) {
        do {
            try take(piece)
        } catch {
            monitor.locked {
                failure = error
                waiting.removeAll()
                isClosed = true
            }
            stop()
        }
    }
}
