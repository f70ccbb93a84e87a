/// Elements, each of which counts several times.
struct WeightedElements<Element>: @unchecked Sendable {
    let elements: UnsafePointer<Element>
    let count: Int
    let weight: Int
}

/// `numpy.percentile` of magnitudes, with NumPy 2's linear interpolation in the type of the elements.
///
/// NumPy 1 interpolated in binary64; where the percentile falls between two elements its result can lie on the other side
/// of a neighbouring one. We always compute as NumPy 2 does (2.0 to 2.4 are alike).
struct MagnitudePercentile<Element: PrunableElement> {
    let parts: [WeightedElements<Element>]
    let pool: WorkPool

    private var count: Int { parts.reduce(0) { $0 + $1.count * $1.weight } }

    /// The bit pattern of the percentile; nil where NumPy gets a NaN, which no magnitude is less than or equal to.
    /// - share: 0 to 1, 1 excluded; NumPy's argument is 100 times that.
    func find(_ share: Double) throws(CompressionError) -> UInt64? {
        let place = Double(count - 1) * (share * 100 / 100)
        var (first, last) = (place.rounded(.down), place.rounded(.down) + 1)
        var part = place - first
        if place >= Double(count - 1) {
            // NumPy's index -1, the last element; the distance to it is taken as it stands.
            (first, last, part) = (Double(count - 1), Double(count - 1), place + 1)
        }
        let low = try select(Int(first))
        var high = low.pattern
        if last > first, low.rank <= Int(last) { high = try leastAbove(low.pattern) }
        let result = interpolate(Element(magnitudePattern: low.pattern), Element(magnitudePattern: high), part)
        return result.isNaN ? nil : result.magnitudePattern
    }

    private func interpolate(_ low: Element, _ high: Element, _ part: Double) -> Element {
        func rounded(_ value: Double) -> Double { Element(nearest: value).double }
        let (a, b) = (low.double, high.double)
        let difference = rounded(b - a)
        if part >= 0.5 { return Element(nearest: b - rounded(difference * rounded(1 - part))) }
        return Element(nearest: a + rounded(difference * rounded(part)))
    }

    // MARK: - Order statistics

    /// The magnitude of rank `rank` (from 0 on), and the rank of the first one above it.
    func select(_ rank: Int) throws(CompressionError) -> (pattern: UInt64, rank: Int) {
        var before = 0
        var prefix: UInt64 = 0
        var shift = Element.lowerBits
        var digits = try countDigits(nil, shift)
        while true {
            var digit = 0
            while digit + 1 < digits.count, before + digits[digit] <= rank {
                before += digits[digit]
                digit += 1
            }
            prefix = prefix << 16 | UInt64(digit)
            if shift == 0 { return (prefix, before + digits[digit]) }
            shift -= 16
            digits = try countDigits(prefix, shift)
        }
    }

    /// How many elements have each digit: the first 15 bits, or the 16 from `shift` on behind `prefix`.
    private func countDigits(_ prefix: UInt64?, _ shift: Int) throws(CompressionError) -> [Int] {
        let classes = prefix == nil ? 32_768 : 65_536
        let width = prefix == nil ? 4 * 32_768 : 65_536
        var totals = [Int](repeating: 0, count: classes)
        for part in parts where part.count > 0 {
            // Not so long that a counter could overflow.
            let stretches = max(
                min(pool.threadCount, (part.count + pieceLength - 1) / pieceLength), part.count >> 31 + 1)
            let length = (part.count + stretches - 1) / stretches
            let tables = try Scratch<UInt32>(zeroed: stretches * width, operation: "prune")
            let places = tables.pointer
            try pool.tryForEach(stretches, operation: "prune") { index throws(CompressionError) in
                let start = index * length
                let count = min(length, part.count - start)
                guard count > 0 else { return }
                if let prefix {
                    Element.countNextDigits(part.elements + start, count, prefix, shift, places + index * width)
                } else {
                    Element.countFirstDigits(part.elements + start, count, places + index * width)
                }
            }
            for table in 0..<stretches * width / classes {
                let counts = places + table * classes
                for digit in 0..<classes { totals[digit] += Int(counts[digit]) * part.weight }
            }
        }
        return totals
    }

    private func leastAbove(_ pattern: UInt64) throws(CompressionError) -> UInt64 {
        var least = UInt64.max
        for part in parts where part.count > 0 {
            let pieces = (part.count + pieceLength - 1) / pieceLength
            let found = try Scratch<UInt64>(pieces, operation: "prune")
            let places = found.pointer
            pool.forEachPiece(part.count) { start, end in
                places[start / pieceLength] = Element.leastMagnitude(
                    part.elements + start, end - start, above: pattern)
            }
            try pool.checkCancellation("prune")
            for piece in 0..<pieces { least = min(least, places[piece]) }
        }
        return least
    }
}
