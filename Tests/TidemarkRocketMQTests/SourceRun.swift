import Logging
import RocketMQMock
import Synchronization
import TidemarkCore
@testable import TidemarkRocketMQ
import TidemarkTesting

/// A source that is run over a broker of the tests, in a task of its own.
final class SourceRun: Sendable {
    let database: MemoryDatabase
    private let task: Task<Void, any Error>
    private let states = Mutex<[String]>([])
    private let failures = Mutex<[String]>([])
    let changed = Wakeup()

    static let topic = "orders"

    static func settings(
        _ broker: RocketMQBroker,
        _ change: (inout RocketMQSettings) -> Void = { _ in }
    ) -> RocketMQSourceSettings {
        var rocketmq = RocketMQSettings()
        rocketmq.access.nameServers = [broker.address]
        rocketmq.topics = [Self.topic]
        rocketmq.group = "tidemark"
        change(&rocketmq)
        var settings = RocketMQSourceSettings(
            SourceSettings(name: "queue"),
            rocketmq,
            messageBytesMax: 1 << 16,
            drainTimeout: .seconds(10)
        )
        settings.timing.suspend = .milliseconds(500)
        settings.timing.route = .milliseconds(300)
        settings.timing.rebalance = .milliseconds(300)
        return settings
    }

    init(_ settings: RocketMQSourceSettings, _ database: MemoryDatabase) {
        self.database = database
        let (begin, started) = AsyncStream.makeStream(of: SourceRun.self)
        self.task = Task {
            for await run in begin { try await run.run(settings) }
        }
        started.yield(self)
        started.finish()
    }

    private func run(_ settings: RocketMQSourceSettings) async throws {
        let source = RocketMQSource(
            settings,
            known: { self.database.known },
            endFormer: { _ in },
            state: { reason in
                self.states.withLock { $0.append(reason.map { "waiting: \($0)" } ?? "running") }
                self.changed.signal()
            },
            logger: Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }
        )
        do {
            try await source.run(MemoryHost(database: self.database))
        } catch let error as BrokerError {
            self.failures.withLock { $0.append("\(error.kind): \(error)") }
            self.changed.signal()
        }
    }

    var state: [String] { self.states.withLock { $0 } }
    var failure: String? { self.failures.withLock { $0.last } }

    func stop() async {
        self.task.cancel()
        _ = try? await self.task.value
    }
}

/// Runs a source for the time of a body.
func withSource(
    _ settings: RocketMQSourceSettings,
    _ database: MemoryDatabase = MemoryDatabase(),
    _ body: (SourceRun) async throws -> Void
) async throws {
    let run = SourceRun(settings, database)
    do {
        try await body(run)
    } catch {
        await run.stop()
        throw error
    }
    await run.stop()
}

func withBroker(
    queues: Int = 2,
    brokers: [String] = ["broker-a"],
    _ body: (RocketMQBroker) async throws -> Void
) async throws {
    let broker = try await RocketMQBroker(brokers: brokers)
    broker.createTopic(SourceRun.topic, queues: queues)
    do {
        try await body(broker)
    } catch {
        await broker.stop()
        throw error
    }
    await broker.stop()
}
