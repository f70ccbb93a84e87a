/// Damage found while walking protobuf bytes: where, and what was expected.
struct WireError: Error {
    let offset: Int
    let message: String
}

/// One field of a message: its number, how it is encoded, and where its bytes lie in the file.
struct WireField {
    enum Encoding: UInt8 {
        case varint = 0
        case fixed64 = 1
        case lengthDelimited = 2
        case group = 3
        case fixed32 = 5
    }

    let number: Int
    let encoding: Encoding
    /// Tag, length and payload.
    let record: Range<Int>
    /// The bytes after tag (and length); for a group everything between its two tags.
    let payload: Range<Int>
    /// A varint's or fixed number's bits; 0 for the other encodings.
    let value: UInt64
}

/// Walks the fields of one protobuf message (https://protobuf.dev/programming-guides/encoding/), in one pass.
///
/// Bounds are checked on every step, and a length is compared with what is left before it is used, so a claim
/// of 2^60 bytes costs nothing. Groups (deprecated, never written by Core ML) are skipped whole.
struct WireReader {
    /// Messages may nest this deep: Google's parsers stop at the same depth.
    static let depthLimit = 100

    let base: UnsafeRawPointer
    private(set) var position: Int
    let end: Int

    /// - Parameters:
    ///   - base: the first byte of the file.
    ///   - range: the message's bytes, inside the file.
    init(_ base: UnsafeRawPointer, _ range: Range<Int>) {
        self.base = base
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next field, or nil at the end of the message.
    mutating func next() throws(WireError) -> WireField? {
        guard position < end else { return nil }
        let start = position
        let tag = try varint()
        let number = tag >> 3
        guard tag <= UInt64(UInt32.max), number > 0 else {
            throw WireError(offset: start, message: "found tag \(tag), expected a field number from 1 to 536870911")
        }
        guard let encoding = WireField.Encoding(rawValue: UInt8(tag & 7)) else {
            throw WireError(offset: start, message: "found wire type \(tag & 7), expected 0, 1, 2, 3 or 5")
        }
        var value: UInt64 = 0
        let payload: Range<Int>
        switch encoding {
        case .varint:
            let begin = position
            value = try varint()
            payload = begin..<position
        case .fixed64:
            payload = try take(8)
            value = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: payload.lowerBound, as: UInt64.self))
        case .fixed32:
            payload = try take(4)
            value = UInt64(
                UInt32(littleEndian: base.loadUnaligned(fromByteOffset: payload.lowerBound, as: UInt32.self)))
        case .lengthDelimited:
            payload = try take(try varint())
        case .group:
            payload = try skipGroup(UInt64(number))
        }
        return WireField(
            number: Int(number), encoding: encoding, record: start..<position, payload: payload, value: value)
    }

    /// A base-128 number of at most 10 bytes; bits over 64 are dropped, as every protobuf parser does.
    mutating func varint() throws(WireError) -> UInt64 {
        let start = position
        guard position < end else { throw WireError(offset: start, message: "found the end, expected a number") }
        let first = base.load(fromByteOffset: position, as: UInt8.self)
        position += 1
        if first < 0x80 { return UInt64(first) }
        var result = UInt64(first & 0x7f)
        var shift: UInt64 = 7
        while shift < 70 {
            guard position < end else {
                throw WireError(offset: start, message: "found a number cut off by the end of its message")
            }
            let byte = base.load(fromByteOffset: position, as: UInt8.self)
            position += 1
            result |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return result }
            shift += 7
        }
        throw WireError(offset: start, message: "found a number of more than 10 bytes")
    }

    private mutating func take(_ count: UInt64) throws(WireError) -> Range<Int> {
        guard count <= UInt64(end - position) else {
            throw WireError(
                offset: position, message: "found a field of \(count) bytes, expected at most \(end - position)")
        }
        let range = position..<(position + Int(count))
        position = range.upperBound
        return range
    }

    /// Leaves the reader after the group's end tag. The open groups are counted on an explicit stack.
    private mutating func skipGroup(_ number: UInt64) throws(WireError) -> Range<Int> {
        let begin = position
        var open = [number]
        while true {
            let start = position
            let tag = try varint()
            switch tag & 7 {
            case 0: _ = try varint()
            case 1: _ = try take(8)
            case 2: _ = try take(try varint())
            case 3: open.append(tag >> 3)
            case 4:
                guard open.last == tag >> 3 else {
                    throw WireError(offset: start, message: "found the end of another group")
                }
                open.removeLast()
                if open.isEmpty { return begin..<start }
            case 5: _ = try take(4)
            default: throw WireError(offset: start, message: "found wire type \(tag & 7), expected 0 to 5")
            }
            guard open.count <= Self.depthLimit else {
                throw WireError(offset: start, message: "found groups nested deeper than \(Self.depthLimit)")
            }
        }
    }
}
