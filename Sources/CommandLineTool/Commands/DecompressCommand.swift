import ArgumentParser
import ModelCompression

/// `swiftcompress decompress`.
struct DecompressCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decompress",
        abstract: "Expand every compressed weight into an ordinary one.",
        discussion: """
            The values are those that Core ML computes with. Use it to compress a model again in another way, or for \
            tools that read plain weights only; the package becomes as large as an uncompressed one.

            Example:
              swiftcompress decompress Small.mlpackage -o Plain.mlpackage
            """)

    @OptionGroup var paths: PackagePaths
    @OptionGroup var common: RunOptions

    private var options: CompressionOptions {
        CompressionOptions(
            operation: .decompress, numThreads: common.threads, strict: common.strict,
            minimumTarget: common.minimumTarget)
    }

    func validate() throws { try CompressionRunner.checkUsage(options) }

    func run() throws { try CompressionRunner(paths: paths, common: common).perform { options } }
}
