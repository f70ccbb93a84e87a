import ModelCompression
import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A YAML file with what to do with the weights.
enum ConfigurationFile {
    /// Far above any real one.
    private static let sizeLimit = 4 << 20

    /// The options that the file at `path` describes.
    /// - Throws: `CommandFailure` with the file, the key or line, what was found and what is allowed.
    static func options(_ path: String, for operation: CompressionOptions.Operation) throws -> CompressionOptions {
        let text = try text(path)
        do {
            return try CompressionOptions(configurationFile: try YAMLReader.read(text), operation: operation)
        } catch let error as YAMLError {
            throw CommandFailure("\(path): line \(error.line), column \(error.column): \(error.message)")
        } catch let error as CompressionError {
            throw CommandFailure("\(path): \(error.plainMessage)")
        }
    }

    private static func text(_ path: String) throws -> String {
        func fail(_ code: Int32) -> CommandFailure {
            CommandFailure("\(path): cannot read the configuration: \(String(cString: strerror(code)))")
        }
        guard let file = fopen(path, "rb") else { throw fail(errno) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            bytes += buffer[..<count]
            if bytes.count > sizeLimit {
                throw CommandFailure("\(path): found more than \(sizeLimit) bytes, expected a configuration in YAML")
            }
            if count < buffer.count {
                if ferror(file) != 0 { throw fail(errno) }
                break
            }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CommandFailure("\(path): found bytes that are not UTF-8, expected a configuration in YAML")
        }
        return text
    }
}
