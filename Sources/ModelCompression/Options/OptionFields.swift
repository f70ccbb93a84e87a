import JSONText
import TensorCompression

/// The fields of one JSON object, read with errors that name the argument, what was found and what is allowed.
struct OptionFields {
    private let fields: [String: JSONValue]
    private let prefix: String
    private let operation: CompressionOptions.Operation

    /// - Parameters:
    ///   - path: where the object stands in the options, for messages; empty at the top.
    ///   - operation: what messages begin with.
    init(
        _ value: JSONValue, path: String, allowed: [String], operation: CompressionOptions.Operation = .palettize
    ) throws {
        guard case .object(let fields) = value else {
            throw OptionError.make(
                path.isEmpty ? "options" : path, found: value.text, allowed: "an object", operation: operation)
        }
        self.fields = fields
        self.operation = operation
        prefix = path.isEmpty ? "" : path + "."
        for key in fields.keys.sorted() where !allowed.contains(key) {
            throw error(key, "an unknown option", allowed.joined(separator: ", "))
        }
    }

    /// The error that the value of `key` is not allowed.
    func error(_ key: String, _ found: String, _ allowed: String) -> CompressionError {
        OptionError.make(prefix + key, found: found, allowed: allowed, operation: operation)
    }

    func name(_ key: String) -> String { prefix + key }

    func has(_ key: String) -> Bool { fields[key] != nil }

    subscript(key: String) -> JSONValue? { fields[key] }

    /// The integer at `key`; nil when the key is absent, or null where null is allowed.
    func int(_ key: String, allowed: String, nullable: Bool = false) throws -> Int? {
        switch fields[key] {
        case nil: return nil
        case .null where nullable: return nil
        case .int(let value): return value
        case let other?: throw error(key, other.text, allowed)
        }
    }

    func bool(_ key: String) throws -> Bool? {
        switch fields[key] {
        case nil: return nil
        case .bool(let value): return value
        case let other?: throw error(key, other.text, "true, false")
        }
    }

    /// The number at `key`; nil when the key is absent, or null where null is allowed.
    func double(_ key: String, allowed: String, nullable: Bool = false) throws -> Double? {
        switch fields[key] {
        case nil: return nil
        case .null where nullable: return nil
        case .int(let value): return Double(value)
        case .double(let value): return value
        case let other?: throw error(key, other.text, allowed)
        }
    }

    /// The list of integers at `key`; nil when the key is absent, or null where null is allowed.
    func ints(_ key: String, allowed: String, nullable: Bool = false) throws -> [Int]? {
        switch fields[key] {
        case nil: return nil
        case .null where nullable: return nil
        case .array(let values):
            return try values.map { value in
                guard case .int(let number) = value else { throw error(key, "a list with \(value.text)", allowed) }
                return number
            }
        case let other?: throw error(key, other.text, allowed)
        }
    }

    /// One of the names of an enumeration, in any case; nil when the key is absent, or null where null is allowed.
    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, _: Choice.Type, nullable: Bool = false
    ) throws -> Choice? {
        let allowed = ((nullable ? ["null"] : []) + Choice.allCases.map(\.rawValue)).joined(separator: ", ")
        guard let text = try string(key, allowed: allowed, nullable: nullable) else { return nil }
        guard let value = Choice(rawValue: text.lowercased()) else { throw error(key, "\"\(text)\"", allowed) }
        return value
    }

    func string(_ key: String, allowed: String, nullable: Bool = false) throws -> String? {
        switch fields[key] {
        case nil: return nil
        case .null where nullable: return nil
        case .string(let value): return value
        case let other?: throw error(key, other.text, allowed)
        }
    }
}

extension JSONValue {
    /// Parses options; an error says what is wrong.
    static func parse(_ bytes: [UInt8]) throws -> JSONValue {
        do {
            return try JSONValue(json: bytes)
        } catch {
            throw OptionError.make("options", found: "text that is not JSON", allowed: "a JSON object")
        }
    }
}
