import ArgumentParser
import CoreMLPackage
import ModelCompression
import TensorCompression

/// `swiftcompress palettize`.
struct PalettizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "palettize",
        abstract: "Replace weights by lookup tables and codes of 1 to 8 bits.",
        discussion: """
            A weight is compressed when it has more elements than --weight-threshold, rank 2 or more, and an operation \
            uses it. The report says what was done with every weight, and why the others were left as they are.

            Models below iOS18 (specification version 9) have one lookup table per weight of 1, 2, 4, 6 or 8 bits; \
            groups, vectors, 3 bits and the per-channel scale need iOS18; see --minimum-deployment-target.
            """)

    enum Mode: String, CaseIterable, ExpressibleByArgument {
        case kmeans
        case uniform
        case unique
    }

    enum Granularity: String, CaseIterable, ExpressibleByArgument {
        case perTensor = "per-tensor"
        case perGroupedChannel = "per-grouped-channel"
    }

    @Argument(help: "The package to compress. It is only read.", completion: .file(extensions: ["mlpackage"]))
    var input: String

    @Option(
        name: .shortAndLong,
        help: "Where to write the result; may be the input. An existing package is replaced in one step.",
        completion: .file(extensions: ["mlpackage"]))
    var output: String

    @Option(parsing: .unconditional, help: "Bits per code: 1, 2, 3, 4, 6 or 8. Required unless --mode is unique.")
    var nbits: Int?

    @Option(
        help: ArgumentHelp(
            "How the tables are made.",
            discussion: "kmeans: the least squared error, exactly. uniform: equal distances. unique: the weight's own "
                + "values, at most 256, with no error."))
    var mode: Mode = .kmeans

    @Option(help: "One lookup table per weight, or one per group of channels.")
    var granularity: Granularity = .perTensor

    @Option(parsing: .unconditional, help: "Channels per group, with --granularity per-grouped-channel. (default: 32)")
    var groupSize: Int?

    @Option(
        name: .customLong("channel-axis"), parsing: .unconditional,
        help: "Axis of the groups, with --granularity per-grouped-channel. (default: the output channels)")
    var channelAxis: Int?

    @Option(parsing: .unconditional, help: "Neighbouring channels that share a code as one vector.")
    var clusterDim: Int = 1

    @Flag(help: "Scale each output channel to a largest magnitude of 1 first, and keep the scales.")
    var perChannelScale = false

    @Option(parsing: .unconditional, help: "Element count that a weight must exceed.")
    var weightThreshold: Int = 2048

    @Option(help: "Raise the model to this target first, e.g. iOS18, when every operation has an equal form there.")
    var minimumDeploymentTarget: DeploymentTarget?

    @Option(parsing: .unconditional, help: "Threads to use; 0: one per core. The result does not depend on it.")
    var threads: Int = 0

    @Flag(help: "Print the report as JSON.")
    var json = false

    @Flag(help: "Fail when a weight cannot be compressed as asked, instead of leaving it as it is.")
    var strict = false

    @Flag(help: "Read the result back, expand every weight and compare it with the input.")
    var verify = false

    func validate() throws {
        if granularity == .perTensor {
            let needs = "allowed with --granularity per-grouped-channel only"
            if let groupSize { throw ValidationError("--group-size: found \(groupSize), \(needs)") }
            if let channelAxis { throw ValidationError("--channel-axis: found \(channelAxis), \(needs)") }
        }
        do {
            try options.validate()
        } catch let error as CompressionError {
            throw ValidationError(Self.asFlag(error.plainMessage))
        }
    }

    /// "group_size: found 0, ..." becomes "--group-size: found 0, ...".
    private static func asFlag(_ message: String) -> String {
        let name = message.prefix { $0 != ":" }
        let flag = name == "num_threads" ? "threads" : name.map { $0 == "_" ? "-" : String($0) }.joined()
        return "--" + flag + message.dropFirst(name.count)
    }

    private var options: CompressionOptions {
        let config = PalettizerConfig(
            mode: PalettizationMode(rawValue: mode.rawValue) ?? .kmeans, nbits: nbits,
            granularity: granularity == .perTensor ? .perTensor : .perGroupedChannel, groupSize: groupSize ?? 32,
            channelAxis: channelAxis, clusterDim: clusterDim, enablePerChannelScale: perChannelScale,
            weightThreshold: weightThreshold)
        return CompressionOptions(
            global: .palettizer(config), numThreads: threads, strict: strict, minimumTarget: minimumDeploymentTarget)
    }

    func run() throws {
        do {
            let source = try ModelPackage(path: input)
            let report = try compress(source)
            let verification = verify ? try check(report, source) : nil
            if json {
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

    private func compress(_ source: ModelPackage) throws -> CompressionReport {
        var bar = ProgressBar("palettize")
        defer { bar.clear() }
        return try Interrupt.whileWatching {
            try compressWeights(
                of: source, to: output, options: options,
                progress: { progress in
                    bar.draw(progress)
                    return !Interrupt.isRaised
                })
        }
    }

    private func check(_ report: CompressionReport, _ source: ModelPackage) throws -> VerificationReport {
        try verifyCompression(of: try ModelPackage(path: output), against: source, report: report, threads: threads)
    }
}

extension DeploymentTarget: ExpressibleByArgument {
    public init?(argument: String) { self.init(name: argument) }

    public var defaultValueDescription: String { name }

    public static var allValueStrings: [String] { allCases.map(\.name) }
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
