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
            for piece in 0..<1000 { try writer.hand(piece, bytes: 1) }
            try writer.finish()
            XCTAssertEqual(seen.pieces, Array(0..<1000))
        }
    }

    func testWhatWaitsIsBounded() throws {
        let pending = Atomic<Int>(0)
        let writer = try OrderedWriter<Int>(background: true) {
        } take: { _ in
            usleep(200)
            pending.subtract(10, ordering: .sequentiallyConsistent)
        }
        for piece in 0..<200 {
            try writer.makeRoom(20)
            // The writer counts a piece as gone a moment after we do.
            XCTAssertLessThanOrEqual(pending.load(ordering: .sequentiallyConsistent), 20)
            pending.add(10, ordering: .sequentiallyConsistent)
            try writer.hand(piece, bytes: 10)
        }
        try writer.finish()
        XCTAssertEqual(pending.load(ordering: .sequentiallyConsistent), 0)
    }

    /// A limit that no piece fits in lets one through at a time.
    func testNoRoomMeansAlone() throws {
        let seen = Seen()
        let writer = try OrderedWriter<Int>(background: true) {
        } take: {
            seen.pieces.append($0)
        }
        for piece in 0..<50 {
            try writer.makeRoom(-5)
            XCTAssertEqual(seen.pieces.count, piece)
            try writer.hand(piece, bytes: 1 << 30)
        }
        try writer.finish()
    }

    func testTheFirstErrorEndsIt() throws {
        let stopped = Atomic<Int>(0)
        let seen = Seen()
        let writer = try OrderedWriter<Int>(background: true) {
            stopped.add(1, ordering: .sequentiallyConsistent)
        } take: {
            if $0 == 3 { throw Refused() }
            seen.pieces.append($0)
        }
        var refused = false
        do {
            for piece in 0..<100 {
                try writer.makeRoom(0)
                try writer.hand(piece, bytes: 1)
            }
        } catch is Refused { refused = true }
        XCTAssertTrue(refused)
        XCTAssertThrowsError(try writer.finish()) { XCTAssertTrue($0 is Refused) }
        XCTAssertEqual(seen.pieces, [0, 1, 2])
        XCTAssertEqual(stopped.load(ordering: .sequentiallyConsistent), 1)
    }

    func testTheRestCanBeDropped() throws {
        let seen = Seen()
        let gate = DispatchSemaphore(value: 0)
        let writer = try OrderedWriter<Int>(background: true) {
        } take: {
            if $0 == 0 { gate.wait() }
            seen.pieces.append($0)
        }
        for piece in 0..<10 { try writer.hand(piece, bytes: 1) }
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
