import Foundation
import Logging
import Synchronization
import Testing
import TidemarkCore
import TidemarkProjector
import TidemarkSources
import TidemarkTesting

/// What every source has to hold, over files and over a scripted source in memory.
@Suite(.timeLimit(.minutes(3)))
struct SourceContractTests {
    enum Kind: String, CaseIterable { case files, scripted, scriptedInParallel }

    private static let counts = [120, 1, 75]

    private static func messages(_ stream: Int) -> [String] {
        (0..<Self.counts[stream]).map { index in
            guard index % 17 != 16 else { return #"{"table":"shop.other","op":"insert","after":{"id":1}}"# }
            return
                #"{"table":"shop.orders","op":"update","after":{"id":"\#(stream)-\#(index % 9)","version":\#(index)}}"#
        }
    }

    private static let plans = [Self.plan("orders")]

    private static func plan(_ name: String) -> ProjectionPlan {
        ProjectionPlan(
            ProjectionDefinition(
                name: name,
                from: ["shop.orders"],
                key: ["id"],
                sequence: [.column("version", type: nil)]
            )
        )
    }

    /// Each event, once.
    private static var expected: [String: Int] {
        var expected: [String: Int] = [:]
        for stream in Self.counts.indices {
            for index in 0..<Self.counts[stream] where index % 17 != 16 {
                expected["\(stream)-\(index % 9)", default: 0] += 1
            }
        }
        return expected
    }

    private static func withSource(_ kind: Kind, _ body: (any Source) async throws -> Void) async throws {
        guard kind == .files else {
            let scripts = Self.counts.indices.map {
                ScriptedSource.Stream("\($0)", Self.messages($0), blockSizes: [7, 1, 13])
            }
            return try await body(ScriptedSource(scripts, isParallel: kind == .scriptedInParallel))
        }
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for stream in Self.counts.indices {
            let text = Self.messages(stream).map { $0 + "\n" }.joined()
            try Data(text.utf8).write(to: folder.appendingPathComponent("\(stream).ndjson"))
        }
        let files = try InputResolver.resolve([folder.path])
        try await body(FileSource(files.map { ($0, SourceSettings(name: "files")) }, messageBytesMax: 1 << 20))
    }

    private static func run(
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

    private static func expectWhole(
        _ store: RecordingStore,
        of projections: [String] = ["orders"],
        _ comment: Comment
    ) {
        let content = store.now
        #expect(Set(content.events.map(\.projection)) == Set(projections), comment)
        #expect(Set(content.events).count == content.events.count, comment)
        #expect(content.messages == Self.counts.reduce(0, +), comment)
        #expect(content.problems.isEmpty, comment)
        for projection in projections {
            var found: [String: Int] = [:]
            // An entity's events come in the order of its stream.
            var last: [String: StreamOffset] = [:]
            for event in content.events where event.projection == projection {
                found[event.key, default: 0] += 1
                if let before = last[event.key] { #expect(before < event.offset, comment) }
                last[event.key] = event.offset
            }
            #expect(found == Self.expected, comment)
        }
    }

    @Test(arguments: Kind.allCases, [1, 2, 3])
    func everyEventIsCommittedOnce(_ kind: Kind, _ lanes: Int) async throws {
        try await Self.withSource(kind) { source in
            let store = RecordingStore(Self.plans, lanes: lanes)
            let ending = try await Self.run(source, into: store)
            #expect(ending == .finished)
            Self.expectWhole(store, "\(kind)")
        }
    }

    /// Killed around commits until it is over, by another number of lanes each time.
    @Test(arguments: Kind.allCases, 0..<15)
    func aRestartAnywhereChangesNothing(_ kind: Kind, _ seed: UInt64) async throws {
        var generator = SplitMix64(seed: seed)
        try await Self.withSource(kind) { source in
            var store = RecordingStore(Self.plans, lanes: 2)
            for _ in 0..<8 {
                let last = Int.random(in: 1...6, using: &generator)
                let moment: RecordingStore.Moment = Bool.random(using: &generator) ? .before : .after
                let first = store.now.commits
                store.onCommit { now, number, _ in
                    if now == moment, number >= first + last { throw RecordingStore.Crash() }
                }
                do {
                    _ = try await Self.run(source, into: store, batchEvents: 4)
                } catch is RecordingStore.Crash {}
                store = RecordingStore(
                    store,
                    lanes: Int.random(in: 1...4, using: &generator),
                    keepsLevels: Bool.random(using: &generator)
                )
            }
            store.onCommit { _, _, _ in }
            #expect(try await Self.run(source, into: store) == .finished)
            Self.expectWhole(store, "\(kind), seed \(seed)")
        }
    }

    /// A second projection comes to a pass that has been read in part: it reads by itself up to where the first one is,
    /// and with it from there, killed around commits on its way.
    @Test(arguments: Kind.allCases, 0..<15)
    func aDetachedProjectionCatchesUp(_ kind: Kind, _ seed: UInt64) async throws {
        var generator = SplitMix64(seed: seed)
        func runs(_ store: inout RecordingStore, _ plans: [ProjectionPlan], _ count: Int, _ source: any Source)
            async throws
        {
            for _ in 0..<count {
                store = RecordingStore(
                    store,
                    plans,
                    lanes: Int.random(in: 1...3, using: &generator),
                    keepsLevels: Bool.random(using: &generator)
                )
                let last = store.now.commits + Int.random(in: 1...8, using: &generator)
                let moment: RecordingStore.Moment = Bool.random(using: &generator) ? .before : .after
                store.onCommit { now, number, _ in
                    if now == moment, number >= last { throw RecordingStore.Crash() }
                }
                do {
                    _ = try await Self.run(source, into: store, batchEvents: 4)
                } catch is RecordingStore.Crash {}
            }
        }
        try await Self.withSource(kind) { source in
            let both = [Self.plan("orders"), Self.plan("more")]
            var store = RecordingStore(Self.plans, lanes: 2)
            try await runs(&store, Self.plans, 3, source)
            try await runs(&store, both, 4, source)
            store = RecordingStore(store, both, lanes: 2, keepsLevels: true)
            let ending = try await Self.run(source, into: store)
            #expect(ending == .finished)
            Self.expectWhole(store, of: ["orders", "more"], "\(kind), seed \(seed)")
        }
    }

    @Test(arguments: Kind.allCases, 0..<8)
    func stoppedAtAnyMomentItEndsAndIsResumed(_ kind: Kind, _ seed: UInt64) async throws {
        var generator = SplitMix64(seed: seed)
        try await Self.withSource(kind) { source in
            let store = RecordingStore(Self.plans, lanes: 2)
            for _ in 0..<4 {
                let last = store.now.commits + Int.random(in: 0...5, using: &generator)
                let stop = Mutex<(@Sendable () -> Void)?>(nil)
                store.onCommit { _, number, _ in if number >= last { stop.withLock { $0 }?() } }
                let ending = try await Self.run(source, into: store, batchEvents: 4) { action in
                    stop.withLock { $0 = action }
                    if last == 0 { action() }
                }
                #expect(ending == .interrupted || ending == .finished)
            }
            store.onCommit { _, _, _ in }
            #expect(try await Self.run(source, into: store) == .finished)
            Self.expectWhole(store, "\(kind), seed \(seed)")
        }
    }

    @Test(arguments: Kind.allCases)
    func aBlockLargerThanTheBudgetGoesAlone(_ kind: Kind) async throws {
        try await Self.withSource(kind) { source in
            let store = RecordingStore(Self.plans, lanes: 2)
            let ending = try await Self.run(source, into: store, budgetBytes: 100)
            #expect(ending == .finished)
            Self.expectWhole(store, "\(kind)")
        }
    }

    /// What one stream has left in the lanes is committed though another one waits for long.
    @Test func aStreamThatEndsLeavesNothingBehindOneThatWaits() async throws {
        let (isOpen, gate) = AsyncStream.makeStream(of: Void.self)
        let scripts = [0, 2].map { ScriptedSource.Stream("\($0)", Self.messages($0)) }
        let source = ScriptedSource(scripts, isParallel: true) { stream in
            if stream == 0 { for await _ in isOpen {} }
        }
        let store = RecordingStore(Self.plans, lanes: 2)
        let running = Task { try await Self.run(source, into: store, batchEvents: 1000) }
        let count = (0..<Self.counts[2]).count { $0 % 17 != 16 }
        while store.now.events.count < count { await Task.yield() }
        #expect(Set(store.now.events.map(\.stream)) == ["2"])
        gate.finish()
        #expect(try await running.value == .finished)
    }

    /// A lane that stands still holds the level back, and nothing behind it is acknowledged; the end acknowledges all.
    @Test func aSlowLaneHoldsTheLevelBackUntilItHasCommitted() async throws {
        let source = ScriptedSource([.init("0", Self.messages(0), blockSizes: [1])])
        let store = RecordingStore(Self.plans, lanes: 2)
        let (isOpen, gate) = AsyncStream.makeStream(of: Void.self)
        let waits = Mutex(true)
        store.onCommit { moment, _, lane in
            guard lane == 0, moment == .before, waits.withLock({ $0 }) else { return }
            for await _ in isOpen {}
        }
        let running = Task { try await Self.run(source, into: store, batchEvents: 1) }
        while store.now.events.isEmpty { await Task.yield() }
        let first = store.now.events.map(\.offset).max() ?? .start
        for level in source.levels[0] { #expect(level.offset <= first.next) }
        waits.withLock { $0 = false }
        gate.finish()
        #expect(try await running.value == .finished)
        #expect(source.levels[0].last?.offset == StreamOffset(major: UInt64(Self.counts[0])))
        #expect(source.levels[0].map(\.offset) == source.levels[0].map(\.offset).sorted())
    }

    @Test func aReaderThatWaitsIsCancelled() async throws {
        let source = ScriptedSource([.init("0", Self.messages(0))]) { _ in try await Task.sleep(for: .seconds(3600)) }
        let store = RecordingStore(Self.plans, lanes: 2)
        #expect(try await Self.run(source, into: store) { $0() } == .interrupted)
        #expect(store.now.events.isEmpty)
        let running = Task { try await Self.run(source, into: store) }
        running.cancel()
        await #expect(throws: CancellationError.self) { _ = try await running.value }
    }
}
