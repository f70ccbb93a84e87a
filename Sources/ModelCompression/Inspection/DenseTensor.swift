import CoreMLPackage

/// A constant in dense form.
public struct DenseTensor: Sendable, Equatable {
    public var type: MILDataType
    public var shape: [Int]
    /// The elements in C order, little endian; sub-byte types packed.
    public var bytes: [UInt8]

    public var count: Int { shape.reduce(1, *) }
}

// MARK: - Conversion

/// IEEE 754 binary16, as bit patterns: Swift's own `Float16` does not exist on Intel Macs.
enum Half {
    static func toFloat(_ half: UInt16) -> Float {
        let wide = UInt32(half)
        let shifted = (wide & 0x7fff) &<< 13
        let scaled = (Float(bitPattern: shifted) * Float(bitPattern: 0x7780_0000)).bitPattern
        let special: UInt32 = shifted >= 0x0f80_0000 ? 0x7f80_0000 : 0
        return Float(bitPattern: scaled | special | ((wide & 0x8000) &<< 16))
    }

    /// Rounds to nearest, ties to even; too large becomes infinite.
    static func fromFloat(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
        let magnitude = bits & 0x7fff_ffff
        if magnitude > 0x7f80_0000 { return sign | 0x7e00 }
        if magnitude >= 0x4780_0000 { return sign | 0x7c00 }
        if magnitude < 0x3880_0000 {
            // Subnormal: adding 0.5 moves the last kept bit to the end of the mantissa, rounding on the way.
            let shifted = (Float(bitPattern: magnitude) + 0.5).bitPattern &- Float(0.5).bitPattern
            return sign | UInt16(truncatingIfNeeded: shifted)
        }
        let rounded = magnitude &+ 0xc800_0fff &+ ((magnitude >> 13) & 1)
        return sign | UInt16(truncatingIfNeeded: rounded >> 13)
    }
}

extension DenseTensor {
    /// The elements as float32; nil for types that are no numbers of 32 bits or less.
    func floats() -> [Float]? {
        bytes.withUnsafeBytes { raw in
            switch type {
            case .float16:
                return (0..<count).map {
                    Half.toFloat(UInt16(littleEndian: raw.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)))
                }
            case .float32:
                return (0..<count).map {
                    Float(
                        bitPattern: UInt32(
                            littleEndian: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
                }
            case .int8: return raw.map { Float(Int8(bitPattern: $0)) }
            case .uint8: return raw.map { Float($0) }
            case .int4: return codes(raw).map { Float($0 >= 8 ? Int($0) - 16 : Int($0)) }
            case .uint1, .uint2, .uint3, .uint4, .uint6: return codes(raw).map { Float($0) }
            default: return nil
            }
        }
    }

    /// The elements of a type of 8 bits or less, one per byte.
    func codes() -> [UInt8] { bytes.withUnsafeBytes { codes($0) } }

    private func codes(_ raw: UnsafeRawBufferPointer) -> [UInt8] {
        BitStream.unpack(raw, bits: type.bitWidth, count: count)
    }

    init(floats: [Float], type: MILDataType, shape: [Int]) {
        self.type = type
        self.shape = shape
        if type == .float16 {
            bytes = [UInt8](unsafeUninitializedCapacity: 2 * floats.count) { buffer, count in
                for (index, value) in floats.enumerated() {
                    let half = Half.fromFloat(value)
                    buffer[2 * index] = UInt8(truncatingIfNeeded: half)
                    buffer[2 * index + 1] = UInt8(truncatingIfNeeded: half >> 8)
                }
                count = 2 * floats.count
            }
        } else {
            bytes = floats.withUnsafeBytes { Array($0) }
        }
    }
}

/// Codes packed least significant bit first, without gaps.
enum BitStream {
    /// - Parameters:
    ///   - raw: at least `count * bits` bits.
    ///   - bits: 1 to 8.
    static func unpack(_ raw: UnsafeRawBufferPointer, bits: Int, count: Int) -> [UInt8] {
        guard bits < 8 else { return Array(raw.prefix(count)) }
        let mask = UInt32(1) << bits - 1
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            var window: UInt32 = 0
            var available = 0
            var next = 0
            for index in 0..<count {
                if available < bits {
                    window |= UInt32(raw[next]) << available
                    next += 1
                    available += 8
                }
                buffer[index] = UInt8(truncatingIfNeeded: window & mask)
                window >>= bits
                available -= bits
            }
            initialized = count
        }
    }
}
