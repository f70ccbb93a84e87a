/// One slot per piece of a parallel loop; each is written by one thread.
final class ResultSlots<Value>: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Value>
    private let count: Int

    init(_ count: Int, empty: Value) {
        self.count = count
        base = .allocate(capacity: max(count, 1))
        base.initialize(repeating: empty, count: count)
    }

    deinit {
        base.deinitialize(count: count)
        base.deallocate()
    }

    subscript(index: Int) -> Value {
        get { base[index] }
        set { base[index] = newValue }
    }

    var values: [Value] { Array(UnsafeBufferPointer(start: base, count: count)) }
}
