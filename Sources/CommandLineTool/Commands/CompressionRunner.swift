import ArgumentParser
import CoreMLPackage
import ModelCompression
import TensorCompression

/// Runs one operation from package to package, and prints what came of it.
struct CompressionRunner {
    let paths: PackagePaths
    let common: RunOptions

    /// Wrong usage that needs no package to be seen.
    static func checkUsage(_ options: CompressionOptions) throws {
        do {
            try options.validate()
        } catch let error as CompressionError {
            throw ValidationError(FlagText.message(error.plainMessage))
        }
    }

    /// - Parameter options: read in here, so that a bad configuration file ends the command as other files do.
    func perform(_ options: () throws -> CompressionOptions) throws {
        do {
            let options = try options()
            if let html = common.html { try OutputFile.requireWritable(html) }
            let source = try ModelPackage(path: paths.input)
            let report = try compress(source, options)
            let verification = common.verify ? try check(report, source) : nil
            if let html = common.html { try OutputFile.write(report.html(), to: html) }
            if common.json {
                print(try CommandOutput.json(CheckedReport(report: report, verification: verification)))
            } else {
                print(ReportText.text(report, verification))
                for warning in report.warnings { printError("warning: " + warning) }
            }
            if let problems = verification?.problems, !problems.isEmpty {
                throw CommandFailure("verification failed: " + problems.joined(separator: "; "))
            }
        } catch {
            throw CommandFailure(error)
        }
    }

    private func compress(_ source: ModelPackage, _ options: CompressionOptions) throws -> CompressionReport {
        var bar = ProgressBar(options.operation.rawValue)
        defer { bar.clear() }
        return try Interrupt.whileWatching {
            try compressWeights(
                of: source, to: paths.output, options: options,
                progress: { progress in
                    bar.draw(progress)
                    return !Interrupt.isRaised
                })
        }
    }

    private func check(_ report: CompressionReport, _ source: ModelPackage) throws -> VerificationReport {
        let written = try ModelPackage(path: paths.output)
        if report.operation == CompressionOptions.Operation.decompress.rawValue {
            return VerificationReport(try comparePackages(source, written, threads: common.threads))
        }
        return try verifyCompression(of: written, against: source, report: report, threads: common.threads)
    }
}

extension VerificationReport {
    /// Of a package whose weights were only stored in another way: every value must be the same.
    fileprivate init(_ difference: PackageDifference) {
        let good = difference.weights.filter { $0.state == .identical || $0.state == .equal }
        self.init(
            weights: good.map { weight in
                Weight(
                    name: weight.second.name, function: weight.function,
                    state: weight.state == .identical ? .identical : .decoded, maxError: 0, meanSquaredError: 0)
            },
            problems: difference.weights.filter { $0.state == .changed || $0.state == .incomparable }.map {
                "weight '\($0.first.name)': \($0.reason ?? "has other values")"
            } + difference.onlyInFirst.map { "weight '\($0.stored.name)' is missing" }
                + difference.changes.filter { $0.area != .program }.map { "\($0.name) differs: \($0.what)" })
    }
}

/// The report with the verification's, when there was one, as one JSON object.
struct CheckedReport: Encodable {
    var report: CompressionReport
    var verification: VerificationReport?

    private enum CodingKeys: String, CodingKey {
        case verification
    }

    func encode(to encoder: any Encoder) throws {
        try report.encode(to: encoder)
        if let verification {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(verification, forKey: .verification)
        }
    }
}

enum CommandOutput {
    /// Indented JSON.
    static func json(_ value: some Encodable) throws -> String {
        String(decoding: try encodeJSON(value, pretty: true), as: UTF8.self)
    }
}
