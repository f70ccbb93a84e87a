// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import TensorCompression

@c @implementation
public func swc_palette_layout_find(
    _ weight: UnsafePointer<swc_tensor>, _ options: UnsafePointer<swc_palettize_options>,
    _ mask: UnsafePointer<UInt8>?, _ run: UnsafePointer<swc_run>, _ layout: UnsafeMutablePointer<swc_palette_layout>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let tensor = try TensorView(weight.pointee, "palettize")
        let options = try PalettizationOptions(options.pointee)
        try run.pointee.perform(elements: tensor.elementCount) { pool in
            layout.pointee.fill(try paletteLayout(tensor, options, mask: mask, pool: pool))
        }
    }
}

@c @implementation
public func swc_palettize(
    _ weight: UnsafePointer<swc_tensor>, _ options: UnsafePointer<swc_palettize_options>,
    _ importance: UnsafeRawPointer?, _ importanceType: Int32, _ mask: UnsafePointer<UInt8>?,
    _ run: UnsafePointer<swc_run>, _ layout: UnsafeMutablePointer<swc_palette_layout>, _ lut: UnsafeMutableRawPointer,
    _ indices: UnsafeMutablePointer<UInt8>, _ scale: UnsafeMutableRawPointer?,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let tensor = try TensorView(weight.pointee, "palettize")
        let settings = try PalettizationOptions(options.pointee)
        let counts = try importance.map { try Importance($0, importanceType) }
        let table = options.pointee.lut_function.map {
            customLUT($0, options.pointee.lut_context, tensor.type, settings.clusterDim)
        }
        // A lookup table function runs on this thread, and decides for itself when to stop.
        try run.pointee.perform(elements: table == nil ? tensor.elementCount : 0) { pool in
            let sizes = try knownLayout(tensor, settings, nbits: Int(layout.pointee.nbits), pool)
            layout.pointee.fill(
                try palettize(
                    tensor, settings, sizes, importance: counts, mask: mask, pool: pool, customLUT: table, lut: lut,
                    indices: indices, scale: scale))
        }
    }
}

@c @implementation
public func swc_unpalettize(
    _ parts: UnsafePointer<swc_palettized>, _ run: UnsafePointer<swc_run>, _ output: UnsafeMutableRawPointer,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let parts = parts.pointee
        let lut = try TensorView(parts.lut, "decompress")
        let shape = sizes(parts.indices_shape, parts.indices_rank)
        let scale = try parts.scale.map { try TensorView($0.pointee, "decompress") }
        guard scale == nil || scale?.type == lut.type else {
            throw invalid("[decompress] per_channel_scale: allowed the type of lut, \(lut.type.name)")
        }
        try run.pointee.perform(elements: shape.reduce(lut.shape.last ?? 1, *)) { pool in
            try decodePalette(
                lut: lut.base, lutShape: lut.shape, type: lut.type, codes: .bytes(parts.indices), indicesShape: shape,
                vectorAxis: parts.vector_axis < 0 ? nil : Int(parts.vector_axis),
                scale: scale.map { DecodingScale(elements: $0.base, shape: $0.shape) },
                kept: parts.mask.flatMap { mask in parts.kept.map { KeptElements(mask: mask, elements: $0) } },
                into: output, pool: pool)
        }
    }
}

// MARK: - Arguments

func invalid(_ message: String) -> CompressionError { CompressionError(kind: .invalidArgument, message: message) }

func sizes(_ shape: UnsafePointer<Int64>?, _ rank: Int32) -> [Int] {
    UnsafeBufferPointer(start: shape, count: shape == nil ? 0 : Int(rank)).map { Int($0) }
}

extension TensorView {
    init(_ tensor: swc_tensor, _ operation: String) throws {
        guard let code = UInt8(exactly: tensor.type), let type = FloatType(rawValue: code) else {
            throw invalid("[\(operation)] type: found \(tensor.type), allowed 0, 1, 2")
        }
        self.init(base: tensor.data, type: type, shape: sizes(tensor.shape, tensor.rank))
    }
}

extension Importance {
    fileprivate init(_ values: UnsafeRawPointer, _ type: Int32) throws {
        switch Int(type) {
        case SWC_FLOAT32: self = .float32(values.assumingMemoryBound(to: Float.self))
        case SWC_FLOAT64: self = .float64(values.assumingMemoryBound(to: Double.self))
        default: throw invalid("[palettize] importance type: found \(type), allowed 1, 2")
        }
    }
}

extension PalettizationOptions {
    fileprivate init(_ options: swc_palettize_options) throws {
        let modes: [PalettizationMode] = [.kmeans, .uniform, .unique, .custom]
        let scales: [PerChannelScale] = [.none, .outputChannel, .reference]
        guard modes.indices.contains(Int(options.mode)) else {
            throw invalid("[palettize] mode: found \(options.mode), allowed 0 to 3")
        }
        guard scales.indices.contains(Int(options.per_channel_scale)) else {
            throw invalid("[palettize] per_channel_scale: found \(options.per_channel_scale), allowed 0, 1, 2")
        }
        let groupSize = Int(options.group_size)
        self.init(
            mode: modes[Int(options.mode)], nbits: options.nbits == 0 ? nil : Int(options.nbits),
            granularity: groupSize == 0 ? .perTensor : .perGroupedChannel(groupSize: groupSize),
            channelAxis: Int(options.channel_axis), clusterDim: Int(options.cluster_dim),
            perChannelScale: scales[Int(options.per_channel_scale)], seed: options.seed,
            anyOptimum: options.any_optimum != 0, starts: max(1, Int(options.starts)))
    }
}

extension swc_palette_layout {
    fileprivate mutating func fill(_ layout: PaletteLayout) {
        nbits = Int32(layout.nbits)
        vector_axis = Int32(layout.vectorAxis ?? -1)
        groups = Int64(layout.groups)
        for (axis, size) in layout.lutShape.enumerated() { lut_shape[axis] = Int64(size) }
        for (axis, size) in layout.indicesShape.enumerated() { indices_shape[axis] = Int64(size) }
        for (axis, size) in (layout.scaleShape ?? []).enumerated() { scale_shape[axis] = Int64(size) }
    }
}

/// The layout that `swc_palette_layout_find` found, without counting distinct values again: with the bits known, modes
/// do not differ.
private func knownLayout(
    _ tensor: TensorView, _ options: PalettizationOptions, nbits: Int, _ pool: WorkPool
) throws -> PaletteLayout {
    var known = options
    known.mode = .kmeans
    known.nbits = nbits
    return try paletteLayout(tensor, known, pool: pool)
}

// MARK: - Lookup tables of the caller's

private func customLUT(
    _ function: swc_lut_function, _ context: UnsafeMutableRawPointer?, _ type: FloatType, _ clusterDim: Int
) -> CustomLookupTable {
    { (group, values, shape, lut, indices) throws(CompressionError) in
        let codes = shape.reduce(1, *) / clusterDim
        let entryBytes = clusterDim * type.byteCount
        do {
            return try withLUTAnswer(function, context, group, values, type, shape) { table, found in
                guard table.count % entryBytes == 0, (1...256).contains(table.count / entryBytes) else {
                    throw invalid("[palettize] lut_function: found \(table.count) bytes, allowed 1 to 256 entries")
                }
                guard found.count == codes else {
                    throw invalid("[palettize] lut_function: found \(found.count) indices, allowed \(codes)")
                }
                if let base = table.baseAddress { lut.copyMemory(from: base, byteCount: table.count) }
                if let base = found.baseAddress { indices.update(from: base, count: codes) }
                return table.count / entryBytes
            }
        } catch let failure as CompressionError {
            throw failure
        } catch {
            throw CompressionError(kind: .cancelled, message: "[palettize] lut_function: stopped")
        }
    }
}
