import ArgumentParser
import CoreMLPackage
import ModelCompression

/// `swiftcompress compare`.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Show how two packages differ: weight by weight, and everything else.",
        discussion: """
            Compressed weights are expanded first, so a package can be compared with its compressed form, or two \
            compressed forms with each other. Weights belong together by name, or when the same operation uses them \
            for the same input. Everything else is compared too: operations with their inputs and attributes, \
            inputs and outputs, descriptions, metadata, and the other files.

            The exit status is 0 whether they differ or not; with --exit-code it is 2 when anything differs, also a \
            weight that is only stored in another way.

            Example:
              swiftcompress compare Model.mlpackage Small.mlpackage
            """)

    @Argument(help: "The first package: the original.", completion: .file(extensions: ["mlpackage"]))
    var first: String

    @Argument(help: "The second package.", completion: .file(extensions: ["mlpackage"]))
    var second: String

    @Flag(help: "Print JSON, every weight included.")
    var json = false

    @Flag(help: "List the weights that are the same too.")
    var all = false

    @Flag(help: "End with status 2 when anything differs.")
    var exitCode = false

    @Option(parsing: .unconditional, help: "Threads to use; 0: one per core. The result does not depend on it.")
    var threads: Int = 0

    func validate() throws {
        if threads < 0 {
            throw ValidationError("--threads: found \(threads), allowed a whole number of 0 or more")
        }
    }

    func run() throws {
        do {
            let difference = try comparePackages(
                try ModelPackage(path: first), try ModelPackage(path: second), threads: threads)
            print(
                json ? try CommandOutput.json(difference) : DifferenceText.text(difference, listsEveryWeight: all))
            if exitCode, !difference.isIdentical { throw ExitCode(2) }
        } catch let code as ExitCode {
            throw code
        } catch {
            throw CommandFailure(error)
        }
    }
}
