import ArgumentParser

/// `swiftcompress`: compresses Core ML packages.
public struct SwiftcompressCommand: ParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "swiftcompress", abstract: "Compresses Core ML packages.")

    public init() {}
}
