import CoreMLPackage
import Foundation
import XCTest

@testable import ModelCompression
@testable import TensorCompression

/// The bytes of a package depend on the input and the options alone: not on threads, not on the processor.
final class DeterminismTests: TemporaryFolderTestCase {
    private typealias Step = (operation: CompressionOptions.Operation, config: WeightConfig)

    private static let half: Step = (.prune, .magnitudePruner(MagnitudePrunerConfig(targetSparsity: 0.5)))

    private static let cases: [(name: String, steps: [Step])] = [
        ("k-means", [palettized(PalettizerConfig(nbits: 4, weightThreshold: 0))]),
        ("k-means, 8 bits", [palettized(PalettizerConfig(nbits: 8, weightThreshold: 0))]),
        (
            "groups",
            [palettized(PalettizerConfig(nbits: 3, granularity: .perGroupedChannel, groupSize: 4, weightThreshold: 0))]
        ),
        ("vectors", [palettized(PalettizerConfig(nbits: 2, clusterDim: 4, weightThreshold: 0))]),
        ("scaled", [palettized(PalettizerConfig(nbits: 4, enablePerChannelScale: true, weightThreshold: 0))]),
        ("uniform", [palettized(PalettizerConfig(mode: .uniform, nbits: 6, weightThreshold: 0))]),
        ("int8", [(.quantize, .quantizer(QuantizerConfig(weightThreshold: 0)))]),
        ("uint8", [(.quantize, .quantizer(QuantizerConfig(mode: .linear, dtype: .uint8, weightThreshold: 0)))]),
        (
            "int4 blocks",
            [
                (
                    .quantize,
                    .quantizer(
                        QuantizerConfig(
                            dtype: .int4, granularity: .perBlock, blockSize: .input(16), weightThreshold: 0))
                )
            ]
        ),
        ("half", [half]),
        (
            "2 of 4",
            [(.prune, .magnitudePruner(MagnitudePrunerConfig(ratio: MagnitudePrunerConfig.Ratio(n: 2, m: 4))))]
        ),
        ("half, then k-means", [half, palettized(PalettizerConfig(nbits: 4))]),
        ("half, then int8", [half, (.quantize, .quantizer(QuantizerConfig(mode: .linear, dtype: .uint8)))]),
    ]

    private static func palettized(_ config: PalettizerConfig) -> Step { (.palettize, .palettizer(config)) }

    func testThreadsAndProcessorsDoNotChangeAByte() throws {
        let chosen = usesV3Kernels
        defer { usesV3Kernels = chosen }
        for (name, steps) in Self.cases {
            usesV3Kernels = chosen
            let first = try bytes(steps, threads: 1)
            XCTAssertGreaterThan(first.count, 2, name)
            for threads in [2, 3, 8] {
                XCTAssertEqual(try bytes(steps, threads: threads), first, "\(name), \(threads)")
            }
            usesV3Kernels = false
            for threads in [1, 3] {
                XCTAssertEqual(try bytes(steps, threads: threads), first, "\(name), \(threads), baseline kernels")
            }
        }
    }

    /// Every file of the package that the steps make, and of the one that decompressing it makes.
    private func bytes(_ steps: [Step], threads: Int) throws -> [String: Data] {
        var source = Fixtures.path("mixed_ios18")
        for (number, step) in steps.enumerated() {
            let options = CompressionOptions(
                operation: step.operation, joint: number > 0, global: step.config, opNames: ["masked": nil],
                numThreads: threads)
            source = try compressed(source, "step\(number)", options)
        }
        let options = CompressionOptions(operation: .decompress, numThreads: threads)
        var files = try contents(of: source, "compressed/")
        for (name, data) in try contents(of: try compressed(source, "dense", options), "dense/") { files[name] = data }
        return files
    }

    private func compressed(_ source: String, _ name: String, _ options: CompressionOptions) throws -> String {
        let report = try compressWeights(of: try ModelPackage(path: source), to: output(name), options: options)
        XCTAssertTrue(report.weights.contains { $0.action != .declined }, name)
        return output(name)
    }

    private func contents(of package: String, _ prefix: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        let folder = URL(fileURLWithPath: package)
        for path in try FileManager.default.subpathsOfDirectory(atPath: package).sorted() {
            var isFolder: ObjCBool = false
            let url = folder.appendingPathComponent(path)
            _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder)
            if !isFolder.boolValue { files[prefix + path] = try Data(contentsOf: url) }
        }
        return files
    }
}
