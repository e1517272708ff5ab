package import LibPQ
package import Logging
import Synchronization
package import TidemarkConfiguration
import TidemarkNotifier

/// The relay beside a replay: delivers while the lanes write, and drains when they are done.
package final class ReplayDelivery: Sendable {
    private let relay: DeliveryRelay
    private let running = Mutex<Task<Void, any Error>?>(nil)
    private let logger: Logger

    /// - Returns: `nil` when nothing is configured to be delivered to.
    /// - Throws: `NotifierError` for a secret, a URL or a CA file that cannot be used.
    package init?(_ configuration: Configuration, options: ConnectionOptions, version: String, logger: Logger) throws {
        guard !configuration.notifiers.isEmpty else { return nil }
        let factory = NotifierFactory(options: options, version: version, logger: logger)
        self.logger = logger
        self.relay = try factory.relay(configuration, databaseWait: .seconds(300))
    }

    package func start() {
        let relay = self.relay
        let task = Task { try await relay.run() }
        self.running.withLock { $0 = task }
    }

    /// There may be something new in the outbox.
    package func wake() {
        self.relay.wake()
    }

    /// Returns when every due delivery that waits for no other of its entity has been tried once, or the time is up.
    package func drain(atMost wait: Duration) async {
        let outcome = await self.relay.drain(until: .now + wait)
        if outcome == .deadlineReached {
            self.logger.warning("not every delivery could be tried in time; they stay due")
        }
        await self.stop()
    }

    package func stop() async {
        self.relay.stop()
        guard let task = self.running.withLock({ $0 }) else { return }
        do {
            try await task.value
        } catch is CancellationError {
            return
        } catch {
            // What was reached is in the outbox; the next run delivers it.
            self.logger.error("delivering ended early", metadata: ["error": "\(error)"])
        }
    }
}
