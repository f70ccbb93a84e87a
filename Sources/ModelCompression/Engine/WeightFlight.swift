/// Which weights may begin: bounds the dense bytes of those that are compressed and of those that wait to be written.
/// A weight that exceeds a limit begins when there is nothing else. And which should be read ahead.
final class WeightFlight: @unchecked Sendable {
    private let monitor = Monitor()
    /// For each weight, the bytes of all before it; and of all.
    private let begins: [Int]
    /// The first weight that is not read ahead yet.
    private var ahead = 0
    private var compressing = 0
    private var waiting = 0
    private var sinceCleanup = 0

    /// Dense bytes that are compressed at a time: enough for small weights to keep all threads busy.
    static let compressingLimit = 16 << 20
    /// Dense bytes that are compressed or wait to be written.
    private static let limit = 32 << 20

    /// - Parameter sizes: dense bytes of each weight, in order; for `readAhead`.
    init(_ sizes: [Int] = []) {
        begins = sizes.reduce(into: [0]) { $0.append($0.last! + $1) }
    }

    /// Counts a weight as being compressed if there is room for it.
    func begin(_ bytes: Int) -> Bool {
        monitor.locked {
            guard compressing == 0 || compressing + bytes <= Self.compressingLimit,
                compressing + waiting == 0 || compressing + waiting + bytes <= Self.limit
            else { return false }
            compressing += bytes
            return true
        }
    }

    func compressed(_ bytes: Int) {
        monitor.locked {
            compressing -= bytes
            waiting += bytes
        }
    }

    func written(_ bytes: Int) {
        monitor.locked { waiting -= bytes }
    }

    /// Weights that the disk should read now that one begins: the next `compressingLimit` bytes, at least one weight, and
    /// each only once.
    /// - Parameter number: of the one that begins; -1 before the first.
    func readAhead(_ number: Int) -> Range<Int> {
        monitor.locked {
            let first = max(ahead, number + 1)
            ahead = first
            let limit = begins[number + 1] + Self.compressingLimit
            while ahead < begins.count - 1, ahead == number + 1 || begins[ahead + 1] <= limit { ahead += 1 }
            return first..<ahead
        }
    }

    /// True for the weights before which memory should be given back: about every `compressingLimit` bytes.
    func isCleanupDue(_ bytes: Int) -> Bool {
        monitor.locked {
            sinceCleanup += bytes
            guard sinceCleanup >= Self.compressingLimit else { return false }
            sinceCleanup = 0
            return true
        }
    }
}
