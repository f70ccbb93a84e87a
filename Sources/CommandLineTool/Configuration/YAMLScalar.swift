import JSONText
import ModelCompression

/// What an unquoted word of a YAML text means: the rules of YAML 1.1, which PyYAML and therefore coremltools follow.
///
/// One rule is wider: `1e-3` is a number here, as in YAML 1.2, where YAML 1.1 wants `1.0e-3`.
enum YAMLScalar {
    /// nil for a number in base 60, such as `2:4`, which nobody means.
    static func value(_ text: String) -> JSONValue? {
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": return .bool(true)
        case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": return .bool(false)
        case ".nan", ".NaN", ".NAN": return .double(.nan)
        default: break
        }
        if isBase60(text) { return nil }
        return number(text) ?? .string(text)
    }

    private static func number(_ text: String) -> JSONValue? {
        let (sign, digits) = signed(text)
        guard let first = digits.utf8.first, isDigit(first) || first == UInt8(ascii: ".") else { return nil }
        if [".inf", ".Inf", ".INF"].contains(digits) { return .double(sign.isEmpty ? .infinity : -.infinity) }
        let plain = String(digits.filter { $0 != "_" })
        for (prefix, radix) in [("0b", 2), ("0x", 16)] where plain.hasPrefix(prefix) {
            return Int(sign + plain.dropFirst(2), radix: radix).map { .int($0) }
        }
        if plain.utf8.allSatisfy(isDigit) {
            // A leading zero: octal.
            let isOctal = plain.utf8.count > 1 && plain.utf8.first == UInt8(ascii: "0")
            if isOctal { return Int(sign + plain, radix: 8).map { .int($0) } }
            return Int(sign + plain).map { .int($0) } ?? Double(sign + plain).map { .double($0) }
        }
        guard isDecimal(plain) else { return nil }
        return Double(sign + plain).map { .double($0) }
    }

    /// Text by the letter of YAML 1.1, which wants a point in the number and a sign in its exponent.
    static func isTextOfOldRules(_ text: String) -> Bool {
        let parts = text.utf8.split(whereSeparator: { $0 | 0x20 == UInt8(ascii: "e") })
        guard parts.count == 2, let sign = parts[1].first else { return false }
        return isDigit(sign) || !parts[0].contains(UInt8(ascii: "."))
    }

    private static func signed(_ text: String) -> (sign: String, digits: Substring) {
        switch text.utf8.first {
        case UInt8(ascii: "-"): ("-", text.dropFirst())
        case UInt8(ascii: "+"): ("", text.dropFirst())
        default: ("", text[...])
        }
    }

    /// Digits with at most one point and an exponent: not what else `Double` reads ("0x1p3", "nan").
    private static func isDecimal(_ text: String) -> Bool {
        var parts = text.utf8.split(
            maxSplits: 1, omittingEmptySubsequences: false, whereSeparator: { $0 | 0x20 == UInt8(ascii: "e") })
        let exponent = parts.count == 2 ? parts.removeLast() : nil
        let mantissa = parts[0].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard mantissa.count <= 2, mantissa.allSatisfy({ $0.allSatisfy(isDigit) }),
            mantissa.contains(where: { !$0.isEmpty })
        else { return false }
        guard let exponent else { return true }
        let digits =
            exponent.first == UInt8(ascii: "-") || exponent.first == UInt8(ascii: "+")
            ? exponent.dropFirst() : exponent
        return !digits.isEmpty && digits.allSatisfy(isDigit)
    }

    /// `12:30` and the like: whole numbers below 60 with colons between.
    private static func isBase60(_ text: String) -> Bool {
        let parts = signed(text).digits.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count > 1 else { return false }
        return parts.allSatisfy { part in
            !part.isEmpty && part.allSatisfy { isDigit($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") }
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
