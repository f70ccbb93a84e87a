/// Immediate tensors stored as protobuf numbers, as the bytes a weight file would hold.
extension MILTensorValue {
    /// The payload of one packed run of floats or doubles: those are the elements' bytes already (little endian).
    func packedNumbers(_ type: MILDataType) -> UnsafeRawBufferPointer? {
        #if _endian(little)
        switch (storage, type) {
        case (.floats, .float32), (.doubles, .float64):
            guard let inner = numbers else { return nil }
            let runs = inner.fields.filter { $0.number == 1 }
            guard runs.count == 1, let run = runs.first, run.encoding == .lengthDelimited else { return nil }
            return inner.file.bytes(run.payload)
        default: return nil
        }
        #else
        return nil
        #endif
    }

    /// The elements as bytes of `type`; nil when the file's storage cannot hold that type.
    func convertedNumbers(_ type: MILDataType) -> [UInt8]? {
        guard let inner = numbers else { return [] }
        switch (storage, type) {
        case (.floats, .float32), (.doubles, .float64): return Self.fixedNumbers(inner, width: type.bitWidth / 8)
        case (.bools, .bool): return inner.integers(1).map { $0 == 0 ? 0 : 1 }
        case (.ints, .int8), (.ints, .uint8), (.ints, .int16), (.ints, .uint16), (.ints, .int32), (.ints, .uint32),
            (.ints, .bool), (.longInts, .int64), (.longInts, .uint64):
            let width = type.bitWidth / 8
            let values = inner.integers(1)
            return [UInt8](unsafeUninitializedCapacity: values.count * width) { bytes, count in
                for (index, value) in values.enumerated() {
                    for byte in 0..<width {
                        bytes[index * width + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))
                    }
                }
                count = values.count * width
            }
        default: return nil
        }
    }

    private var numbers: MessageView? {
        let storage = storage.rawValue
        return storage == 0 ? nil : view.last(storage).map(view.view)
    }

    private static func fixedNumbers(_ view: MessageView, width: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for field in view.fields where field.number == 1 {
            let isOne = field.encoding == (width == 4 ? .fixed32 : .fixed64)
            if isOne || field.encoding == .lengthDelimited { bytes.append(contentsOf: view.file.bytes(field.payload)) }
        }
        return bytes
    }
}
