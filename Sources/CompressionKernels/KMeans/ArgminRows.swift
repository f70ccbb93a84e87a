// The argmins of several levels, each a non-decreasing row of column numbers.
//
// A row of n columns below n takes 2n bits (Elias and Fano): bit column(i) + i is set for each i. SMAWK fills a row
// between the argmins of its neighbours, so every row is non-decreasing whatever rounding does to the costs.

struct ArgminRows {
    private let count: Int
    private let levels: Int
    private let wordsPerLevel: Int
    private let words: UnsafeMutablePointer<UInt64>

    static func byteCount(_ count: Int, _ levels: Int) -> Int { wordCount(count) &* levels &* 8 }

    private static func wordCount(_ count: Int) -> Int { (2 &* count &+ 63) / 64 }

    /// - Parameter levels: rows kept; a level takes the place of the level that many below.
    init(_ count: Int, _ levels: Int, _ memory: UnsafeMutableRawPointer) {
        self.count = count
        self.levels = levels
        wordsPerLevel = ArgminRows.wordCount(count)
        words = memory.assumingMemoryBound(to: UInt64.self)
    }

    @inline(__always)
    private func clearedRow(_ level: Int) -> UnsafeMutablePointer<UInt64> {
        let row = words + (level % levels) &* wordsPerLevel
        var i = 0
        while i < wordsPerLevel {
            row[i] = 0
            i &+= 1
        }
        return row
    }

    @inline(__always)
    private func setBit(_ row: UnsafeMutablePointer<UInt64>, _ bit: Int) {
        row[bit &>> 6] |= 1 &<< UInt64(truncatingIfNeeded: bit & 63)
    }

    @inline(never)
    func set(_ level: Int, _ columns: UnsafeMutablePointer<Int32>) {
        let row = clearedRow(level)
        var i = 0
        while i < count {
            setBit(row, Int(columns[i]) &+ i)
            i &+= 1
        }
    }

    /// Keeps the column of the last row; the rows before it read as 0.
    @inline(never)
    func setLast(_ level: Int, _ column: Int) {
        let row = clearedRow(level)
        var i = 0
        while i < count &- 1 {
            setBit(row, i)
            i &+= 1
        }
        setBit(row, count &- 1 &+ column)
    }

    /// The column of row `index`: the place of set bit number `index`, less `index`.
    @inline(never)
    func column(_ level: Int, _ index: Int) -> Int {
        let row = words + (level % levels) &* wordsPerLevel
        var before = 0
        var word = 0
        while true {
            let bits = row[word].nonzeroBitCount
            if before &+ bits > index { break }
            before &+= bits
            word &+= 1
        }
        var rest = row[word]
        while before < index {
            rest &= rest &- 1
            before &+= 1
        }
        return word &* 64 &+ rest.trailingZeroBitCount &- index
    }
}
