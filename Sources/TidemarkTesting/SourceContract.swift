import Logging
import Synchronization
import Testing
package import TidemarkCore
import TidemarkProjector

/// What every source has to hold, over a store in memory: each event once and in the order of its stream, whatever stops
/// the pass on its way.
package struct SourceContract: Sendable {
    package var source: any Source
    /// Of projection `orders`: as it is written, and as it is read where that differs.
    package var plan: ProjectionPlan
    package var readingPlan: ProjectionPlan
    /// How many events each key has.
    package var expected: [String: Int]
    package var messages: Int

    package init(
        _ source: any Source,
        _ plan: ProjectionPlan,
        read readingPlan: ProjectionPlan? = nil,
        expecting expected: [String: Int],
        messages: Int
    ) {
        self.source = source
        self.plan = plan
        self.readingPlan = readingPlan ?? plan
        self.expected = expected
        self.messages = messages
    }

    /// - Parameter started: gets what ends the pass after the batches in hand.
    package static func run(
        _ source: some Source,
        into store: RecordingStore,
        batchEvents: Int = 5,
        budgetBytes: Int = 1 << 20,
        started: (@escaping @Sendable () -> Void) -> Void = { _ in }
    ) async throws -> PassOutcome.Ending {
        var limits = Limits()
        limits.batchEvents = batchEvents
        var settings = ProjectorSettings(limits: limits)
        settings.budgetBytes = budgetBytes
        let logger = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }
        let projector = Projector(store, source, settings, progress: PassProgress(), logger: logger)
        started { projector.stop() }
        return try await projector.run().ending
    }

    private func store(lanes: Int) -> RecordingStore {
        RecordingStore([self.plan], reading: [self.readingPlan], lanes: lanes)
    }

    private func expectWhole(
        _ store: RecordingStore,
        of projections: [String] = ["orders"],
        _ comment: Comment
    ) {
        let content = store.now
        #expect(Set(content.events.map(\.projection)) == Set(projections), comment)
        #expect(Set(content.events).count == content.events.count, comment)
        #expect(content.messages == self.messages, comment)
        #expect(content.problems.isEmpty, comment)
        for projection in projections {
            var found: [String: Int] = [:]
            var last: [String: StreamOffset] = [:]
            for event in content.events where event.projection == projection {
                found[event.key, default: 0] += 1
                if let before = last[event.key] { #expect(before < event.offset, comment) }
                last[event.key] = event.offset
            }
            #expect(found == self.expected, comment)
        }
    }

    /// Resumes what is left, and checks the whole.
    private func finish(_ store: RecordingStore, of projections: [String] = ["orders"], _ comment: Comment) async throws
    {
        store.onCommit { _, _, _ in }
        let ending = try await Self.run(self.source, into: store)
        #expect(ending == .finished, comment)
        self.expectWhole(store, of: projections, comment)
    }

    package func everyEventIsCommittedOnce(lanes: Int) async throws {
        try await self.finish(self.store(lanes: lanes), "\(lanes) lanes")
    }

    package func aBlockLargerThanTheBudgetGoesAlone() async throws {
        let store = self.store(lanes: 2)
        let ending = try await Self.run(self.source, into: store, budgetBytes: 100)
        #expect(ending == .finished)
        self.expectWhole(store, "a budget of 100 bytes")
    }

    /// Killed around commits, read by another number of lanes each time, with levels stored or lost.
    /// - Parameter plans: for other projections than before.
    private func runUntilKilled(
        _ store: inout RecordingStore,
        _ plans: (written: [ProjectionPlan], read: [ProjectionPlan])? = nil,
        times: Int,
        _ generator: inout SplitMix64
    ) async throws {
        for _ in 0..<times {
            store = RecordingStore(
                store,
                plans,
                lanes: Int.random(in: 1...4, using: &generator),
                keepsLevels: Bool.random(using: &generator)
            )
            let last = store.now.commits + Int.random(in: 1...7, using: &generator)
            let moment: RecordingStore.Moment = Bool.random(using: &generator) ? .before : .after
            store.onCommit { now, number, _ in
                if now == moment, number >= last { throw RecordingStore.Crash() }
            }
            do {
                _ = try await Self.run(self.source, into: store, batchEvents: 4)
            } catch is RecordingStore.Crash {}
        }
    }

    package func aRestartAnywhereChangesNothing(seed: UInt64) async throws {
        var generator = SplitMix64(seed: seed)
        var store = self.store(lanes: 2)
        try await self.runUntilKilled(&store, times: 8, &generator)
        try await self.finish(RecordingStore(store, lanes: 3), "seed \(seed)")
    }

    /// A second projection comes to a pass that has been read in part: it reads by itself up to where the first one is,
    /// and with it from there, killed around commits on its way.
    package func aDetachedProjectionCatchesUp(seed: UInt64) async throws {
        func renamed(_ plan: ProjectionPlan) -> ProjectionPlan {
            var definition = plan.definition
            definition.name = "more"
            return ProjectionPlan(definition)
        }
        let both = (
            written: [self.plan, renamed(self.plan)], read: [self.readingPlan, renamed(self.readingPlan)]
        )
        var generator = SplitMix64(seed: seed)
        var store = self.store(lanes: 2)
        try await self.runUntilKilled(&store, times: 3, &generator)
        try await self.runUntilKilled(&store, both, times: 4, &generator)
        let last = RecordingStore(store, both, lanes: 2, keepsLevels: true)
        try await self.finish(last, of: ["orders", "more"], "seed \(seed)")
    }

    package func stoppedAtAnyMomentItEndsAndIsResumed(seed: UInt64) async throws {
        var generator = SplitMix64(seed: seed)
        let store = self.store(lanes: 2)
        for _ in 0..<4 {
            let last = store.now.commits + Int.random(in: 0...5, using: &generator)
            let stop = Mutex<(@Sendable () -> Void)?>(nil)
            store.onCommit { _, number, _ in if number >= last { stop.withLock { $0 }?() } }
            let ending = try await Self.run(self.source, into: store, batchEvents: 4) { action in
                stop.withLock { $0 = action }
                if last == 0 { action() }
            }
            #expect(ending == .interrupted || ending == .finished)
        }
        try await self.finish(store, "seed \(seed)")
    }

    /// The task is cancelled at the first, second, … wait of a pass, of its reader and of its store, until there is none
    /// left: each time it ends, and the next run has the rest.
    package func cancelledAtEachAwaitItEndsAndIsResumed() async throws {
        var number = 0
        var isReached = true
        while isReached {
            let store = self.store(lanes: 2)
            let waits = Waits(cancelling: number)
            store.onCommit { _, _, _ in waits.count() }
            let source = WatchedSource(base: self.source, waits: waits)
            let running = Task { try await Self.run(source, into: store, batchEvents: 20) }
            waits.use(running)
            do {
                let ending = try await running.value
                #expect(ending == .interrupted || ending == .finished, "wait \(number)")
            } catch is CancellationError {}
            isReached = waits.isReached
            try await self.finish(RecordingStore(store, lanes: 2), "wait \(number)")
            // All of the first ones, where a pass begins; some of the others.
            number += number < 12 ? 1 : 7
        }
        #expect(number > 12)
    }
}

/// Counts the waits of a pass, and cancels its task at one of them.
private final class Waits: Sendable {
    private struct State {
        var count = 0
        var task: Task<PassOutcome.Ending, any Error>?
    }

    private let state = Mutex(State())
    private let last: Int

    init(cancelling last: Int) { self.last = last }

    var isReached: Bool { self.state.withLock { $0.count > self.last } }

    func use(_ task: Task<PassOutcome.Ending, any Error>) {
        let isLate = self.state.withLock { state in
            state.task = task
            return state.count > self.last
        }
        if isLate { task.cancel() }
    }

    func count() {
        let task = self.state.withLock { state in
            state.count += 1
            return state.count > self.last ? state.task : nil
        }
        task?.cancel()
    }
}

/// A source whose readers' waits are counted.
private struct WatchedSource: Source {
    let base: any Source
    let waits: Waits

    var streams: [StreamDescription] { self.base.streams }
    func beginning(of stream: Int) -> MessageBlock? { self.base.beginning(of: stream) }
    func run(_ host: some StreamHost) async throws {
        try await self.base.run(WatchedHost(base: host, waits: self.waits))
    }
    func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? {
        self.base.reread(stream, at: offset, ordinal: ordinal)
    }
}

private struct WatchedHost<Base: StreamHost>: StreamHost {
    let base: Base
    let waits: Waits

    func assign(_ stream: Int, _ open: (StreamProgress) throws -> any StreamReader) async throws {
        try await self.base.assign(stream) { WatchedReader(base: try open($0), waits: self.waits) }
    }

    func assign(
        _ stream: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws {
        try await self.base.assign(stream) { WatchedReader(base: try await open($0), waits: self.waits) }
    }
}

private final class WatchedReader: StreamReader {
    private let base: any StreamReader
    private let waits: Waits

    init(base: any StreamReader, waits: Waits) {
        self.base = base
        self.waits = waits
    }

    func next() async throws -> MessageBlock? {
        self.waits.count()
        let block = try await self.base.next()
        self.waits.count()
        return block
    }

    var isIdle: Bool { self.base.isIdle }
    var isBehind: Bool { self.base.isBehind }
    var progress: StreamProgress { self.base.progress }
    var bytesRead: Int64 { self.base.bytesRead }
    var blockBytes: Int { self.base.blockBytes }
    func recycle(_ block: consuming MessageBlock) { self.base.recycle(block) }
    var acknowledger: (any StreamAcknowledger)? { self.base.acknowledger }
}
