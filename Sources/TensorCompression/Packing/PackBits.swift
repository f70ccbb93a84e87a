import CompressionKernels
import CompressionKernelsV3

/// The number of bytes that `count` codes of `nbits` bits take without gaps.
public func packedByteCount(count: Int, nbits: Int) throws(CompressionError) -> Int {
    try checkPacking(count, nbits, "pack_bits")
    return CompressionKernels.packedByteCount(count, nbits)
}

/// Packs codes without gaps, least significant bit first; bits behind the last code are zero.
///
/// - Parameters:
///   - codes: `count` codes, one in each byte; with `signed`, two's complement.
///   - nbits: 1 to 8.
///   - packed: receives `packedByteCount(count:nbits:)` bytes. Must not overlap `codes`.
/// - Throws: `.invalidArgument` for `nbits` or `count` out of range, and for a code that `nbits` bits cannot hold, naming
///   the first; `.cancelled`; `.outOfMemory`.
public func packBits(
    _ codes: UnsafePointer<UInt8>, count: Int, nbits: Int, signed: Bool = false,
    into packed: UnsafeMutablePointer<UInt8>, pool: WorkPool
) throws(CompressionError) {
    try checkPacking(count, nbits, "pack_bits")
    try pool.tryForEach((count + pieceLength - 1) / pieceLength, operation: "pack_bits") {
        piece throws(CompressionError) in
        let start = piece * pieceLength
        let length = min(pieceLength, count - start)
        let source = codes + start
        if signed {
            let numbers = UnsafeRawPointer(source).assumingMemoryBound(to: Int8.self)
            let limit = 1 << (nbits - 1)
            let range = variant(CompressionKernels.signedRange, CompressionKernelsV3.signedRange)(numbers, length)
            if Int(range.least) < -limit || Int(range.greatest) >= limit {
                let place = (0..<length).first { Int(numbers[$0]) < -limit || Int(numbers[$0]) >= limit } ?? 0
                throw .invalid(
                    "[pack_bits] codes: found \(numbers[place]) at \(start + place), allowed \(-limit) to \(limit - 1) "
                        + "for \(nbits) bits")
            }
        } else {
            let union = variant(CompressionKernels.unionOfBits, CompressionKernelsV3.unionOfBits)(source, length)
            if Int(union) >> nbits != 0 {
                let place = (0..<length).first { Int(source[$0]) >> nbits != 0 } ?? 0
                throw .invalid(
                    "[pack_bits] codes: found \(source[place]) at \(start + place), allowed 0 to \((1 << nbits) - 1) "
                        + "for \(nbits) bits")
            }
        }
        variant(CompressionKernels.packCodes, CompressionKernelsV3.packCodes)(
            source, length, nbits, packed + start / 8 * nbits)
    }
}

/// Unpacks codes that were packed without gaps, least significant bit first.
///
/// - Parameters:
///   - byteCount: bytes at `packed`; at least `packedByteCount(count:nbits:)`.
///   - count: the number of codes wanted.
///   - nbits: 1 to 8.
///   - signed: copy the highest bit of each code upwards (two's complement in each byte).
///   - codes: receives `count` bytes. Must not overlap `packed`.
/// - Throws: `.invalidArgument` for numbers out of range and too few bytes; `.cancelled`.
public func unpackBits(
    _ packed: UnsafePointer<UInt8>, byteCount: Int, count: Int, nbits: Int, signed: Bool = false,
    into codes: UnsafeMutablePointer<UInt8>, pool: WorkPool
) throws(CompressionError) {
    try checkPacking(count, nbits, "unpack_bits")
    let needed = CompressionKernels.packedByteCount(count, nbits)
    guard byteCount >= needed else {
        throw .invalid(
            "[unpack_bits] packed: found \(byteCount) bytes, \(count) codes of \(nbits) bits take \(needed)")
    }
    pool.forEachPiece(count) { start, end in
        variant(CompressionKernels.unpackCodes, CompressionKernelsV3.unpackCodes)(
            packed + start / 8 * nbits, end - start, nbits, signed, codes + start)
    }
    try pool.checkCancellation("unpack_bits")
}

private func checkPacking(_ count: Int, _ nbits: Int, _ operation: String) throws(CompressionError) {
    guard nbits >= 1, nbits <= 8 else {
        throw .invalid("[\(operation)] nbits: found \(nbits), allowed 1 to 8")
    }
    guard count >= 0, count <= Int.max / 8 else {
        throw .invalid("[\(operation)] count: found \(count), allowed 0 and above")
    }
}
