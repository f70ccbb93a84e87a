// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import ModelCompression
import TensorCompression

@c @implementation
public func swc_compress(
    _ input: UnsafePointer<CChar>, _ output: UnsafePointer<CChar>, _ options: UnsafePointer<CChar>,
    _ optionsLength: Int, _ callbacks: UnsafePointer<swc_compress_callbacks>,
    _ report: UnsafeMutablePointer<swc_text>, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    report.pointee = swc_text()
    return status(error) {
        let ask = callbacks.pointee
        let json = Array(UnsafeRawBufferPointer(start: options, count: optionsLength))
        let bytes = try runCompression(
            input: String(cString: input), output: String(cString: output), optionsJSON: json,
            progress: ask.progress.map { progress in
                { done, total, name in progress(ask.context, Int64(done), Int64(total), name) == 0 }
            },
            customLUT: ask.lut_function.map { function in
                { number, values, type, shape in
                    try customPalette(function, ask.context, number, values, type, shape)
                }
            })
        report.pointee = swc_text(copying: bytes)
    }
}

@c @implementation
public func swc_report_html(
    _ report: UnsafePointer<CChar>, _ reportLength: Int, _ html: UnsafeMutablePointer<swc_text>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    html.pointee = swc_text()
    return status(error) {
        let json = Array(UnsafeRawBufferPointer(start: report, count: reportLength))
        html.pointee = swc_text(copying: try CompressionReport.html(json: json))
    }
}

private func customPalette(
    _ function: swc_lut_function, _ context: UnsafeMutableRawPointer?, _ number: Int, _ values: UnsafeRawBufferPointer,
    _ type: FloatType, _ shape: [Int]
) throws -> CustomPalette {
    try withLUTAnswer(function, context, number, values.baseAddress, type, shape) { lut, indices in
        CustomPalette(lut: Array(lut), indices: Array(indices))
    }
}

/// Calls a lookup table function and hands its answer on while it is valid.
func withLUTAnswer<Result>(
    _ function: swc_lut_function, _ context: UnsafeMutableRawPointer?, _ number: Int, _ values: UnsafeRawPointer?,
    _ type: FloatType, _ shape: [Int],
    _ use: (_ lut: UnsafeRawBufferPointer, _ indices: UnsafeBufferPointer<UInt8>) throws -> Result
) throws -> Result {
    try shape.map { Int64($0) }.withUnsafeBufferPointer { sizes in
        // An empty group has no address of its own; nothing is read from this one.
        let base = values ?? UnsafeRawPointer(bitPattern: 64).unsafelyUnwrapped
        var tensor = swc_tensor(
            data: base, type: Int32(type.rawValue), rank: Int32(shape.count), shape: sizes.baseAddress)
        var answer = swc_lut_answer()
        guard function(context, Int64(number), &tensor, &answer) == 0 else { throw CallerStopped() }
        return try use(
            UnsafeRawBufferPointer(start: answer.lut, count: answer.lut_bytes),
            UnsafeBufferPointer(start: answer.indices, count: answer.indices_count))
    }
}
