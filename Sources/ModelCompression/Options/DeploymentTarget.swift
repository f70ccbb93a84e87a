import TensorCompression

/// The earliest system that loads a model: what coremltools calls `minimum_deployment_target`.
public enum DeploymentTarget: Int, Sendable, CaseIterable {
    case iOS15 = 6
    case iOS16 = 7
    case iOS17 = 8
    case iOS18 = 9
    case iOS26 = 10

    /// The specification version of its models.
    public var specificationVersion: Int { rawValue }

    /// The operation set of its ML Programs.
    var opset: String { "CoreML\(rawValue - 1)" }

    /// E.g. `iOS18`.
    public var name: String { Self.name(specificationVersion: rawValue) }

    /// - Parameter name: `iOS18` or the `macOS15`, `watchOS11`, `tvOS18` of the same year, in any case.
    public init?(name: String) {
        let wanted = name.lowercased()
        for target in Self.allCases where target.names.contains(where: { $0.lowercased() == wanted }) {
            self = target
            return
        }
        return nil
    }

    private var names: [String] {
        switch self {
        case .iOS15: ["iOS15", "macOS12", "watchOS8", "tvOS15"]
        case .iOS16: ["iOS16", "macOS13", "watchOS9", "tvOS16"]
        case .iOS17: ["iOS17", "macOS14", "watchOS10", "tvOS17"]
        case .iOS18: ["iOS18", "macOS15", "watchOS11", "tvOS18"]
        case .iOS26: ["iOS26", "macOS26", "watchOS26", "tvOS26"]
        }
    }

    /// The earliest system that loads a model of this specification version, e.g. 9: iOS18.
    public static func name(specificationVersion: Int) -> String {
        switch specificationVersion {
        case ...1: "iOS11"
        case 2: "iOS11.2"
        case 3: "iOS12"
        case 4: "iOS13"
        case 5: "iOS14"
        case 6: "iOS15"
        case 7: "iOS16"
        case 8: "iOS17"
        case 9: "iOS18"
        case 10: "iOS26"
        default: "later than iOS26"
        }
    }

    /// An opset as messages name it, e.g. `CoreML7`: "iOS17 (specification version 8)".
    static func text(opset: String) -> String {
        guard opset.hasPrefix("CoreML"), let number = Int(opset.dropFirst("CoreML".count)) else {
            return "opset \(opset)"
        }
        return "\(name(specificationVersion: number + 1)) (specification version \(number + 1))"
    }
}

extension OptionFields {
    func target(_ key: String) throws -> DeploymentTarget? {
        let allowed = "null, " + DeploymentTarget.allCases.map(\.name).joined(separator: ", ")
        guard let text = try string(key, allowed: allowed, nullable: true) else { return nil }
        guard let target = DeploymentTarget(name: text) else { throw error(key, "\"\(text)\"", allowed) }
        return target
    }
}
