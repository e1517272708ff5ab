import Foundation
import ServiceLifecycle
import Testing

@testable import TidemarkService

@Suite("The health board")
struct HealthBoardTests {
    private let log = RecordedLog()
    private let clock = TestClock()
    private let board: HealthBoard

    init() {
        self.board = HealthBoard(logger: self.log.logger) { [clock] in clock.now }
    }

    @Test("is ready when there are checks and all of them run or are paused")
    func ready() {
        #expect(!self.board.isReady)
        self.board.set("database", .starting)
        #expect(!self.board.isReady)
        self.board.set("database", .running)
        #expect(self.board.isReady)
        self.board.set("source logs", .paused, reason: "by ann", remedy: "`tidemark resume logs`")
        #expect(self.board.isReady)
        for status in [HealthBoard.Status.waiting, .failed, .starting] {
            self.board.set("projection orders", status)
            #expect(!self.board.isReady, "\(status)")
        }
        #expect(self.board.checks.map(\.name) == ["database", "projection orders", "source logs"])
        self.board.remove("projection orders")
        #expect(self.board.isReady)
    }

    @Test("keeps since when a check has had its status")
    func since() throws {
        let start = self.clock.now.date
        self.board.set("database", .waiting, reason: "connection refused", remedy: "start it")
        self.clock.advance(seconds: 5)
        self.board.set("database", .waiting, reason: "no such host")
        let check = try #require(self.board.checks.first)
        #expect(check.since == start && check.reason == "no such host" && check.remedy == nil)
        self.clock.advance(seconds: 5)
        self.board.set("database", .running)
        #expect(self.board.checks.first?.since == start + 10)
        #expect(self.board.checks.first?.reason == nil)
    }

    @Test("logs a line when a check goes, one a minute, and one when it is back")
    func lines() {
        self.board.set("database", .starting)
        self.board.set("database", .running)
        #expect(self.log.take() == ["debug database: starting", "info database: running"])
        self.board.set("database", .running)
        self.board.remind()
        #expect(self.log.take() == [])

        self.board.set("database", .waiting, reason: "connection refused", remedy: "start it")
        #expect(self.log.take() == ["warning database: waiting reason=connection refused remedy=start it"])
        for _ in 0..<11 {
            self.clock.advance(seconds: 5)
            // Another reason is not another status; the next reminder tells it.
            self.board.set("database", .waiting, reason: "no such host")
            self.board.remind()
        }
        #expect(self.log.take() == [])
        self.clock.advance(seconds: 5)
        self.board.remind()
        self.board.remind()
        #expect(self.log.take() == ["warning database: still waiting for=60 s reason=no such host"])
        self.clock.advance(seconds: 30)
        self.board.set("database", .failed, reason: "wrong password", remedy: "correct it")
        #expect(self.log.take() == ["warning database: failed reason=wrong password remedy=correct it"])
        self.clock.advance(seconds: 3600)
        self.board.remind()
        #expect(
            self.log.take() == ["warning database: still failed for=61 min reason=wrong password remedy=correct it"]
        )
        self.board.set("database", .running)
        self.board.remind()
        #expect(self.log.take() == ["info database: running again after=61 min"])
    }

    @Test("says of a pause who made it, and does not repeat it")
    func pause() {
        self.board.set("source logs", .running)
        _ = self.log.take()
        self.board.set("source logs", .paused, reason: "by ann")
        self.clock.advance(seconds: 600)
        self.board.remind()
        #expect(self.log.take() == ["info source logs: paused reason=by ann"])
    }

    // MARK: Progress

    @Test("is alive while parts are idle, however long")
    func idle() {
        #expect(self.board.isAlive)
        self.board.busy("lane 1")
        self.board.beat("lane 1")
        self.clock.advance(seconds: 100_000)
        #expect(self.board.isAlive)
        #expect(self.board.parts.map(\.status) == [.running])
    }

    @Test("is not alive when a busy part has not been heard of for the limit, and says which")
    func late() throws {
        self.board.beat("lane 1")
        self.board.busy("lane 2")
        self.clock.advance(seconds: 60)
        #expect(self.board.isAlive)
        self.board.busy("lane 2")
        let heard = self.clock.now.date
        self.clock.advance(seconds: 60)
        self.board.remind()
        #expect(self.board.isAlive && self.log.take() == [])
        self.clock.advance(seconds: 1)
        #expect(!self.board.isAlive)
        let part = try #require(self.board.parts.last)
        #expect(part.name == "lane 2" && part.status == .failed && part.since == heard)
        #expect(part.reason == "no progress for 61 s")
        self.board.remind()
        self.board.remind()
        #expect(self.log.take().map { $0.hasPrefix("error lane 2: no progress for=61 s remedy=") } == [true])
        self.board.beat("lane 2")
        #expect(self.board.isAlive)
        self.board.remind()
        #expect(self.log.take() == ["info lane 2: progress again"])
    }

    @Test("forgets a part that has ended")
    func retire() {
        self.board.busy("reader logs")
        self.clock.advance(seconds: 61)
        self.board.retire("reader logs")
        #expect(self.board.isAlive && self.board.parts.isEmpty)
    }

    @Test("excuses every part while the database is away, and for the limit after that")
    func databaseAway() {
        self.board.set(HealthBoard.database, .running)
        self.board.busy("lane 1")
        self.clock.advance(seconds: 30)
        self.board.set(HealthBoard.database, .waiting, reason: "connection refused")
        self.clock.advance(seconds: 7200)
        #expect(self.board.isAlive && !self.board.isReady)
        self.board.set(HealthBoard.database, .running)
        self.clock.advance(seconds: 60)
        #expect(self.board.isAlive)
        self.clock.advance(seconds: 1)
        #expect(!self.board.isAlive)
    }

    @Test("is used from many threads at once")
    func threads() async {
        await withTaskGroup { group in
            for lane in 0..<8 {
                group.addTask { [board] in
                    for round in 0..<500 {
                        board.busy("lane \(lane)")
                        board.set("source \(lane)", round.isMultiple(of: 2) ? .running : .waiting)
                        _ = board.isReady
                        board.beat("lane \(lane)")
                    }
                    board.set("source \(lane)", .running)
                    board.retire("lane \(lane)")
                }
            }
        }
        #expect(self.board.isReady && self.board.isAlive && self.board.checks.count == 8)
    }

    @Test("ends with its group")
    func service() async throws {
        let group = ServiceGroup(services: [self.board], logger: self.log.logger)
        async let result: Void = group.run()
        await group.triggerGracefulShutdown()
        try await result
    }
}
