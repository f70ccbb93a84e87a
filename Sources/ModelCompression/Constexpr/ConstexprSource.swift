import CoreMLPackage
import TensorCompression

/// A `constexpr_*` operation whose result can be computed: one of a package, or one that is about to be written.
protocol ConstexprSource {
    var type: String { get }
    /// The form before iOS18: packed bytes and an explicit shape in attributes.
    var isPacked: Bool { get }
    /// The parameter of that name; nil when there is none.
    func tensor(_ key: String) throws -> StoredTensor?
    /// The scalar integer of that name.
    func integer(_ key: String) throws -> Int?
    func text(_ key: String) throws -> String?
    /// Shape of an output as the operation declares it; nil when it does not.
    func declaredShape(output: Int) -> [Int]?
    /// The operation that gives a parameter, when that is itself a `constexpr_*` operation with one output.
    func operation(_ key: String) throws -> (any ConstexprSource)?
}

extension ConstexprSource {
    func required(_ key: String) throws -> StoredTensor {
        guard let value = try tensor(key) else { throw ConstexprError("found \(type) without \(key)") }
        return value
    }
}

/// The parts of an operation contradict each other.
struct ConstexprError: Error {
    let message: String
    init(_ message: String) { self.message = message }
}
