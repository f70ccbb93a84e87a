// The cells that a way of least cost may pass, and the costs that the reference computes for them: step 1 of PenaltyPath.swift.

extension PenaltyPath {
    /// Lists the cells of every level that the optimum may pass, and returns their number: 0 when there are too many.
    @inline(never)
    func collect() -> Int {
        positions[0] = Int32(truncatingIfNeeded: count)
        levelStarts[k &- 1] = 0
        var cells = 1
        var wayCount = 0
        var cell = 0
        var level = k &- 1
        while level > 0 {
            let below = cells
            levelStarts[level &- 1] = Int32(truncatingIfNeeded: below)
            while cell < below {
                wayStarts[cell] = Int32(truncatingIfNeeded: wayCount)
                let first = wayCount
                guard collectWays(Int(positions[cell]), level, &wayCount) else { return 0 }
                var way = first
                while way < wayCount {
                    guard insert(ways[way], below, &cells) else { return 0 }
                    way &+= 1
                }
                cell &+= 1
            }
            level &-= 1
        }
        while cell < cells {
            wayStarts[cell] = Int32(truncatingIfNeeded: wayCount)
            cell &+= 1
        }
        wayStarts[cells] = Int32(truncatingIfNeeded: wayCount)
        return cells
    }

    /// Lists where the last cluster before `position` may begin, from `first` on. A block q..<q + size costs at least
    /// f[q] and the cost of the shortest of its clusters; the size of the blocks adapts itself.
    func collectWays(_ position: Int, _ first: Int, _ wayCount: inout Int) -> Bool {
        let limit = rows.f[position] - penalty + reach
        var q = first
        var size = max(1, position / 8)
        while q < position {
            if q &+ size > position { size = position &- q }
            if rows.f[q] + rows.cost(q &+ size &- 1, position) > limit {
                q &+= size
                size &+= size
            } else if size > 1 {
                size &>>= 1
            } else {
                guard wayCount < wayLimit else { return false }
                ways[wayCount] = Int32(truncatingIfNeeded: q)
                wayCount &+= 1
                q &+= 1
            }
        }
        return true
    }

    /// Adds a position to the ascending ones from cell `first` on.
    func insert(_ position: Int32, _ first: Int, _ cells: inout Int) -> Bool {
        var place = cells
        while place > first && positions[place &- 1] > position { place &-= 1 }
        if place > first && positions[place &- 1] == position { return true }
        guard cells < cellLimit else { return false }
        var last = cells
        while last > place {
            positions[last] = positions[last &- 1]
            last &-= 1
        }
        positions[place] = position
        cells &+= 1
        return true
    }

    func find(_ level: Int, _ position: Int32) -> Int {
        var cell = Int(levelStarts[level])
        while positions[cell] != position { cell &+= 1 }
        return cell
    }

    /// The cost of a cluster as `SmawkRows` computes it.
    @inline(__always)
    func clusterCost(_ start: Int, _ end: Int) -> Double {
        let w = rows.w[end] - rows.w[start]
        let y = rows.y[end] - rows.y[start]
        let mean = y / w
        var cost = rows.z[end] - rows.z[start]
        cost += w * (mean * mean)
        cost -= (2 * mean) * y
        return cost
    }

    /// The costs of the cells from level 0 up, and of each the first way that costs the least. A cell that costs `reach` / 2
    /// more than the penalised optimum is on no way of least cost, and is closed: infinite. False where one lies between
    /// that and `reach` / 4.
    @inline(never)
    func decide(_ cells: Int) -> Bool {
        var level = 0
        var cellEnd = cells
        while level < k {
            var cell = Int(levelStarts[level])
            while cell < cellEnd {
                let position = Int(positions[cell])
                var best = Double.infinity
                if level == 0 {
                    best = clusterCost(0, position)
                    chosen[cell] = 0
                } else {
                    var way = Int(wayStarts[cell])
                    while way < Int(wayStarts[cell &+ 1]) {
                        let start = Int(ways[way])
                        let value = costs[find(level &- 1, ways[way])] + clusterCost(start, position)
                        if value < best {
                            best = value
                            chosen[cell] = ways[way]
                        }
                        way &+= 1
                    }
                }
                let above = best - (rows.f[position] - penalty * Double(level &+ 1))
                guard above <= reach / 4 || above > reach / 2 else { return false }
                costs[cell] = above <= reach / 4 ? best : .infinity
                cell &+= 1
            }
            cellEnd = Int(levelStarts[level])
            level &+= 1
        }
        return costs[0] < .infinity
    }
}
