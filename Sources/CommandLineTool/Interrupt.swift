#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Notes Ctrl-C (and SIGTERM, and SIGHUP of a closed terminal) so that a run can end in order. A second one ends the process at once.
enum Interrupt {
    // At a fixed address and written once before the handler can run: the handler only stores a word.
    nonisolated(unsafe) private static let flag: UnsafeMutablePointer<sig_atomic_t> = {
        let flag = UnsafeMutablePointer<sig_atomic_t>.allocate(capacity: 1)
        flag.initialize(to: 0)
        return flag
    }()

    static var isRaised: Bool { flag.pointee != 0 }

    /// What a shell expects of a command that a signal ended: 130 for Ctrl-C.
    static var exitStatus: Int32 { 128 + (isRaised ? Int32(flag.pointee) : SIGINT) }

    /// Runs `body` with the handlers in place.
    static func whileWatching<Value>(_ body: () throws -> Value) rethrows -> Value {
        flag.pointee = 0
        var action = sigaction()
        #if canImport(Darwin)
        action.__sigaction_u.__sa_handler = { Interrupt.flag.pointee = sig_atomic_t($0) }
        #elseif canImport(Glibc)
        action.__sigaction_handler.sa_handler = { Interrupt.flag.pointee = sig_atomic_t($0) }
        #else
        action.__sa_handler.sa_handler = { Interrupt.flag.pointee = sig_atomic_t($0) }
        #endif
        action.sa_flags = Int32(bitPattern: UInt32(truncatingIfNeeded: SA_RESETHAND))
        let signals = [SIGINT, SIGTERM, SIGHUP]
        var previous = signals.map { _ in sigaction() }
        for (number, signal) in signals.enumerated() {
            sigaction(signal, nil, &previous[number])
            // A shell's background job ignores Ctrl-C, and goes on doing so.
            if !isIgnored(previous[number]) { sigaction(signal, &action, nil) }
        }
        defer { for (number, signal) in signals.enumerated() { sigaction(signal, &previous[number], nil) } }
        return try body()
    }

    private static func isIgnored(_ action: sigaction) -> Bool {
        #if canImport(Darwin)
        let handler = action.__sigaction_u.__sa_handler
        #elseif canImport(Glibc)
        let handler = action.__sigaction_handler.sa_handler
        #else
        let handler = action.__sa_handler.sa_handler
        #endif
        // SIG_IGN is the number 1 in the clothes of a function.
        return unsafeBitCast(handler, to: Int.self) == 1
    }
}
