import ModelCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A line on standard error that is drawn again and again; only on a terminal.
struct ProgressBar {
    private let title: String
    private let isActive: Bool
    private var lastLine = ""
    private let started = Self.seconds

    init(_ title: String) {
        self.title = title
        isActive = isatty(STDERR_FILENO) == 1 && getenv("TERM").map { String(cString: $0) } != "dumb"
    }

    mutating func draw(_ progress: CompressionProgress) {
        guard isActive else { return }
        let line = Self.line(title, progress, seconds: Self.seconds - started, columns: Self.columns)
        guard line != lastLine else { return }
        lastLine = line
        writeError("\r\u{1b}[2K" + line)
    }

    /// Takes the line away.
    mutating func clear() {
        guard isActive, !lastLine.isEmpty else { return }
        lastLine = ""
        writeError("\r\u{1b}[2K")
    }

    /// E.g. `palettize [#######        ]  47%  12/30 weights  5.1 MB of 11.0 MB  310 MB/s  12 s left  conv_7`.
    /// - Parameter seconds: since the start.
    static func line(_ title: String, _ progress: CompressionProgress, seconds: Double, columns: Int) -> String {
        let fraction = progress.bytesTotal == 0 ? 1 : Double(progress.bytesDone) / Double(progress.bytesTotal)
        let width = 24
        let filled = Int(fraction * Double(width))
        let bar = String(repeating: "#", count: filled) + String(repeating: " ", count: width - filled)
        let percent = Text.padded(String(Int(fraction * 100)), to: 3, alignRight: true)
        var text =
            "\(title) [\(bar)] \(percent)%  \(progress.weightsDone)/\(progress.weightsTotal) weights  "
            + "\(Text.bytes(progress.bytesDone)) of \(Text.bytes(progress.bytesTotal))  "
        if let speed = speed(progress, seconds) {
            text +=
                "\(Text.bytes(Int(speed)))/s  \(duration(Double(progress.bytesTotal - progress.bytesDone) / speed)) left  "
        }
        return String((text + progress.name).prefix(max(columns - 1, 20)))
    }

    /// Bytes a second; nil while it is too early to tell.
    private static func speed(_ progress: CompressionProgress, _ seconds: Double) -> Double? {
        guard seconds >= 0.5, progress.bytesDone > 0 else { return nil }
        return Double(progress.bytesDone) / seconds
    }

    /// E.g. `45 s`, `3 min 20 s`, `1 h 05 min`.
    static func duration(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded(.up))
        func two(_ number: Int) -> String { (number < 10 ? "0" : "") + String(number) }
        switch whole {
        case ..<60: return "\(whole) s"
        case ..<3600: return "\(whole / 60) min \(two(whole % 60)) s"
        default: return "\(whole / 3600) h \(two(whole / 60 % 60)) min"
        }
    }

    private static var seconds: Double {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
    }

    private static var columns: Int {
        var size = winsize()
        if ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
        return 80
    }
}
