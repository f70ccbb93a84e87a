// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import TensorCompression

@c @implementation
public func swc_prune(
    _ weight: UnsafePointer<swc_tensor>, _ options: UnsafePointer<swc_prune_options>, _ run: UnsafePointer<swc_run>,
    _ mask: UnsafeMutablePointer<UInt8>, _ kept: UnsafeMutablePointer<Int64>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let tensor = try TensorView(weight.pointee, "prune")
        let method = try PruningMethod(options.pointee)
        try run.pointee.perform(elements: tensor.elementCount) { pool in
            kept.pointee = Int64(try prune(tensor, method, pool: pool, mask: mask).nonzeroCount)
        }
    }
}

@c @implementation
public func swc_gather_nonzero(
    _ weight: UnsafePointer<swc_tensor>, _ mask: UnsafePointer<UInt8>, _ run: UnsafePointer<swc_run>,
    _ nonzero: UnsafeMutableRawPointer, _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let tensor = try TensorView(weight.pointee, "prune")
        try run.pointee.perform(elements: tensor.elementCount) { pool in
            try gatherNonzero(tensor, mask: mask, into: nonzero, pool: pool)
        }
    }
}

@c @implementation
public func swc_scatter_nonzero(
    _ nonzero: UnsafeRawPointer, _ nonzeroCount: Int64, _ elementBytes: Int32, _ mask: UnsafePointer<UInt8>,
    _ count: Int64, _ run: UnsafePointer<swc_run>, _ output: UnsafeMutableRawPointer,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        try run.pointee.perform(elements: Int(count)) { pool in
            try scatterNonzero(
                elementByteCount: Int(elementBytes), count: Int(count), mask: .bytes(mask), nonzero: nonzero,
                nonzeroCount: Int(nonzeroCount), into: output, pool: pool)
        }
    }
}

extension PruningMethod {
    fileprivate init(_ options: swc_prune_options) throws {
        switch Int(options.method) {
        case SWC_PRUNE_MAGNITUDE: self = .magnitude(targetSparsity: options.target_sparsity)
        case SWC_PRUNE_BLOCKS:
            self = .blockMagnitude(
                targetSparsity: options.target_sparsity, blockSize: Int(options.block_size), dim: Int(options.dim))
        case SWC_PRUNE_N_OF_M: self = .nOfM(n: Int(options.n), m: Int(options.m), dim: Int(options.dim))
        case SWC_PRUNE_THRESHOLD: self = .threshold(options.threshold, minimumSparsity: options.minimum_sparsity)
        default: throw invalid("[prune] method: found \(options.method), allowed 0 to 3")
        }
    }
}
