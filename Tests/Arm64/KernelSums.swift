// Runs the kernels on made-up data and sums up the bits of what they give. scripts/check_arm64.py compiles this together with
// the kernels, for arm64 and for this machine, and compares the sums. There is no standard library for arm64 Linux here but
// the embedded one, so nothing else is used: no arrays of arrays, no Foundation.

/// splitmix64.
struct Numbers {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
    /// Nearly Gaussian, of variance 1/3.
    mutating func bell() -> Double { unit() + unit() + unit() + unit() - 2 }
}

/// FNV-1a of bytes, one sum for each kernel.
struct Sums {
    let target: UnsafeMutablePointer<UInt64>
    var count = 0

    init(_ target: UnsafeMutablePointer<UInt64>) { self.target = target }

    mutating func add<Element: BitwiseCopyable>(_ values: [Element]) {
        var sum: UInt64 = 0xcbf2_9ce4_8422_2325
        values.withUnsafeBytes { for byte in $0 { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01b3 } }
        target[count] = sum
        count += 1
    }
}

/// - Parameter target: room for 256 sums.
/// - Returns: how many there are.
@_cdecl("kernel_sums")
func kernelSums(_ target: UnsafeMutablePointer<UInt64>) -> Int32 {
    var sums = Sums(target)
    var numbers = Numbers(state: 1)
    let halves = (0..<8192).map { _ in halfBits(double: numbers.bell()) }
    let floats = (0..<8192).map { _ in Float(numbers.bell()) }
    sumConversions(&sums, floats)
    sumScalarPalettes(&sums, halves)
    sumClusterings(&sums)
    sumPacking(&sums)
    sumQuantization(&sums, halves, floats)
    sumPruning(&sums, halves, floats)
    sumVectors(&sums, floats)
    sumElimination(&sums, floats)
    return Int32(sums.count)
}

func sumConversions(_ sums: inout Sums, _ floats: [Float]) {
    let patterns = (0..<65_536).map { UInt16($0) }
    var wide = [Float](repeating: 0, count: patterns.count)
    halfToFloat(patterns, patterns.count, &wide)
    // Of NaNs, that they are: processors differ in which.
    sums.add(wide.map { $0.isNaN ? 1 : $0.bitPattern })
    var narrow = [UInt16](repeating: 0, count: floats.count)
    for scale in [1, 1e-7, 1e5] as [Float] {
        floatToHalf(floats.map { $0 * scale }, floats.count, &narrow)
        sums.add(narrow)
    }
}

func sumScalarPalettes(_ sums: inout Sums, _ halves: [UInt16]) {
    var table = [UInt32](repeating: 0, count: 65_536)
    var touched = [UInt8](repeating: 0, count: 1024)
    var patterns = [UInt16](repeating: 0, count: halves.count + 1)
    var values = [Double](repeating: 0, count: halves.count)
    var weights = values
    countHalfPatternsNoting(halves, halves.count, &table, &touched)
    let found = drainHalfTable(&table, nil, &touched, &patterns, &values, &weights)
    sums.add(Array(values[..<found]))
    sums.add(Array(weights[..<found]))
    var codes = [UInt8](repeating: 0, count: halves.count)
    for k in [8, 16, 64, 256] {
        let firsts = sumClustering(&sums, Array(values[..<found]), Array(weights[..<found]), k)
        var all = [UInt8](repeating: 0, count: 65_536)
        fillHalfCodes(patterns, found, firsts, k, &all)
        lookUpHalfCodes(halves, halves.count, all, &codes)
        sums.add(codes)
    }
    uniformCodes(halves, halves.count, Float(-2), 4, 15, &codes)
    sums.add(codes)
}

/// Both ways to the exact clusters. Returns where they begin.
func sumClustering(_ sums: inout Sums, _ values: [Double], _ weights: [Double], _ k: Int) -> [Int32] {
    let scratch = UnsafeMutableRawPointer.allocate(
        byteCount: exactKMeans1DScratchBytes(values.count, k), alignment: 64)
    defer { scratch.deallocate() }
    var centroids = [Double](repeating: 0, count: k)
    var firsts = [Int32](repeating: 0, count: k)
    let decided = exactKMeans1DByPenalty(values, weights, values.count, k, scratch, &centroids, &firsts, nil)
    sums.add([decided])
    if decided == 1 { sums.add(centroids) }
    _ = exactKMeans1DByLevels(values, weights, values.count, k, scratch, &centroids, &firsts, nil)
    sums.add(centroids)
    sums.add(firsts)
    return firsts
}

func sumClusterings(_ sums: inout Sums) {
    var numbers = Numbers(state: 2)
    for k in [4, 16, 100] {
        var value = -1.0
        let values = (0..<3000).map { _ in
            value += numbers.unit()
            return value
        }
        _ = sumClustering(&sums, values, values.map { _ in numbers.unit() + 0.01 }, k)
        // Ties.
        _ = sumClustering(&sums, (0..<2000).map { Double($0) }, (0..<2000).map { _ in 1 }, k)
    }
}

func sumPacking(_ sums: inout Sums) {
    var numbers = Numbers(state: 3)
    for nbits in 1...8 {
        let codes = (0..<1001).map { _ in UInt8(truncatingIfNeeded: numbers.next()) & UInt8((1 << nbits) - 1) }
        var packed = [UInt8](repeating: 0, count: packedByteCount(codes.count, nbits))
        packCodes(codes, codes.count, nbits, &packed)
        sums.add(packed)
        var back = [UInt8](repeating: 0, count: codes.count)
        unpackCodes(packed, codes.count, nbits, true, &back)
        sums.add(back)
    }
}

func sumQuantization(_ sums: inout Sums, _ halves: [UInt16], _ floats: [Float]) {
    let (length, blocks) = (32, 256)
    var divisors = [Float](repeating: 0, count: blocks)
    var offsets = divisors
    var odd = [UInt8](repeating: 0, count: blocks)
    var zeros = odd
    var codes = [UInt8](repeating: 0, count: halves.count)
    var (low, high, scale) = (
        [UInt16](repeating: 0, count: blocks), [UInt16](repeating: 0, count: blocks), zeros.map { UInt16($0) }
    )
    blockMagnitudes(halves, blocks, length, &high)
    sums.add([symmetricScales(high, blocks, 14, &scale, &divisors, &odd)])
    sums.add(scale)
    quantizeBlocks(halves, blocks, length, divisors, offsets, -7, 7, &codes)
    sums.add(codes)
    var dense = [UInt16](repeating: 0, count: length)
    dequantizeBlock(codes, length, 0, 0, scale[0], &dense)
    sums.add(dense)
    blockExtremes(halves, blocks, length, &low, &high)
    _ = linearParameters(low, high, blocks, 0, 255, &scale, &zeros, &divisors, &offsets, &odd)
    sums.add(scale)
    sums.add(zeros)
    quantizeBlocks(halves, blocks, length, divisors, offsets, 0, 255, &codes)
    sums.add(codes)
    var (wideLow, wideHigh, wideScale) = (divisors, divisors, divisors)
    blockExtremes(floats, blocks, length, &wideLow, &wideHigh)
    _ = linearParameters(wideLow, wideHigh, blocks, -128, 127, &wideScale, &zeros, &divisors, &offsets, &odd)
    sums.add(wideScale)
    quantizeBlocks(floats, blocks, length, divisors, offsets, -128, 127, &codes)
    sums.add(codes)
    var errors = [Double](repeating: 0, count: 3)
    sumErrors(floats, floats.map { $0 * 1.01 }, floats.count, &errors)
    sums.add(errors)
}

func sumPruning(_ sums: inout Sums, _ halves: [UInt16], _ floats: [Float]) {
    var mask = [UInt8](repeating: 0, count: halves.count)
    sums.add([
        leastMagnitude(floats, floats.count, above: 0x3f00_0000), leastMagnitude(halves, halves.count, above: 0x3800),
    ])
    sums.add([maskAbove(halves, halves.count, 0x3400, &mask), maskAbove(floats, floats.count, 0x3f00_0000, &mask)])
    sums.add(mask)
    sums.add([sumOfSquares(floats, floats.count, 0, floats.count), sumOfSquares(halves, halves.count, 0, halves.count)])
    var tables = [UInt32](repeating: 0, count: 4 * 32_768)
    countFirstDigits(floats, floats.count, &tables)
    sums.add(tables)
}

func sumVectors(_ sums: inout Sums, _ floats: [Float]) {
    for dim in [2, 3, 4, 8] {
        let (k, stride) = (16, floats.count / dim / 16 * 16)
        let centroids = (0..<k * dim).map { floats[7 * $0] }
        let halfNorms = (0..<k).map { j in
            var norm: Float = 0
            for d in 0..<dim { norm += centroids[j * dim + d] * centroids[j * dim + d] }
            return norm / 2
        }
        var labels = [Int32](repeating: -1, count: stride)
        var total = [Double](repeating: 0, count: k * (dim + 1) + 8)
        _ = vectorKMeansAssign(floats, stride, 0, stride, dim, centroids, halfNorms, k, &labels, &total)
        sums.add(labels)
        sums.add(Array(total[..<(k * (dim + 1))]))
        var distances = [Float](repeating: 0, count: stride)
        var gaps = distances
        vectorKMeansGaps(floats, stride, 0, stride, dim, centroids, halfNorms, k, &labels, &distances, &gaps)
        sums.add(distances)
        sums.add(gaps)
        var slacks = distances
        labels = [Int32](repeating: -1, count: stride)
        total = [Double](repeating: 0, count: k * (dim + 1) + 8)
        _ = vectorKMeansAssignWithSlacks(
            floats, stride, 0, stride, dim, centroids, halfNorms, k, &labels, &total, &slacks, 0)
        sums.add(slacks)
        var scratch = [Double](repeating: 0, count: vectorKMeansDueScratch(dim: dim) / 8 + 1)
        let found = vectorKMeansAssignDue(
            floats, stride, 0, stride, dim, centroids, halfNorms, k, &labels, &total, &slacks, 0.01, &scratch)
        sums.add([Int32(found.due)])
        sums.add(slacks)
        sums.add(Array(total[..<(k * (dim + 1))]))
        var masses = [Double](repeating: 0, count: stride / 8)
        vectorKMeansMasses(floats, stride, 0, stride, dim, nil, &masses)
        sums.add(masses)
    }
}

func sumElimination(_ sums: inout Sums, _ floats: [Float]) {
    let count = 40
    var panel = Array(floats[..<(16 * count)])
    var errors = panel
    var losses = [Float](repeating: 0, count: 16)
    let factor = (0..<count * count).map { i in i / count == i % count ? 1 + abs(floats[i]) : 0.1 * floats[i] }
    let scale = (0..<32).map { 0.1 + abs(floats[$0]) }
    let zero = (0..<32).map { Float($0 % 16) }
    let sets = (0..<count).map { Int32($0 % 2) }
    var work = losses
    let ties = eliminateLinear(
        &panel, &errors, count, factor, count, 8, &losses, nil, 0, 0, &work, scale, zero, 16, sets, 15)
    sums.add([ties])
    sums.add(panel)
    sums.add(errors)
    sums.add(losses)
}
