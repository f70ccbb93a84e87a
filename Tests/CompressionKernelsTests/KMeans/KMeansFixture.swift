import CompressionKernels
import Foundation
import TestSupport

/// One line of exact_kmeans_1d.txt. The input is made here as Fixtures/make_fixtures.py makes it.
struct KMeansFixture {
    let kind: String
    let weightKind: String
    let seed: UInt64
    let n: Int
    let k: Int
    let count: Int
    /// Bits as hexadecimal numbers, or "nan".
    let centroids: [String]
    let firstIndex: [Int]

    var name: String { "\(kind) \(weightKind) seed \(seed) n \(n) k \(k)" }

    static var all: [KMeansFixture] {
        get throws {
            let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            let file = folder.appendingPathComponent("Fixtures/exact_kmeans_1d.txt")
            return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map { try .init(String($0)) }
        }
    }

    private init(_ line: String) throws {
        let fields = line.split(separator: " ").map(String.init)
        guard fields.count == 8, let seed = UInt64(fields[2]), let n = Int(fields[3]), let k = Int(fields[4]),
            let count = Int(fields[5])
        else { throw CocoaError(.fileReadCorruptFile) }
        (kind, weightKind, self.seed, self.n, self.k, self.count) = (fields[0], fields[1], seed, n, k, count)
        centroids = fields[6].split(separator: ",").map(String.init)
        var index = 0
        firstIndex = fields[7].split(separator: ",").map { step in
            index += Int(step) ?? .max
            return index
        }
    }

    func makeInput() -> (values: [Double], weights: [Double]) {
        var generator = SeededGenerator(seed: seed)
        let isSymmetric = kind.hasPrefix("symmetric-")
        let base = isSymmetric ? String(kind.dropFirst("symmetric-".count)) : kind
        var drawn = (0..<n).map { value(base, generator.next(), $0) }
        if isSymmetric { drawn += drawn.map { -$0 } }
        let values = Array(Set(drawn.map { $0 + 0 })).sorted()
        return (values, values.map { _ in weight(generator.next()) })
    }

    private func value(_ kind: String, _ r: UInt64, _ i: Int) -> Double {
        switch kind {
        case "grid": Double(r % UInt64(4 * n)) - Double(2 * n)
        case "even": Double(i)
        case "half":
            Double(Float(bitPattern: floatBits(half: UInt16(r & 0x83ff) | UInt16((r >> 20) % 17) << 10)))
        case "float": Double(Float(double(r, -6, 7)))
        case "double": double(r, -4, 6)
        case "wide": double(r, -140, 280)
        case "huge": double(r, 500, 20)
        case "subnormal": Double(bitPattern: r & 0x8000_ffff_ffff_ffff)
        case "offset": 1_048_576 + Double(r & 0xffff) * 0x1p-32
        default: fatalError("kind \(kind)")
        }
    }

    private func weight(_ r: UInt64) -> Double {
        switch weightKind {
        case "one": 1
        case "count": Double(1 + r % 1000)
        case "real": abs(double(r, -3, 6))
        case "wide": abs(double(r, -40, 60))
        case "zeros": Double(r % 5)
        default: fatalError("weights \(weightKind)")
        }
    }

    /// A number with random sign and mantissa and an exponent of `low` to `low + span - 1`.
    private func double(_ r: UInt64, _ low: Int, _ span: UInt64) -> Double {
        let exponent = UInt64(1023 + low) + (r >> 52 & 0x7ff) % span
        return Double(bitPattern: (r & 0x8000_0000_0000_0000) | exponent << 52 | (r & 0x000f_ffff_ffff_ffff))
    }
}
