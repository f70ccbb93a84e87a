import CoreMLPackage
import ModelCompression
import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Ends a command that had begun its work.
struct CommandFailure: Error {
    var message: String
    var status: Int32

    /// Turns what the library throws into a message and an exit status.
    init(_ error: any Error) {
        switch error {
        case let error as CommandFailure: self = error
        case let error as CompressionError where error.kind == .cancelled:
            (message, status) = ("interrupted; nothing was written", Interrupt.exitStatus)
        case let error as CompressionError: (message, status) = (error.plainMessage, 1)
        case let error as PackageError: (message, status) = (error.description, 1)
        default: (message, status) = ("\(error)", 1)
        }
    }

    init(_ message: String) {
        self.message = message
        status = 1
    }
}

/// Prints a line on standard error.
func printError(_ text: String) { writeError(text + "\n") }

/// Writes to standard error, unbuffered.
func writeError(_ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let written = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
        if written < 0 {
            if errno == EINTR { continue }
            return
        }
        bytes = bytes.dropFirst(written)
    }
}
