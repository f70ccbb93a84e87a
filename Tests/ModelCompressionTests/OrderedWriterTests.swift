import Synchronization
import XCTest

@testable import ModelCompression

final class OrderedWriterTests: XCTestCase {
    private struct Refused: Error {}

    /// What the writing thread saw; read after `finish`.
    private final class Seen: @unchecked Sendable { var pieces: [Int] = [] }

    func testPiecesAreTakenInOrder() throws {
        for background in [true, false] {
            let seen = Seen()
            let writer = try OrderedWriter<Int>(background: background) {
            } take: {
                seen.pieces.append($0)
            }
            for piece in 0..<1000 { writer.hand(piece, number: piece) }
            try writer.finish()
            XCTAssertEqual(seen.pieces, Array(0..<1000))
        }
    }

    func testPiecesMayComeInAnyOrderFromAnyThread() throws {
        let seen = Seen()
        let writer = try OrderedWriter<Int>(background: true) {
        } take: {
            seen.pieces.append($0)
        }
        DispatchQueue.concurrentPerform(iterations: 1000) { writer.hand(999 - $0, number: 999 - $0) }
        try writer.finish()
        XCTAssertEqual(seen.pieces, Array(0..<1000))
    }

    func testTheFirstErrorEndsIt() throws {
        for background in [true, false] {
            let stopped = Atomic<Int>(0)
            let seen = Seen()
            let heard = Seen()
            let writer = try OrderedWriter<Int>(background: background) {
                stopped.add(1, ordering: .sequentiallyConsistent)
            } take: {
                if $0 == 3 { throw Refused() }
                seen.pieces.append($0)
            } taken: {
                heard.pieces.append($0)
            }
            for piece in 0..<100 { writer.hand(piece, number: piece) }
            XCTAssertThrowsError(try writer.finish()) { XCTAssertTrue($0 is Refused) }
            XCTAssertEqual(seen.pieces, [0, 1, 2])
            XCTAssertEqual(heard.pieces, [0, 1, 2, 3])
            XCTAssertEqual(stopped.load(ordering: .sequentiallyConsistent), 1)
        }
    }

    func testTheRestCanBeDropped() throws {
        let seen = Seen()
        let gate = DispatchSemaphore(value: 0)
        let writer = try OrderedWriter<Int>(background: true) {
        } take: {
            if $0 == 0 { gate.wait() }
            seen.pieces.append($0)
        }
        for piece in 0..<10 { writer.hand(piece, number: piece) }
        let ended = expectation(description: "finish returns")
        Thread.detachNewThread {
            try? writer.finish(writing: false)
            ended.fulfill()
        }
        usleep(50_000)
        gate.signal()
        wait(for: [ended], timeout: 10)
        XCTAssertLessThanOrEqual(seen.pieces.count, 1)
    }
}
