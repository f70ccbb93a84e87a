/// Codes of binary32 and binary64 data: the number of thresholds that are not above the element.
///
/// Clusters on a line are intervals, so a code is found by comparing with the first value of each cluster but the lowest.
/// Up to 15 thresholds (4 bits): all compared, in vector registers. More: a binary search without branches.
/// Comparisons are exact, so the codes are those of the clustering, as coremltools looks them up by distinct value.

/// `codes[i]` = how many of `thresholds` (ascending, `count` of them, at most 255) are <= `source[i]`.
public func findIntervals(
    _ source: UnsafePointer<Float>, _ elements: Int, _ thresholds: UnsafePointer<Float>, _ count: Int,
    _ codes: UnsafeMutablePointer<UInt8>
) {
    if count <= 15 {
        var start = 0
        while start < elements {
            let length = min(1024, elements &- start)
            let values = source + start
            let out = codes + start
            for i in 0..<length { out[i] = 0 }
            for t in 0..<count {
                let threshold = thresholds[t]
                for i in 0..<length { out[i] &+= values[i] >= threshold ? 1 : 0 }
            }
            start &+= length
        }
        return
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { padded in
        let table = padded.baseAddress.unsafelyUnwrapped
        for i in 0..<256 { table[i] = i < count ? thresholds[i] : .nan }
        let top = count <= 63 ? 32 : 128
        for i in 0..<elements {
            let value = source[i]
            var position = 0
            var step = top
            while step > 0 {
                position &+= value >= table[position &+ step &- 1] ? step : 0
                step &>>= 1
            }
            codes[i] = UInt8(truncatingIfNeeded: position)
        }
    }
}

/// As above, for binary64.
public func findIntervals(
    _ source: UnsafePointer<Double>, _ elements: Int, _ thresholds: UnsafePointer<Double>, _ count: Int,
    _ codes: UnsafeMutablePointer<UInt8>
) {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 256) { padded in
        let table = padded.baseAddress.unsafelyUnwrapped
        for i in 0..<256 { table[i] = i < count ? thresholds[i] : .nan }
        let top = count <= 15 ? 8 : (count <= 63 ? 32 : 128)
        for i in 0..<elements {
            let value = source[i]
            var position = 0
            var step = top
            while step > 0 {
                position &+= value >= table[position &+ step &- 1] ? step : 0
                step &>>= 1
            }
            codes[i] = UInt8(truncatingIfNeeded: position)
        }
    }
}
