/// A replacement of some bytes of a protobuf file.
struct Edit {
    /// A whole field (tag to payload), or an empty range at the start of a message's payload: an insertion there.
    let range: Range<Int>
    let bytes: [UInt8]
    /// The bytes come in front of the field at `range`, which stays (and may be edited itself).
    var isBefore = false
}

/// A piece of the edited file.
enum Segment {
    case source(Range<Int>)
    case bytes([UInt8])
}

/// Applies edits to a protobuf file: every byte outside the edits is copied as it is, but for the lengths of the
/// messages around an edit whose size changed.
struct Splice {
    private let file: MappedFile
    private let edits: [Edit]
    private var next = 0
    private var segments: [Segment] = []

    /// The edited file in pieces, front to back.
    /// - Parameter edits: in any order; none may overlap another.
    static func apply(_ edits: [Edit], to file: MappedFile) throws(PackageError) -> [Segment] {
        var splice = Splice(file, edits)
        do {
            _ = try splice.message(0..<file.count, depth: 0)
        } catch {
            throw file.damaged(error.offset, error.message)
        }
        guard splice.next == splice.edits.count else {
            let range = splice.edits[splice.next].range
            throw PackageError(
                .invalidArgument, file: file.path, offset: UInt64(range.lowerBound),
                "found an edit of bytes \(range) that is not a whole field")
        }
        return splice.segments
    }

    private init(_ file: MappedFile, _ edits: [Edit]) {
        self.file = file
        self.edits = edits.sorted {
            ($0.range.lowerBound, $0.range.upperBound, $0.isBefore ? 0 : 1)
                < ($1.range.lowerBound, $1.range.upperBound, $1.isBefore ? 0 : 1)
        }
    }

    /// Emits one message.
    /// - Returns: its new length.
    private mutating func message(_ range: Range<Int>, depth: Int) throws(WireError) -> Int {
        var length = 0
        var pending = range.lowerBound
        while let insertion = edit(startingAtOrBefore: range.lowerBound), insertion.range.isEmpty {
            length += emit(.bytes(insertion.bytes), insertion.bytes.count)
            next += 1
        }
        var reader = WireReader(file.base, range)
        while edit(startingAtOrBefore: range.upperBound) != nil, let field = try reader.next() {
            let record = field.record
            while let edit = edit(startingAtOrBefore: record.lowerBound), edit.isBefore, edit.range == record {
                length += emit(.source(pending..<record.lowerBound), record.lowerBound - pending)
                length += emit(.bytes(edit.bytes), edit.bytes.count)
                next += 1
                pending = record.lowerBound
            }
            guard let edit = edit(startingAtOrBefore: range.upperBound) else { break }
            let liesAfter =
                edit.range.isEmpty
                ? edit.range.lowerBound > record.upperBound : edit.range.lowerBound >= record.upperBound
            if liesAfter { continue }
            if edit.range == record {
                length += emit(.source(pending..<record.lowerBound), record.lowerBound - pending)
                length += emit(.bytes(edit.bytes), edit.bytes.count)
                next += 1
                pending = record.upperBound
                continue
            }
            let isInside =
                edit.range.lowerBound >= field.payload.lowerBound && edit.range.upperBound <= field.payload.upperBound
            guard field.encoding == .lengthDelimited, isInside, depth < WireReader.depthLimit else { return length }
            length += emit(.source(pending..<record.lowerBound), record.lowerBound - pending)
            length += try child(field, depth: depth)
            pending = record.upperBound
        }
        return length + emit(.source(pending..<range.upperBound), range.upperBound - pending)
    }

    /// Emits a field whose message holds edits; its length is known only after its contents.
    private mutating func child(_ field: WireField, depth: Int) throws(WireError) -> Int {
        var reader = WireReader(file.base, field.record)
        _ = try reader.varint()
        let prefix = reader.position..<field.payload.lowerBound
        let tag = field.record.lowerBound..<prefix.lowerBound
        var length = emit(.source(tag), tag.count)
        let place = segments.count
        segments.append(.source(prefix))
        let contents = try message(field.payload, depth: depth + 1)
        if contents == field.payload.count {
            length += prefix.count
        } else {
            var writer = WireWriter()
            writer.varint(UInt64(contents))
            segments[place] = .bytes(writer.bytes)
            length += writer.bytes.count
        }
        return length + contents
    }

    private func edit(startingAtOrBefore position: Int) -> Edit? {
        guard next < edits.count, edits[next].range.lowerBound <= position else { return nil }
        return edits[next]
    }

    private mutating func emit(_ segment: Segment, _ count: Int) -> Int {
        if count > 0 { segments.append(segment) }
        return count
    }
}
