import ArgumentParser
import ModelCompression

/// What every command that writes a package reads and writes.
struct PackagePaths: ParsableArguments {
    @Argument(help: "The package to read. It is not changed.", completion: .file(extensions: ["mlpackage"]))
    var input: String

    @Option(
        name: .shortAndLong,
        help: "Where to write the result; may be the input. An existing package is replaced in one step.",
        completion: .file(extensions: ["mlpackage"]))
    var output: String
}

/// How every command that writes a package runs.
struct RunOptions: ParsableArguments {
    @Option(
        name: .customLong("minimum-deployment-target"),
        help: ArgumentHelp(
            "Raise the model to this target first, for what needs it: iOS16, iOS17, iOS18, or macOS15 and so on.",
            valueName: "target"))
    var minimumTarget: DeploymentTarget?

    @Flag(help: "Fail when a weight cannot be compressed as asked, instead of leaving it as it is.")
    var strict = false

    @Flag(help: "Read the result back, expand every weight and compare it with the input.")
    var verify = false

    @Option(
        help: ArgumentHelp("Write the report as a page for a browser.", valueName: "file"),
        completion: .file(extensions: ["html"]))
    var html: String?

    @Flag(help: "Print the report as JSON.")
    var json = false

    @Option(parsing: .unconditional, help: "Threads to use; 0: one per core. The result does not depend on it.")
    var threads: Int = 0
}

/// What every command that compresses takes.
struct SelectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Read what to do with which weights from a YAML file, instead of from the options above.",
            discussion: "The file that coremltools' OptimizationConfig.from_yaml reads: config_type, global_config, "
                + "op_type_configs, op_name_configs.",
            valueName: "file"),
        completion: .file(extensions: ["yaml", "yml"]))
    var config: String?

    @Flag(help: "Also compress what is compressed already, in the combined forms of iOS18.")
    var joint = false
}

/// A command that compresses: its flags or a file say how.
protocol CompressingCommand: ParsableCommand {
    static var operation: CompressionOptions.Operation { get }
    var paths: PackagePaths { get }
    var common: RunOptions { get }
    var selection: SelectionOptions { get }
    var compat: CompressionOptions.Compatibility? { get }
    /// The flags that describe the configuration, and whether they were given.
    var describingFlags: [(name: String, isGiven: Bool)] { get }
    /// What those flags say; throws `ValidationError` where they contradict each other.
    func configuration() throws -> WeightConfig
}

extension CompressingCommand {
    var compat: CompressionOptions.Compatibility? { nil }

    func validate() throws {
        if selection.config != nil {
            if let flag = describingFlags.first(where: \.isGiven) {
                throw ValidationError(
                    "--config: found \(flag.name) beside it, allowed one of the two: the file says what to do")
            }
            try CompressionRunner.checkUsage(apply(to: CompressionOptions(operation: Self.operation)))
        } else {
            try CompressionRunner.checkUsage(flagOptions())
        }
    }

    private func flagOptions() throws -> CompressionOptions {
        apply(to: CompressionOptions(operation: Self.operation, global: try configuration()))
    }

    /// The options of the run that are no configuration of weights.
    private func apply(to options: CompressionOptions) -> CompressionOptions {
        var options = options
        options.joint = selection.joint
        options.numThreads = common.threads
        options.strict = common.strict
        options.compat = compat
        options.minimumTarget = common.minimumTarget
        return options
    }

    func run() throws {
        try CompressionRunner(paths: paths, common: common).perform {
            guard let file = selection.config else { return try flagOptions() }
            return apply(to: try ConfigurationFile.options(file, for: Self.operation))
        }
    }
}

/// "--group-size: found 8, allowed with --granularity per-grouped-channel only".
func requireUnset<Value>(_ value: Value?, _ flag: String, _ condition: String) throws {
    if let value { throw ValidationError("\(flag): found \(value), allowed \(condition) only") }
}
