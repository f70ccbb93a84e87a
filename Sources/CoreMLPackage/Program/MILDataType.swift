/// Element types of the Model Intermediate Language. Raw values are the numbers of `MILSpec.DataType`
/// (coremltools `mlmodel/format/MIL.proto`).
public enum MILDataType: Int, Sendable, CaseIterable {
    case bool = 1
    case string = 2
    case float16 = 10
    case float32 = 11
    case float64 = 12
    case bfloat16 = 13
    case int8 = 21
    case int16 = 22
    case int32 = 23
    case int64 = 24
    case int4 = 25
    case uint8 = 31
    case uint16 = 32
    case uint32 = 33
    case uint64 = 34
    case uint4 = 35
    case uint2 = 36
    case uint1 = 37
    case uint6 = 38
    case uint3 = 39
    case float8E4M3FN = 40
    case float8E5M2 = 41

    /// Bits of one element as stored; 0 for strings.
    public var bitWidth: Int {
        switch self {
        case .string: 0
        case .uint1: 1
        case .uint2: 2
        case .uint3: 3
        case .int4, .uint4: 4
        case .uint6: 6
        case .bool, .int8, .uint8, .float8E4M3FN, .float8E5M2: 8
        case .float16, .bfloat16, .int16, .uint16: 16
        case .float32, .int32, .uint32: 32
        case .float64, .int64, .uint64: 64
        }
    }

    /// The name MIL text uses: "fp16", "int32", "uint4".
    public var name: String {
        switch self {
        case .float16: "fp16"
        case .float32: "fp32"
        case .float64: "fp64"
        case .bfloat16: "bf16"
        case .float8E4M3FN: "fp8e4m3fn"
        case .float8E5M2: "fp8e5m2"
        default: String(describing: self)
        }
    }

    /// fp16, fp32, fp64, bf16 and the two 8-bit floats.
    public var isFloatingPoint: Bool {
        switch self {
        case .float16, .float32, .float64, .bfloat16, .float8E4M3FN, .float8E5M2: true
        default: false
        }
    }

    /// Less than a byte an element: stored packed, least significant bit first, without gaps.
    public var isSubByte: Bool { bitWidth > 0 && bitWidth < 8 }

    /// Bytes of `count` packed elements; nil for strings, for a negative count and where the number does not fit.
    public func byteCount(elements count: Int) -> Int? {
        guard count >= 0, bitWidth > 0 else { return nil }
        let (bits, overflow) = count.multipliedReportingOverflow(by: bitWidth)
        if !overflow { return bits / 8 + (bits % 8 == 0 ? 0 : 1) }
        guard bitWidth >= 8 else { return nil }
        let (bytes, bytesOverflow) = count.multipliedReportingOverflow(by: bitWidth / 8)
        return bytesOverflow ? nil : bytes
    }

    /// The number weight files use for this type (`MILBlob::Blob::BlobDataType`); nil for types they cannot hold.
    public var blobCode: UInt32? {
        switch self {
        case .float16: 1
        case .float32: 2
        case .uint8: 3
        case .int8: 4
        case .bfloat16: 5
        case .int16: 6
        case .uint16: 7
        case .int4: 8
        case .uint1: 9
        case .uint2: 10
        case .uint4: 11
        case .uint3: 12
        case .uint6: 13
        case .int32: 14
        case .uint32: 15
        case .float8E4M3FN: 16
        case .float8E5M2: 17
        case .bool, .string, .float64, .int64, .uint64: nil
        }
    }

    /// The type of a weight file's number; nil when the number is unknown.
    public init?(blobCode: UInt32) {
        guard let type = MILDataType.allCases.first(where: { $0.blobCode == blobCode }) else { return nil }
        self = type
    }
}
