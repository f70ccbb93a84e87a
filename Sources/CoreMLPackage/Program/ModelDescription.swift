/// An input, output or state of a model, as its description states it.
public struct FeatureDescription: Sendable, Equatable {
    public let name: String
    public let shortDescription: String
    /// "multiArray", "image", "int64", "double", "string", "dictionary", "sequence", "state" or "unknown".
    public let kind: String
    public let isOptional: Bool
    /// A multi array's (or state's) default shape, or [height, width] of an image; empty for the other kinds.
    public let shape: [Int]
    /// A multi array's element type: "float16", "float32", "double", "int32", "int8"; an image's color space.
    public let elementType: String
}

public struct FunctionDescription: Sendable, Equatable {
    public let name: String
    public let inputs: [FeatureDescription]
    public let outputs: [FeatureDescription]
    public let states: [FeatureDescription]
}

public struct ModelMetadata: Sendable, Equatable {
    public let shortDescription: String
    public let versionString: String
    public let author: String
    public let license: String
    public let userDefined: [(key: String, value: String)]

    public static func == (a: ModelMetadata, b: ModelMetadata) -> Bool {
        a.shortDescription == b.shortDescription && a.versionString == b.versionString && a.author == b.author
            && a.license == b.license && a.userDefined.elementsEqual(b.userDefined, by: ==)
    }
}

/// `Model.description`: what goes in and out, and what the author wrote about it.
public struct ModelDescription: Sendable, Equatable {
    public let inputs: [FeatureDescription]
    public let outputs: [FeatureDescription]
    public let states: [FeatureDescription]
    /// One per function of a multi-function model; empty otherwise.
    public let functions: [FunctionDescription]
    public let defaultFunctionName: String
    public let predictedFeatureName: String
    public let predictedProbabilitiesName: String
    public let metadata: ModelMetadata
}

// MARK: - Wire form

extension ModelDescription {
    init(_ view: MessageView) {
        inputs = view.messages(1).map { FeatureDescription($0) }
        outputs = view.messages(10).map { FeatureDescription($0) }
        states = view.messages(13).map { FeatureDescription($0) }
        functions = view.messages(20).map { FunctionDescription($0) }
        defaultFunctionName = view.string(21)
        predictedFeatureName = view.string(11)
        predictedProbabilitiesName = view.string(12)
        let empty = MessageView(file: view.file, range: view.range.upperBound..<view.range.upperBound)
        metadata = ModelMetadata(view.last(100).map(view.view) ?? empty)
    }
}

extension FunctionDescription {
    init(_ view: MessageView) {
        name = view.string(1)
        inputs = view.messages(2).map { FeatureDescription($0) }
        outputs = view.messages(3).map { FeatureDescription($0) }
        states = view.messages(6).map { FeatureDescription($0) }
    }
}

extension ModelMetadata {
    init(_ view: MessageView) {
        shortDescription = view.string(1)
        versionString = view.string(2)
        author = view.string(3)
        license = view.string(4)
        userDefined = view.messages(100).map { ($0.string(1), $0.string(2)) }
    }
}

extension FeatureDescription {
    private static let kinds = [
        "int64", "double", "string", "image", "multiArray", "dictionary", "sequence", "state",
    ]
    private static let arrayTypes: [UInt64: String] = [
        65552: "float16", 65568: "float32", 65600: "double", 131_080: "int8", 131_104: "int32",
    ]
    private static let colorSpaces: [UInt64: String] = [
        10: "grayscale", 20: "RGB", 30: "BGR", 40: "grayscale float16",
    ]

    init(_ view: MessageView) {
        name = view.string(1)
        shortDescription = view.string(2)
        var kind = "unknown"
        var shape: [Int] = []
        var elementType = ""
        var isOptional = false
        if let type = view.last(3).map(view.view) {
            isOptional = type.integer(1000) == 1
            for field in type.fields where (1...8).contains(field.number) && field.encoding == .lengthDelimited {
                kind = Self.kinds[field.number - 1]
                var inner = type.view(field)
                switch field.number {
                case 4:
                    shape = [2, 1].map { Int(truncatingIfNeeded: inner.integer($0) ?? 0) }
                    elementType = inner.integer(3).flatMap { Self.colorSpaces[$0] } ?? ""
                case 5, 8:
                    if field.number == 8, let array = inner.last(1).map(inner.view) { inner = array }
                    shape = inner.integers(1).map { Int(truncatingIfNeeded: $0) }
                    elementType = inner.integer(2).flatMap { Self.arrayTypes[$0] } ?? ""
                default: break
                }
            }
        }
        self.kind = kind
        self.isOptional = isOptional
        self.shape = shape
        self.elementType = elementType
    }
}
