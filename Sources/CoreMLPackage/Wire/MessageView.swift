/// Bytes of one message of a scanned file. Reading it cannot fail: the scan has checked it, and should the mapped file
/// change under it, the walk stops early instead of leaving its range.
struct MessageView {
    let file: MappedFile
    let range: Range<Int>

    struct Fields: Sequence, IteratorProtocol {
        var reader: WireReader

        mutating func next() -> WireField? { try? reader.next() }
    }

    var fields: Fields { Fields(reader: WireReader(file.base, range)) }

    func view(_ field: WireField) -> MessageView { MessageView(file: file, range: field.payload) }

    func string(_ field: WireField) -> String { String(decoding: file.bytes(field.payload), as: UTF8.self) }

    /// The last length-delimited field of this number, which is the one that counts.
    func last(_ number: Int) -> WireField? {
        var found: WireField?
        for field in fields where field.number == number && field.encoding == .lengthDelimited { found = field }
        return found
    }

    func string(_ number: Int) -> String { last(number).map { string($0) } ?? "" }

    func strings(_ number: Int) -> [String] {
        fields.lazy.filter { $0.number == number && $0.encoding == .lengthDelimited }.map { string($0) }
    }

    func messages(_ number: Int) -> [MessageView] {
        fields.lazy.filter { $0.number == number && $0.encoding == .lengthDelimited }.map { view($0) }
    }

    /// The last number stored under this field number.
    func integer(_ number: Int) -> UInt64? {
        var found: UInt64?
        for field in fields where field.number == number && field.encoding == .varint { found = field.value }
        return found
    }

    /// Repeated numbers, packed or not, as 64 bits each.
    func integers(_ number: Int) -> [UInt64] {
        var values: [UInt64] = []
        for field in fields where field.number == number {
            if field.encoding == .varint { values.append(field.value) }
            guard field.encoding == .lengthDelimited else { continue }
            var reader = WireReader(file.base, field.payload)
            while reader.position < reader.end, let value = try? reader.varint() { values.append(value) }
        }
        return values
    }
}
