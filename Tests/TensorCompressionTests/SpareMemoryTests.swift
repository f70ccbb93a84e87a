import Foundation
import XCTest

@testable import TensorCompression

final class SpareMemoryTests: XCTestCase {
    private func block(_ byteCount: Int) -> UnsafeMutableRawPointer {
        var memory: UnsafeMutableRawPointer?
        XCTAssertEqual(posix_memalign(&memory, SpareMemory.pageSize, byteCount), 0)
        return memory!
    }

    func testTheSmallestThatFitsIsTaken() {
        let spare = WorkPool(threads: 1).spareMemory
        XCTAssertNil(spare.take(4 << 20))
        let (large, small) = (block(5 << 20), block(4 << 20))
        spare.give(large, 5 << 20)
        spare.give(small, 4 << 20)
        // Neither too small nor much too large.
        XCTAssertNil(spare.take(6 << 20))
        XCTAssertNil(spare.take(2 << 20))
        let first = spare.take(4 << 20)
        XCTAssertEqual(first?.address, small)
        XCTAssertEqual(first?.byteCount, 4 << 20)
        XCTAssertEqual(spare.take(4 << 20)?.address, large)
        XCTAssertNil(spare.take(4 << 20))
        free(small)
        free(large)
    }

    func testTheOldestGoFirst() {
        let spare = WorkPool(threads: 1).spareMemory
        let blocks = (0..<4).map { _ in block(5 << 20) }
        for each in blocks { spare.give(each, 5 << 20) }
        // 16 MiB hold three of them.
        let left = (0..<4).compactMap { _ in spare.take(5 << 20)?.address }
        XCTAssertEqual(Set(left), Set(blocks[1...]))
        for each in left { spare.give(each, 5 << 20) }
        spare.clear()
        XCTAssertNil(spare.take(5 << 20))
    }
}
