import CoreMLPackage
import TensorCompression

/// Why a model cannot be raised to a later deployment target.
public struct TargetBlocker: Sendable, Equatable, Codable, CustomStringConvertible {
    public var function: String
    /// The operation's name; that of the function when the type is `function`.
    public var operation: String
    public var type: String
    public var parameter: String?
    public var reason: String

    public var description: String {
        "'\(operation)' (\(type)\(parameter.map { ", \($0)" } ?? "")): \(reason)"
    }
}

/// What was done to raise a model.
public struct TargetReport: Sendable, Equatable, Codable {
    public var input: String
    public var output: String
    public var specificationVersion: CompressionReport.Change<Int>
    /// Parameters written out with the value that they had without being there.
    public var addedParameters: Int
    /// Operations whose indices are counted from the front by operations put before them.
    public var guardedIndices: Int
    /// Compressed weights in the form that begins with iOS18.
    public var rewrittenWeights: Int

    enum CodingKeys: String, CodingKey {
        case input
        case output
        case specificationVersion = "specification_version"
        case addedParameters = "added_parameters"
        case guardedIndices = "guarded_indices"
        case rewrittenWeights = "rewritten_weights"
    }
}

/// Raises the ML Programs of a package to a later opset, where every operation has an equal form there.
///
/// All functions of all programs, all their block specializations and nested blocks are looked at before anything is
/// changed. What differs between the opsets is in `OpsetChanges`. A program that has the wanted opset, or a later one,
/// stays as it is.
public struct TargetRaise: Sendable {
    public let target: DeploymentTarget
    /// What stands in the way; the raise cannot be applied unless this is empty.
    public private(set) var blockers: [TargetBlocker] = []
    let package: ModelPackage
    private(set) var changes: [OperationChange] = []
    /// Opsets that are renamed.
    private var raised: Set<String> = []

    /// - Throws: `PackageError` when a constant that decides cannot be read.
    public init(_ package: ModelPackage, to target: DeploymentTarget) throws {
        self.package = package
        self.target = target
        let programs = package.model.programs
        for (number, program) in programs.enumerated() {
            for function in program.functions {
                let name = programs.count == 1 ? function.name : "\(number)/\(function.name)"
                try check(function, name: name)
            }
        }
    }

    /// The raise that the options of a run ask for; nil when there is none to do.
    /// - Throws: what blocks it.
    static func required(_ package: ModelPackage, by options: CompressionOptions) throws -> TargetRaise? {
        guard let target = options.minimumTarget else { return nil }
        let raise = try TargetRaise(package, to: target)
        try raise.requireNoBlockers(operation: options.operation)
        return raise.isNeeded ? raise : nil
    }

    /// Whether anything has to be done at all.
    public var isNeeded: Bool {
        !raised.isEmpty || package.model.programs.contains { $0.specificationVersion < target.specificationVersion }
    }

    /// The opset of a function afterwards.
    func opset(of current: String) -> String { raised.contains(current) ? target.opset : current }

    private mutating func check(_ function: MILFunction, name: String) throws {
        var opsets: [String: String] = [:]
        for (specialization, block) in function.blockSpecializations {
            guard let opset = OpsetChanges.number(specialization) else {
                refuse(name, "its opset \(specialization) is not known")
                continue
            }
            let wanted = max(opset, target.opsetNumber)
            if let other = opsets.updateValue(specialization, forKey: "CoreML\(wanted)") {
                refuse(name, "it has blocks for both \(other) and \(specialization), which would become one")
            }
            guard opset < target.opsetNumber else { continue }
            raised.insert(specialization)
            var walk = TargetWalk(package: package, function: name, from: opset, to: target.opsetNumber)
            try walk.run(block, inputs: function.inputs)
            blockers += walk.blockers
            changes += walk.changes
        }
        if let opset = OpsetChanges.number(function.opset), opset < target.opsetNumber { raised.insert(function.opset) }
    }

    private mutating func refuse(_ function: String, _ reason: String) {
        blockers.append(
            TargetBlocker(function: function, operation: function, type: "function", parameter: nil, reason: reason))
    }

    /// - Parameter operation: what was asked for, as messages name it.
    public func requireNoBlockers(operation: CompressionOptions.Operation = .palettize) throws(CompressionError) {
        guard !blockers.isEmpty else { return }
        let shown = blockers.prefix(10).map(\.description).joined(separator: "; ")
        let rest = blockers.count > 10 ? "; and \(blockers.count - 10) more" : ""
        throw CompressionError(
            kind: .invalidArgument,
            message: "[\(operation.rawValue)] minimum_deployment_target: found \(target.name), to which this model "
                + "(specification version \(package.model.specificationVersion)) cannot be raised as it is. "
                + "\(blockers.count) of its operations have no equal form there: \(shown)\(rest). Convert the model "
                + "again with minimum_deployment_target=ct.target.\(target.name)")
    }

    // MARK: - Application

    /// Makes the edits.
    /// - Parameters:
    ///   - names: outputs of all operations; those of new ones are added.
    ///   - replaced: operations that the caller replaces by others, in the form of the wanted opset.
    func apply(to writer: PackageWriter, names: inout Set<String>, except replaced: Set<Range<Int>> = []) throws {
        var blobs = RewrittenBlobs(package: package, writer: writer)
        for change in changes where !replaced.contains(change.operation.range) {
            try change.apply(to: writer, names: &names, blobs: &blobs)
        }
        for opset in raised.sorted() { try writer.setOpset(from: opset, to: target.opset) }
        try writer.setSpecificationVersion(target.specificationVersion)
    }

    /// For people: what is done to the program beside the change of its opset; nil when nothing is.
    var summary: String? {
        let counts = [
            ("parameters written out", changes.reduce(0) { $0 + $1.additions.count }),
            ("operations whose indices are counted from the front", changes.count { $0.indices != nil }),
            ("compressed weights in the form of iOS18", changes.count { $0.rewrite != nil }),
        ].filter { $0.1 > 0 }
        guard !counts.isEmpty else { return nil }
        return "raised to \(target.name); " + counts.map { "\($0.0): \($0.1)" }.joined(separator: ", ")
    }
}

/// Raises a package's ML Programs to a later deployment target and writes the result.
///
/// - Parameters:
///   - package: only read; the output may be the same package.
///   - path: ends in `.mlpackage`; an existing package there is replaced in one step.
///   - target: a package that has it, or a later one, is copied.
/// - Throws: `CompressionError` with what blocks, before anything is written; `PackageError`.
@discardableResult
public func raiseDeploymentTarget(
    of package: ModelPackage, to path: String, target: DeploymentTarget
) throws -> TargetReport {
    try CompressionPlan.requirePrograms(package)
    let raise = try TargetRaise(package, to: target)
    try raise.requireNoBlockers()
    let writer = try PackageWriter(package, output: path)
    var names = ProgramIndex(package.model).outputNames
    if raise.isNeeded { try raise.apply(to: writer, names: &names) }
    try writer.finish()
    let version = package.model.specificationVersion
    return TargetReport(
        input: package.path, output: path,
        specificationVersion: .init(before: version, after: max(version, target.specificationVersion)),
        addedParameters: raise.changes.reduce(0) { $0 + $1.additions.count },
        guardedIndices: raise.changes.count { $0.indices != nil },
        rewrittenWeights: raise.changes.count { $0.rewrite != nil })
}

extension DeploymentTarget {
    /// 5 for iOS15.
    var opsetNumber: Int { rawValue - 1 }
}
