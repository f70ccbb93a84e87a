/// The messages of `MIL.proto`, and of a model's description, that the scan walks through. Field numbers are those of
/// coremltools' descriptors.
enum MILMessage: UInt8 {
    case description, feature, featureType, imageType, arrayType, stateFeature, function, metadata, textEntry
    case block, operation, argumentEntry, argument, binding, valueEntry, value, immediate, blobFile
    case namedType, type, tensorType, listType, tupleType, dictionaryType, stateType, dimension, sizedDimension
    case variadicDimension
    case tensor, strings, integers, bools, floats, doubles, rawBytes, values, dictionary, keyValue

    /// What a field holds.
    enum Content {
        case message(MILMessage)
        case text
        /// Repeated numbers, packed or not.
        case varints
        case fixed32
        case fixed64
        /// Anything else: kept verbatim, not looked into.
        case other
    }

    func content(_ field: Int) -> Content {
        switch self {
        case .description, .feature, .featureType, .imageType, .arrayType, .stateFeature, .function, .metadata,
            .textEntry:
            descriptionContent(field)
        case .block, .operation, .argumentEntry, .argument, .binding, .valueEntry, .namedType: structure(field)
        case .value, .immediate, .blobFile, .values, .dictionary, .keyValue: valueContent(field)
        case .type, .tensorType, .listType, .tupleType, .dictionaryType, .stateType, .dimension, .sizedDimension,
            .variadicDimension:
            typeContent(field)
        case .tensor, .strings, .integers, .bools, .floats, .doubles, .rawBytes: tensorContent(field)
        }
    }

    private func descriptionContent(_ field: Int) -> Content {
        switch (self, field) {
        case (.description, 1), (.description, 10), (.description, 13), (.description, 50): .message(.feature)
        case (.function, 2), (.function, 3), (.function, 6): .message(.feature)
        case (.description, 20): .message(.function)
        case (.description, 100): .message(.metadata)
        case (.description, 11), (.description, 12), (.description, 21): .text
        case (.function, 1), (.function, 4), (.function, 5), (.feature, 1), (.feature, 2): .text
        case (.metadata, 1...4), (.textEntry, 1), (.textEntry, 2): .text
        case (.metadata, 100): .message(.textEntry)
        case (.feature, 3): .message(.featureType)
        case (.featureType, 4): .message(.imageType)
        case (.featureType, 5), (.stateFeature, 1): .message(.arrayType)
        case (.featureType, 8): .message(.stateFeature)
        case (.arrayType, 1): .varints
        default: .other
        }
    }

    private func structure(_ field: Int) -> Content {
        switch (self, field) {
        case (.block, 1): .message(.namedType)
        case (.block, 2): .text
        case (.block, 3): .message(.operation)
        case (.block, 4): .message(.valueEntry)
        case (.operation, 1): .text
        case (.operation, 2): .message(.argumentEntry)
        case (.operation, 3): .message(.namedType)
        case (.operation, 4): .message(.block)
        case (.operation, 5): .message(.valueEntry)
        case (.argumentEntry, 1), (.valueEntry, 1), (.namedType, 1), (.binding, 1): .text
        case (.argumentEntry, 2): .message(.argument)
        case (.argument, 1): .message(.binding)
        case (.valueEntry, 2), (.binding, 2): .message(.value)
        case (.namedType, 2): .message(.type)
        default: .other
        }
    }

    private func valueContent(_ field: Int) -> Content {
        switch (self, field) {
        case (.value, 1), (.blobFile, 1): .text
        case (.value, 2): .message(.type)
        case (.value, 3): .message(.immediate)
        case (.value, 5): .message(.blobFile)
        case (.immediate, 1): .message(.tensor)
        case (.immediate, 2), (.immediate, 3): .message(.values)
        case (.immediate, 4): .message(.dictionary)
        case (.values, 1): .message(.value)
        case (.dictionary, 1): .message(.keyValue)
        case (.keyValue, 1), (.keyValue, 2): .message(.value)
        default: .other
        }
    }

    private func typeContent(_ field: Int) -> Content {
        switch (self, field) {
        case (.type, 1): .message(.tensorType)
        case (.type, 2): .message(.listType)
        case (.type, 3): .message(.tupleType)
        case (.type, 4): .message(.dictionaryType)
        case (.type, 5): .message(.stateType)
        case (.tensorType, 3): .message(.dimension)
        case (.tensorType, 4): .message(.valueEntry)
        case (.listType, 1), (.tupleType, 1), (.stateType, 1): .message(.type)
        case (.dictionaryType, 1), (.dictionaryType, 2): .message(.type)
        case (.listType, 2): .message(.dimension)
        case (.dimension, 1): .message(.sizedDimension)
        case (.dimension, 2): .message(.variadicDimension)
        default: .other
        }
    }

    private func tensorContent(_ field: Int) -> Content {
        switch (self, field) {
        case (.tensor, 1): .message(.floats)
        case (.tensor, 2), (.tensor, 5): .message(.integers)
        case (.tensor, 3): .message(.bools)
        case (.tensor, 4): .message(.strings)
        case (.tensor, 6): .message(.doubles)
        case (.tensor, 7): .message(.rawBytes)
        case (.strings, 1): .text
        case (.integers, 1), (.bools, 1): .varints
        case (.floats, 1): .fixed32
        case (.doubles, 1): .fixed64
        default: .other
        }
    }
}
