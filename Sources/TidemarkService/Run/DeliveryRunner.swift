package import LibPQ
package import Logging
import ServiceLifecycle
import Synchronization
package import TidemarkConfiguration
package import TidemarkNotifier
import TidemarkStore

/// Delivers what is in the outbox for as long as a service runs. When delivering ends with an error, it is begun again.
package final class DeliveryRunner: Service {
    private struct State {
        var configuration: Configuration
        var relay: DeliveryRelay?
        var isStopped = false
    }

    private let state: Mutex<State>
    private let options: ConnectionOptions
    private let version: String
    private let board: HealthBoard
    private let metrics: ServiceMetrics?
    private let logger: Logger
    /// Returns once the outbox is there.
    private let isReady: @Sendable () async throws -> Void
    static let check = "deliveries"

    package init(
        _ configuration: Configuration,
        _ options: ConnectionOptions,
        version: String,
        board: HealthBoard,
        metrics: ServiceMetrics? = nil,
        logger: Logger,
        isReady: @escaping @Sendable () async throws -> Void
    ) {
        self.state = Mutex(State(configuration: configuration))
        self.options = options
        self.version = version
        self.board = board
        self.metrics = metrics
        self.logger = logger
        self.isReady = isReady
    }

    /// Checks secrets, URLs and CA files.
    /// - Throws: `NotifierError`.
    package func check(_ configuration: Configuration) throws {
        _ = try self.relay(configuration)
    }

    private func relay(_ configuration: Configuration) throws -> DeliveryRelay {
        let factory = NotifierFactory(options: self.options, version: self.version, logger: self.logger)
        return try factory.relay(configuration, databaseWait: nil, retryLevel: .debug) { [metrics = self.metrics] in
            metrics?.note($0.result, isLast: $0.isLast, of: $0.notifier, took: $0.took)
        }
    }

    /// What is done with each notifier's deliveries now; empty while nothing is delivered.
    package var conditions: [String: NotifierCondition] { self.state.withLock { $0.relay }?.conditions ?? [:] }

    /// There may be something new in the outbox.
    package func wake() { self.state.withLock { $0.relay }?.wake() }

    /// Delivers by other notifiers from now on; attempts under way come to their end.
    package func use(_ configuration: Configuration) {
        let relay = self.state.withLock { state in
            state.configuration = configuration
            return state.relay
        }
        relay?.stop()
    }

    package func run() async throws {
        try await withGracefulShutdownHandler {
            try await self.deliver()
        } onGracefulShutdown: {
            let relay = self.state.withLock { state in
                state.isStopped = true
                return state.relay
            }
            relay?.stop()
        }
    }

    /// How long deliveries that have failed must go without an error until the check says running again. Without it
    /// the check would change with each attempt that fails a moment later.
    private static let trial = Duration.seconds(15)

    private func believeLater() -> Task<Void, any Error> {
        Task { [board = self.board] in
            try await Task.sleep(for: Self.trial)
            board.set(Self.check, .running)
        }
    }

    private func deliver() async throws {
        do {
            try await cancelWhenGracefulShutdown { try await self.isReady() }
        } catch is CancellationError {
            return
        }
        var backoff = Backoff(limit: nil)
        var hasFailed = false
        while let configuration = self.state.withLock({ $0.isStopped ? nil : $0.configuration }) {
            let trial = hasFailed ? self.believeLater() : nil
            defer { trial?.cancel() }
            do {
                let relay = try self.relay(configuration)
                let isStopped = self.state.withLock { state in
                    state.relay = relay
                    return state.isStopped
                }
                if isStopped { relay.stop() }
                if !hasFailed { self.board.set(Self.check, .running) }
                try await relay.run()
                backoff = Backoff(limit: nil)
            } catch {
                hasFailed = true
                trial?.cancel()
                self.board.set(Self.check, .failed, reason: "\(error)", remedy: "it is tried again by itself")
                let delay = backoff.next() ?? .seconds(10)
                await cancelWhenGracefulShutdown { try? await Task.sleep(for: delay) }
            }
        }
    }
}
