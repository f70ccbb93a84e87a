import CoreMLPackage
import TensorCompression

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Compares two packages: the expanded values of every weight, how each is stored, and everything else in them.
///
/// One weight per thread is in memory at a time, expanded; plain weights are compared where they lie.
/// - Parameters:
///   - threads: at most this many; 0: one per core.
///   - cancellation: raised from any thread to end the comparison.
/// - Throws: `PackageError` for a damaged package; `CompressionError` when cancelled.
public func comparePackages(
    _ first: ModelPackage, _ second: ModelPackage, threads: Int = 0, cancellation: Cancellation = Cancellation()
) throws -> PackageDifference {
    let (before, after) = (ComparedPackage(first), ComparedPackage(second))
    let pairs = WeightPairs(before.weights, after.weights)
    let pool = WorkPool(threads: threads, cancellation: cancellation)
    let outcomes = ResultSlots<Result<PackageDifference.Weight, any Error>?>(pairs.both.count, empty: nil)
    pool.forEach(pairs.both.count) { number in
        let (one, other) = pairs.both[number]
        outcomes[number] = Result { try compare(before.weights[one], before, after.weights[other], after, pool) }
    }
    try pool.checkCancellation("compare")
    func lone(_ weight: StoredWeight) -> PackageDifference.Lone {
        .init(
            function: weight.info.function, consumer: weight.info.consumer, consumerType: weight.info.consumerType,
            stored: .init(weight.info))
    }
    return PackageDifference(
        first: try before.summary(), second: try after.summary(),
        weights: try outcomes.values.compactMap { try $0?.get() },
        onlyInFirst: pairs.onlyFirst.map { lone(before.weights[$0]) },
        onlyInSecond: pairs.onlySecond.map { lone(after.weights[$0]) },
        changes: try ProgramComparison(before, after, pairs).changes()
            + describeChanges(first.model, second.model) + (try fileChanges(first, second)))
}

/// One of the two packages with what is known about it.
struct ComparedPackage: Sendable {
    let package: ModelPackage
    let index: ProgramIndex
    let weights: [StoredWeight]

    init(_ package: ModelPackage) {
        self.package = package
        index = ProgramIndex(package.model)
        weights = StoredWeight.all(index)
    }

    func summary() throws -> PackageDifference.Package {
        let version = package.model.specificationVersion
        return .init(
            path: package.path, specificationVersion: version,
            deploymentTarget: DeploymentTarget.name(specificationVersion: version),
            packageBytes: try directorySize(package.path),
            weightBytes: weights.reduce(0) { $0 + ($1.info.isShared ? 0 : $1.info.bytes) })
    }

    /// The dense elements of a weight: where they lie, or expanded.
    func withValues<Result>(
        _ weight: StoredWeight, pool: WorkPool, _ body: (MILTensorType, UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        switch weight.source {
        case .value(let value):
            return try body(value.type.tensor ?? MILTensorType(.float32, shape: []), try package.tensorBytes(of: value))
        case .compressed(let chain):
            let dense = try ConstexprEvaluator(package: package, definitions: chain.definitions, pool: pool)
                .evaluate(chain.operation, named: chain.outputName)
            return try body(MILTensorType(dense.type, shape: dense.shape), dense.bytes)
        }
    }
}

/// Which weights of two packages belong together.
struct WeightPairs {
    private(set) var both: [(Int, Int)] = []
    private(set) var onlyFirst: [Int] = []
    private(set) var onlySecond: [Int] = []

    /// By function and name; what is left by the input of the operation that uses it, as other tools rename a weight
    /// when they compress it.
    init(_ first: [StoredWeight], _ second: [StoredWeight]) {
        (onlyFirst, onlySecond) = (Array(first.indices), Array(second.indices))
        match(first, second) { [$0.info.function, $0.info.name] }
        match(first, second) {
            [$0.info.function, $0.info.consumerType, $0.info.consumer, $0.parameter, "\($0.info.shape)"]
        }
        both.sort { $0.0 < $1.0 }
    }

    /// The n-th with a key belongs to the n-th with it: nested blocks may repeat a name.
    private mutating func match(
        _ first: [StoredWeight], _ second: [StoredWeight], key: (StoredWeight) -> [String]
    ) {
        var open: [[String]: [Int]] = [:]
        for number in onlySecond.reversed() { open[key(second[number]), default: []].append(number) }
        var left: [Int] = []
        var taken: Set<Int> = []
        for number in onlyFirst {
            if let partner = open[key(first[number])]?.popLast() {
                both.append((number, partner))
                taken.insert(partner)
            } else {
                left.append(number)
            }
        }
        onlyFirst = left
        onlySecond.removeAll { taken.contains($0) }
    }
}

// MARK: - Values

private func compare(
    _ one: StoredWeight, _ before: ComparedPackage, _ other: StoredWeight, _ after: ComparedPackage, _ pool: WorkPool
) throws -> PackageDifference.Weight {
    var result = PackageDifference.Weight(
        function: one.info.function, consumer: one.info.consumer, consumerType: one.info.consumerType,
        state: .incomparable, first: .init(one.info), second: .init(other.info))
    if one.info.dtype != other.info.dtype || one.info.shape != other.info.shape {
        result.reason = "of another type or shape"
        return result
    }
    do {
        try before.withValues(one, pool: pool) { type, original in
            try after.withValues(other, pool: pool) { otherType, decoded in
                guard type == otherType, let element = type.dataType, let shape = type.shape else {
                    result.reason = "of another type or shape"
                    return
                }
                if haveSameBytes(original, decoded) {
                    let isSame = one.info.compression == other.info.compression && one.info.bytes == other.info.bytes
                    result.state = isSame ? .identical : .equal
                    (result.maxError, result.meanSquaredError) = (0, 0)
                    return
                }
                result.state = .changed
                guard let measures = try measureError(original, decoded, element, shape: shape, pool: pool) else {
                    result.reason = "no error is known for \(element.name) values"
                    return
                }
                result.snrDecibel = measures.snrDecibel
                result.maxError = measures.maxError
                result.meanSquaredError = measures.meanSquaredError
            }
        }
    } catch let error as PackageError where error.kind == .unsupported {
        result.reason = error.message
    }
    return result
}

func haveSameBytes(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
    guard one.count == other.count else { return false }
    guard let base = one.baseAddress, let otherBase = other.baseAddress, one.count > 0 else { return true }
    return memcmp(base, otherBase, one.count) == 0
}

/// How far `decoded` is from `original`, both of `type` and `shape`; nil for types without a measure.
func measureError(
    _ original: UnsafeRawBufferPointer, _ decoded: UnsafeRawBufferPointer, _ type: MILDataType, shape: [Int],
    pool: WorkPool
) throws -> ErrorMeasures? {
    guard let base = original.baseAddress, let other = decoded.baseAddress else { return .exact }
    if let float = FloatType(type) {
        return ErrorMeasures(
            try errorStatistics(TensorView(base: base, type: float, shape: shape), decoded: other, pool: pool))
    }
    // Integers of 8 bits or less, which float32 holds exactly.
    let dense = [original, decoded].map { DenseTensor(type: type, shape: shape, bytes: Array($0)).floats() }
    guard let values = dense[0], let others = dense[1] else { return nil }
    return try values.withUnsafeBytes { values in
        try others.withUnsafeBytes { others in
            try measureError(values, others, .float32, shape: shape, pool: pool)
        }
    }
}
