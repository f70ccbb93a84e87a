import Foundation
import XCTest

@testable import TensorCompression

/// One array of palettes.bin or parts.bin.
struct FixtureArray: Decodable {
    let file: String?
    let offset: Int
    let dtype: String
    let shape: [Int]

    var count: Int { shape.reduce(1, *) }
    var itemSize: Int { ["int8": 1, "uint8": 1, "float16": 2, "float32": 4, "float64": 8][dtype] ?? 0 }
    var byteCount: Int { count * itemSize }
    var type: FloatType? { ["float16": .float16, "float32": .float32, "float64": .float64][dtype] }
    var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: pointer, count: byteCount)) }
    var pointer: UnsafeRawPointer { (file == "parts" ? FixtureFile.parts : .shared).data + offset }
    var bytePointer: UnsafePointer<UInt8> { pointer.assumingMemoryBound(to: UInt8.self) }
    var tensor: TensorView { TensorView(base: pointer, type: type ?? .float64, shape: shape) }
}

/// One case of palettes.json or parts.json; see make_fixtures.py and make_parts_fixtures.py.
struct FixtureCase: Decodable {
    let kind: String
    let name: String
    let mode: String?
    let nbits: Int?
    let axis: Int?
    let group: Int?
    let dim: Int?
    let scaleKind: String?
    let weight: FixtureArray?
    let lut: FixtureArray?
    let indices: FixtureArray?
    let decoded: FixtureArray?
    let scale: FixtureArray?
    let codes: FixtureArray?
    let packed: FixtureArray?
    let signed: FixtureArray?
    let packedSigned: FixtureArray?
    // Linear quantization.
    let type: String?
    let blockSizes: [Int]?
    let reference: Bool?
    let data: FixtureArray?
    let zeroPoint: FixtureArray?
    // Pruning.
    let method: String?
    let share: Double?
    let threshold: Double?
    let blockSize: Int?
    let n: Int?
    let m: Int?
    let mask: FixtureArray?
    let nonzero: FixtureArray?
}

final class FixtureFile: @unchecked Sendable {
    static let shared = FixtureFile("palettes")
    static let parts = FixtureFile("parts")
    let data: UnsafeRawPointer
    let cases: [FixtureCase]

    private init(_ name: String) {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")
        do {
            let binary = try Data(contentsOf: folder.appendingPathComponent("\(name).bin"))
            let memory = UnsafeMutableRawPointer.allocate(byteCount: binary.count, alignment: 64)
            binary.copyBytes(to: UnsafeMutableRawBufferPointer(start: memory, count: binary.count))
            data = UnsafeRawPointer(memory)
            cases = try JSONDecoder().decode(
                [FixtureCase].self, from: Data(contentsOf: folder.appendingPathComponent("\(name).json")))
        } catch {
            fatalError("fixtures: \(error)")
        }
    }

    static func cases(_ kind: String) -> [FixtureCase] {
        let found = (shared.cases + parts.cases).filter { $0.kind == kind }
        precondition(!found.isEmpty, "no fixtures of kind \(kind)")
        return found
    }
}

/// The parts that `palettize` made, as bytes.
struct Palettized: Equatable {
    var layout: PaletteLayout
    var lut: [UInt8]
    var indices: [UInt8]
    var scale: [UInt8]
}

/// Runs layout and palettize on fresh memory filled with a pattern, so that bytes left unwritten show.
func runPalettize(
    _ tensor: TensorView, _ options: PalettizationOptions, importance: Importance? = nil,
    mask: UnsafePointer<UInt8>? = nil, threads: Int = 1, customLUT: CustomLookupTable? = nil
) throws -> Palettized {
    let pool = WorkPool(threads: threads)
    let layout = try paletteLayout(tensor, options, mask: mask, pool: pool)
    let size = tensor.type.byteCount
    let lut = Bytes(layout.lutElementCount * size)
    let indices = Bytes(layout.indicesCount)
    let scale = Bytes(layout.scaleElementCount * size)
    let used = try palettize(
        tensor, options, layout, importance: importance, mask: mask, pool: pool, customLUT: customLUT,
        lut: lut.pointer, indices: indices.pointer.assumingMemoryBound(to: UInt8.self),
        scale: layout.scaleShape == nil ? nil : scale.pointer)
    lut.count = used.lutElementCount * size
    return Palettized(layout: used, lut: lut.array, indices: indices.array, scale: scale.array)
}

/// Memory for a test. It is kept to the end: its pointers are used after its last mention, when it would be gone already.
final class Bytes {
    private nonisolated(unsafe) static var kept: [Bytes] = []
    let pointer: UnsafeMutableRawPointer
    var count: Int

    init(_ count: Int) {
        self.count = count
        pointer = .allocate(byteCount: max(count, 1), alignment: 64)
        pointer.initializeMemory(as: UInt8.self, repeating: 0xa5, count: count)
        Bytes.kept.append(self)
    }

    convenience init<Element: BitwiseCopyable>(_ elements: [Element]) {
        self.init(elements.count * MemoryLayout<Element>.stride)
        elements.withUnsafeBytes { if $0.count > 0 { pointer.copyMemory(from: $0.baseAddress!, byteCount: $0.count) } }
    }

    var array: [UInt8] { Array(UnsafeRawBufferPointer(start: pointer, count: count)) }
    var bytePointer: UnsafePointer<UInt8> { UnsafePointer(pointer.assumingMemoryBound(to: UInt8.self)) }

    func elements<Element: BitwiseCopyable>(_: Element.Type) -> [Element] {
        Array(UnsafeRawBufferPointer(start: pointer, count: count).bindMemory(to: Element.self))
    }
}

/// Bytes with -0.0 made +0.0, for comparisons in NumPy's sense.
func withoutNegativeZeros(_ bytes: [UInt8], _ type: FloatType) -> [UInt8] {
    var result = bytes
    let size = type.byteCount
    for start in stride(from: 0, to: bytes.count, by: size) {
        let body = bytes[start..<(start + size - 1)]
        if body.allSatisfy({ $0 == 0 }), bytes[start + size - 1] == 0x80 { result[start + size - 1] = 0 }
    }
    return result
}
