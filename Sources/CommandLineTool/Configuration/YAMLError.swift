/// What is wrong with a YAML text, and where.
struct YAMLError: Error, Equatable {
    /// Counted from 1.
    var line: Int
    /// Counted from 1, in Unicode scalars.
    var column: Int
    var message: String
}
