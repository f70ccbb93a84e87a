import ArgumentParser
import CSwiftCompress

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// `swiftcompress`: compresses Core ML packages.
public struct SwiftcompressCommand: ParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "swiftcompress",
        abstract: "Compresses the weights of Core ML packages (.mlpackage).",
        discussion: """
            Reads an ML Program package, stores its weights in fewer bits, and writes a package that Core ML runs as \
            before. Everything else in the package stays as it is, and nothing half-written is ever left behind.

            Examples:
              swiftcompress info Model.mlpackage
              swiftcompress palettize Model.mlpackage -o Small.mlpackage --nbits 4
              swiftcompress quantize Model.mlpackage -o Small.mlpackage --dtype int4 \\
                  --granularity per-block --block-size 32 --html report.html
              swiftcompress prune Model.mlpackage -o Sparse.mlpackage --target-sparsity 0.5
              swiftcompress compare Model.mlpackage Small.mlpackage

            Exit status: 0 done, 1 failed, 64 wrong usage, 130 interrupted.
            """,
        version: SWC_VERSION,
        subcommands: [
            PalettizeCommand.self, QuantizeCommand.self, PruneCommand.self, DecompressCommand.self, InfoCommand.self,
            CompareCommand.self,
        ])

    public init() {}

    /// Runs the command and ends the process with its exit status.
    /// - Parameter arguments: without the program's name.
    public static func main(_ arguments: [String]) { end(run(arguments)) }

    /// Runs the command.
    /// - Parameter arguments: without the program's name.
    /// - Returns: the exit status: 0, 1, 64 or 130, or 2 of `compare --exit-code`.
    public static func run(_ arguments: [String]) -> Int32 {
        do {
            var command = try parseAsRoot(arguments)
            try command.run()
            // A report that did not reach its file or pipe is a failure too.
            guard fflush(nil) == 0 else {
                printError("error: cannot write the output: " + String(cString: strerror(errno)))
                return 1
            }
            return 0
        } catch let failure as CommandFailure {
            printError("error: " + failure.message)
            return failure.status
        } catch {
            let status = exitCode(for: error)
            let text = fullMessage(for: error)
            if !text.isEmpty {
                if status.isSuccess { print(text) } else { printError(text) }
            }
            return status.rawValue
        }
    }
}

// `exit` alone would mean ParsableArguments' method.
private func end(_ status: Int32) -> Never { exit(status) }
