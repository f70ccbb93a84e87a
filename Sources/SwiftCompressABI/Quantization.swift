// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import TensorCompression

@c @implementation
public func swc_quantize_layout_find(
    _ weight: UnsafePointer<swc_tensor>, _ options: UnsafePointer<swc_quantize_options>,
    _ layout: UnsafeMutablePointer<swc_quantize_layout>, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let (_, _, sizes) = try request(weight, options)
        for (axis, size) in sizes.scaleShape.enumerated() { layout.pointee.scale_shape[axis] = Int64(size) }
        layout.pointee.has_zero_point = sizes.hasZeroPoint ? 1 : 0
    }
}

@c @implementation
public func swc_quantize(
    _ weight: UnsafePointer<swc_tensor>, _ options: UnsafePointer<swc_quantize_options>,
    _ run: UnsafePointer<swc_run>, _ data: UnsafeMutablePointer<UInt8>, _ scale: UnsafeMutableRawPointer,
    _ zeroPoint: UnsafeMutablePointer<UInt8>?, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let (tensor, settings, layout) = try request(weight, options)
        try run.pointee.perform(elements: layout.count) { pool in
            try quantize(tensor, settings, layout, pool: pool, data: data, scale: scale, zeroPoint: zeroPoint)
        }
    }
}

@c @implementation
public func swc_round_to_codes(
    _ weight: UnsafePointer<swc_tensor>, _ options: UnsafePointer<swc_quantize_options>,
    _ run: UnsafePointer<swc_run>, _ dense: UnsafeMutableRawPointer, _ scale: UnsafeMutableRawPointer,
    _ zeroPoint: UnsafeMutablePointer<UInt8>?, _ errors: UnsafeMutablePointer<Double>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let (tensor, settings, layout) = try request(weight, options)
        try run.pointee.perform(elements: layout.count) { pool in
            let found = try roundToCodes(
                tensor, settings, layout, pool: pool, dense: dense, scale: scale, zeroPoint: zeroPoint)
            (errors[0], errors[1], errors[2]) = (found.squaredError, found.sumOfSquares, found.maxError)
        }
    }
}

@c @implementation
public func swc_dequantize(
    _ data: UnsafePointer<UInt8>, _ isSigned: Int32, _ shape: UnsafePointer<Int64>?,
    _ scale: UnsafePointer<swc_tensor>, _ zeroPoint: UnsafePointer<UInt8>?, _ run: UnsafePointer<swc_run>,
    _ output: UnsafeMutableRawPointer, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let factors = try TensorView(scale.pointee, "decompress")
        let dense = sizes(shape, scale.pointee.rank)
        try run.pointee.perform(elements: dense.reduce(1, *)) { pool in
            try dequantize(
                codes: .bytes(data), type: isSigned == 0 ? .uint8 : .int8, shape: dense,
                scale: DecodingScale(elements: factors.base, shape: factors.shape), floatType: factors.type,
                zeroPoint: zeroPoint, into: output, pool: pool)
        }
    }
}

/// What all functions that quantize are asked for, checked.
private func request(
    _ weight: UnsafePointer<swc_tensor>, _ options: UnsafePointer<swc_quantize_options>
) throws -> (TensorView, QuantizationOptions, QuantizationLayout) {
    let tensor = try TensorView(weight.pointee, "quantize")
    let settings = try QuantizationOptions(options.pointee, tensor)
    return (tensor, settings, try quantizationLayout(tensor, settings))
}

extension QuantizationOptions {
    fileprivate init(_ options: swc_quantize_options, _ tensor: TensorView) throws {
        let modes: [QuantizationMode] = [.linear, .linearSymmetric]
        guard modes.indices.contains(Int(options.mode)) else {
            throw invalid("[quantize] mode: found \(options.mode), allowed 0, 1")
        }
        guard let type = IntegerType(bits: Int(options.nbits), isSigned: options.is_signed != 0) else {
            throw invalid("[quantize] nbits: found \(options.nbits), allowed 2, 3, 4, 6, 8")
        }
        self.init(
            mode: modes[Int(options.mode)], type: type,
            blockSizes: sizes(options.block_sizes, Int32(tensor.shape.count)),
            referenceArithmetic: options.reference_arithmetic != 0)
    }
}
