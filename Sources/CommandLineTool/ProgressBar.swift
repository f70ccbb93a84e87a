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

    init(_ title: String) {
        self.title = title
        isActive = isatty(STDERR_FILENO) == 1 && getenv("TERM").map { String(cString: $0) } != "dumb"
    }

    mutating func draw(_ progress: CompressionProgress) {
        guard isActive else { return }
        let line = Self.line(title, progress, columns: Self.columns)
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

    /// E.g. `palettize [#######        ]  47%  12/30 weights  5.1 of 11.0 MB  conv_7`.
    static func line(_ title: String, _ progress: CompressionProgress, columns: Int) -> String {
        let fraction = progress.bytesTotal == 0 ? 1 : Double(progress.bytesDone) / Double(progress.bytesTotal)
        let width = 24
        let filled = Int(fraction * Double(width))
        let bar = String(repeating: "#", count: filled) + String(repeating: " ", count: width - filled)
        let percent = Text.padded(String(Int(fraction * 100)), to: 3, alignRight: true)
        let text =
            "\(title) [\(bar)] \(percent)%  \(progress.weightsDone)/\(progress.weightsTotal) weights  "
            + "\(Text.bytes(progress.bytesDone)) of \(Text.bytes(progress.bytesTotal))  \(progress.name)"
        return String(text.prefix(max(columns - 1, 20)))
    }

    private static var columns: Int {
        var size = winsize()
        if ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
        return 80
    }
}
