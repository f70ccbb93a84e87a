/// A spec model: the package's own, or a stage of a pipeline.
struct SpecModel {
    /// Index of the pipeline around this model; nil for the outermost one.
    let parent: Int?
    /// Position in each enclosing pipeline, outermost first; empty for the outermost model.
    let stagePath: [Int]
    let payload: Range<Int>
    var specificationVersion = 0
    /// The last `specificationVersion` field; nil when the file leaves it out.
    var versionRecord: Range<Int>?
    var description: Range<Int>?
    /// Field number of the `Type` oneof; 0 when there is none.
    var typeField = 0
}

/// A BlobFileValue somewhere in a program.
struct BlobReference {
    /// Index into `ScannedModel.blobFiles`.
    let file: Int
    let offset: UInt64
    /// The field that holds the offset; nil when the file leaves it out (offset 0).
    let record: Range<Int>?
    /// Start of the BlobFileValue's bytes.
    let position: Int
}

struct ScannedFunction {
    let model: Int
    let name: String
    let opset: String
    /// The string fields that name the opset: the function's own and the block specialisations' keys.
    var opsetRecords: [(field: Int, name: String, record: Range<Int>)]
    let payload: Range<Int>
    var blocks: [(name: String, payload: Range<Int>)]
}

struct ScannedModel {
    var models: [SpecModel] = []
    /// One per ML program: its model and its functions.
    var programs: [(model: Int, functions: [ScannedFunction])] = []
    var blobFiles: [String] = []
    var blobReferences: [BlobReference] = []
}

/// Reads a whole `model.mlmodel` once: every length, tag, number and string of the ML programs in it is checked, so
/// that decoding a part later cannot fail. Nothing is built per operation but the list of blob references.
struct ModelScanner {
    private let file: MappedFile
    private let base: UnsafeRawPointer
    private var result = ScannedModel()
    private var blobFileIndex: [String: Int] = [:]
    private var lastBlobFile: (bytes: Range<Int>, index: Int)?

    static func scan(_ file: MappedFile) throws(PackageError) -> ScannedModel {
        var scanner = ModelScanner(file)
        do {
            try scanner.model(0..<file.count, parent: nil, path: [], depth: 0)
        } catch {
            throw file.damaged(error.offset, error.message)
        }
        return scanner.result
    }

    private init(_ file: MappedFile) {
        self.file = file
        base = file.base
    }

    // MARK: - Spec models

    private mutating func model(_ range: Range<Int>, parent: Int?, path: [Int], depth: Int) throws(WireError) {
        try check(depth, range)
        let index = result.models.count
        result.models.append(SpecModel(parent: parent, stagePath: path, payload: range))
        var reader = WireReader(base, range)
        var content: WireField?
        while let field = try reader.next() {
            switch (field.number, field.encoding) {
            case (1, .varint):
                result.models[index].specificationVersion = Int(Int32(truncatingIfNeeded: field.value))
                result.models[index].versionRecord = field.record
            case (2, .lengthDelimited):
                result.models[index].description = field.payload
                try message(.description, field.payload, depth: depth + 1)
            case (200..., .lengthDelimited) where ModelTypes.names[field.number] != nil:
                if let content, [200, 201, 202, 502].contains(field.number) || content.number != field.number {
                    throw WireError(
                        offset: field.record.lowerBound,
                        message: "found a second model content (field \(field.number)), expected one")
                }
                content = field
                result.models[index].typeField = field.number
            default: break
            }
        }
        guard let content else { return }
        switch content.number {
        case 200, 201:
            var wrapper = WireReader(base, content.payload)
            while let field = try wrapper.next() {
                guard field.number == 1, field.encoding == .lengthDelimited else { continue }
                try pipeline(field.payload, model: index, path: path, depth: depth + 2)
            }
        case 202: try pipeline(content.payload, model: index, path: path, depth: depth + 1)
        case 502: try program(content.payload, model: index, depth: depth + 1)
        default: break
        }
    }

    private mutating func pipeline(_ range: Range<Int>, model: Int, path: [Int], depth: Int) throws(WireError) {
        var reader = WireReader(base, range)
        var stage = 0
        while let field = try reader.next() {
            guard field.number == 1, field.encoding == .lengthDelimited else { continue }
            try self.model(field.payload, parent: model, path: path + [stage], depth: depth + 1)
            stage += 1
        }
    }

    // MARK: - Programs

    private mutating func program(_ range: Range<Int>, model: Int, depth: Int) throws(WireError) {
        try check(depth, range)
        let index = result.programs.count
        result.programs.append((model, []))
        var names: Set<String> = []
        var reader = WireReader(base, range)
        while let field = try reader.next() {
            guard field.encoding == .lengthDelimited else { continue }
            switch field.number {
            case 2:
                let entry = try mapEntry(field.payload)
                guard names.insert(entry.key).inserted else {
                    throw WireError(
                        offset: field.record.lowerBound, message: "found a second function named \"\(entry.key)\"")
                }
                let function = try function(entry.value, name: entry.key, model: model, depth: depth + 2)
                result.programs[index].functions.append(function)
            case 3: try checkText(field.payload)
            case 4: try message(.valueEntry, field.payload, depth: depth + 1)
            default: break
            }
        }
    }

    private mutating func function(
        _ range: Range<Int>, name: String, model: Int, depth: Int
    ) throws(WireError) -> ScannedFunction {
        try check(depth, range)
        var opset = ""
        var records: [(field: Int, name: String, record: Range<Int>)] = []
        var blocks: [(name: String, payload: Range<Int>)] = []
        var blockNames: Set<String> = []
        var reader = WireReader(base, range)
        while let field = try reader.next() {
            guard field.encoding == .lengthDelimited else { continue }
            switch field.number {
            case 1: try message(.namedType, field.payload, depth: depth + 1)
            case 2:
                opset = try text(field.payload)
                records.append((2, opset, field.record))
            case 3:
                let entry = try mapEntry(field.payload)
                guard blockNames.insert(entry.key).inserted else {
                    throw WireError(
                        offset: field.record.lowerBound,
                        message: "found a second block specialization for \"\(entry.key)\"")
                }
                if let record = entry.keyRecord { records.append((1, entry.key, record)) }
                blocks.append((entry.key, entry.value))
                try message(.block, entry.value, depth: depth + 2)
            case 4: try message(.valueEntry, field.payload, depth: depth + 1)
            default: break
            }
        }
        return ScannedFunction(
            model: model, name: name, opset: opset, opsetRecords: records, payload: range, blocks: blocks)
    }

    /// A map entry's key and the bytes of its value (empty where the entry has none).
    private func mapEntry(
        _ range: Range<Int>
    ) throws(WireError) -> (key: String, keyRecord: Range<Int>?, value: Range<Int>) {
        var reader = WireReader(base, range)
        var key = ""
        var keyRecord: Range<Int>?
        var value: Range<Int>?
        while let field = try reader.next() {
            switch (field.number, field.encoding) {
            case (1, .lengthDelimited):
                key = try text(field.payload)
                keyRecord = field.record
            case (2, .lengthDelimited):
                guard value == nil else {
                    throw WireError(offset: field.record.lowerBound, message: "found a second value in a map entry")
                }
                value = field.payload
            default: break
            }
        }
        return (key, keyRecord, value ?? range.upperBound..<range.upperBound)
    }

    // MARK: - Blocks and below

    private mutating func message(_ kind: MILMessage, _ range: Range<Int>, depth: Int) throws(WireError) {
        try check(depth, range)
        var reader = WireReader(base, range)
        while let field = try reader.next() {
            switch (kind.content(field.number), field.encoding) {
            case (.message(.blobFile), .lengthDelimited):
                try check(depth + 1, field.payload)
                try blobFile(field.payload)
            case (.message(let child), .lengthDelimited): try message(child, field.payload, depth: depth + 1)
            case (.text, .lengthDelimited): try checkText(field.payload)
            case (.varints, .lengthDelimited):
                var numbers = WireReader(base, field.payload)
                while numbers.position < numbers.end { _ = try numbers.varint() }
            case (.fixed32, .lengthDelimited): try multiple(of: 4, field)
            case (.fixed64, .lengthDelimited): try multiple(of: 8, field)
            default: break
            }
        }
    }

    private mutating func blobFile(_ range: Range<Int>) throws(WireError) {
        var reader = WireReader(base, range)
        var name: Range<Int>?
        var offset: UInt64 = 0
        var record: Range<Int>?
        while let field = try reader.next() {
            switch (field.number, field.encoding) {
            case (1, .lengthDelimited): name = field.payload
            case (2, .varint):
                offset = field.value
                record = field.record
            default: break
            }
        }
        let index = try blobFileIndex(name ?? range.upperBound..<range.upperBound)
        result.blobReferences.append(
            BlobReference(file: index, offset: offset, record: record, position: range.lowerBound))
    }

    private mutating func blobFileIndex(_ bytes: Range<Int>) throws(WireError) -> Int {
        if let last = lastBlobFile, file.bytes(last.bytes).elementsEqual(file.bytes(bytes)) { return last.index }
        let name = try text(bytes)
        let index: Int
        if let known = blobFileIndex[name] {
            index = known
        } else {
            index = result.blobFiles.count
            result.blobFiles.append(name)
            blobFileIndex[name] = index
        }
        lastBlobFile = (bytes, index)
        return index
    }

    // MARK: - Checks

    private func check(_ depth: Int, _ range: Range<Int>) throws(WireError) {
        guard depth <= WireReader.depthLimit else {
            throw WireError(
                offset: range.lowerBound, message: "found messages nested deeper than \(WireReader.depthLimit)")
        }
    }

    private func multiple(of size: Int, _ field: WireField) throws(WireError) {
        guard field.payload.count % size == 0 else {
            throw WireError(
                offset: field.payload.lowerBound,
                message: "found \(field.payload.count) bytes of packed numbers, expected a multiple of \(size)")
        }
    }

    private func checkText(_ range: Range<Int>) throws(WireError) {
        guard isUTF8(file.bytes(range)) else {
            throw WireError(offset: range.lowerBound, message: "found a string that is not UTF-8")
        }
    }

    private func text(_ range: Range<Int>) throws(WireError) -> String {
        try checkText(range)
        return String(decoding: file.bytes(range), as: UTF8.self)
    }
}
