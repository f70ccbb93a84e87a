import TensorCompression

/// Calls the caller's palette function on the calling thread, one group at a time, and keeps its error.
final class CustomPaletteCaller: @unchecked Sendable {
    private let loop: ForegroundLoop
    private let function: CustomPaletteFunction
    private let monitor = Monitor()
    private var stored: (any Error)?

    init(loop: ForegroundLoop, function: @escaping CustomPaletteFunction) {
        self.loop = loop
        self.function = function
    }

    /// The first error that the function threw; it ends the run.
    var failure: (any Error)? { monitor.locked { stored } }

    func call(
        _ number: Int, _ values: UnsafeRawBufferPointer, _ type: FloatType, _ shape: [Int]
    ) throws(CompressionError) -> CustomPalette {
        do {
            return try loop.onCallingThread { [function] in try function(number, values, type, shape) }
        } catch {
            monitor.locked { if stored == nil { stored = error } }
            throw CompressionError(kind: .invalidArgument, message: "[palettize] lut_function failed: \(error)")
        }
    }
}
