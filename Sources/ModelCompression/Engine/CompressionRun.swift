import CSystem
import CoreMLPackage
import TensorCompression

/// Compresses the weights of a package and writes the result.
///
/// Everything that can be refused is refused before any work: options, names, targets, the output's place. Weights are
/// compressed by all threads, a bounded number of bytes at a time, and written in program order while the next ones are
/// compressed; the package takes its place in one step at the end. After an error or a cancellation nothing is left
/// behind.
final class CompressionRun {
    private let package: ModelPackage
    private let output: String
    private let options: CompressionOptions
    private let cancellation: Cancellation
    private var plan: CompressionPlan
    private let rewrite: ProgramRewrite
    private let loop = ForegroundLoop()
    private let started = monotonicSeconds()
    private let bytesBefore: Int
    private var records: [WeightRecord?]

    init(
        _ package: ModelPackage, output: String, options: CompressionOptions, cancellation: Cancellation
    ) throws {
        try options.validate()
        self.package = package
        self.output = output
        self.options = options
        self.cancellation = cancellation
        plan = try CompressionPlan(package, options: options)
        records = Array(repeating: nil, count: plan.subjects.count)
        bytesBefore = try directorySize(package.path)
        rewrite = ProgramRewrite(plan.index, try PackageWriter(package, output: output))
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
            try rewrite.removeUnusedParts()
            try raiseTarget()
            try rewrite.writer.finish()
        } catch {
            rewrite.writer.abandon()
            throw error
        }
        return report()
    }

    static var cancelled: CompressionError { CompressionError(kind: .cancelled, message: "cancelled") }

    /// What the background thread leaves.
    private final class Outcome: @unchecked Sendable { var failure: (any Error)? }

    /// The run is used by the background threads alone while the calling thread waits.
    private struct Unshared: @unchecked Sendable { let value: CompressionRun }

    // MARK: - Compression

    private func compressAll(custom: CustomPaletteCaller?) -> (any Error)? {
        do {
            let pool = WorkPool(threads: options.numThreads, cancellation: cancellation)
            let context = EncodingContext(
                pool: pool, seed: options.seed, cutsIntegerTables: options.compat == .coremltools, custom: custom)
            let shared = Unshared(value: self)
            let flight = WeightFlight(plan.jobs.map(\.byteCount))
            let writing = try OrderedWriter<FinishedJob>(background: pool.threadCount > 1) { [cancellation] in
                cancellation.cancel()
                pool.reconsider()
            } take: {
                try shared.value.finish($0, $1)
            } taken: {
                flight.written(shared.value.plan.jobs[$0].byteCount)
                pool.reconsider()
            }
            let failure = compressAll(context, flight, writing)
            do {
                try writing.finish(writing: failure == nil)
            } catch {
                // An error on either side cancels the other, and is the cause.
                if failure.map(Self.isCancelled) ?? true { throw error }
            }
            if let failure { throw failure }
            if cancellation.isCancelled { throw Self.cancelled }
            return nil
        } catch {
            return custom?.failure ?? error
        }
    }

    private typealias JobResult = Result<(EncodedWeight, seconds: Double), any Error>
    private typealias FinishedJob = (number: Int, result: JobResult)

    /// The writing thread alone uses the plan's answers, the records and the rewrite meanwhile.
    /// - Returns: what ended it early: the first error that is neither a declined weight nor a cancellation, or else that.
    private func compressAll(
        _ context: EncodingContext, _ flight: WeightFlight, _ writing: OrderedWriter<FinishedJob>
    ) -> (any Error)? {
        let (jobs, subjects) = (plan.jobs, plan.subjects)
        let failures = ResultSlots<(any Error)?>(jobs.count, empty: nil)
        prefetch(jobs[flight.readAhead(-1)], subjects)
        context.pool.forEachAdmitted(jobs.count) {
            flight.begin(jobs[$0].byteCount)
        } _: { number in
            let job = jobs[number]
            prepareMemory(job, context, flight)
            prefetch(jobs[flight.readAhead(number)], subjects)
            let subject = subjects[job.subjects[0]]
            let begin = monotonicSeconds()
            let result = JobResult {
                let encoded = try job.scheme.encode(subject, of: package, context: context)
                return (encoded, monotonicSeconds() - begin)
            }
            loop.advance(name: subject.site.name, bytes: job.byteCount)
            flight.compressed(job.byteCount)
            if case .failure(let error) = result, !Self.isDeclined(error) {
                failures[number] = error
                return context.pool.cancellation.cancel()
            }
            writing.hand((number, result), number: number)
        }
        let found = failures.values.compactMap { $0 }
        return found.first { !Self.isCancelled($0) } ?? (found.isEmpty ? nil : Self.cancelled)
    }

    /// Gives back what the weights before this one have left.
    private func prepareMemory(_ job: CompressionPlan.Job, _ context: EncodingContext, _ flight: WeightFlight) {
        guard flight.isCleanupDue(job.byteCount) else { return }
        package.releasePages()
        if job.byteCount > WeightFlight.compressingLimit { context.pool.spareMemory.clear() }
        system_return_freed_memory()
    }

    /// Lets the disk read what comes next.
    private func prefetch(_ jobs: ArraySlice<CompressionPlan.Job>, _ subjects: [Subject]) {
        for job in jobs {
            if case .constant(let value) = subjects[job.subjects[0]].data { package.prefetch(value) }
        }
    }

    private static func isCancelled(_ error: any Error) -> Bool { (error as? CompressionError)?.kind == .cancelled }

    private static func isDeclined(_ error: any Error) -> Bool { (error as? CompressionError)?.kind == .declined }

    // MARK: - Writing

    private func finish(_ number: Int, _ result: JobResult) throws {
        if cancellation.isCancelled { throw Self.cancelled }
        let job = plan.jobs[number]
        switch result {
        case .success(let (encoded, seconds)): try write(job, encoded, seconds: seconds)
        case .failure(let error as CompressionError) where error.kind == .declined:
            for subject in job.subjects { plan.declines[subject] = .unplanned(error.plainMessage) }
            if options.strict { try plan.requireNoUnplannedDeclines() }
        case .failure(let error): throw error
        }
    }

    private func write(_ job: CompressionPlan.Job, _ encoded: EncodedWeight, seconds: Double) throws {
        let subjects = job.subjects.map { plan.subjects[$0] }
        let file = subjects[0].fileName ?? package.weightFiles.first?.name
        let outcomes = try rewrite.replace(subjects, by: encoded, file: file)
        for (position, number) in job.subjects.enumerated() {
            var record = WeightRecord(subjects[position], encoded, outcomes[position])
            record.seconds = position == 0 ? seconds : 0
            record.note = joined([encoded.note, plan.notes[number], outcomes[position].note])
            records[number] = record
        }
        let before = subjects[0].storedBytes
        if encoded.byteCount > before, encoded.action != .decompressed {
            plan.warnings.append(
                "weight '\(subjects[0].site.name)' grew from \(before) to \(encoded.byteCount) bytes: its lookup "
                    + "tables, scales or masks are larger than what they save")
        }
    }

    private func joined(_ notes: [String?]) -> String? {
        let given = notes.compactMap { $0 }
        return given.isEmpty ? nil : given.joined(separator: "; ")
    }

    private var raisesTarget: Bool {
        zip(plan.subjects, records).contains {
            $0.site.opset == "CoreML5" && $1 != nil && options.operation != .decompress
        }
    }

    /// `constexpr_*` operations begin with iOS16: programs of iOS15 are raised to it, as coremltools does.
    private func raiseTarget() throws {
        if let raise = plan.raise { try rewrite.apply(raise) }
        guard raisesTarget else { return }
        try rewrite.writer.setOpset(from: "CoreML5", to: "CoreML6")
        try rewrite.writer.setSpecificationVersion(7)
    }

    // MARK: - Report

    private func report() -> CompressionReport {
        let weights = plan.subjects.indices.map { number in
            if let record = records[number] { return record }
            var record = WeightRecord(plan.subjects[number])
            record.reason = plan.declines[number]?.reason
            record.isPlanned = plan.declines[number]?.isPlanned
            return record
        }
        if !weights.contains(where: { $0.action != .declined }) {
            plan.warnings.append("nothing was \(options.operation == .decompress ? "decompressed" : "compressed")")
        }
        let version = package.model.specificationVersion
        // Another process may be replacing the output by now; then what the weights account for must do.
        let bytesAfter =
            (try? directorySize(rewrite.writer.outputPath))
            ?? weights.reduce(bytesBefore) { $0 - $1.bytesBefore + $1.bytesAfter }
        if let leftover = rewrite.writer.leftoverPath {
            plan.warnings.append("the package that was replaced could not be removed: \(leftover)")
        }
        return CompressionReport(
            input: package.path, output: output, operation: options.operation.rawValue,
            specificationVersion: .init(
                before: version,
                after: max(version, raisesTarget ? 7 : 0, plan.raise?.target.specificationVersion ?? 0)),
            weights: weights, addedOperations: rewrite.addedOperations, warnings: plan.warnings,
            packageBytes: .init(before: bytesBefore, after: bytesAfter),
            seconds: monotonicSeconds() - started)
    }
}

extension WeightRecord {
    /// Of a weight that is left as it is.
    fileprivate init(_ subject: Subject) {
        let site = subject.site
        let isCompressed = subject.compressed != nil
        let bits = Double(subject.storedBytes) * 8 / Double(max(site.count, 1))
        self.init(
            name: site.name, function: site.function, consumer: site.consumers.first?.name ?? "",
            consumerType: site.consumers.first?.type ?? "", dtype: site.type.name, shape: site.shape,
            action: .declined, bitsPerWeight: isCompressed ? bits : Double(site.type.bitWidth),
            bytesBefore: subject.storedBytes, bytesAfter: subject.storedBytes, seconds: 0)
    }

    fileprivate init(_ subject: Subject, _ encoded: EncodedWeight, _ outcome: ProgramRewrite.Outcome) {
        self.init(subject)
        action = encoded.action
        scheme = encoded.scheme
        nbits = encoded.nbits
        bytesAfter = outcome.byteCount
        bitsPerWeight = Double(outcome.byteCount) * 8 / Double(max(subject.site.count, 1))
        snrDecibel = encoded.measures.snrDecibel
        maxError = encoded.measures.maxError
        meanSquaredError = encoded.measures.meanSquaredError
        outputScale = outcome.outputScale
    }
}
