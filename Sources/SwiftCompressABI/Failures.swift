import CSwiftCompress
import CoreMLPackage
import TensorCompression

/// Runs the body of an exported function: what it throws becomes a status, and fills the caller's struct.
func status(_ error: UnsafeMutablePointer<swc_error>, _ body: () throws -> Void) -> swc_status {
    do {
        try body()
        return swc_status(SWC_OK)
    } catch let failure as CompressionError {
        return error.pointee.fill(failure.kind.status, failure.message)
    } catch let failure as PackageError {
        return error.pointee.fill(failure)
    } catch is CallerStopped {
        return error.pointee.fill(SWC_CANCELLED, "stopped by the caller")
    } catch let failure {
        return error.pointee.fill(SWC_INTERNAL, "\(failure)")
    }
}

/// A callback of the caller asked to end the call; the reason is the caller's own.
struct CallerStopped: Error {}

extension CompressionError.Kind {
    var status: Int {
        switch self {
        case .invalidArgument: SWC_INVALID_ARGUMENT
        case .notImplemented: SWC_NOT_IMPLEMENTED
        case .outOfMemory: SWC_OUT_OF_MEMORY
        case .cancelled: SWC_CANCELLED
        case .declined: SWC_DECLINED
        case .internal: SWC_INTERNAL
        }
    }
}

extension swc_error {
    mutating func fill(_ status: Int, _ message: String, file: String = "", errno: Int32 = 0) -> swc_status {
        code = swc_status(status)
        system_error = errno
        copy(message, to: self.message, capacity: message_capacity)
        copy(file, to: self.file, capacity: file_capacity)
        return code
    }

    /// The file system's refusals keep their errno; `description` names the file and, for damage, the place.
    mutating func fill(_ failure: PackageError) -> swc_status {
        if let errno = failure.errorNumber {
            return fill(SWC_IO, failure.message, file: failure.file, errno: errno)
        }
        let status = failure.kind == .invalidArgument ? SWC_INVALID_ARGUMENT : SWC_MODEL_FORMAT
        return fill(status, failure.description, file: failure.file)
    }

    private func copy(_ text: String, to place: UnsafeMutablePointer<CChar>?, capacity: Int) {
        guard let place, capacity > 0 else { return }
        var length = 0
        for scalar in text.unicodeScalars {
            let bytes = UTF8.encode(scalar).unsafelyUnwrapped
            guard length + bytes.count < capacity else { break }
            for byte in bytes {
                place[length] = CChar(bitPattern: byte)
                length += 1
            }
        }
        place[length] = 0
    }
}
