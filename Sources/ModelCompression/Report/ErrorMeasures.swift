import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// How far a decoded weight is from the original.
public struct ErrorMeasures: Sendable, Equatable {
    public var count = 0
    /// Sum of squares of the original's elements.
    public var energy = 0.0
    /// Sum of squared differences.
    public var squaredError = 0.0
    /// Largest magnitude of a difference.
    public var maxError = 0.0

    public init() {}

    public var meanSquaredError: Double { count == 0 ? 0 : squaredError / Double(count) }

    /// 10 log10(energy / squared error); nil when there is no error.
    public var snrDecibel: Double? {
        squaredError == 0 ? nil : 10 * log10(energy / squaredError)
    }

    mutating func add(_ other: ErrorMeasures) {
        count += other.count
        energy += other.energy
        squaredError += other.squaredError
        maxError = max(maxError, other.maxError)
    }
}

extension ErrorMeasures {
    /// Elements per partial sum: sums do not depend on the number of threads.
    private static let chunk = 1 << 16

    /// Compares two dense arrays of `count` elements of one type, float16 or float32.
    ///
    /// Everything is computed in float64, in chunks of 65,536 elements whose sums are added in order.
    init(original: UnsafeRawPointer, decoded: UnsafeRawPointer, count: Int, type: FloatType, pool: WorkPool) {
        self.init()
        let chunks = (count + Self.chunk - 1) / Self.chunk
        let partial = UnsafeMutablePointer<ErrorMeasures>.allocate(capacity: max(chunks, 1))
        partial.initialize(repeating: ErrorMeasures(), count: max(chunks, 1))
        defer { partial.deallocate() }
        let job = Comparison(original: original, decoded: decoded, count: count, type: type, partial: partial)
        pool.forEach(chunks) { index in job.run(index, size: Self.chunk) }
        for index in 0..<chunks { add(partial[index]) }
    }

    private struct Comparison: @unchecked Sendable {
        let original: UnsafeRawPointer
        let decoded: UnsafeRawPointer
        let count: Int
        let type: FloatType
        let partial: UnsafeMutablePointer<ErrorMeasures>

        func run(_ index: Int, size: Int) {
            let first = index * size
            let length = min(size, count - first)
            let offset = first * type.byteCount
            let (a, b) = (original + offset, decoded + offset)
            switch type {
            case .float16:
                partial[index] = compareHalf(
                    a.assumingMemoryBound(to: UInt16.self), b.assumingMemoryBound(to: UInt16.self), length)
            case .float32:
                partial[index] = compareFloat(
                    a.assumingMemoryBound(to: Float.self), b.assumingMemoryBound(to: Float.self), length)
            case .float64:
                partial[index] = compareDouble(
                    a.assumingMemoryBound(to: Double.self), b.assumingMemoryBound(to: Double.self), length)
            }
        }
    }
}

/// Elements converted to float32 at a time.
private let tile = 1024

private func compareHalf(
    _ a: UnsafePointer<UInt16>, _ b: UnsafePointer<UInt16>, _ count: Int
) -> ErrorMeasures {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * tile) { buffer in
        let (left, right) = (buffer.baseAddress!, buffer.baseAddress! + tile)
        var result = ErrorMeasures()
        var first = 0
        while first < count {
            let length = min(tile, count - first)
            widen(a + first, left, length)
            widen(b + first, right, length)
            result.add(compareFloat(left, right, length))
            first += length
        }
        return result
    }
}

private func widen(_ from: UnsafePointer<UInt16>, _ to: UnsafeMutablePointer<Float>, _ count: Int) {
    for index in 0..<count {
        let half = UInt32(truncatingIfNeeded: from[index])
        let shifted = (half & 0x7fff) &<< 13
        // Scaling by 2^112 moves the exponent and makes subnormals normal; infinities and NaNs are set apart.
        let scaled = (Float(bitPattern: shifted) * Float(bitPattern: 0x7780_0000)).bitPattern
        let special: UInt32 = shifted >= 0x0f80_0000 ? 0x7f80_0000 : 0
        to[index] = Float(bitPattern: scaled | special | ((half & 0x8000) &<< 16))
    }
}

/// Four independent sums of each kind, so that the additions overlap.
private func compareFloat(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> ErrorMeasures {
    var energy = (0.0, 0.0, 0.0, 0.0)
    var error = (0.0, 0.0, 0.0, 0.0)
    var largest = (0.0, 0.0, 0.0, 0.0)
    let blocks = count & ~3
    var index = 0
    while index < blocks {
        accumulate(a[index], b[index], &energy.0, &error.0, &largest.0)
        accumulate(a[index &+ 1], b[index &+ 1], &energy.1, &error.1, &largest.1)
        accumulate(a[index &+ 2], b[index &+ 2], &energy.2, &error.2, &largest.2)
        accumulate(a[index &+ 3], b[index &+ 3], &energy.3, &error.3, &largest.3)
        index &+= 4
    }
    while index < count {
        accumulate(a[index], b[index], &energy.0, &error.0, &largest.0)
        index &+= 1
    }
    var result = ErrorMeasures()
    result.count = count
    result.energy = (energy.0 + energy.1) + (energy.2 + energy.3)
    result.squaredError = (error.0 + error.1) + (error.2 + error.3)
    result.maxError = max(max(largest.0, largest.1), max(largest.2, largest.3))
    return result
}

@inline(__always)
private func accumulate(
    _ original: Float, _ decoded: Float, _ energy: inout Double, _ error: inout Double, _ largest: inout Double
) {
    let value = Double(original)
    // Equal infinities differ by nothing.
    let difference = original == decoded ? 0 : abs(value - Double(decoded))
    energy += value * value
    error += difference * difference
    largest = difference > largest ? difference : largest
}

private func compareDouble(
    _ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ count: Int
) -> ErrorMeasures {
    var result = ErrorMeasures()
    result.count = count
    for index in 0..<count {
        let difference = a[index] == b[index] ? 0 : abs(a[index] - b[index])
        result.energy += a[index] * a[index]
        result.squaredError += difference * difference
        result.maxError = max(result.maxError, difference)
    }
    return result
}
