import CoreMLPackage
import XCTest

@testable import ModelCompression

final class SelectionTests: XCTestCase {
    private let four = WeightConfig.palettizer(PalettizerConfig(nbits: 4))
    private let six = WeightConfig.palettizer(PalettizerConfig(nbits: 6))

    private func site(
        _ shape: [Int] = [64, 64], type: MILDataType = .float16, opset: String = "CoreML8",
        _ consumers: [Consumer] = [Consumer(type: "linear", name: "out", parameters: ["weight"])]
    ) -> WeightSite {
        WeightSite(function: "main", opset: opset, name: "w", type: type, shape: shape, consumers: consumers)
    }

    private func reason(_ options: CompressionOptions, _ site: WeightSite) -> String? {
        if case .failure(let decline) = Selector(options: options).config(for: site) { decline.reason } else { nil }
    }

    func testConstantNameComesBeforeConsumerNameBeforeTypeBeforeGlobal() {
        var options = CompressionOptions(global: six)
        func chosen() -> WeightConfig? { try? Selector(options: options).config(for: site()).get().config }
        XCTAssertEqual(chosen(), six)
        options.opTypes = ["linear": .some(four)]
        XCTAssertEqual(chosen(), four)
        options.opNames = ["out": .some(six)]
        XCTAssertEqual(chosen(), six)
        options.opNames["w"] = .some(four)
        XCTAssertEqual(chosen(), four)
        options.opNames.updateValue(nil, forKey: "w")
        XCTAssertEqual(reason(options, site()), "excluded by op_names[\"w\"]")
        options.opNames.removeValue(forKey: "w")
        options.opNames.updateValue(nil, forKey: "out")
        XCTAssertEqual(reason(options, site()), "excluded by op_names[\"out\"]")
    }

    func testWhatIsLeftAlone() {
        let options = CompressionOptions(global: four)
        XCTAssertEqual(reason(options, site([64, 32])), "2048 elements, weight_threshold is 2048")
        XCTAssertNil(reason(options, site([2049, 1])))
        XCTAssertEqual(reason(options, site([4096])), "rank 1, only rank 2 or more")
        XCTAssertEqual(reason(options, site(type: .int8)), "not floating point (int8)")
        XCTAssertEqual(
            reason(options, site(type: .float64)), "fp64 weights cannot be compressed, only float16 and float32")
        XCTAssertEqual(
            reason(options, site([64, 64], [])), "no operation uses it: it goes straight to the block's output")
        XCTAssertEqual(reason(CompressionOptions(), site()), "no configuration applies to it")
        let sparse = Consumer(type: "constexpr_sparse_to_dense", name: "s", parameters: ["nonzero_data"])
        XCTAssertEqual(
            reason(options, site([64, 64], [sparse])),
            "part of a compressed weight already (constexpr_sparse_to_dense 's')")
    }

    /// The most careful configuration of several consumers is used.
    func testConsumersWithDifferentConfigurations() throws {
        var options = CompressionOptions(global: four, opTypes: ["gather": .some(six)])
        let both = site(
            [64, 64],
            [
                Consumer(type: "linear", name: "head", parameters: ["weight"]),
                Consumer(type: "gather", name: "embedding", parameters: ["x"]),
            ])
        func choice() throws -> Selector.Choice { try Selector(options: options).config(for: both).get() }
        XCTAssertEqual(try choice().config, six)
        XCTAssertEqual(
            try choice().note,
            "its consumers have different configurations; op_types[\"gather\"] of gather 'embedding' is the most careful "
                + "(op_names[\"w\"] would give it its own)")
        options.opNames = ["w": .some(four)]
        XCTAssertEqual(try choice().config, four)
        XCTAssertNil(try choice().note)
        // Equal configurations are no conflict, wherever they come from.
        options = CompressionOptions(global: four, opTypes: ["gather": .some(four)])
        XCTAssertNil(try choice().note)
        // One that leaves the weight alone is the most careful.
        options.opTypes.updateValue(nil, forKey: "gather")
        XCTAssertEqual(
            reason(options, both), "excluded by op_types[\"gather\"] for gather 'embedding', which uses it too")
    }

    func testChannelAxesByConsumer() {
        func axes(_ type: String, _ parameter: String, x: Bool = false, y: Bool = false, rank: Int = 4) -> [Int] {
            let consumer = Consumer(
                type: type, name: "", parameters: [parameter], transposeX: x, transposeY: y)
            let found = consumer.channelAxes(rank: rank)
            return [found.output, found.input]
        }
        XCTAssertEqual(axes("conv", "weight"), [0, 1])
        XCTAssertEqual(axes("conv_transpose", "weight"), [1, 0])
        XCTAssertEqual(axes("matmul", "y"), [3, 2])
        XCTAssertEqual(axes("matmul", "y", y: true), [2, 3])
        XCTAssertEqual(axes("matmul", "x"), [2, 3])
        XCTAssertEqual(axes("matmul", "x", x: true), [3, 2])
        XCTAssertEqual(axes("gather", "x", rank: 2), [0, 1])
    }

    func testSchemeDeclines() throws {
        func decline(_ config: PalettizerConfig, _ site: WeightSite) throws -> String? {
            let selector = Selector(options: CompressionOptions(global: .palettizer(config)))
            if case .failure(let decline) = try selector.scheme(for: site, config: config) { return decline.reason }
            return nil
        }
        let grouped = PalettizerConfig(nbits: 4, granularity: .perGroupedChannel, groupSize: 16)
        XCTAssertEqual(
            try decline(grouped, site([40, 64])), "group_size 16 does not divide the 40 channels on axis 0")
        XCTAssertNil(try decline(grouped, site([48, 64])))
        let vectors = PalettizerConfig(nbits: 4, clusterDim: 4)
        XCTAssertEqual(
            try decline(vectors, site([42, 64])), "cluster_dim 4 does not divide the 42 channels of a group on axis 0")
        let convolution = Consumer(type: "conv", name: "c", parameters: ["weight"], groups: 8)
        XCTAssertEqual(
            try decline(vectors, site([16, 64, 3, 3], [convolution])),
            "cluster_dim 4 does not divide the 2 channels on axis 0 in each group of conv 'c'")
        let two = site(
            [64, 64],
            [
                Consumer(type: "linear", name: "a", parameters: ["weight"]),
                Consumer(type: "matmul", name: "b", parameters: ["y"]),
            ])
        XCTAssertEqual(
            try decline(PalettizerConfig(nbits: 4), two),
            "its consumers disagree about the channel axis: linear 'a' has output channels on axis 0, matmul 'b' has "
                + "output channels on axis 1")
    }

    func testAxisOutOfRangeIsAnError() {
        let config = PalettizerConfig(nbits: 4, granularity: .perGroupedChannel, groupSize: 16, channelAxis: 2)
        let selector = Selector(options: CompressionOptions(global: .palettizer(config)))
        XCTAssertEqual(
            message { _ = try selector.scheme(for: site(), config: config) },
            "[palettize] channel_axis: found 2, allowed -2 to 1 for weight 'w' of shape [64, 64]")
    }

    func testWhatNeedsIOS18SaysSo() {
        let needing: [(PalettizerConfig, String)] = [
            (PalettizerConfig(nbits: 4, granularity: .perGroupedChannel), "granularity per_grouped_channel"),
            (PalettizerConfig(nbits: 4, clusterDim: 2), "cluster_dim 2"), (PalettizerConfig(nbits: 3), "nbits 3"),
            (PalettizerConfig(nbits: 4, enablePerChannelScale: true), "enable_per_channel_scale"),
        ]
        for (config, what) in needing {
            let selector = Selector(options: CompressionOptions(global: .palettizer(config)))
            let text = message { _ = try selector.scheme(for: site(opset: "CoreML7"), config: config) }
            XCTAssertTrue(text.hasPrefix("[palettize] \(what) needs deployment target iOS18"), text)
            XCTAssertTrue(text.contains("this model has iOS17 (specification version 8)"), text)
            XCTAssertTrue(text.contains("'w'"), text)
            XCTAssertNoThrow(try selector.scheme(for: site(), config: config))
        }
    }

    func testNamesThatMatchNothing() {
        let options = CompressionOptions(
            global: four, opTypes: ["conv": .some(four), "relu": .some(four)],
            opNames: ["out": nil, "w": nil, "typo": nil, "activation": nil])
        let found = Selector(options: options).unmatched(
            operations: [("out", "linear"), ("activation", "relu")], constants: ["w"], sites: [site()])
        XCTAssertEqual(
            found,
            [
                "op_names[\"activation\"]: it has no weight",
                "op_names[\"typo\"]: no constant and no operation has this name",
                "op_types[\"conv\"]: the model has no operation of this type",
                "op_types[\"relu\"]: no operation of this type has a weight",
            ])
    }
}

final class ProgramIndexTests: XCTestCase {
    private func sites(_ name: String) throws -> [String: WeightSite] {
        let index = ProgramIndex(try Fixtures.package(name).model)
        return Dictionary(index.weights.map { ($0.site.name, $0.site) }, uniquingKeysWith: { first, _ in first })
    }

    func testConsumersInTheirBlocks() throws {
        let sites = try sites("mixed_ios18")
        func consumers(_ name: String) -> [String] { sites[name]?.consumers.map(\.text) ?? ["missing"] }
        XCTAssertEqual(consumers("conv_weight"), ["conv 'conv'"])
        XCTAssertEqual(consumers("shared_weight"), ["linear 'shared_linear'", "matmul 'shared_matmul'"])
        // An outer constant used in a nested block, and one of the block itself.
        XCTAssertEqual(consumers("branch_weight"), ["linear 'then_linear'"])
        XCTAssertEqual(consumers("inner_weight"), ["linear 'else_linear'"])
        XCTAssertEqual(sites["matmul_yt"]?.consumers.first?.transposeY, true)
        XCTAssertEqual(sites["matmul_y"]?.consumers.first?.transposeY, false)
        XCTAssertEqual(sites["linear_bias"]?.shape, [48])
        XCTAssertEqual(sites["mask"]?.opset, "CoreML8")
    }

    func testPipelineStagesAndFunctionsAreAllSeen() throws {
        XCTAssertEqual(ProgramIndex(try Fixtures.package("pipeline").model).functions, ["0/main", "1/main"])
        XCTAssertEqual(ProgramIndex(try Fixtures.package("multifunction").model).functions.sorted(), ["one", "two"])
    }

    func testCompressedWeightsAreFound() throws {
        let index = ProgramIndex(try Fixtures.package("reference_ios18_uniform4_scaled").model)
        XCTAssertTrue(index.compressed.map(\.outputName).contains("conv_weight_palettized_pcs"))
        // The inner operation of a chain is no weight of its own.
        XCTAssertFalse(index.compressed.map(\.outputName).contains("conv_weight_palettized"))
    }
}
