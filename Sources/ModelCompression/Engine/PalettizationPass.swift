import CoreMLPackage
import TensorCompression

/// A lookup table of the caller's making, for `PalettizationMode.custom`.
public struct CustomPalette: Sendable {
    /// The entries, in the weight's type, little endian: 1 to 256 entries of `clusterDim` elements.
    public var lut: [UInt8]
    /// One code per element (or vector) of the group, in C order.
    public var indices: [UInt8]

    public init(lut: [UInt8], indices: [UInt8]) {
        self.lut = lut
        self.indices = indices
    }
}

/// Finds the palette of one group of channels. Called on the thread that started the run, one group at a time.
///
/// - function: `PalettizerConfig.lutFunction`.
/// - values: the group's elements in C order, in the weight's type.
/// - shape: the group's shape, channel axis first, as coremltools hands it to a `lut_function`.
public typealias CustomPaletteFunction = (
    _ function: Int, _ values: UnsafeRawBufferPointer, _ type: FloatType, _ shape: [Int]
) throws -> CustomPalette

/// What the passes share during a run.
struct EncodingContext: Sendable {
    let pool: WorkPool
    let seed: UInt64
    /// Serves custom functions on the calling thread.
    let custom: CustomPaletteCaller?
}

extension PalettizationScheme {
    /// Compresses one weight.
    /// - Throws: `.declined` when this weight does not suit the scheme; the weight itself is only read.
    func encode(_ tensor: TensorView, context: EncodingContext) throws -> EncodedWeight {
        var options = PalettizationOptions(
            mode: mode, nbits: nbits, granularity: groupSize.map { .perGroupedChannel(groupSize: $0) } ?? .perTensor,
            channelAxis: channelAxis, clusterDim: clusterDim, perChannelScale: scaleOption, seed: context.seed)
        if mode == .custom { return try encodeCustom(tensor, options: options, context: context) }
        if mode == .custom { return try encodeCustom(tensor, options: options, context: context) }
        var layout = try paletteLayout(tensor, options, pool: context.pool)
        if form == .iOS16, layout.nbits == 3 {
            // This form has no 3 bit codes; only `unique` gets here, where more bits hold the same values.
            options.nbits = 4
            layout = try paletteLayout(tensor, options, pool: context.pool)
        }
        let parts = PaletteParts(layout, tensor.type)
        try palettize(
            tensor, options, layout, pool: context.pool, lut: parts.lut, indices: parts.indices, scale: parts.scale)
        return try finish(parts, tensor, pool: context.pool)
    }

    private var scaleOption: PerChannelScale {
        switch perChannelScale {
        case nil: .none
        case .outputChannel: .outputChannel
        case .reference: .reference
        }
    }

    /// Measures the error and puts the parts in the form of the opset.
    func finish(_ parts: PaletteParts, _ tensor: TensorView, pool: WorkPool) throws -> EncodedWeight {
        let layout = parts.layout
        let error = try paletteError(
            tensor, layout, lut: UnsafeRawPointer(parts.lut), indices: UnsafePointer(parts.indices),
            scale: parts.scale.map { UnsafeRawPointer($0) }, pool: pool)
        let codes = try packed(parts, pool: pool)
        return EncodedWeight(
            operations: operations(parts, codes: codes), scheme: text(nbits: layout.nbits), nbits: layout.nbits,
            measures: mode == .unique && perChannelScale == nil ? .exact : ErrorMeasures(error))
    }

    private func packed(_ parts: PaletteParts, pool: WorkPool) throws -> [UInt8] {
        let (bits, count) = (parts.layout.nbits, parts.layout.indicesCount)
        var bytes = [UInt8](repeating: 0, count: (count * bits + 7) / 8)
        try bytes.withUnsafeMutableBufferPointer { buffer in
            try packBits(UnsafePointer(parts.indices), count: count, nbits: bits, into: buffer.baseAddress!, pool: pool)
        }
        return bytes
    }

    /// E.g. `kmeans per_grouped_channel(16, axis 0) 4 bit`.
    func text(nbits: Int) -> String {
        var parts = [mode.rawValue]
        parts.append(groupSize.map { "per_grouped_channel(\($0), axis \(channelAxis))" } ?? "per_tensor")
        if clusterDim > 1 { parts.append("vectors of \(clusterDim) (axis \(channelAxis))") }
        switch perChannelScale {
        case nil: break
        case .outputChannel: parts.append("per-channel scale (axis \(channelAxis))")
        case .reference: parts.append("per-channel scale (over axis \(channelAxis), as coremltools 9.0)")
        }
        parts.append("\(nbits) bit")
        return parts.joined(separator: " ")
    }
}

/// Memory for the parts of one palettized weight.
final class PaletteParts {
    /// A custom palette is laid out anew once its bits are known; the memory has room for 8.
    fileprivate(set) var layout: PaletteLayout
    let type: FloatType
    let lut: UnsafeMutableRawPointer
    let indices: UnsafeMutablePointer<UInt8>
    let scale: UnsafeMutableRawPointer?

    init(_ layout: PaletteLayout, _ type: FloatType) {
        self.layout = layout
        self.type = type
        let lutBytes = layout.lutElementCount * type.byteCount
        lut = .allocate(byteCount: max(lutBytes, 1), alignment: 64)
        lut.initializeMemory(as: UInt8.self, repeating: 0, count: lutBytes)
        indices = .allocate(capacity: max(layout.indicesCount, 1))
        scale = layout.scaleShape.map { shape in
            .allocate(byteCount: max(shape.reduce(type.byteCount, *), 1), alignment: 64)
        }
    }

    deinit {
        lut.deallocate()
        indices.deallocate()
        scale?.deallocate()
    }

    func bytes(_ start: UnsafeMutableRawPointer, elements: Int) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: start, count: elements * type.byteCount))
    }
}

// MARK: - Custom palettes

extension PalettizationScheme {
    private func encodeCustom(
        _ tensor: TensorView, options: PalettizationOptions, context: EncodingContext
    ) throws -> EncodedWeight {
        guard let caller = context.custom, let function = lutFunction else {
            throw OptionError.make("lut_function", found: "nothing", allowed: "a function (mode is custom)")
        }
        let room = try paletteLayout(tensor, options, pool: context.pool)
        let parts = PaletteParts(room, tensor.type)
        let unit = clusterDim
        parts.layout = try palettize(
            tensor, options, room, pool: context.pool,
            customLUT: { (_, values, shape, lut, indices) throws(CompressionError) in
                let count = shape.reduce(1, *)
                let bytes = UnsafeRawBufferPointer(start: values, count: count * tensor.type.byteCount)
                let palette = try caller.call(function, bytes, tensor.type, shape)
                return try palette.copy(
                    lut: lut, entryBytes: unit * tensor.type.byteCount, indices: indices, count: count / unit)
            }, lut: parts.lut, indices: parts.indices, scale: parts.scale)
        if form == .iOS16, parts.layout.nbits == 3 {
            // This form has no 3 bit codes: the one table gets eight more entries, which no code uses.
            var wider = options
            wider.nbits = 4
            let used = parts.layout.lutElementCount * tensor.type.byteCount
            parts.layout = try paletteLayout(tensor, wider, pool: context.pool)
            (parts.lut + used).initializeMemory(as: UInt8.self, repeating: 0, count: used)
        }
        return try finish(parts, tensor, pool: context.pool)
    }
}

extension CustomPalette {
    /// Checks the palette of one group and copies it.
    /// - Returns: the number of entries.
    fileprivate func copy(
        lut target: UnsafeMutableRawPointer, entryBytes: Int, indices codes: UnsafeMutablePointer<UInt8>, count: Int
    ) throws(CompressionError) -> Int {
        let entries = lut.count / entryBytes
        guard lut.count % entryBytes == 0, entries >= 1, entries <= 256 else {
            throw OptionError.make(
                "lut_function", found: "a lookup table of \(lut.count) bytes",
                allowed: "1 to 256 entries of \(entryBytes) bytes")
        }
        guard indices.count == count else {
            throw OptionError.make("lut_function", found: "\(indices.count) indices", allowed: "\(count)")
        }
        lut.withUnsafeBytes { target.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        indices.withUnsafeBufferPointer { codes.update(from: $0.baseAddress!, count: count) }
        return entries
    }
}
