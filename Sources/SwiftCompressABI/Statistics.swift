// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import TensorCompression

@c @implementation
public func swc_weight_statistics(
    _ data: UnsafeRawPointer, _ count: Int64, _ type: Int32, _ run: UnsafePointer<swc_run>,
    _ nearZero: UnsafeMutablePointer<Int64>, _ distinct: UnsafeMutablePointer<Int64>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        try run.pointee.perform(elements: Int(count)) { pool in
            let found: WeightStatistics
            if Int(type) == SWC_BYTE {
                found = try weightStatistics(
                    bytes: data.assumingMemoryBound(to: UInt8.self), count: Int(count), pool: pool)
            } else {
                guard let code = UInt8(exactly: type), let type = FloatType(rawValue: code) else {
                    throw invalid("[weight statistics] type: found \(type), allowed 0, 1, 2, 3")
                }
                found = try weightStatistics(TensorView(base: data, type: type, shape: [Int(count)]), pool: pool)
            }
            nearZero.pointee = Int64(found.nearZero)
            distinct.pointee = Int64(found.distinct)
        }
    }
}
