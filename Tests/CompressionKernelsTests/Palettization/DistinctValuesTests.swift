import CompressionKernels
import TestSupport
import XCTest

final class DistinctValuesTests: XCTestCase {
    private let halves: [[UInt16]] = {
        var random = SeededGenerator(seed: 11)
        return [
            [0x8000], [0x0000, 0x8000, 0x8000], [0x8001, 0x0001, 0x8000], [0xfc00, 0x7c00, 0xfbff, 0x7bff, 0x0400],
            (0..<2000).map { _ in UInt16.random(in: 0...0x7bff, using: &random) },
            (0..<2000).map { _ in UInt16.random(in: 0x8000...0xfbff, using: &random) },
            (0..<5003).map { _ in UInt16.random(in: 0x3000...0x3040, using: &random) },
        ]
    }()

    func testHalfHistogram() {
        let table = UnsafeMutablePointer<UInt32>.allocate(capacity: 5 * 65_536)
        table.initialize(repeating: 0, count: 5 * 65_536)
        let touched = UnsafeMutablePointer<UInt8>.allocate(capacity: 1024)
        touched.initialize(repeating: 0, count: 1024)
        let sums = UnsafeMutablePointer<Double>.allocate(capacity: 65_536)
        sums.initialize(repeating: 0, count: 65_536)
        defer {
            table.deallocate()
            touched.deallocate()
            sums.deallocate()
        }
        for data in halves {
            var counts: [Double: Double] = [:]
            for pattern in data { counts[Double(floatValue(half: pattern)) + 0, default: 0] += 1 }
            for way in 0..<3 {
                switch way {
                case 0: countHalfPatternsNoting(data, data.count, table, touched)
                case 1:
                    let tables = table + 65_536
                    countHalfPatterns(data, data.count, tables)
                    for part in 0..<4 {
                        addHalfTable(tables + part * 65_536, table)
                        (tables + part * 65_536).update(repeating: 0, count: 65_536)
                    }
                    touched.update(repeating: 1, count: 1024)
                default:
                    let ones = [Float](repeating: 0.25, count: data.count)
                    sumHalfImportance(data, ones, data.count, table, sums, touched)
                }
                var patterns = [UInt16](repeating: 0, count: 65_536)
                var values = [Double](repeating: .nan, count: 65_536)
                var weights = values
                let found = drainHalfTable(table, way == 2 ? sums : nil, touched, &patterns, &values, &weights)
                XCTAssertEqual(Array(values[..<found]), counts.keys.sorted())
                let unit = way == 2 ? 0.25 : 1.0
                XCTAssertEqual(Array(weights[..<found]), counts.keys.sorted().map { counts[$0]! * unit })
                for i in 0..<found { XCTAssertEqual(Double(floatValue(half: patterns[i])), values[i]) }
                XCTAssertFalse(patterns[..<found].contains(0x8000))
                XCTAssertTrue((0..<65_536).allSatisfy { table[$0] == 0 && sums[$0] == 0 }, "left dirty")
                XCTAssertTrue((0..<1024).allSatisfy { touched[$0] == 0 }, "left dirty")
            }
        }
    }

    func testHalfCodes() {
        let patterns: [UInt16] = [0xc000, 0x0000, 0x0001, 0x4000]
        var table = [UInt8](repeating: 9, count: 65_536)
        // Two clusters of values, an empty one between them, one empty at the end.
        fillHalfCodes(patterns, 4, [0, 3, 3, 4], 4, &table)
        XCTAssertEqual(table[0xc000], 0)
        XCTAssertEqual(table[0x0000], 0)
        XCTAssertEqual(table[0x8000], 0)
        XCTAssertEqual(table[0x4000], 2)
        let data = (0..<21).map { patterns[$0 % 4] }
        for count in 0...21 {
            var codes = [UInt8](repeating: 7, count: 22)
            lookUpHalfCodes(data, count, table, &codes)
            XCTAssertEqual(Array(codes[..<count]), data[..<count].map { $0 == 0x4000 ? 2 : 0 })
            XCTAssertEqual(codes[count], 7)
        }
    }

    func testKeysKeepTheOrder() {
        let tiny = Double.leastNonzeroMagnitude
        let ordered: [Double] = [
            -.infinity, -.greatestFiniteMagnitude, -1.5, -tiny, 0, tiny, 1e-300, 1.5, .greatestFiniteMagnitude,
            .infinity,
        ]
        var keys = [UInt64](repeating: 0, count: ordered.count)
        makeKeys(ordered, ordered.count, &keys)
        XCTAssertEqual(keys, keys.sorted())
        XCTAssertEqual(Set(keys).count, ordered.count)
        var back = [Double](repeating: 0, count: ordered.count)
        keysToDoubles(keys, ordered.count, &back)
        XCTAssertEqual(back, ordered)
        var zeros: [UInt64] = [0, 0]
        makeKeys([0.0, -0.0] as [Double], 2, &zeros)
        XCTAssertEqual(zeros[0], zeros[1])

        let floats: [Float] = [-.infinity, -3, -.leastNonzeroMagnitude, 0, .leastNonzeroMagnitude, 3, .infinity]
        var floatKeys = [UInt32](repeating: 0, count: floats.count)
        makeKeys(floats, floats.count, &floatKeys)
        XCTAssertEqual(floatKeys, floatKeys.sorted())
        keysToDoubles(floatKeys, floats.count, &back)
        XCTAssertEqual(Array(back[..<floats.count]), floats.map { Double($0) })
        makeKeys([0.0, -0.0] as [Float], 2, &floatKeys)
        XCTAssertEqual(floatKeys[0], floatKeys[1])
    }

    func testMergeAndSums() {
        var keys: [UInt32] = [1, 1, 4, 7, 7, 7]
        var counts = [UInt32](repeating: 0, count: 6)
        XCTAssertEqual(mergeSortedKeys(&keys, 6, &counts), 3)
        XCTAssertEqual(Array(keys[..<3]), [1, 4, 7])
        XCTAssertEqual(Array(counts[..<3]), [2, 1, 3])
        var weights = [0.0, 0, 0]
        // In the order of the elements: (1e16 + 1) + 1 is 1e16, unlike 1e16 + (1 + 1).
        sumRunImportance([0, 1, 2, 3, 4, 5], counts, 3, [2, 3, 5, 1e16, 1, 1] as [Double], &weights)
        XCTAssertEqual(weights, [5, 5, 1e16])
    }

    func testIntervals() {
        var random = SeededGenerator(seed: 5)
        for count in [0, 1, 2, 7, 14, 15, 16, 17, 31, 62, 63, 64, 200, 255] {
            let thresholds = (0..<count).map { _ in Double(Float.random(in: -1...1, using: &random)) }.sorted()
            var data = (0..<1500).map { _ in Double(Float.random(in: -1.2...1.2, using: &random)) }
            data += thresholds + [-.infinity, .infinity, 0, -0.0]
            let expected = data.map { value in UInt8(thresholds.filter { $0 <= value }.count) }
            var codes = [UInt8](repeating: 1, count: data.count)
            findIntervals(data, data.count, thresholds, count, &codes)
            XCTAssertEqual(codes, expected, "\(count) thresholds")
            codes = codes.map { _ in 1 }
            findIntervals(data.map { Float($0) }, data.count, thresholds.map { Float($0) }, count, &codes)
            XCTAssertEqual(codes, expected, "\(count) thresholds")
        }
    }

    func testDistinctVectors() {
        var slots = [Int32](repeating: 0, count: distinctSlots)
        var firsts = [Int](repeating: 0, count: 256)
        for dimension in [1, 2, 3] {
            for kinds in [1, 2, 255, 256, 257] {
                let data = (0..<1000).flatMap { i in
                    (0..<dimension).map { j in UInt16((i % kinds) * 7 + j) }
                }
                var codes = [UInt8](repeating: 0, count: 1000)
                let found = findDistinctVectors(data, 1000, dimension, &slots, &firsts, &codes)
                XCTAssertEqual(found, kinds > 256 ? -1 : kinds)
                if kinds <= 256 { XCTAssertEqual(codes, (0..<1000).map { UInt8($0 % kinds) }) }
            }
        }
        var codes = [UInt8](repeating: 9, count: 2)
        XCTAssertEqual(findDistinctVectors([0, 0x8000, 0x8000, 0] as [UInt16], 2, 2, &slots, &firsts, &codes), 1)
        XCTAssertEqual(findDistinctVectors([0, 0x8000_0000] as [UInt32], 2, 1, &slots, &firsts, &codes), 1)
        XCTAssertEqual(findDistinctVectors([0, 1 << 63] as [UInt64], 2, 1, &slots, &firsts, &codes), 1)
    }
}
