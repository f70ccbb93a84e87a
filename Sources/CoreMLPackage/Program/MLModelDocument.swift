/// A parsed `model.mlmodel`: its bytes, checked once, and where everything lies in them.
///
/// Opening checks every length and string of the ML Programs in the file and keeps their blob references; the
/// operations themselves are decoded when asked. Immutable and safe to share between threads.
public final class MLModelDocument: @unchecked Sendable {
    /// Files up to this size are read into memory, so that later changes to them cannot matter; larger ones are mapped.
    static let copyLimit = 64 << 20

    let file: MappedFile
    let scanned: ScannedModel
    /// The ML Programs in the file: one, several in a pipeline, none in other models.
    public let programs: [MILProgram]

    public convenience init(path: String) throws(PackageError) {
        try self.init(file: MappedFile(path: path, copyLimit: Self.copyLimit))
    }

    init(file: MappedFile) throws(PackageError) {
        guard file.count > 0 else {
            throw PackageError(.damaged, file: file.path, offset: 0, "found an empty file, expected a Core ML model")
        }
        self.file = file
        scanned = try ModelScanner.scan(file)
        let models = scanned.models
        programs = scanned.programs.map { program in
            MILProgram(
                functions: program.functions.map { function in
                    MILFunction(
                        name: function.name, opset: function.opset,
                        blockSpecializations: function.blocks.map { block in
                            (block.name, MILBlock(view: MessageView(file: file, range: block.payload)))
                        },
                        view: MessageView(file: file, range: function.payload), model: function.model)
                },
                stagePath: models[program.model].stagePath,
                specificationVersion: models[program.model].specificationVersion, model: program.model)
        }
    }

    /// Path of the file.
    public var path: String { file.path }
    /// Size of the file in bytes.
    public var byteCount: Int { file.count }
    /// The outermost model's: 6 is iOS 15, 7 iOS 16, 8 iOS 17, 9 iOS 18, 10 iOS 26.
    public var specificationVersion: Int { scanned.models[0].specificationVersion }
    /// What the outermost model is: "mlProgram", "pipeline", "neuralNetwork", …; "unknown" where the file does not say.
    public var modelType: String { ModelTypes.name(scanned.models[0].typeField) }

    /// The model itself first, then the models of its pipeline, at any depth.
    public var models: [(stagePath: [Int], type: String, specificationVersion: Int)] {
        scanned.models.map { ($0.stagePath, ModelTypes.name($0.typeField), $0.specificationVersion) }
    }

    /// The outermost model's description; decoded at each call.
    public var description: ModelDescription {
        ModelDescription(MessageView(file: file, range: scanned.models[0].description ?? 0..<0))
    }

    public var metadata: ModelMetadata { description.metadata }

    /// Bytes of `Model.description` as they are in the file.
    public var descriptionBytes: [UInt8] { Array(file.bytes(scanned.models[0].description ?? 0..<0)) }

    /// Names of the weight files the programs refer to, in the order of their first reference.
    public var blobFileNames: [String] { scanned.blobFiles }
}
