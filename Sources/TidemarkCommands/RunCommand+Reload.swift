import AsyncAlgorithms
import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import TidemarkConfiguration
import TidemarkCore
import TidemarkService

/// What delivers for a running service, where anything does.
final class DeliverySlot: Sendable {
    private let runner = Mutex<DeliveryRunner?>(nil)

    func fill(_ runner: DeliveryRunner) { self.runner.withLock { $0 = runner } }

    func wake() { self.runner.withLock { $0 }?.wake() }

    /// - Throws: `NotifierError`.
    func check(_ configuration: Configuration) throws { try self.runner.withLock { $0 }?.check(configuration) }

    func use(_ configuration: Configuration) { self.runner.withLock { $0 }?.use(configuration) }
}

/// Reads the configuration again at SIGHUP: notifiers and limits take effect, and the server's certificate is read again.
/// Where something else differs it is named, and nothing is applied.
final class Reload: Sendable {
    private let runner: ServiceRunner
    private let deliveries: DeliverySlot
    private let server: HTTPServer?
    private let systemd: SystemdNotifier
    private let logger: Logger
    private let current: Mutex<Configuration>
    private let load: @Sendable () throws -> Configuration

    init(
        _ runner: ServiceRunner,
        _ deliveries: DeliverySlot,
        _ server: HTTPServer?,
        _ systemd: SystemdNotifier,
        _ logger: Logger,
        _ configuration: Configuration,
        load: @escaping @Sendable () throws -> Configuration
    ) {
        self.runner = runner
        self.deliveries = deliveries
        self.server = server
        self.systemd = systemd
        self.logger = logger
        self.current = Mutex(configuration)
        self.load = load
    }

    func perform() {
        // A service that is still starting says so until it is ready.
        let isReady = self.systemd.isReady
        if isReady { self.systemd.reloading() }
        defer { if isReady { self.systemd.ready() } }
        do {
            let now = try self.load()
            let before = self.current.withLock { $0 }
            let fixed = before.fixedDifferences(from: now)
            guard fixed.isEmpty else {
                self.logger.error(
                    """
                    the configuration was not applied: \(fixed.joined(separator: ", ")) cannot change while the service \
                    runs; start it anew
                    """
                )
                return
            }
            try self.deliveries.check(now)
            try self.server?.reloadCertificate()
            self.current.withLock { $0 = now }
            self.deliveries.use(now)
            self.runner.use(now)
            let certificate = now.server?.tls == nil ? "" : ", and new connections have the certificate as it is now"
            self.logger.info("the configuration was read again; notifiers and limits are as it says\(certificate)")
        } catch {
            self.logger.error("the configuration was not applied: \(CommandFailure(of: error).message)")
        }
    }
}

extension Configuration {
    /// The keys that differ and cannot change while a service runs.
    fileprivate func fixedDifferences(from other: Configuration) -> [String] {
        func text(_ value: Any) -> String { String(reflecting: value) }
        var keys: [String] = []
        if self.database != other.database { keys.append("database") }
        if self.lanes != other.lanes { keys.append("lanes") }
        if text(self.sources) != text(other.sources) { keys.append("sources") }
        // What its notifiers say of a projection may change.
        if self.projections.map(\.withoutRules) != other.projections.map(\.withoutRules) { keys.append("projections") }
        if text(self.service) != text(other.service) { keys.append("service") }
        if self.server != other.server { keys.append("server") }
        return keys
    }
}

extension ProjectionDefinition {
    fileprivate var withoutRules: ProjectionDefinition {
        var definition = self
        definition.notifications = [:]
        return definition
    }
}

/// Tells systemd, and the log, when everything runs for the first time.
struct ReadyWatch: Service {
    let board: HealthBoard
    let systemd: SystemdNotifier
    let logger: Logger

    func run() async throws {
        for await _ in AsyncTimerSequence.repeating(every: .milliseconds(200)).cancelOnGracefulShutdown() {
            guard self.board.isReady else { continue }
            self.logger.info("ready: every source and projection runs")
            self.systemd.ready()
            break
        }
        try await gracefulShutdown()
    }
}
