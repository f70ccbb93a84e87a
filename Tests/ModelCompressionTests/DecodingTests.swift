import CoreMLPackage
import TensorCompression
import XCTest

@testable import ModelCompression

/// What coremltools wrote is expanded to what coremltools expands it to, bit for bit.
final class DecodingTests: XCTestCase {
    private func check(_ name: String, file: StaticString = #filePath, line: UInt = #line) throws {
        let reader = WeightReader(try Fixtures.package(name))
        let expected = try Fixtures.expected(name)
        XCTAssertEqual(reader.compressedWeights.count, expected.count, file: file, line: line)
        for (_, weight) in reader.compressedWeights {
            let decoded = try reader.decodedWeight(weight)
            XCTAssertEqual(crc32(decoded.bytes), expected[Fixtures.plainName(weight)], weight, file: file, line: line)
        }
    }

    func testPackedForm() throws {
        try check("reference_ios15_uniform4")
        try check("reference_ios16_uniform6")
    }

    func testGroups() throws { try check("reference_ios18_uniform3_grouped") }

    func testUnique() throws { try check("reference_ios18_unique") }

    func testVectors() throws { try check("reference_ios18_vector") }

    func testScales() throws { try check("reference_ios18_uniform4_scaled") }

    func testPlainConstantsAndMissingOnes() throws {
        let reader = WeightReader(try Fixtures.package("mixed_ios18"))
        let bias = try reader.decodedWeight("linear_bias")
        XCTAssertEqual(bias.shape, [48])
        XCTAssertEqual(bias.type, .float16)
        XCTAssertEqual(bias.bytes.count, 96)
        XCTAssertTrue(
            message { _ = try reader.decodedWeight("nothing") }.contains("found no constant named \"nothing\""))
        XCTAssertTrue(
            message { _ = try reader.decodedWeight("linear_bias", function: "other") }.contains("no constant"))
    }

    func testHalfConversionIsExact() {
        for pattern in UInt16.min...UInt16.max where pattern & 0x7fff <= 0x7c00 {
            XCTAssertEqual(Half.fromFloat(Half.toFloat(pattern)), pattern)
        }
        XCTAssertEqual(Half.toFloat(0x0001), 0x1p-24)
        XCTAssertEqual(Half.toFloat(0xfbff), -65504)
        // Halfway cases go to even; what is nearer to the next power becomes infinite.
        XCTAssertEqual(Half.fromFloat(0x1p-25), 0)
        XCTAssertEqual(Half.fromFloat(0x1.8p-24), 0x0002)
        XCTAssertEqual(Half.fromFloat(1 + 0x1p-11), 0x3c00)
        XCTAssertEqual(Half.fromFloat(1 + 0x1.8p-10), 0x3c02)
        XCTAssertEqual(Half.fromFloat(65519.996), 0x7bff)
        XCTAssertEqual(Half.fromFloat(65520), 0x7c00)
    }

    func testBlockWalkCoversEveryElementOnce() {
        for (shape, blocks) in [
            ([4, 6], [2, 3]), ([4, 6], [1, 1]), ([4, 6], [4, 1]), ([2, 3, 4], [1, 3, 2]), ([5], [5]),
        ] {
            let count = shape.reduce(1, *)
            var seen = [Int](repeating: -1, count: count)
            BlockWalk(shape: shape, blocks: blocks).forEachRun { first, length, block in
                for position in first..<(first + length) {
                    XCTAssertEqual(seen[position], -1)
                    seen[position] = block
                }
            }
            for position in 0..<count {
                var rest = position
                var block = 0
                var factor = 1
                for axis in shape.indices.reversed() {
                    let index = rest % shape[axis]
                    rest /= shape[axis]
                    block += index / (shape[axis] / blocks[axis]) * factor
                    factor *= blocks[axis]
                }
                XCTAssertEqual(seen[position], block, "\(shape) \(blocks) \(position)")
            }
        }
    }
}
