// Whether SMAWK with its rounding finds what `PenaltyPath` found: see there for what is checked and why it is enough.

extension PenaltyPath {
    /// Checks every cell above level 0: `cells` of them.
    @inline(never)
    func check(_ values: UnsafePointer<Double>, _ cells: Int) -> Bool {
        var cell = 0
        while cell < cells {
            if costs[cell] == .infinity {
                cell &+= 1
                continue
            }
            let start = Int(chosen[cell])
            let end = Int(positions[cell])
            guard checkRowsBefore(values, start, end) else { return false }
            if end < count {
                guard checkRowsAfter(values, start, end), checkChains(values, start, end) else { return false }
            }
            cell &+= 1
        }
        return true
    }

    /// Columns after `start`, in rows before the last of start..<end.
    func checkRowsBefore(_ values: UnsafePointer<Double>, _ start: Int, _ end: Int) -> Bool {
        if end &- start == 1 { return true }
        let margin = loss(start, start &+ 1, end &- 1, end)
        return margin >= PenaltyPath.safety * noise(values, start, end)
    }

    /// Columns before `start`, in rows after that. They are taken together in ranges that double: the least loss of
    /// a range is at its near corner, the most noise at its far corner.
    func checkRowsAfter(_ values: UnsafePointer<Double>, _ start: Int, _ end: Int) -> Bool {
        var after = 1
        while end &+ after <= count {
            let far = min(count, end &+ 4 &* after)
            var before = 1
            while before <= start {
                let margin = loss(start &- before, start, end, end &+ after)
                let most = noise(values, max(0, start &- 4 &* before), far)
                if !(margin >= PenaltyPath.safety * most) { return false }
                before &*= 4
            }
            after &*= 4
        }
        return true
    }

    /// Neighbouring columns a, a + 1 up to `start`, between the row before the last of start..<end and the row after
    /// it. They
    /// are taken together in ranges whose size adapts itself.
    func checkChains(_ values: UnsafePointer<Double>, _ start: Int, _ end: Int) -> Bool {
        var near = start &- 1
        if start &+ 1 == end {
            // Nothing lies between this column and the row before.
            if !(loss(near, start, start, end &+ 1) >= 2 * noise(values, near, end &+ 1)) { return false }
            near &-= 1
        }
        let after = rows.w[end &+ 1] - rows.w[end &- 1]
        let meanAfter = (rows.y[end &+ 1] - rows.y[end &- 1]) / after
        var size = 1
        while near >= 0 {
            // The columns far...near.
            let far = max(0, near &- size &+ 1)
            let within = rows.w[end &- 1] - rows.w[near &+ 1]
            let mean = (rows.y[end &- 1] - rows.y[near &+ 1]) / within
            let widest = rows.w[end &- 1] - rows.w[far]
            let moment = within * (mean - values[near])
            var margin = moment * leastWeight / (widest + leastWeight) * after / (widest + after)
            margin *= 2 * (meanAfter - mean)
            if margin >= 2 * noise(values, far, end &+ 1) {
                near = far &- 1
                size &+= size
            } else if size > 1 {
                size &>>= 1
            } else {
                return false
            }
        }
        return true
    }

    /// Never more than what the values a..<q add to the price of p..<r joining q..<p:
    /// cost(a, r) + cost(q, p) - cost(a, p) - cost(q, r). Nothing cancels in it.
    @inline(__always)
    func loss(_ a: Int, _ q: Int, _ p: Int, _ r: Int) -> Double {
        let first = rows.w[q] - rows.w[a]
        let middle = rows.w[p] - rows.w[q]
        let last = rows.w[r] - rows.w[p]
        let firstMean = (rows.y[q] - rows.y[a]) / first
        let lastMean = (rows.y[r] - rows.y[p]) / last
        if q == p {
            let distance = lastMean - firstMean
            return first * last / (first + last) * (distance * distance)
        }
        let middleMean = (rows.y[p] - rows.y[q]) / middle
        let bothMean = (rows.y[p] - rows.y[a]) / (first + middle)
        return (middleMean - firstMean) * (first / (first + middle)) * (last * middle / (last + middle))
            * ((lastMean - middleMean) + (lastMean - bothMean))
    }

    /// More than a comparison of two entries can err whose clusters lie in start..<end.
    @inline(__always)
    func noise(_ values: UnsafePointer<Double>, _ start: Int, _ end: Int) -> Double {
        let rounding = 32 * PenaltyPath.unit * ((rows.z[end] - rows.z[start]) + abs(rows.f[end])) + 0x1p-1000
        return rounding + sumNoise * (values[end &- 1] - values[start])
    }
}
