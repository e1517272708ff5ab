import Logging
import RocketMQCodec
import RocketMQMock
import Testing
import TidemarkCore
import TidemarkProjector
@testable import TidemarkRocketMQ
import TidemarkTesting

/// What every source has to hold, over queues that are read to the ends that they have.
@Suite(.timeLimit(.minutes(10)), .serialized)
struct QueueContractTests {
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

    private static func withContract(_ body: (SourceContract) async throws -> Void) async throws {
        try await withBroker(queues: Self.counts.count) { broker in
            for stream in Self.counts.indices {
                for message in Self.messages(stream) { broker.send(message, to: SourceRun.topic, queue: Int32(stream)) }
            }
            let session = try RocketMQSession(
                SourceRun.settings(broker),
                state: { _ in },
                logger: Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }
            )
            let source = BoundedQueues(session: session, ends: Self.counts)
            let messages = Self.counts.reduce(0, +)
            try await body(SourceContract(source, Self.plan, expecting: Self.expected, messages: messages))
            await session.client.close()
        }
    }

    @Test(arguments: [1, 2, 3])
    func everyEventIsCommittedOnce(_ lanes: Int) async throws {
        try await Self.withContract { try await $0.everyEventIsCommittedOnce(lanes: lanes) }
    }

    @Test(arguments: 0..<8)
    func aRestartAnywhereChangesNothing(_ seed: UInt64) async throws {
        try await Self.withContract { try await $0.aRestartAnywhereChangesNothing(seed: seed) }
    }

    @Test(arguments: 0..<8)
    func aDetachedProjectionCatchesUp(_ seed: UInt64) async throws {
        try await Self.withContract { try await $0.aDetachedProjectionCatchesUp(seed: seed) }
    }

    @Test(arguments: 0..<5)
    func stoppedAtAnyMomentItEndsAndIsResumed(_ seed: UInt64) async throws {
        try await Self.withContract { try await $0.stoppedAtAnyMomentItEndsAndIsResumed(seed: seed) }
    }

    @Test func cancelledAtEachAwaitItEndsAndIsResumed() async throws {
        try await Self.withContract { try await $0.cancelledAtEachAwaitItEndsAndIsResumed() }
    }

    @Test func aBlockLargerThanTheBudgetGoesAlone() async throws {
        try await Self.withContract { try await $0.aBlockLargerThanTheBudgetGoesAlone() }
    }
}

/// Queues as streams that are known before and have an end.
private struct BoundedQueues: Source {
    let session: RocketMQSession
    let ends: [Int]

    private func name(_ index: Int) -> MessageQueueName {
        MessageQueueName(topic: SourceRun.topic, broker: "broker-a", id: Int32(index))
    }

    var streams: [StreamDescription] {
        self.ends.indices.map { index in
            let name = self.name(index).description
            return StreamDescription(
                name: StreamName(source: "queue", name: name, incarnation: "1"),
                label: name,
                settings: self.session.settings.source
            )
        }
    }

    func beginning(of stream: Int) -> MessageBlock? { nil }
    func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? { nil }

    func run(_ host: some StreamHost) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for index in self.ends.indices {
                group.addTask {
                    try await host.assign(index) { level in
                        let queue = SharedQueue(self.name(index))
                        queue.setWanted(true)
                        let beginning: QueuePuller.Beginning =
                            level.offset == .start
                            ? .earliest : .at(Int64(level.offset.major), RocketMQToken(bytes: level.resume))
                        let reader = QueueReader(queue, self.session, from: level, beginning)
                        return EndingReader(base: reader, end: UInt64(self.ends[index]))
                    }
                }
            }
        }
    }
}

private final class EndingReader: StreamReader {
    private let base: QueueReader
    private let end: UInt64

    init(base: QueueReader, end: UInt64) { (self.base, self.end) = (base, end) }

    func next() async throws -> MessageBlock? {
        self.progress.offset.major >= self.end ? nil : try await self.base.next()
    }

    var isIdle: Bool { self.base.isIdle }
    func linger() async { await self.base.linger() }
    var progress: StreamProgress { self.base.progress }
    var bytesRead: Int64 { self.base.bytesRead }
    var blockBytes: Int { self.base.blockBytes }
}
