import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension ErrorStatistics {
    /// Signal-to-noise ratio: 10 log10 of the original's sum of squares over the squared error. nil when nothing
    /// differs.
    public var snrDecibel: Double? { squaredError == 0 ? nil : 10 * log10(sumOfSquares / squaredError) }
}
