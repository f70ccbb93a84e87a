// The names are those of swiftcompress.h.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

import CSwiftCompress
import TensorCompression

@c @implementation
public func swc_kmeans_1d(
    _ values: UnsafePointer<Double>, _ weights: UnsafePointer<Double>?, _ count: Int64, _ k: Int64,
    _ run: UnsafePointer<swc_run>, _ centroids: UnsafeMutablePointer<Double>, _ found: UnsafeMutablePointer<Int64>,
    _ labels: UnsafeMutablePointer<Int32>, _ inertia: UnsafeMutablePointer<Double>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        try run.pointee.perform(elements: Int(count)) { pool in
            let result = try exactKMeans1D(
                values, weights: weights, count: Int(count), k: Int(k), labels: labels, pool: pool)
            for (index, centroid) in result.centroids.enumerated() { centroids[index] = centroid }
            found.pointee = Int64(result.centroids.count)
            inertia.pointee = result.inertia
        }
    }
}

@c @implementation
public func swc_kmeans(
    _ points: UnsafePointer<swc_tensor>, _ weights: UnsafePointer<Double>?,
    _ options: UnsafePointer<swc_kmeans_options>, _ run: UnsafePointer<swc_run>,
    _ centroids: UnsafeMutablePointer<Double>, _ found: UnsafeMutablePointer<Int64>,
    _ labels: UnsafeMutablePointer<Int32>, _ inertia: UnsafeMutablePointer<Double>,
    _ error: UnsafeMutablePointer<swc_error>
) -> swc_status {
    status(error) {
        let view = try TensorView(points.pointee, "kmeans")
        let options = VectorKMeansOptions(
            k: Int(options.pointee.k), seed: options.pointee.seed, starts: Int(options.pointee.n_init),
            maxIterations: Int(options.pointee.max_iter), tolerance: options.pointee.tol)
        try run.pointee.perform(elements: view.elementCount) { pool in
            let result = try vectorKMeans(
                view, weights: weights, options, pool: pool, centroids: centroids, labels: labels)
            found.pointee = Int64(result.clusterCount)
            inertia.pointee = result.inertia
        }
    }
}
