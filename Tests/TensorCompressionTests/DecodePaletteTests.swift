import CompressionKernels
import TestSupport
import XCTest

@testable import TensorCompression

final class DecodePaletteTests: XCTestCase {
    /// Every cut of small shapes, and every range, against indices computed one by one.
    func testBlockMap() {
        for shape in [[1], [6], [4, 6], [2, 3, 4], [2, 1, 2, 3]] {
            let divisors = shape.map { size in (1...size).filter { size % $0 == 0 } }
            let combinations = divisors.reduce([[]]) { lists, next in lists.flatMap { list in next.map { list + [$0] } }
            }
            for parts in combinations {
                let total = shape.reduce(1, *)
                let expected = (0..<total).map { position in
                    var (rest, block, stride) = (position, 0, 1)
                    for axis in shape.indices.reversed() {
                        block += rest % shape[axis] / (shape[axis] / parts[axis]) * stride
                        stride *= parts[axis]
                        rest /= shape[axis]
                    }
                    return block
                }
                let map = BlockMap(shape: shape, parts: parts)
                for start in 0..<total {
                    for end in start...total {
                        var found: [Int] = []
                        map.forEachRun(start, end) { position, length, block, step in
                            XCTAssertEqual(position, start + found.count)
                            for i in 0..<length { found.append(block + i * step) }
                        }
                        XCTAssertEqual(found, Array(expected[start..<end]), "\(shape) \(parts) \(start)..<\(end)")
                    }
                }
            }
        }
    }

    /// Tensors of several pieces, packed and not, against a decoder of one line.
    func testLargeTensors() throws {
        var random = SeededGenerator(seed: 7)
        let cases: [(shape: [Int], lut: [Int], axis: Int?)] = [
            ([70_003], [1, 16, 1], nil), ([70_003], [1, 4, 1], nil), ([70_003], [1, 2, 1], nil),
            ([70_003], [1, 8, 1], nil), ([300, 251], [300, 1, 64, 1], nil), ([300, 251], [1, 251, 2, 1], nil),
            ([30, 251, 9], [1, 1, 1, 16, 3], 1), ([30, 251, 9], [3, 1, 3, 8, 2], 0), ([40, 1001], [4, 7, 4, 5], 1),

        ]
        for (shape, lutShape, axis) in cases {
            let rank = shape.count
            let (entries, dimension) = (lutShape[rank], lutShape[rank + 1])
            let count = shape.reduce(1, *)
            let lut = (0..<lutShape.reduce(1, *)).map { Float($0) }
            let codes = (0..<count).map { _ in UInt8.random(in: 0..<UInt8(entries), using: &random) }
            var expected = [Float](repeating: -1, count: count * dimension)
            let inner = axis.map { shape[($0 + 1)...].reduce(1, *) } ?? 1
            let blocks = BlockMap(shape: shape, parts: Array(lutShape[..<rank]))
            blocks.forEachRun(0, count) { position, length, block, step in
                for i in 0..<length {
                    let (code, table) = (position + i, block + i * step)
                    for j in 0..<dimension {
                        let place = (code / inner * dimension + j) * inner + code % inner
                        expected[place] = lut[(table * entries + Int(codes[code])) * dimension + j]
                    }
                }
            }
            let nbits = entries.trailingZeroBitCount
            let packed = Bytes((count * nbits + 7) / 8)
            let (lutBytes, codeBytes) = (Bytes(lut), Bytes(codes))
            try packBits(
                codeBytes.bytePointer, count: count, nbits: nbits,
                into: packed.pointer.assumingMemoryBound(to: UInt8.self), pool: WorkPool(threads: 1))
            for source in [PaletteCodes.bytes(codeBytes.bytePointer), .packed(packed.bytePointer)] {
                for threads in [1, 3] {
                    let output = Bytes(count * dimension * 4)
                    try decodePalette(
                        lut: lutBytes.pointer, lutShape: lutShape, type: .float32, codes: source, indicesShape: shape,
                        vectorAxis: axis, into: output.pointer, pool: WorkPool(threads: threads))
                    XCTAssertTrue(output.elements(Float.self) == expected, "\(shape) \(lutShape)")
                    let halfLUT = Bytes(lut.map { UInt16(truncatingIfNeeded: Int($0)) })
                    let halfOutput = Bytes(count * dimension * 2)
                    try expandPalette(
                        lut: halfLUT.pointer, lutShape: lutShape, elementByteCount: 2, codes: source,
                        indicesShape: shape, vectorAxis: axis, into: halfOutput.pointer,
                        pool: WorkPool(threads: threads))
                    XCTAssertTrue(
                        halfOutput.elements(UInt16.self) == expected.map { UInt16(truncatingIfNeeded: Int($0)) })
                }
            }
        }
    }

    func testArguments() throws {
        let space = Bytes(4096)
        space.pointer.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
        func decode(
            lut: [Int], indices: [Int], axis: Int? = nil, type: FloatType = .float32, scale: [Int]? = nil,
            offset: Int = 0
        ) throws {
            try decodePalette(
                lut: space.pointer, lutShape: lut, type: type, codes: .bytes(space.bytePointer), indicesShape: indices,
                vectorAxis: axis, scale: scale.map { DecodingScale(elements: space.pointer, shape: $0) },
                into: space.pointer + 2048 + offset, pool: WorkPool(threads: 1))
        }
        XCTAssertNoThrow(try decode(lut: [1, 1, 2, 1], indices: [2, 3], scale: [2, 1]))
        let wrong: [() throws -> Void] = [
            { try decode(lut: [1, 2, 1], indices: [2, 3]) }, { try decode(lut: [2, 1], indices: []) },
            { try decode(lut: [1, 1, 3, 1], indices: [2, 3]) }, { try decode(lut: [1, 1, 512, 1], indices: [2, 3]) },
            { try decode(lut: [1, 1, 1, 1], indices: [2, 3]) }, { try decode(lut: [1, 2, 2, 1], indices: [2, 3]) },
            { try decode(lut: [0, 1, 2, 1], indices: [2, 3]) }, { try decode(lut: [1, 1, 2, 0], indices: [2, 3]) },
            { try decode(lut: [1, 1, 2, 2], indices: [2, 3]) },
            { try decode(lut: [1, 1, 2, 2], indices: [2, 3], axis: 2) },
            { try decode(lut: [1, 1, 2, 1], indices: [2, 0]) }, { try decode(lut: [1, 1, 2, 1], indices: [2, -3]) },
            { try decode(lut: [1, 1, 2, 1], indices: [2, 3], scale: [2]) },
            { try decode(lut: [1, 1, 2, 1], indices: [2, 3], scale: [2, 2]) },
            { try decode(lut: [1, 1, 2, 1], indices: [2, 3], scale: [0, 3]) },
            { try decode(lut: [1, 1, 2, 1], indices: [2, 3], offset: 2) },
            { try decode(lut: [1, 1, 2, 1], indices: [1 << 62, 4]) },
            { try decode(lut: [1, 1, 2, 1 << 62], indices: [4, 1], axis: 0) },
        ]
        for (i, body) in wrong.enumerated() {
            XCTAssertThrowsError(try body(), "\(i)") {
                XCTAssertEqual(($0 as? CompressionError)?.kind, .invalidArgument, "\(i)")
            }
        }
        space.pointer.storeBytes(of: 2, toByteOffset: 4, as: UInt8.self)
        XCTAssertThrowsError(try decode(lut: [1, 1, 2, 1], indices: [2, 3])) {
            XCTAssertTrue("\($0)".contains("indices: found 2 at 4, allowed 0 to 1"), "\($0)")
        }
    }

    func testErrorsOfAPalette() throws {
        var random = SeededGenerator(seed: 8)
        let count = 150_000
        let data = (0..<count).map { _ in halfBits(float: Float.random(in: -1...1, using: &random)) }
        let mask = Bytes(data.map { UInt8($0 & 1) })
        let bytes = Bytes(data)
        let view = TensorView(base: bytes.pointer, type: .float16, shape: [300, 500])
        for masked in [false, true] {
            let options = PalettizationOptions(nbits: 3, perChannelScale: .outputChannel)
            let pointer = masked ? mask.bytePointer : nil
            let result = try runPalettize(view, options, mask: pointer, threads: 2)
            let (lut, indices, scale) = (Bytes(result.lut), Bytes(result.indices), Bytes(result.scale))
            let output = Bytes(2 * count)
            let kept = Bytes(data.filter { $0 & 1 == 0 })
            try decodePalette(
                result.layout, .float16, lut: lut.pointer, indices: indices.bytePointer, scale: scale.pointer,
                kept: masked ? KeptElements(mask: mask.bytePointer, elements: kept.pointer) : nil,
                into: output.pointer, pool: WorkPool(threads: 3))
            let differences = zip(data, output.elements(UInt16.self)).map { $0.double - $1.double }
            let one = try paletteError(
                view, result.layout, lut: lut.pointer, indices: indices.bytePointer, scale: scale.pointer,
                mask: pointer, pool: WorkPool(threads: 1))
            XCTAssertEqual(one.maxError, differences.map { abs($0) }.max())
            XCTAssertEqual(one.squaredError, differences.map { $0 * $0 }.reduce(0, +), accuracy: 1e-9)
            XCTAssertEqual(one.sumOfSquares, data.map { $0.double * $0.double }.reduce(0, +), accuracy: 1e-7)
            for threads in [2, 3, 8] {
                let pool = WorkPool(threads: threads)
                XCTAssertEqual(
                    try paletteError(
                        view, result.layout, lut: lut.pointer, indices: indices.bytePointer, scale: scale.pointer,
                        mask: pointer, pool: pool), one)
                XCTAssertEqual(try errorStatistics(view, decoded: output.pointer, pool: pool), one)
            }
        }
    }
}
