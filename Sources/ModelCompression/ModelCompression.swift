import CoreMLPackage
import JSONText
import TensorCompression

/// Does to the weights of a package what `options` say, and writes the result.
///
/// - Parameters:
///   - package: only read; the output may be the same package.
///   - path: ends in `.mlpackage`; an existing package there is replaced in one step.
///   - options: see `CompressionOptions`.
///   - progress: called on the calling thread about every 50 ms; false cancels the run.
///   - cancellation: raised from any thread to end the run.
///   - custom: finds the palettes of weights whose mode is `.custom`; called on the calling thread.
/// - Returns: what was done with every weight.
/// - Throws: `CompressionError` (options, strictness, cancellation), `PackageError` (input and output), or what
///   `custom` threw. Nothing is left at `path` then that was not there before.
public func compressWeights(
    of package: ModelPackage, to path: String, options: CompressionOptions,
    progress: ((CompressionProgress) -> Bool)? = nil, cancellation: Cancellation = Cancellation(),
    custom: CustomPaletteFunction? = nil
) throws -> CompressionReport {
    if options.usesCustomFunctions, custom == nil {
        throw OptionError.make("lut_function", found: "nothing", allowed: "a function (a mode is custom)")
    }
    return try CompressionRun(package, output: path, options: options, cancellation: cancellation)
        .run(progress: progress, custom: custom)
}

/// The run that `optionsJSON` describes, from package to package: the door for callers that speak JSON.
///
/// - Parameters:
///   - optionsJSON: see `CompressionOptions`.
///   - progress: weights done and in all, and the name of the last one; false cancels the run.
///   - customLUT: see `compressWeights`.
/// - Returns: a `CompressionReport` in JSON.
public func runCompression(
    input: String, output: String, optionsJSON: [UInt8],
    progress: ((_ done: Int, _ total: Int, _ name: String) -> Bool)? = nil, customLUT: CustomPaletteFunction? = nil
) throws -> [UInt8] {
    let options = try CompressionOptions(json: optionsJSON)
    let report = try compressWeights(
        of: try ModelPackage(path: input), to: output, options: options,
        progress: progress.map { progress in { progress($0.weightsDone, $0.weightsTotal, $0.name) } },
        custom: customLUT)
    return try encodeJSON(report)
}

/// JSON with sorted keys.
/// - Parameter pretty: indented, one field a line.
public func encodeJSON(_ value: some Encodable, pretty: Bool = false) throws -> [UInt8] {
    try JSONWriter.write(value, pretty: pretty)
}
