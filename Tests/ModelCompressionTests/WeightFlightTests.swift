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

    func testCleanups() {
        let flight = WeightFlight()
        let due = (0..<64).map { _ in flight.isCleanupDue(mebibyte) }
        XCTAssertEqual(due.indices.filter { due[$0] }, [15, 31, 47, 63])
        XCTAssertTrue(flight.isCleanupDue(100 * mebibyte))
        XCTAssertFalse(flight.isCleanupDue(0))
    }
}
