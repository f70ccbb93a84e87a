/// How the palette of a group is found.
public enum PalettizationMode: String, Codable, Sendable {
    /// The least sum of squared errors: exact for scalars, k-means++ and Lloyd for vectors.
    case kmeans
    /// 2^nbits values at equal distances from the least to the greatest element.
    case uniform
    /// The distinct values themselves; lossless, or declined when there are more than 2^8.
    case unique
    /// Whatever the caller's function returns.
    case custom
}

/// Which elements share one lookup table.
public enum PaletteGranularity: Sendable, Equatable {
    case perTensor
    /// `groupSize` neighbouring channels along the channel axis.
    case perGroupedChannel(groupSize: Int)
}

/// Division of the tensor by a scale before it is palettized.
public enum PerChannelScale: Sendable, Equatable {
    case none
    /// One scale for each index of the channel axis: the greatest |w| of that channel, 1 where it is zero.
    case outputChannel
    /// The greatest |w| *over* the channel axis, one for every position of the other axes. This is what coremltools 9.0
    /// computes; it is there for bit-equality only.
    case reference
}

/// What to do with a tensor.
public struct PalettizationOptions: Sendable, Equatable {
    public var mode: PalettizationMode
    /// Bits of a code: 1, 2, 3, 4, 6 or 8. `nil` with `.unique` picks the fewest that do; with `.custom`, the fewest that
    /// hold the entries the function returned. With `.unique` a number is a minimum.
    public var nbits: Int?
    public var granularity: PaletteGranularity
    /// -rank to rank - 1. Matters for groups, vectors and scales.
    public var channelAxis: Int
    /// Length of one palette entry: that many neighbouring channels form a vector. 1: scalars.
    public var clusterDim: Int
    public var perChannelScale: PerChannelScale
    /// For vector k-means; the same seed gives the same result on any number of threads.
    public var seed: UInt64
    /// Of scalar splits that cost the same but for rounding, take any. Otherwise the reference's, which takes many times
    /// longer where importances differ much.
    public var anyOptimum: Bool
    /// Runs of vector k-means, of which the best counts; at least 1.
    public var starts: Int

    public init(
        mode: PalettizationMode = .kmeans, nbits: Int? = nil, granularity: PaletteGranularity = .perTensor,
        channelAxis: Int = 0, clusterDim: Int = 1, perChannelScale: PerChannelScale = .none, seed: UInt64 = 0,
        anyOptimum: Bool = false, starts: Int = 1
    ) {
        self.mode = mode
        self.nbits = nbits
        self.granularity = granularity
        self.channelAxis = channelAxis
        self.clusterDim = clusterDim
        self.perChannelScale = perChannelScale
        self.seed = seed
        self.anyOptimum = anyOptimum
        self.starts = starts
    }
}

/// The importance of each element in k-means: as many values as the tensor has elements, in its order; finite and not
/// negative. Values whose importance adds up to zero do not pull on the palette; they get the nearest entry. Where every
/// importance of a group is zero, all count alike.
public enum Importance: @unchecked Sendable {
    case float32(UnsafePointer<Float>)
    case float64(UnsafePointer<Double>)
}

/// The sizes of a palettized tensor, in the form of the iOS18 operation `constexpr_lut_to_dense`.
public struct PaletteLayout: Sendable, Equatable {
    /// Bits of a code: 1, 2, 3, 4, 6 or 8.
    public let nbits: Int
    /// Lookup tables.
    public let groups: Int
    /// Length of one entry.
    public let clusterDim: Int
    /// The channel axis, 0 to rank - 1.
    public let channelAxis: Int
    /// The tensor's shape.
    public let shape: [Int]
    public let perChannelScale: PerChannelScale

    /// Entries of one lookup table: 2^nbits. Those not needed are zero.
    public var entries: Int { 1 << nbits }
    /// The tensor's rank + 2: 1 everywhere but `groups` at the channel axis, then `entries`, then `clusterDim`.
    public var lutShape: [Int] {
        var result = shape.map { _ in 1 }
        if !result.isEmpty { result[channelAxis] = groups }
        return result + [entries, clusterDim]
    }
    /// The tensor's shape, the channel axis divided by `clusterDim`.
    public var indicesShape: [Int] {
        var result = shape
        if clusterDim > 1 { result[channelAxis] /= clusterDim }
        return result
    }
    /// The shape of the scale; nil without one.
    public var scaleShape: [Int]? {
        switch perChannelScale {
        case .none: nil
        case .outputChannel: shape.indices.map { $0 == channelAxis ? shape[$0] : 1 }
        case .reference: shape.indices.map { $0 == channelAxis ? 1 : shape[$0] }
        }
    }
    /// The axis that vectors lie along; nil for scalars.
    public var vectorAxis: Int? { clusterDim > 1 ? channelAxis : nil }
    public var lutElementCount: Int { groups * entries * clusterDim }
    public var indicesCount: Int { shape.reduce(1, *) / clusterDim }
    public var scaleElementCount: Int { scaleShape?.reduce(1, *) ?? 0 }
}

/// Finds the palette of one group, for `PalettizationMode.custom`. It runs on the calling thread, group after group.
///
/// - group: number of the group.
/// - values: its elements in the tensor's type, in C order of `shape`.
/// - shape: the group's shape with the channel axis swapped to the front, as the reference hands it to a `lut_function`.
/// - lut: place for up to 256 entries of `clusterDim` elements of the tensor's type, zeroed.
/// - indices: place for one code for each element or vector, in C order of `shape` (first axis divided by `clusterDim`).
/// - returns: the number of entries written, 1 to 256, the same for every group.
public typealias CustomLookupTable = (
    _ group: Int, _ values: UnsafeRawPointer, _ shape: [Int], _ lut: UnsafeMutableRawPointer,
    _ indices: UnsafeMutablePointer<UInt8>
) throws(CompressionError) -> Int
