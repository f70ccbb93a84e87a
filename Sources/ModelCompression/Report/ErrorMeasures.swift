import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// How far an expanded weight is from the original.
struct ErrorMeasures: Sendable, Equatable {
    /// 10 log10 of the original's sum of squares over the squared error; nil when nothing differs.
    var snrDecibel: Double?
    /// nil when infinite elements make it no number.
    var maxError: Double?
    /// nil when infinite elements make it no number.
    var meanSquaredError: Double?

    /// Nothing differs.
    static let exact = ErrorMeasures(snrDecibel: nil, maxError: 0, meanSquaredError: 0)

    init(_ statistics: ErrorStatistics) {
        let (error, energy) = (statistics.squaredError, statistics.sumOfSquares)
        if error.isFinite, error > 0, energy.isFinite, energy > 0 { snrDecibel = 10 * log10(energy / error) }
        maxError = statistics.maxError.isFinite && error.isFinite ? statistics.maxError : nil
        meanSquaredError = error.isFinite ? statistics.meanSquaredError : nil
    }

    private init(snrDecibel: Double?, maxError: Double?, meanSquaredError: Double?) {
        self.snrDecibel = snrDecibel
        self.maxError = maxError
        self.meanSquaredError = meanSquaredError
    }
}
