import CompressionKernels
import TestSupport
import XCTest

@testable import TensorCompression

/// Values, masks, importances, functions and threads; the numbers themselves are checked in `PaletteParityTests`.
/// Over 400 lines: one function is under test, and its cases share the weights made here.
final class PalettizeTests: XCTestCase {
    private func halves(_ count: Int, seed: UInt64, spread: Float = 1) -> [UInt16] {
        var random = SeededGenerator(seed: seed)
        return (0..<count).map { _ in
            halfBits(float: spread * (0..<4).reduce(0) { sum, _ in sum + Float.random(in: -1...1, using: &random) })
        }
    }

    private func tensor<Element: WeightElement>(_ bytes: Bytes, _ shape: [Int], _: Element.Type) -> TensorView {
        TensorView(base: bytes.pointer, type: Element.type, shape: shape)
    }

    // MARK: - Threads

    func testThreadsDoNotMatter() throws {
        let count = 720 * 840
        let data = halves(count, seed: 1)
        let floats = data.map { floatValue(half: $0) + 1e-5 }
        var random = SeededGenerator(seed: 2)
        let importance = Bytes((0..<count).map { _ in Float.random(in: 0...1, using: &random) })
        let weights = Importance.float32(UnsafePointer(importance.pointer.assumingMemoryBound(to: Float.self)))
        let mask = Bytes(data.map { UInt8($0 % 5 == 0 ? 0 : 1) })
        let (half, float) = (Bytes(data), Bytes(floats))
        let cases: [(PalettizationOptions, Bool, Bool)] = [
            (.init(nbits: 3), false, false), (.init(nbits: 2), true, false), (.init(nbits: 2), false, true),
            (.init(nbits: 2), true, true), (.init(mode: .uniform, nbits: 6), false, false),
            (.init(nbits: 1, granularity: .perGroupedChannel(groupSize: 30)), false, false),
            (.init(nbits: 1, granularity: .perGroupedChannel(groupSize: 84), channelAxis: 1), true, false),
            (
                .init(
                    mode: .uniform, nbits: 4, granularity: .perGroupedChannel(groupSize: 4), channelAxis: -1,
                    perChannelScale: .outputChannel), false, false
            ),
            (.init(mode: .uniform, nbits: 8, perChannelScale: .reference), false, true),
        ]
        for (options, important, masked) in cases {
            for view in [tensor(half, [720, 840], UInt16.self), tensor(float, [720, 840], Float.self)] {
                func run(_ threads: Int) throws -> Palettized {
                    try runPalettize(
                        view, options, importance: important ? weights : nil, mask: masked ? mask.bytePointer : nil,
                        threads: threads)
                }
                let one = try run(1)
                for threads in [2, 3, 8] {
                    let other = try run(threads)
                    XCTAssertTrue(one == other, "\(options) on \(threads) threads")
                }
            }
        }
    }

    // MARK: - Masks

    func testMaskedElementsTakeNoPart() throws {
        let data = halves(4 * 60, seed: 3)
        let mask = data.map { UInt8($0 % 3 == 0 ? 0 : 200) }
        var hidden = data
        for i in hidden.indices where mask[i] == 0 { hidden[i] = i % 2 == 0 ? 0x7e00 : 0xfc00 }
        let (bytes, hiddenBytes, maskBytes) = (Bytes(data), Bytes(hidden), Bytes(mask))
        for mode in [PalettizationMode.kmeans, .uniform] {
            for group in [1, 2, 4] {
                let options = PalettizationOptions(
                    mode: mode, nbits: 3, granularity: .perGroupedChannel(groupSize: group))
                let result = try runPalettize(
                    tensor(hiddenBytes, [4, 60], UInt16.self), options, mask: maskBytes.bytePointer)
                for g in 0..<4 / group {
                    let range = g * group * 60..<(g + 1) * group * 60
                    let part = Bytes(range.filter { mask[$0] != 0 }.map { data[$0] })
                    let alone = try runPalettize(
                        tensor(part, [part.count / 2], UInt16.self), .init(mode: mode, nbits: 3))
                    XCTAssertEqual(Array(result.lut[g * 16..<(g + 1) * 16]), alone.lut)
                    XCTAssertEqual(range.filter { mask[$0] != 0 }.map { result.indices[$0] }, alone.indices)
                    XCTAssertTrue(range.allSatisfy { mask[$0] != 0 || result.indices[$0] == 0 })
                }
                let kept = Bytes(data.indices.filter { mask[$0] == 0 }.map { data[$0] })
                let output = Bytes(data.count * 2)
                try decodePalette(
                    result.layout, .float16, lut: Bytes(result.lut).pointer, indices: Bytes(result.indices).bytePointer,
                    kept: KeptElements(mask: maskBytes.bytePointer, elements: kept.pointer), into: output.pointer,
                    pool: WorkPool(threads: 2))
                let decoded = output.elements(UInt16.self)
                XCTAssertTrue(data.indices.allSatisfy { mask[$0] != 0 || decoded[$0] == data[$0] })
            }
        }
        let nothing = Bytes([UInt8](repeating: 0, count: 240))
        let empty = try runPalettize(
            tensor(bytes, [4, 60], UInt16.self), .init(nbits: 1), mask: nothing.bytePointer)
        XCTAssertEqual(empty.lut, [0, 0, 0, 0])
        XCTAssertTrue(empty.indices.allSatisfy { $0 == 0 })
        let scaled = try runPalettize(
            tensor(hiddenBytes, [4, 60], UInt16.self), .init(nbits: 8, perChannelScale: .outputChannel),
            mask: maskBytes.bytePointer)
        let scales = Bytes(scaled.scale).elements(UInt16.self)
        for channel in 0..<4 {
            let range = channel * 60..<(channel + 1) * 60
            XCTAssertEqual(scales[channel], range.filter { mask[$0] != 0 }.map { data[$0] & 0x7fff }.max())
        }
    }

    // MARK: - Importance

    func testImportancesCountLikeRepetitions() throws {
        for seed in 0..<5 as Range<UInt64> {
            let data = halves(50, seed: 100 + seed)
            var random = SeededGenerator(seed: seed)
            let times = (0..<50).map { _ in Int.random(in: 0...4, using: &random) }
            let repeated = zip(data, times).flatMap { [UInt16](repeating: $0, count: $1) }
            let expected = try runPalettize(
                tensor(Bytes(repeated), [repeated.count], UInt16.self), .init(nbits: 2))
            let doubles = Bytes(times.map { Double($0) })
            let floats = Bytes(times.map { Float($0) })
            let asDoubles = Bytes(data.map { Double(floatValue(half: $0)) })
            for importance in [
                Importance.float64(UnsafePointer(doubles.pointer.assumingMemoryBound(to: Double.self))),
                .float32(UnsafePointer(floats.pointer.assumingMemoryBound(to: Float.self))),
            ] {
                let result = try runPalettize(
                    tensor(Bytes(data), [50], UInt16.self), .init(nbits: 2), importance: importance)
                XCTAssertEqual(result.lut, expected.lut)
                let wide = try runPalettize(
                    tensor(asDoubles, [50], Double.self), .init(nbits: 2), importance: importance)
                XCTAssertEqual(wide.indices, result.indices)
                let codes = Dictionary(zip(repeated, expected.indices), uniquingKeysWith: { first, _ in first })
                for i in data.indices where times[i] > 0 { XCTAssertEqual(result.indices[i], codes[data[i]]) }
            }
        }
    }

    func testUnimportantValuesGetTheNearestEntry() throws {
        let data = Bytes([0, 1, 10, 11, 4.9, 5.4, 5.6, 5.5, -100, 100] as [Float])
        let importance = Bytes([1, 1, 1, 1, 0, 0, 0, 0, 0, 0] as [Double])
        let result = try runPalettize(
            tensor(data, [10], Float.self), .init(nbits: 1),
            importance: .float64(UnsafePointer(importance.pointer.assumingMemoryBound(to: Double.self))))
        XCTAssertEqual(Bytes(result.lut).elements(Float.self), [0.5, 10.5])
        // 5.5 is half way: the lower entry.
        XCTAssertEqual(result.indices, [0, 0, 1, 1, 0, 0, 1, 0, 0, 1])

        let zeros = Bytes([Double](repeating: 0, count: 10))
        let alike = try runPalettize(
            tensor(data, [10], Float.self), .init(nbits: 2),
            importance: .float64(UnsafePointer(zeros.pointer.assumingMemoryBound(to: Double.self))))
        XCTAssertTrue(try runPalettize(tensor(data, [10], Float.self), .init(nbits: 2)) == alike)
    }

    func testImportancesThatOverflow() throws {
        let data = Bytes([1, 1, 2] as [Double])
        let importance = Bytes([1e308, 1e308, 1])
        XCTAssertThrowsError(
            try runPalettize(
                tensor(data, [3], Double.self), .init(nbits: 1),
                importance: .float64(UnsafePointer(importance.pointer.assumingMemoryBound(to: Double.self))))
        ) { XCTAssertEqual(($0 as? CompressionError)?.kind, .invalidArgument) }
    }

    /// Squares that overflow binary64 make no sense of the costs; the result is unspecified, but there is one.
    func testHugeValues() throws {
        let data = Bytes([1e300, -1e300, 1e299, 3e200, 0, 1, -2] as [Double])
        let result = try runPalettize(tensor(data, [7], Double.self), .init(nbits: 2))
        XCTAssertTrue(result.indices.allSatisfy { $0 < 4 })
    }

    // MARK: - Vectors

    func testVectors() throws {
        let data = halves(12 * 50, seed: 41)
        let bytes = Bytes(data)
        let floats = Bytes(data.map { floatValue(half: $0) })
        for (view, axis) in [
            (tensor(bytes, [12, 50], UInt16.self), 0), (tensor(floats, [50, 12], Float.self), -1),
            (tensor(bytes, [5, 12, 10], UInt16.self), 1),
        ] {
            var last = Double.infinity
            for nbits in [1, 3, 6, 8] {
                for group in [12, 6, 4] {
                    let options = PalettizationOptions(
                        nbits: nbits, granularity: .perGroupedChannel(groupSize: group), channelAxis: axis,
                        clusterDim: 2, seed: 5)
                    let result = try runPalettize(view, options)
                    for threads in [2, 8] {
                        XCTAssertTrue(try runPalettize(view, options, threads: threads) == result)
                    }
                    let error = try paletteError(
                        view, result.layout, lut: Bytes(result.lut).pointer,
                        indices: Bytes(result.indices).bytePointer, pool: WorkPool(threads: 1))
                    // A group has group * 50 / 2 vectors: few enough for 8 bits are all kept.
                    if group * 25 <= 1 << nbits { XCTAssertEqual(error.squaredError, 0) }
                    if group == 12 {
                        XCTAssertLessThan(error.squaredError, last)
                        last = error.squaredError
                    }
                }
            }
        }
    }

    func testVectorsThatDoNotMatter() throws {
        // Two kinds of vectors count; the outlier does not.
        let data = Bytes([0, 0, 1, 1, 500, 500, 0, 0] as [Float])
        let importance = Bytes([1, 0, 0, 2, 0, 0, 1, 1] as [Float])
        let result = try runPalettize(
            tensor(data, [4, 2], Float.self), .init(nbits: 1, channelAxis: 1, clusterDim: 2),
            importance: .float32(UnsafePointer(importance.pointer.assumingMemoryBound(to: Float.self))))
        XCTAssertEqual(Bytes(result.lut).elements(Float.self).sorted(), [0, 0, 1, 1])
        XCTAssertEqual(result.indices[0], result.indices[3])
        XCTAssertNotEqual(result.indices[0], result.indices[1])
        XCTAssertEqual(result.indices[1], result.indices[2])
    }

    // MARK: - Uniform

    func testUniformNeverOverflows() throws {
        for extremes in [[0xfbff, 0x7bff, 0, 0x3c00], [0, 0x7bff, 0x7bfe, 1], [0xfbff, 0xf000, 0x8000, 0]] as [[UInt16]]
        {
            for nbits in [1, 4, 8] {
                let result = try runPalettize(
                    tensor(Bytes(extremes), [4], UInt16.self), .init(mode: .uniform, nbits: nbits))
                let lut = Bytes(result.lut).elements(UInt16.self)
                XCTAssertTrue(lut.allSatisfy { $0.isFinite })
                let step = (lut.last!.double - lut[0].double) / Double(lut.count - 1)
                for (code, pattern) in zip(result.indices, extremes) {
                    XCTAssertLessThanOrEqual(abs(lut[Int(code)].double - pattern.double), step * 0.51)
                }
            }
        }
        let doubles = Bytes([-Double.greatestFiniteMagnitude, .greatestFiniteMagnitude, 0])
        let result = try runPalettize(tensor(doubles, [3], Double.self), .init(mode: .uniform, nbits: 1))
        XCTAssertEqual(
            Bytes(result.lut).elements(Double.self), [-.greatestFiniteMagnitude, .greatestFiniteMagnitude])
        XCTAssertEqual(result.indices, [0, 1, 0])
    }

    // MARK: - Custom

    func testCustomFunctionSeesGroupsChannelFirst() throws {
        // shape [2, 4, 3], groups of 2 channels along axis 1; values are their own place.
        let data = Bytes((0..<24).map { Float($0) })
        var seen: [[Float]] = []
        let result = try runPalettize(
            tensor(data, [2, 4, 3], Float.self),
            .init(mode: .custom, granularity: .perGroupedChannel(groupSize: 2), channelAxis: 1)
        ) { group, values, shape, lut, indices throws(CompressionError) in
            XCTAssertEqual(shape, [2, 2, 3])
            let numbers = UnsafeBufferPointer(start: values.assumingMemoryBound(to: Float.self), count: 12)
            seen.append(Array(numbers))
            let table = lut.assumingMemoryBound(to: Float.self)
            for i in 0..<12 {
                table[i] = numbers[i]
                indices[i] = UInt8(i)
            }
            return 12
        }
        XCTAssertEqual(seen[0], [0, 1, 2, 12, 13, 14, 3, 4, 5, 15, 16, 17])
        XCTAssertEqual(seen[1], seen[0].map { $0 + 6 })
        XCTAssertEqual(result.layout.nbits, 4)
        XCTAssertEqual(result.layout.lutShape, [1, 2, 1, 16, 1])
        let output = Bytes(96)
        try decodePalette(
            result.layout, .float32, lut: Bytes(result.lut).pointer, indices: Bytes(result.indices).bytePointer,
            into: output.pointer, pool: WorkPool(threads: 1))
        XCTAssertEqual(output.array, data.array)
    }

    func testCustomVectors() throws {
        let data = Bytes((0..<16).map { Float($0 % 8) })
        let result = try runPalettize(
            tensor(data, [4, 4], Float.self), .init(mode: .custom, nbits: 6, channelAxis: 1, clusterDim: 2)
        ) { _, values, shape, lut, indices throws(CompressionError) in
            // Channel first: row c holds channel c of every row.
            let numbers = values.assumingMemoryBound(to: Float.self)
            let table = lut.assumingMemoryBound(to: Float.self)
            for c in 0..<2 {
                for i in 0..<4 {
                    table[(c * 4 + i) * 2] = numbers[c * 2 * 4 + i]
                    table[(c * 4 + i) * 2 + 1] = numbers[(c * 2 + 1) * 4 + i]
                    indices[c * 4 + i] = UInt8(c * 4 + i)
                }
            }
            return 8
        }
        XCTAssertEqual(result.layout.nbits, 6)
        let output = Bytes(64)
        try decodePalette(
            result.layout, .float32, lut: Bytes(result.lut).pointer, indices: Bytes(result.indices).bytePointer,
            into: output.pointer, pool: WorkPool(threads: 1))
        XCTAssertEqual(output.array, data.array)
    }

    func testCustomMistakes() throws {
        let data = Bytes((0..<8).map { Float($0) })
        let options = PalettizationOptions(mode: .custom, nbits: 1, granularity: .perGroupedChannel(groupSize: 1))
        func run(_ function: CustomLookupTable?) throws -> Palettized {
            try runPalettize(tensor(data, [2, 4], Float.self), options, customLUT: function)
        }
        for (function, words) in [
            ({ _, _, _, _, _ throws(CompressionError) in 3 }, "found 3 entries for group 0, allowed 1 to 2"),
            ({ _, _, _, _, _ throws(CompressionError) in 0 }, "found 0 entries"),
            ({ group, _, _, _, _ throws(CompressionError) in 1 + group }, "allowed 1 as for the first group"),
            (
                { _, _, _, _, indices throws(CompressionError) in
                    indices[3] = 2
                    return 2
                }, "found index 2 in group 0, allowed 0 to 1"
            ),
            (nil, "lut_function: found none"),
        ] as [(CustomLookupTable?, String)] {
            XCTAssertThrowsError(try run(function)) {
                let error = $0 as? CompressionError
                XCTAssertEqual(error?.kind, .invalidArgument)
                XCTAssertTrue(error?.message.contains(words) ?? false, "\($0)")
            }
        }
        XCTAssertThrowsError(try run { _, _, _, _, _ throws(CompressionError) in throw .cancelled("test") }) {
            XCTAssertEqual(($0 as? CompressionError)?.kind, .cancelled)
        }
    }

    // MARK: - Errors

    func testArguments() throws {
        let data = Bytes((0..<48).map { Float($0) })
        let view = tensor(data, [4, 12], Float.self)
        let mask = Bytes([UInt8](repeating: 1, count: 48))
        typealias Kind = CompressionError.Kind
        let cases: [(PalettizationOptions, Bool, Kind, String)] = [
            (.init(nbits: 5), false, .invalidArgument, "nbits: found 5, allowed 1, 2, 3, 4, 6, 8"),
            (.init(nbits: 0), false, .invalidArgument, "nbits: found 0"),
            (.init(), false, .invalidArgument, "nbits: found none"),
            (.init(nbits: 4, channelAxis: 2), false, .invalidArgument, "channel_axis: found 2, allowed -2 to 1"),
            (.init(nbits: 4, channelAxis: -3), false, .invalidArgument, "channel_axis: found -3"),
            (.init(nbits: 4, granularity: .perGroupedChannel(groupSize: 0)), false, .invalidArgument, "group_size"),
            (.init(nbits: 4, granularity: .perGroupedChannel(groupSize: 3)), false, .declined, "does not divide the 4"),
            (.init(nbits: 4, granularity: .perGroupedChannel(groupSize: 8)), false, .declined, "does not divide the 4"),
            (.init(nbits: 4, clusterDim: 0), false, .invalidArgument, "cluster_dim: found 0"),
            (.init(nbits: 4, clusterDim: 3), false, .declined, "cluster_dim: 3 does not divide the 4 channels"),
            (.init(mode: .uniform, nbits: 4, clusterDim: 2), false, .notImplemented, "cluster_dim"),
            (.init(nbits: 4, clusterDim: 2), true, .notImplemented, "cluster_dim"),
            (.init(mode: .custom, nbits: 4), true, .notImplemented, "mode: found custom"),
        ]
        for (options, masked, kind, words) in cases {
            XCTAssertThrowsError(
                try paletteLayout(view, options, mask: masked ? mask.bytePointer : nil, pool: WorkPool(threads: 1))
            ) {
                let error = $0 as? CompressionError
                XCTAssertEqual(error?.kind, kind)
                XCTAssertTrue(error?.message.contains(words) ?? false, "\($0)")
            }
        }
        for shape in [[], [0], [3, 0], [-1], [Int.max, 2], [1 << 62, 4]] {
            let odd = TensorView(base: data.pointer, type: .float32, shape: shape)
            XCTAssertThrowsError(try paletteLayout(odd, .init(nbits: 4), pool: WorkPool(threads: 1))) {
                XCTAssertEqual(($0 as? CompressionError)?.kind, .invalidArgument)
            }
        }
        let crooked = TensorView(base: data.pointer + 1, type: .float32, shape: [2])
        XCTAssertThrowsError(try paletteLayout(crooked, .init(nbits: 4), pool: WorkPool(threads: 1)))
    }

    func testLayoutsThatDoNotFit() throws {
        let data = Bytes((0..<48).map { Float($0) })
        let view = tensor(data, [4, 12], Float.self)
        let pool = WorkPool(threads: 1)
        let layout = try paletteLayout(view, .init(nbits: 4), pool: pool)
        let space = Bytes(4096)
        let codes = space.pointer.assumingMemoryBound(to: UInt8.self)
        for (other, options) in [
            (TensorView(base: data.pointer, type: .float32, shape: [12, 4]), PalettizationOptions(nbits: 4)),
            (view, .init(nbits: 3)), (view, .init(nbits: 4, channelAxis: 1)), (view, .init(nbits: 4, clusterDim: 2)),
            (view, .init(nbits: 4, perChannelScale: .outputChannel)),
            (view, .init(nbits: 4, granularity: .perGroupedChannel(groupSize: 2))),
        ] {
            XCTAssertThrowsError(
                try palettize(other, options, layout, pool: pool, lut: space.pointer + 1024, indices: codes)
            ) { XCTAssertEqual(($0 as? CompressionError)?.kind, .invalidArgument) }
        }
        let scaled = PalettizationOptions(nbits: 4, perChannelScale: .outputChannel)
        XCTAssertThrowsError(
            try palettize(
                view, scaled, paletteLayout(view, scaled, pool: pool), pool: pool, lut: space.pointer + 1024,
                indices: codes)
        ) { XCTAssertTrue("\($0)".contains("scale")) }
        XCTAssertThrowsError(
            try palettize(view, .init(nbits: 4), layout, pool: pool, lut: space.pointer + 1026, indices: codes))
    }

    func testNonFiniteElements() throws {
        for (value, name) in [(Float.nan, "nan"), (.infinity, "inf"), (-.infinity, "-inf")] {
            var data = (0..<200_000).map { Float($0 % 7) }
            data[150_123] = value
            data[199_000] = .nan
            for half in [true, false] {
                let bytes = half ? Bytes(data.map { halfBits(float: $0) }) : Bytes(data)
                let view = TensorView(base: bytes.pointer, type: half ? .float16 : .float32, shape: [200_000])
                for threads in [1, 4] {
                    for options in [
                        PalettizationOptions(nbits: 2), .init(mode: .uniform, nbits: 2),
                        .init(mode: .unique, perChannelScale: .reference),
                    ] {
                        XCTAssertThrowsError(try runPalettize(view, options, threads: threads)) {
                            let error = $0 as? CompressionError
                            XCTAssertEqual(error?.kind, .declined)
                            XCTAssertTrue(error?.message.contains("element 150123 is \(name)") ?? false, "\($0)")
                        }
                    }
                    XCTAssertEqual(try firstNonFinite(view, pool: WorkPool(threads: threads)), 150_123)
                }
                // Distinct values: infinities are values, NaN is not.
                XCTAssertThrowsError(try runPalettize(view, .init(mode: .unique))) {
                    let place = value.isNaN ? 150_123 : 199_000
                    XCTAssertTrue("\($0)".contains("element \(place) is nan"), "\($0)")
                }
            }
        }
    }

    func testTooManyDistinctValues() throws {
        let data = (0..<257).map { Float($0) }
        for bytes in [Bytes(data), Bytes(data.map { halfBits(float: $0) })] {
            let type: FloatType = bytes.count == 1028 ? .float32 : .float16
            let view = TensorView(base: bytes.pointer, type: type, shape: [257])
            XCTAssertThrowsError(try runPalettize(view, .init(mode: .unique))) {
                XCTAssertEqual(($0 as? CompressionError)?.kind, .declined)
            }
            let fits = TensorView(base: bytes.pointer, type: type, shape: [256])
            XCTAssertEqual(try runPalettize(fits, .init(mode: .unique)).layout.nbits, 8)
        }
        let vectors = Bytes((0..<514).map { Float($0) })
        let view = TensorView(base: vectors.pointer, type: .float32, shape: [257, 2])
        XCTAssertThrowsError(try runPalettize(view, .init(mode: .unique, channelAxis: 1, clusterDim: 2)))
    }

    func testBadImportance() throws {
        let data = Bytes([1, 2, 3] as [Float])
        for bad in [Double.nan, -1, .infinity] {
            let importance = Bytes([1, bad, 1])
            let pointer = UnsafePointer(importance.pointer.assumingMemoryBound(to: Double.self))
            XCTAssertThrowsError(
                try runPalettize(tensor(data, [3], Float.self), .init(nbits: 1), importance: .float64(pointer))
            ) { XCTAssertTrue("\($0)".contains("importance: element 1 is"), "\($0)") }
        }
        let fine = Bytes([1, 1, 1] as [Double])
        let pointer = UnsafePointer(fine.pointer.assumingMemoryBound(to: Double.self))
        XCTAssertThrowsError(
            try runPalettize(
                tensor(data, [3], Float.self), .init(mode: .uniform, nbits: 1), importance: .float64(pointer)))
    }

    func testCancelled() throws {
        let data = Bytes(halves(100_000, seed: 9))
        let view = tensor(data, [1000, 100], UInt16.self)
        let space = Bytes(200_000)
        for options in [
            PalettizationOptions(nbits: 4), .init(nbits: 4, granularity: .perGroupedChannel(groupSize: 1)),
            .init(mode: .uniform, nbits: 4, perChannelScale: .outputChannel),
        ] {
            let layout = try paletteLayout(view, options, pool: WorkPool(threads: 1))
            for threads in [1, 2] {
                let pool = WorkPool(threads: threads)
                pool.cancellation.cancel()
                let lut = Bytes(layout.lutElementCount * 2)
                let scale = Bytes(layout.scaleElementCount * 2)
                XCTAssertThrowsError(
                    try palettize(
                        view, options, layout, pool: pool, lut: lut.pointer,
                        indices: space.pointer.assumingMemoryBound(to: UInt8.self), scale: scale.pointer)
                ) { XCTAssertEqual(($0 as? CompressionError)?.kind, .cancelled) }
            }
        }
    }
}
