// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import CoreMLPackage
import ModelCompression
import Synchronization

/// What a `swc_package` pointer stands for.
private final class OpenPackage: @unchecked Sendable {
    let package: ModelPackage
    private let list = Mutex<WeightList?>(nil)
    private let constantList = Mutex<ConstantList?>(nil)

    init(path: String) throws { package = try ModelPackage(path: path) }

    /// Made once, when it is first asked for, so that numbers of weights stay what they are.
    var weights: WeightList {
        list.withLock { list in
            if let list { return list }
            let made = WeightList(package.model)
            list = made
            return made
        }
    }

    /// Likewise; their tensors are numbered after the weights.
    var constants: ConstantList {
        let first = weights.values.count
        return constantList.withLock { list in
            if let list { return list }
            let made = ConstantList(package.model, firstTensor: first)
            list = made
            return made
        }
    }

    /// The value with this number in either list; nil without one.
    func value(_ number: Int) -> MILValue? {
        let stored = weights.values
        if stored.indices.contains(number) { return stored[number] }
        guard number >= stored.count else { return nil }
        let more = constants.values
        return number - stored.count < more.count ? more[number - stored.count] : nil
    }

    static func at(_ pointer: OpaquePointer) -> OpenPackage {
        Unmanaged<OpenPackage>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
    }
}

@c @implementation
public func swc_package_open(
    _ path: UnsafePointer<CChar>, _ package: UnsafeMutablePointer<OpaquePointer?>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    package.pointee = nil
    return status(error) {
        let opened = try OpenPackage(path: String(cString: path))
        package.pointee = OpaquePointer(Unmanaged.passRetained(opened).toOpaque())
    }
}

@c @implementation
public func swc_package_close(_ package: OpaquePointer?) {
    guard let package else { return }
    Unmanaged<OpenPackage>.fromOpaque(UnsafeRawPointer(package)).release()
}

@c @implementation
public func swc_package_describe(
    _ package: OpaquePointer, _ part: Int32, _ json: UnsafeMutablePointer<swc_text>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    json.pointee = swc_text()
    return status(error) {
        let open = OpenPackage.at(package)
        let bytes =
            switch Int(part) {
            case SWC_DESCRIBE_MODEL: try encodeJSON(ModelPart(open.package))
            case SWC_DESCRIBE_OPERATIONS: try encodeJSON(listOperations(open.package.model))
            case SWC_DESCRIBE_WEIGHTS:
                try encodeJSON(WeightPart(open.weights))
            case SWC_DESCRIBE_CONSTANTS: try encodeJSON(open.constants.part)
            default:
                throw invalid("[package] part: found \(part), allowed 0, 1, 2, 3")
            }
        json.pointee = swc_text(copying: bytes)
    }
}

@c @implementation
public func swc_package_tensor(
    _ package: OpaquePointer, _ number: Int64, _ data: UnsafeMutablePointer<UnsafeRawPointer?>,
    _ bytes: UnsafeMutablePointer<Int>, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let open = OpenPackage.at(package)
        guard let value = open.value(Int(number)) else {
            throw invalid("[package] weight: found \(number), allowed a number of the lists of weights and constants")
        }
        let stored = try open.package.tensorBytes(of: value)
        data.pointee = stored.baseAddress
        bytes.pointee = stored.count
    }
}

private struct DenseDescription: Encodable {
    let dtype: String
    let bits: Int
    let shape: [Int]
}

@c @implementation
public func swc_package_decompress(
    _ package: OpaquePointer, _ name: UnsafePointer<CChar>, _ function: UnsafePointer<CChar>,
    _ json: UnsafeMutablePointer<swc_text>, _ elements: UnsafeMutablePointer<swc_text>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    json.pointee = swc_text()
    elements.pointee = swc_text()
    return status(error) {
        let within = String(cString: function)
        let dense = try WeightReader(OpenPackage.at(package).package)
            .decodedWeight(String(cString: name), function: within.isEmpty ? nil : within)
        json.pointee = swc_text(
            copying: try encodeJSON(
                DenseDescription(dtype: dense.type.name, bits: dense.type.bitWidth, shape: dense.shape)))
        elements.pointee = swc_text(copying: dense.bytes)
    }
}

@c @implementation
public func swc_package_save(
    _ package: OpaquePointer, _ path: UnsafePointer<CChar>, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) { try OpenPackage.at(package).package.save(to: String(cString: path)) }
}
