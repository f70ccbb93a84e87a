/// Builds the bytes of a protobuf message.
struct WireWriter {
    private(set) var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    mutating func tag(_ number: Int, _ encoding: WireField.Encoding) {
        varint(UInt64(number) << 3 | UInt64(encoding.rawValue))
    }

    /// A number; like every proto3 writer this leaves out a zero outside a oneof.
    mutating func integer(_ number: Int, _ value: UInt64, always: Bool = false) {
        guard value != 0 || always else { return }
        tag(number, .varint)
        varint(value)
    }

    mutating func data(_ number: Int, _ payload: some Collection<UInt8>) {
        tag(number, .lengthDelimited)
        varint(UInt64(payload.count))
        bytes.append(contentsOf: payload)
    }

    mutating func string(_ number: Int, _ value: String) { data(number, value.utf8) }

    mutating func message(_ number: Int, _ build: (inout WireWriter) -> Void) {
        var inner = WireWriter()
        build(&inner)
        data(number, inner.bytes)
    }
}
