import Synchronization
import Testing
import TidemarkCore
@testable import TidemarkProjector

@Suite(.timeLimit(.minutes(1)))
struct StreamLevelsTests {
    private final class Source: StreamAcknowledger {
        private let levels = Mutex<[UInt64]>([])
        private let refusals = Atomic<Int>(0)
        var told: [UInt64] { self.levels.withLock { $0 } }
        var isRefused: Bool { self.refusals.load(ordering: .relaxed) > 0 }

        func acknowledge(_ level: StreamProgress) async throws {
            self.levels.withLock { $0.append(level.offset.major) }
            if self.isRefused { self.refusals.subtract(1, ordering: .relaxed) }
        }

        func refuse(times: Int) { self.refusals.store(times, ordering: .relaxed) }
    }

    /// A process that was killed may have stored it and not told the broker, whose tools would show a lag for ever.
    @Test func aLevelThatWasStoredBeforeIsToldOnce() async throws {
        let (levels, source) = (StreamLevels(), Source())
        let level = StreamProgress(offset: StreamOffset(major: 7), ordinal: 8)
        _ = levels.track(ProgressKey(stream: StreamID(rawValue: 1)), of: "events", from: level, source)
        // A stream of which nothing was read, and one without an acknowledger, have nothing to tell.
        let start = StreamProgress(offset: .start, ordinal: 0)
        _ = levels.track(ProgressKey(stream: StreamID(rawValue: 2)), of: "events", from: start, source)
        _ = levels.track(ProgressKey(stream: StreamID(rawValue: 3)), of: "files", from: level, nil)
        for _ in 0..<2 {
            for level in levels.owed() { try await levels.acknowledge(level) }
            #expect(source.told == [7])
        }
        #expect(levels.moved().isEmpty)
        // It is told again until it takes it.
        source.refuse(times: 2)
        for _ in 0..<5 { for level in levels.owed() { try await levels.acknowledge(level) } }
        #expect(source.told == [7, 7, 7])
    }
}
