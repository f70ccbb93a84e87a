#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// What went wrong with a package, which file it concerns and, for damage, where in that file.
///
/// Every door of this module throws this type and nothing else; no input, however damaged, traps.
public struct PackageError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// The file or folder does not exist.
        case notFound
        /// The path holds something else than an `.mlpackage` folder.
        case notAPackage
        /// The bytes break the format: see `offset` and `message`.
        case damaged
        /// Well formed, but of a form this module does not handle.
        case unsupported
        /// The target exists and is not a package, so it is not replaced.
        case exists
        /// The target, or the folder around it, cannot be written.
        case readOnly
        /// The caller asked for something impossible (overlapping edits, a wrong count, use after `finish()`).
        case invalidArgument
        /// The operating system refused; the value is `errno`.
        case io(Int32)
    }

    public let kind: Kind
    /// Path of the file or folder concerned.
    public let file: String
    /// Byte offset in `file` where the damage was found.
    public let offset: UInt64?
    /// What was found and what was expected, without the path.
    public let message: String

    public init(_ kind: Kind, file: String, offset: UInt64? = nil, _ message: String) {
        self.kind = kind
        self.file = file
        self.offset = offset
        self.message = message
    }

    public var description: String {
        guard let offset else { return "\(file): \(message)" }
        return "\(file), at byte \(offset): \(message)"
    }

    /// The `errno` that fits best; nil when this is about contents and not about the file system.
    public var errorNumber: Int32? {
        switch kind {
        case .io(let code): code
        case .notFound: ENOENT
        case .exists: EEXIST
        case .readOnly: EACCES
        case .notAPackage, .damaged, .unsupported, .invalidArgument: nil
        }
    }
}
