/// Which weights may begin: bounds the dense bytes of those that are compressed and of those that wait to be written.
/// A weight that exceeds a limit begins when there is nothing else. And which should be read ahead.
final class WeightFlight: @unchecked Sendable {
    private let monitor = Monitor()
    private var ahead = 0
    private var bytesAhead = 0
    private var compressing = 0
    private var waiting = 0
    private var sinceCleanup = 0

    /// Dense bytes that are compressed at a time: enough for small weights to keep all threads busy.
    static let compressingLimit = 16 << 20
    /// Dense bytes that are compressed or wait to be written.
    private static let limit = 32 << 20

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
    /// - Parameter bytes: of each weight.
    func readAhead(_ number: Int, count: Int, bytes: (Int) -> Int) -> Range<Int> {
        monitor.locked {
            if ahead <= number {
                (ahead, bytesAhead) = (number + 1, 0)
            } else {
                bytesAhead = max(0, bytesAhead - bytes(number))
            }
            let first = ahead
            while ahead < count, bytesAhead == 0 || bytesAhead + bytes(ahead) <= Self.compressingLimit {
                bytesAhead += bytes(ahead)
                ahead += 1
            }
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
