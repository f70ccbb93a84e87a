/// Why a tensor could not be compressed, expanded or packed.
///
/// Messages read "[operation] argument: found value, allowed values", for example
/// "[palettize] nbits: found 5, allowed 1, 2, 3, 4, 6, 8".
public struct CompressionError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// An argument is outside its documented range, or contradicts another one.
        case invalidArgument
        /// A combination of options that has no meaning or no implementation, in the reference too.
        case notImplemented
        /// Working memory could not be had.
        case outOfMemory
        /// The caller's `Cancellation` was raised.
        case cancelled
        /// The arguments are fine but this tensor does not suit them; a package leaves the weight as it is.
        case declined
        /// A mistake of this library.
        case `internal`
    }

    public let kind: Kind
    public let message: String

    public init(kind: Kind, message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }

    static func invalid(_ message: String) -> CompressionError { .init(kind: .invalidArgument, message: message) }
    static func declined(_ message: String) -> CompressionError { .init(kind: .declined, message: message) }
    static func cancelled(_ operation: String) -> CompressionError {
        .init(kind: .cancelled, message: "[\(operation)] cancelled")
    }
}
