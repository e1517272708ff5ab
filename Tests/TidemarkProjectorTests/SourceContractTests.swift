import Foundation
import Synchronization
import Testing
import TidemarkCore
import TidemarkProjector
import TidemarkSources
import TidemarkTesting

/// The contract over files and over a scripted source in memory.
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

    private static let plan = ProjectionPlan(
        ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["id"],
            sequence: [.column("version", type: nil)]
        )
    )

    private static var expected: [String: Int] {
        var expected: [String: Int] = [:]
        for stream in Self.counts.indices {
            for index in 0..<Self.counts[stream] where index % 17 != 16 {
                expected["\(stream)-\(index % 9)", default: 0] += 1
            }
        }
        return expected
    }

    private static func withSource(_ kind: Kind, _ body: (SourceContract) async throws -> Void) async throws {
        func contract(_ source: any Source) -> SourceContract {
            let messages = Self.counts.reduce(0, +)
            return SourceContract(source, Self.plan, expecting: Self.expected, messages: messages)
        }
        guard kind == .files else {
            let scripts = Self.counts.indices.map {
                ScriptedSource.Stream("\($0)", Self.messages($0), blockSizes: [7, 1, 13])
            }
            return try await body(contract(ScriptedSource(scripts, isParallel: kind == .scriptedInParallel)))
        }
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for stream in Self.counts.indices {
            let text = Self.messages(stream).map { $0 + "\n" }.joined()
            try Data(text.utf8).write(to: folder.appendingPathComponent("\(stream).ndjson"))
        }
        let files = try InputResolver.resolve([folder.path])
        let source = FileSource(files.map { ($0, SourceSettings(name: "files")) }, messageBytesMax: 1 << 20)
        try await body(contract(source))
    }

    @Test(arguments: Kind.allCases, [1, 2, 3])
    func everyEventIsCommittedOnce(_ kind: Kind, _ lanes: Int) async throws {
        try await Self.withSource(kind) { try await $0.everyEventIsCommittedOnce(lanes: lanes) }
    }

    @Test(arguments: Kind.allCases, 0..<15)
    func aRestartAnywhereChangesNothing(_ kind: Kind, _ seed: UInt64) async throws {
        try await Self.withSource(kind) { try await $0.aRestartAnywhereChangesNothing(seed: seed) }
    }

    @Test(arguments: Kind.allCases, 0..<15)
    func aDetachedProjectionCatchesUp(_ kind: Kind, _ seed: UInt64) async throws {
        try await Self.withSource(kind) { try await $0.aDetachedProjectionCatchesUp(seed: seed) }
    }

    @Test(arguments: Kind.allCases, 0..<8)
    func stoppedAtAnyMomentItEndsAndIsResumed(_ kind: Kind, _ seed: UInt64) async throws {
        try await Self.withSource(kind) { try await $0.stoppedAtAnyMomentItEndsAndIsResumed(seed: seed) }
    }

    @Test(arguments: Kind.allCases)
    func cancelledAtEachAwaitItEndsAndIsResumed(_ kind: Kind) async throws {
        try await Self.withSource(kind) { try await $0.cancelledAtEachAwaitItEndsAndIsResumed() }
    }

    @Test(arguments: Kind.allCases)
    func aBlockLargerThanTheBudgetGoesAlone(_ kind: Kind) async throws {
        try await Self.withSource(kind) { try await $0.aBlockLargerThanTheBudgetGoesAlone() }
    }

    /// What one stream has left in the lanes is committed though another one waits for long.
    @Test func aStreamThatEndsLeavesNothingBehindOneThatWaits() async throws {
        let (isOpen, gate) = AsyncStream.makeStream(of: Void.self)
        let scripts = [0, 2].map { ScriptedSource.Stream("\($0)", Self.messages($0)) }
        let source = ScriptedSource(scripts, isParallel: true) { stream in
            if stream == 0 { for await _ in isOpen {} }
        }
        let store = RecordingStore([Self.plan], lanes: 2)
        let running = Task { try await SourceContract.run(source, into: store, batchEvents: 1000) }
        let count = (0..<Self.counts[2]).count { $0 % 17 != 16 }
        while store.now.events.count < count { await Task.yield() }
        #expect(Set(store.now.events.map(\.stream)) == ["2"])
        gate.finish()
        #expect(try await running.value == .finished)
    }

    /// A lane that stands still holds the level back, and nothing behind it is acknowledged; the end acknowledges all.
    @Test func aSlowLaneHoldsTheLevelBackUntilItHasCommitted() async throws {
        let source = ScriptedSource([.init("0", Self.messages(0), blockSizes: [1])])
        let store = RecordingStore([Self.plan], lanes: 2)
        let (isOpen, gate) = AsyncStream.makeStream(of: Void.self)
        let waits = Mutex(true)
        store.onCommit { moment, _, lane in
            guard lane == 0, moment == .before, waits.withLock({ $0 }) else { return }
            for await _ in isOpen {}
        }
        let running = Task { try await SourceContract.run(source, into: store, batchEvents: 1) }
        while store.now.events.isEmpty { await Task.yield() }
        let first = store.now.events.map(\.offset).max() ?? .start
        for level in source.levels[0] { #expect(level.offset <= first.next) }
        waits.withLock { $0 = false }
        gate.finish()
        #expect(try await running.value == .finished)
        #expect(source.levels[0].last?.offset == StreamOffset(major: UInt64(Self.counts[0])))
        #expect(source.levels[0].map(\.offset) == source.levels[0].map(\.offset).sorted())
    }

    /// The first stream's positions decide which kind is taken. Blocks that another stream brings while that is being
    /// stored are routed by it too, so their positions of another kind are refused.
    @Test func whatIsFoundHoldsForAllStreamsBeforeAnyIsRouted() async throws {
        let plan = ProjectionPlan(
            ProjectionDefinition(name: "orders", from: ["shop.orders"], key: ["id"], sequence: [.position])
        )
        let numbers = (1...40).map {
            #"{"table":"shop.orders","op":"update","position":[\#($0)],"after":{"id":"a\#($0)"}}"#
        }
        let binlog = (1...40).map {
            #"{"database":"shop","table":"orders","type":"insert","ts":1,"position":"bin.000001:\#($0)","data":{"id":"b\#($0)"}}"#
        }
        let scripts = [numbers, binlog].enumerated().map {
            ScriptedSource.Stream("\($0.offset)", $0.element, blockSizes: [3])
        }
        let (isFound, found) = AsyncStream.makeStream(of: Void.self)
        let source = ScriptedSource(scripts, isParallel: true) { stream in
            if stream == 1 { for await _ in isFound {} }
        }
        let store = RecordingStore([plan], lanes: 2)
        store.onCommit { moment, _, _ in
            guard moment == .found else { return }
            found.finish()
            for _ in 0..<1000 { await Task.yield() }
        }
        #expect(try await SourceContract.run(source, into: store) == .finished)
        #expect(Set(store.now.events.map(\.stream)) == ["0"])
    }

    @Test func aReaderThatWaitsIsCancelled() async throws {
        let (never, gate) = AsyncStream.makeStream(of: Void.self)
        let source = ScriptedSource([.init("0", Self.messages(0))]) { _ in
            for await _ in never {}
            try Task.checkCancellation()
        }
        let store = RecordingStore([Self.plan], lanes: 2)
        #expect(try await SourceContract.run(source, into: store) { $0() } == .interrupted)
        #expect(store.now.events.isEmpty)
        let running = Task { try await SourceContract.run(source, into: store) }
        running.cancel()
        await #expect(throws: CancellationError.self) { _ = try await running.value }
        gate.finish()
    }
}
