import CoreMLPackage
import TensorCompression

/// Compresses the weights of a package and writes the result.
///
/// Everything that can be refused is refused before any work: options, names, targets, the output's place. Weights are
/// compressed in waves that use all threads and hold a bounded number of bytes, and written in program order; the
/// package takes its place in one step at the end. After an error or a cancellation nothing is left behind.
final class CompressionRun {
    private let package: ModelPackage
    private let output: String
    private let options: CompressionOptions
    private let cancellation: Cancellation
    private var plan: CompressionPlan
    private let writer: PackageWriter
    private let loop = ForegroundLoop()
    private let started = monotonicSeconds()
    private let bytesBefore: Int
    private var records: [WeightRecord?]
    private var names: Set<String>

    /// Source bytes of a wave: enough for small weights to keep all threads busy, and never less than two weights.
    private static let waveBytes = 64 << 20

    init(
        _ package: ModelPackage, output: String, options: CompressionOptions, cancellation: Cancellation
    ) throws {
        try options.validate()
        self.package = package
        self.output = output
        self.options = options
        self.cancellation = cancellation
        plan = try CompressionPlan(package, options: options)
        names = plan.index.outputNames
        records = Array(repeating: nil, count: plan.index.weights.count)
        bytesBefore = try directorySize(package.path)
        writer = try PackageWriter(package, output: output)
    }

    func run(
        progress: ((CompressionProgress) -> Bool)?, custom: CustomPaletteFunction?
    ) throws -> CompressionReport {
        do {
            loop.start(weights: plan.jobs.count, bytes: plan.jobs.reduce(0) { $0 + $1.byteCount })
            let outcome = Outcome()
            let shared = Unshared(value: self)
            let caller = custom.map { CustomPaletteCaller(loop: loop, function: $0) }
            try loop.run(
                { outcome.failure = shared.value.compressAll(custom: caller) }, progress: progress,
                cancel: { cancellation.cancel() })
            if let failure = outcome.failure { throw failure }
            if cancellation.isCancelled { throw Self.cancelled }
            try raiseTarget()
            try writer.finish()
        } catch {
            writer.abandon()
            throw error
        }
        return report()
    }

    static var cancelled: CompressionError { CompressionError(kind: .cancelled, message: "cancelled") }

    /// What the background thread leaves.
    private final class Outcome: @unchecked Sendable { var failure: (any Error)? }

    /// The run is used by the background thread alone while the calling thread waits.
    private struct Unshared: @unchecked Sendable { let value: CompressionRun }

    // MARK: - Compression

    private func compressAll(custom: CustomPaletteCaller?) -> (any Error)? {
        do {
            let pool = WorkPool(threads: options.numThreads, cancellation: cancellation)
            let context = EncodingContext(pool: pool, seed: options.seed, custom: custom)
            var first = 0
            while first < plan.jobs.count {
                let wave = nextWave(first)
                let results = compress(wave, context)
                if let error = Self.cause(results) { throw error }
                for (job, result) in zip(wave, results) {
                    if cancellation.isCancelled { throw Self.cancelled }
                    try finish(job, result)
                }
                first = wave.upperBound
            }
            return nil
        } catch {
            return custom?.failure ?? error
        }
    }

    /// The next jobs whose data adds up to about `waveBytes`, or to two of the largest weight.
    private func nextWave(_ first: Int) -> Range<Int> {
        let limit = max(Self.waveBytes, 2 * (plan.jobs.map(\.byteCount).max() ?? 0))
        var end = first
        var bytes = 0
        while end < plan.jobs.count, end == first || bytes + plan.jobs[end].byteCount <= limit {
            bytes += plan.jobs[end].byteCount
            end += 1
        }
        return first..<end
    }

    private typealias JobResult = Result<(EncodedWeight, seconds: Double), any Error>

    /// Runs the jobs of a wave, the largest first.
    private func compress(_ wave: Range<Int>, _ context: EncodingContext) -> [JobResult] {
        let order = wave.sorted { plan.jobs[$0].byteCount > plan.jobs[$1].byteCount }
        let results = ResultSlots<JobResult>(wave.count, empty: .failure(Self.cancelled))
        let (jobs, weights) = (plan.jobs, plan.index.weights)
        context.pool.forEach(order.count) { position in
            let job = jobs[order[position]]
            let weight = weights[job.weights[0]]
            let begin = monotonicSeconds()
            let result = JobResult {
                let encoded = try job.scheme.encode(try self.tensor(weight), context: context)
                return (encoded, monotonicSeconds() - begin)
            }
            if case .failure(let error) = result, !Self.isDeclined(error) { context.pool.cancellation.cancel() }
            results[order[position] - wave.lowerBound] = result
            self.loop.advance(name: weight.site.name, bytes: job.byteCount)
        }
        return results.values
    }

    private static func isDeclined(_ error: any Error) -> Bool { (error as? CompressionError)?.kind == .declined }

    /// What ended a wave early: the first error that is neither a declined weight nor the cancellation it caused.
    private static func cause(_ results: [JobResult]) -> (any Error)? {
        for case .failure(let error) in results where !isDeclined(error) {
            if (error as? CompressionError)?.kind != .cancelled { return error }
        }
        return nil
    }

    private func tensor(_ weight: ProgramIndex.Weight) throws -> TensorView {
        let bytes = try package.tensorBytes(of: weight.value)
        guard let base = bytes.baseAddress else {
            throw PackageError(.damaged, file: package.model.path, "found weight '\(weight.site.name)' without data")
        }
        return TensorView(
            base: base, type: weight.site.type == .float16 ? .float16 : .float32, shape: weight.site.shape)
    }

    // MARK: - Writing

    private func finish(_ number: Int, _ result: JobResult) throws {
        let job = plan.jobs[number]
        switch result {
        case .success(let (encoded, seconds)): try write(job, encoded, seconds: seconds)
        case .failure(let error as CompressionError) where error.kind == .declined:
            for weight in job.weights { plan.declines[weight] = .unplanned(error.plainMessage) }
            if options.strict { try plan.requireNoUnplannedDeclines() }
        case .failure(let error): throw error
        }
    }

    private func write(_ job: CompressionPlan.Job, _ encoded: EncodedWeight, seconds: Double) throws {
        let file = plan.index.weights[job.weights[0]].fileName ?? package.weightFiles.first?.name
        let values = try encoded.operations.map { operation in
            try operation.parameters.map { try value($0.value, file: file) }
        }
        for (position, weight) in job.weights.enumerated() {
            let source = plan.index.weights[weight]
            try writer.replace(
                operationAt: source.range, with: operations(encoded.operations, values, name: source.outputName))
            records[weight] = record(source, encoded, seconds: position == 0 ? seconds : 0)
        }
        let before = plan.index.weights[job.weights[0]].byteCount
        if encoded.byteCount > before {
            plan.warnings.append(
                "weight '\(plan.index.weights[job.weights[0]].site.name)' grew from \(before) to \(encoded.byteCount) "
                    + "bytes: its lookup tables are larger than what they save")
        }
    }

    /// Arrays below ten elements are written in place, as coremltools does.
    private func value(_ parameter: EncodedParameter, file: String?) throws -> NewValue? {
        switch parameter {
        case .int32(let value): return .int32(value)
        case .uint32s(let values): return .uint32s(values.map { UInt32(truncatingIfNeeded: $0) })
        case .output: return nil
        case .array(let array):
            return try array.bytes.withUnsafeBytes { bytes in
                guard array.count >= Selector.smallestCount, let file else {
                    return try NewValue.tensor(array.type, shape: array.shape, bytes: bytes)
                }
                let offset = try writer.appendBlob(file: file, type: array.type, bytes: bytes, count: array.count)
                return NewValue.blob(array.type, shape: array.shape, file: file, offset: offset)
            }
        }
    }

    /// The operations of one constant: the last has its name, so that every consumer stays as it is.
    private func operations(_ encoded: [EncodedOperation], _ values: [[NewValue?]], name: String) -> [NewOperation] {
        var outputs: [String] = []
        for (position, operation) in encoded.enumerated() {
            outputs.append(position == encoded.count - 1 ? name : freshName(name + operation.suffix))
        }
        return zip(encoded, values).enumerated().map { position, pair in
            let (operation, values) = pair
            var attributes: [(key: String, value: NewValue)] = [("name", .string(outputs[position]))]
            var inputs: [(key: String, bindings: [NewBinding])] = []
            for (parameter, value) in zip(operation.parameters, values) {
                if operation.usesAttributes, let value {
                    attributes.append((parameter.key, value))
                } else if case .output(let source) = parameter.value {
                    inputs.append((parameter.key, [.name(outputs[source])]))
                } else if let value {
                    inputs.append((parameter.key, [.value(value)]))
                }
            }
            return NewOperation(
                type: operation.type, inputs: inputs,
                outputs: [(outputs[position], .tensor(operation.outputType, operation.outputShape))],
                attributes: attributes)
        }
    }

    private func freshName(_ wanted: String) -> String {
        var name = wanted
        var number = 0
        while !names.insert(name).inserted {
            number += 1
            name = "\(wanted)_\(number)"
        }
        return name
    }

    private var raisesTarget: Bool {
        zip(plan.index.weights, records).contains { $0.site.opset == "CoreML5" && $1 != nil }
    }

    /// `constexpr_*` operations begin with iOS16: programs of iOS15 are raised to it, as coremltools does.
    private func raiseTarget() throws {
        guard raisesTarget else { return }
        try writer.setOpset(from: "CoreML5", to: "CoreML6")
        try writer.setSpecificationVersion(7)
    }

    // MARK: - Report

    private func record(_ source: ProgramIndex.Weight, _ encoded: EncodedWeight, seconds: Double) -> WeightRecord {
        var record = base(source)
        record.action = .palettized
        record.scheme = encoded.scheme
        record.nbits = encoded.nbits
        record.bytesAfter = encoded.byteCount
        record.bitsPerWeight = Double(encoded.byteCount * 8) / Double(max(source.site.count, 1))
        record.snrDecibel = encoded.measures.snrDecibel
        record.maxError = encoded.measures.maxError
        record.meanSquaredError = encoded.measures.meanSquaredError
        record.seconds = seconds
        return record
    }

    private func base(_ source: ProgramIndex.Weight) -> WeightRecord {
        let site = source.site
        return WeightRecord(
            name: site.name, function: site.function, consumer: site.consumers.first?.name ?? "",
            consumerType: site.consumers.first?.type ?? "", dtype: site.type.name, shape: site.shape,
            action: .declined, bitsPerWeight: Double(site.type.bitWidth), bytesBefore: source.byteCount,
            bytesAfter: source.byteCount, seconds: 0)
    }

    private func report() -> CompressionReport {
        let weights = zip(plan.index.weights, zip(records, plan.declines)).map { source, result in
            if let record = result.0 { return record }
            var record = base(source)
            record.reason = result.1?.reason
            return record
        }
        if !weights.contains(where: { $0.action != .declined }) { plan.warnings.append("nothing was compressed") }
        let version = package.model.specificationVersion
        // Another process may be replacing the output by now; then what the weights account for must do.
        let bytesAfter =
            (try? directorySize(writer.outputPath))
            ?? weights.reduce(bytesBefore) { $0 - $1.bytesBefore + $1.bytesAfter }
        if let leftover = writer.leftoverPath {
            plan.warnings.append("the package that was replaced could not be removed: \(leftover)")
        }
        return CompressionReport(
            input: package.path, output: output, operation: options.operation.rawValue,
            specificationVersion: .init(
                before: version, after: raisesTarget ? max(version, 7) : version),
            weights: weights, warnings: plan.warnings,
            packageBytes: .init(before: bytesBefore, after: bytesAfter),
            seconds: monotonicSeconds() - started)
    }
}
