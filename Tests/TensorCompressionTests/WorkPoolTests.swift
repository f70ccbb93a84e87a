import Synchronization
import XCTest

@testable import TensorCompression

final class WorkPoolTests: XCTestCase {
    func testEveryIndexRunsOnce() {
        for threads in [1, 2, 3, 8] {
            let pool = WorkPool(threads: threads)
            for count in [0, 1, 2, 7, 1000] {
                let hits = UnsafeMutableBufferPointer<Int32>.allocate(capacity: count)
                hits.initialize(repeating: 0)
                defer { hits.deallocate() }
                nonisolated(unsafe) let places = hits
                pool.forEach(count) { places[$0] += 1 }
                XCTAssertEqual(Array(hits), [Int32](repeating: 1, count: count), "\(threads) threads")
            }
        }
    }

    func testNestedLoops() {
        for threads in [1, 2, 3, 8] {
            let pool = WorkPool(threads: threads)
            let sum = Atomic<Int>(0)
            pool.forEach(9) { outer in
                pool.forEach(11) { inner in
                    pool.forEach(3) { sum.wrappingAdd(outer * 33 + inner * 3 + $0, ordering: .relaxed) }
                }
            }
            XCTAssertEqual(sum.load(ordering: .relaxed), 297 * 296 / 2, "\(threads) threads")
        }
    }

    func testManyShortPools() {
        for round in 0..<200 {
            let pool = WorkPool(threads: 4)
            let sum = Atomic<Int>(0)
            pool.forEach(5) { sum.wrappingAdd($0 + round, ordering: .relaxed) }
            XCTAssertEqual(sum.load(ordering: .relaxed), 10 + 5 * round)
        }
    }

    func testLoopsFromSeveralThreads() {
        let pool = WorkPool(threads: 3)
        let sum = Atomic<Int>(0)
        WorkPool(threads: 3).forEach(6) { _ in
            pool.forEach(50) { sum.wrappingAdd($0, ordering: .relaxed) }
        }
        XCTAssertEqual(sum.load(ordering: .relaxed), 6 * 1225)
    }

    func testTheLowestFailureWins() {
        for threads in [1, 2, 8] {
            let pool = WorkPool(threads: threads)
            for _ in 0..<50 {
                XCTAssertThrowsError(
                    try pool.tryForEach(100, operation: "test") { index throws(CompressionError) in
                        if index % 7 == 3 { throw .invalid("\(index)") }
                    }
                ) { XCTAssertEqual($0 as? CompressionError, .invalid("3"), "\(threads) threads") }
            }
        }
    }

    func testCancellation() {
        for threads in [1, 2, 8] {
            let pool = WorkPool(threads: threads)
            let ran = Atomic<Int>(0)
            XCTAssertThrowsError(
                try pool.tryForEach(1000, operation: "test") { index throws(CompressionError) in
                    ran.wrappingAdd(1, ordering: .relaxed)
                    if index == 5 { pool.cancellation.cancel() }
                }
            ) { XCTAssertEqual(($0 as? CompressionError)?.kind, .cancelled) }
            XCTAssertLessThan(ran.load(ordering: .relaxed), 1000)
            XCTAssertNotEqual(pool.cancellation.flag.pointee, 0)
        }
    }

    func testLoopsThatHaveEndedAreForgotten() {
        for threads in [1, 2, 8] {
            let pool = WorkPool(threads: threads)
            pool.forEach(20) { _ in
                for _ in 0..<50 { pool.forEach(3) { _ in } }
            }
            pool.forEachAdmitted(20) { _ in
                true
            } _: { _ in
                pool.forEach(2) { _ in }
            }
            XCTAssertEqual(pool.loopCount, 0)
        }
    }

    /// The thread that has no piece of its own takes one of two that wait for each other.
    func testThreadsThatWaitHelp() {
        let pool = WorkPool(threads: 2)
        for _ in 0..<20 {
            let running = Atomic<Bool>(false)
            let arrived = Atomic<Int>(0)
            let met = Atomic<Int>(0)
            pool.forEachAdmitted(2) { _ in
                running.compareExchange(
                    expected: false, desired: true, ordering: .relaxed
                ).exchanged
            } _: { _ in
                arrived.store(0, ordering: .sequentiallyConsistent)
                pool.forEach(2) { _ in
                    arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
                    let end = Date().addingTimeInterval(10)
                    while arrived.load(ordering: .sequentiallyConsistent) < 2, Date() < end { usleep(10) }
                    if arrived.load(ordering: .sequentiallyConsistent) == 2 {
                        met.wrappingAdd(1, ordering: .relaxed)
                    }
                }
                running.store(false, ordering: .relaxed)
            }
            XCTAssertEqual(met.load(ordering: .relaxed), 4)
        }
    }

    /// At most two pieces at a time, though there are more threads; the others help with the loops inside.
    func testAdmission() {
        for threads in [1, 2, 3, 8] {
            let pool = WorkPool(threads: threads)
            let running = Atomic<Int>(0)
            let most = Atomic<Int>(0)
            let sum = Atomic<Int>(0)
            pool.forEachAdmitted(100) { _ in
                guard running.load(ordering: .relaxed) < 2 else { return false }
                let now = running.wrappingAdd(1, ordering: .relaxed).newValue
                most.max(now, ordering: .relaxed)
                return true
            } _: { piece in
                pool.forEach(20) { sum.wrappingAdd(piece * 20 + $0, ordering: .relaxed) }
                running.wrappingSubtract(1, ordering: .relaxed)
            }
            XCTAssertEqual(sum.load(ordering: .relaxed), 2000 * 1999 / 2, "\(threads) threads")
            XCTAssertLessThanOrEqual(most.load(ordering: .relaxed), 2)
        }
    }

    func testAdmissionInOrder() {
        let pool = WorkPool(threads: 3)
        nonisolated(unsafe) var admitted: [Int] = []
        pool.forEachAdmitted(200) { index in
            admitted.append(index)
            return true
        } _: { _ in
        }
        XCTAssertEqual(admitted, Array(0..<200))
    }

    /// Nothing runs when the room is made: whoever makes it says so.
    func testReconsidering() {
        for threads in [1, 4] {
            let pool = WorkPool(threads: threads)
            let room = Atomic<Int>(0)
            let ran = Atomic<Int>(0)
            let opener = Thread {
                for _ in 0..<20 {
                    usleep(1000)
                    room.wrappingAdd(1, ordering: .sequentiallyConsistent)
                    pool.reconsider()
                }
            }
            opener.start()
            pool.forEachAdmitted(20) {
                $0 < room.load(ordering: .sequentiallyConsistent)
            } _: { _ in
                ran.wrappingAdd(1, ordering: .relaxed)
            }
            XCTAssertEqual(ran.load(ordering: .relaxed), 20)
        }
    }

    func testCancellationOfWhatIsNotAdmitted() {
        for threads in [1, 4] {
            let pool = WorkPool(threads: threads)
            let opener = Thread {
                usleep(20_000)
                pool.cancellation.cancel()
                pool.reconsider()
            }
            opener.start()
            pool.forEachAdmitted(20) { _ in
                false
            } _: { _ in
                XCTFail("not admitted")
            }
        }
    }

    func testThreadCounts() {
        XCTAssertGreaterThanOrEqual(WorkPool(threads: 0).threadCount, 1)
        XCTAssertEqual(WorkPool(threads: -3).threadCount, WorkPool().threadCount)
        XCTAssertEqual(WorkPool(threads: 5).threadCount, 5)
        XCTAssertEqual(WorkPool(threads: .max).threadCount, 1024)
    }
}
