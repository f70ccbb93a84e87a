import XCTest

@testable import ModelCompression

final class WeightFlightTests: XCTestCase {
    private let mebibyte = 1 << 20

    func testWhatIsCompressedIsBounded() {
        let flight = WeightFlight()
        XCTAssertTrue(flight.begin(10 * mebibyte))
        XCTAssertTrue(flight.begin(6 * mebibyte))
        XCTAssertFalse(flight.begin(1))
        flight.compressed(6 * mebibyte)
        XCTAssertTrue(flight.begin(6 * mebibyte))
    }

    func testWhatWaitsToBeWrittenIsBounded() {
        let flight = WeightFlight()
        for _ in 0..<4 {
            XCTAssertTrue(flight.begin(8 * mebibyte))
            flight.compressed(8 * mebibyte)
        }
        XCTAssertFalse(flight.begin(1))
        flight.written(8 * mebibyte)
        XCTAssertTrue(flight.begin(8 * mebibyte))
        XCTAssertFalse(flight.begin(1))
    }

    func testALargeWeightIsAlone() {
        let flight = WeightFlight()
        XCTAssertTrue(flight.begin(1))
        XCTAssertFalse(flight.begin(100 * mebibyte))
        flight.compressed(1)
        XCTAssertFalse(flight.begin(100 * mebibyte))
        flight.written(1)
        XCTAssertTrue(flight.begin(100 * mebibyte))
        XCTAssertFalse(flight.begin(1))
        flight.compressed(100 * mebibyte)
        XCTAssertFalse(flight.begin(1))
        flight.written(100 * mebibyte)
        XCTAssertTrue(flight.begin(1))
    }

    func testEachWeightIsReadAheadOnce() {
        let sizes = [1, 20, 1, 1, 8, 8, 8, 1, 40, 1].map { $0 * mebibyte }
        let flight = WeightFlight(sizes)
        var read: [Int] = []
        for number in sizes.indices {
            let ahead = flight.readAhead(number)
            XCTAssertTrue(ahead.isEmpty || ahead.lowerBound > number)
            read += ahead
            // The next one at least, and no more than the limit beside it.
            XCTAssertTrue(number == sizes.count - 1 || read.contains(number + 1))
            let waiting = read.filter { $0 > number }.reduce(0) { $0 + sizes[$1] }
            XCTAssertLessThanOrEqual(waiting, max(16 * mebibyte, number + 1 < sizes.count ? sizes[number + 1] : 0))
        }
        XCTAssertEqual(read, Array(1..<sizes.count))
    }

    func testCleanups() {
        let flight = WeightFlight()
        let due = (0..<64).map { _ in flight.isCleanupDue(mebibyte) }
        XCTAssertEqual(due.indices.filter { due[$0] }, [15, 31, 47, 63])
        XCTAssertTrue(flight.isCleanupDue(100 * mebibyte))
        XCTAssertFalse(flight.isCleanupDue(0))
    }
}
