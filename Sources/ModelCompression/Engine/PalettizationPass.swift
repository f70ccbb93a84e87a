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
    /// Lookup tables of integers are cut off toward zero, as coremltools does, instead of rounded.
    let cutsIntegerTables: Bool
    /// Serves custom functions on the calling thread.
    let custom: CustomPaletteCaller?
}

extension PalettizationScheme {
    /// Compresses one weight.
    /// - Throws: `.declined` when this weight does not suit the scheme; the weight itself is only read.
    func encode(_ tensor: TensorView, context: EncodingContext) throws -> EncodedWeight {
        var options = options(seed: context.seed)
        if mode == .custom { return try encodeCustom(tensor, options: options, context: context) }
        return try finish(try palettized(tensor, options: &options, pool: context.pool), tensor, pool: context.pool)
    }

    func options(seed: UInt64) -> PalettizationOptions {
        PalettizationOptions(
            mode: mode, nbits: nbits, granularity: groupSize.map { .perGroupedChannel(groupSize: $0) } ?? .perTensor,
            channelAxis: channelAxis, clusterDim: clusterDim, perChannelScale: scaleOption, seed: seed)
    }

    /// The palette of a tensor by a mode of ours.
    func palettized(
        _ tensor: TensorView, options: inout PalettizationOptions, pool: WorkPool
    ) throws(CompressionError) -> PaletteParts {
        var layout = try paletteLayout(tensor, options, pool: pool)
        if form == .iOS16, layout.nbits == 3 {
            // This form has no 3 bit codes; only `unique` gets here, where more bits hold the same values.
            options.nbits = 4
            layout = try paletteLayout(tensor, options, pool: pool)
        }
        let parts = try PaletteParts(layout, tensor.type, pool: pool)
        try palettize(
            tensor, options, layout, pool: pool, lut: parts.lut, indices: parts.indices, scale: parts.scale)
        return parts
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
        let indices = try parts.indicesArray(pool: pool)
        var encoded = EncodedWeight(
            action: .palettized, operations: try operations(parts, indices: indices),
            scheme: text(nbits: layout.nbits), nbits: layout.nbits,
            measures: mode == .unique && perChannelScale == nil ? .exact : ErrorMeasures(error))
        encoded.isScaledInside = perChannelScale == .outputChannel && !scalesOutput
        if let scale = parts.scaleArray, scalesOutput {
            encoded.outputScaled = OutputScaledWeight(
                operations: [lookUp(parts, indices, .array(parts.lutArray), parts.lutArray.type)],
                scale: scale.reinterpreted(as: scale.type, shape: [scale.count]))
        }
        return encoded
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
    private let lutMemory: TensorMemory
    private let indicesMemory: TensorMemory
    private let scaleMemory: TensorMemory?

    init(_ layout: PaletteLayout, _ type: FloatType, pool: WorkPool) throws(CompressionError) {
        self.layout = layout
        self.type = type
        lutMemory = try TensorMemory(byteCount: layout.lutElementCount * type.byteCount)
        lutMemory.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        indicesMemory = try TensorMemory(byteCount: layout.indicesCount, pool: pool)
        scaleMemory = try layout.scaleShape.map { shape throws(CompressionError) in
            try TensorMemory(byteCount: shape.reduce(type.byteCount, *), pool: pool)
        }
    }

    var lut: UnsafeMutableRawPointer { UnsafeMutableRawPointer(lutMemory.start(as: UInt8.self)) }
    /// One code in each byte.
    var indices: UnsafeMutablePointer<UInt8> { indicesMemory.start(as: UInt8.self) }
    var scale: UnsafeMutableRawPointer? { scaleMemory.map { UnsafeMutableRawPointer($0.start(as: UInt8.self)) } }

    var lutArray: EncodedArray {
        EncodedArray(
            type: type.milType, shape: layout.lutShape,
            memory: lutMemory.prefix(
                layout.lutElementCount * type.byteCount))
    }

    var scaleArray: EncodedArray? {
        scaleMemory.map { EncodedArray(type: type.milType, shape: layout.scaleShape ?? [], memory: $0) }
    }

    func indicesArray(pool: WorkPool) throws(CompressionError) -> EncodedArray {
        try EncodedArray(
            codes: StoredTensor(type: .uint8, shape: layout.indicesShape, memory: indicesMemory),
            type: .unsigned(bits: layout.nbits), shape: layout.indicesShape, pool: pool)
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
        let parts = try PaletteParts(room, tensor.type, pool: context.pool)
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
