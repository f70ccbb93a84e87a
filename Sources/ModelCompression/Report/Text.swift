/// Numbers for people, without Foundation's formatters: those need ICU, which is larger than all of this.
package enum Text {
    /// With a fixed number of digits after the point; "inf" and "nan" where it is none.
    package static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = (value.magnitude * scale).rounded()
        guard scaled < 1e15 else { return "\(value)" }
        let whole = Int(scaled)
        let sign = value < 0 && whole != 0 ? "-" : ""
        guard digits > 0 else { return sign + String(whole) }
        let unit = Int(scale)
        let fraction = String(whole % unit)
        return sign + "\(whole / unit)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// With three digits: `0.0123`, `4.56e-07`.
    package static func short(_ value: Double) -> String {
        guard value.isFinite, value != 0 else { return value == 0 ? "0" : "\(value)" }
        var (scaled, exponent) = (value.magnitude, 0)
        while scaled >= 9.995 { (scaled, exponent) = (scaled / 10, exponent + 1) }
        while scaled < 0.9995 { (scaled, exponent) = (scaled * 10, exponent - 1) }
        if (-4...5).contains(exponent) { return fixed(value, max(0, 2 - exponent)) }
        let digits = String(exponent.magnitude)
        return (value < 0 ? "-" : "") + fixed(scaled, 2) + (exponent < 0 ? "e-" : "e+")
            + (digits.count < 2 ? "0" : "") + digits
    }

    /// In bytes, kB, MB or GB (powers of 1000).
    package static func bytes(_ count: Int) -> String {
        switch count {
        case ..<1000: "\(count) B"
        case ..<1_000_000: fixed(Double(count) / 1e3, 1) + " kB"
        case ..<1_000_000_000: fixed(Double(count) / 1e6, 2) + " MB"
        default: fixed(Double(count) / 1e9, 2) + " GB"
        }
    }

    package static func shape(_ sizes: [Int]) -> String {
        sizes.isEmpty ? "scalar" : sizes.map(String.init).joined(separator: "x")
    }

    /// "1 weight", "3 weights".
    package static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
}
