import ArgumentParser
import Foundation
import LibPQ
import Logging
import ServiceLifecycle
import TidemarkConfiguration
import TidemarkCore
import TidemarkProjector
import TidemarkService
import TidemarkStore

struct RunCommand: ServiceCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Read all configured sources, project and deliver, until told to stop.",
        discussion: """
            Reads the sources of the configuration file: files as they are, or, with
            follow: true, as they grow, rotate and come. A database that is away is
            waited for. The same command on several machines shares the streams.

            SIGTERM or SIGINT commits what was read and ends with 0; a second one ends
            at once. SIGHUP reads the configuration again. /healthz and /readyz tell
            what runs and what does not, /metrics how much of it (server:
            { listen: … }).

            Exit codes: 0 stopped, 64 usage, 78 configuration.
            """
    )

    @OptionGroup var source: ConfigurationOptions
    @OptionGroup var database: DatabaseOptions
    @OptionGroup var listening: ListenOptions
    @OptionGroup var logging: ServiceLoggingOptions

    @Option(help: "Parallel writers (default: as configured, else the number of cores).")
    var lanes: Int?

    @Flag(help: "Reach milestones without delivering them, as for a first backfill.")
    var mute = false

    @Flag(inversion: .prefixedNo, help: "Send what is due, or leave it due.")
    var deliver = true

    @Flag(
        inversion: .prefixedNo,
        help:
            "Bring an older schema up to date and add columns, or make nothing at all (default: make what is not there)."
    )
    var migrate: Bool?

    func validate() throws {
        if let lanes, !(1...256).contains(lanes) { throw ValidationError("--lanes takes a number from 1 to 256") }
    }

    func perform() async throws {
        Allocator.configure()
        let logger = self.logging.makeLogger()
        let loaded = try self.load()
        for warning in loaded.warnings { logger.warning("\(warning)") }
        if loaded.configuration.sources.isEmpty {
            throw CommandFailure(
                ExitStatus.configuration,
                "the configuration has no sources to read; add some, such as "
                    + "sources: [{ name: logs, type: files, paths: [\"logs/*.ndjson\"], follow: true }]"
            )
        }
        let configured = loaded.configuration.database
        try await withDatabase(self.database, configured: configured, role: "run", makesServer: true, logger: logger) {
            session in
            if let query = session.queryCommand { logger.info("to query it meanwhile", metadata: ["run": "\(query)"]) }
            try await self.serve(loaded.configuration, session, logger)
        }
    }

    private func load() throws -> LoadedConfiguration {
        var loaded = try self.source.load(ignoresDatabase: self.database.overridesFile)
        if let lanes = self.lanes { loaded.configuration.lanes = lanes }
        try self.listening.apply(to: &loaded.configuration)
        let problems = SourceProblems.find(in: loaded.configuration)
        guard problems.isEmpty else { throw ConfigurationError(.invalid, issues: problems) }
        return loaded
    }

    private func delivery(
        _ configuration: Configuration,
        _ session: DatabaseSession,
        _ board: HealthBoard,
        _ metrics: ServiceMetrics?,
        _ runner: ServiceRunner,
        _ logger: Logger
    ) -> DeliveryRunner {
        DeliveryRunner(
            configuration,
            session.options,
            version: TidemarkVersion.current,
            board: board,
            metrics: metrics,
            logger: logger
        ) { try await runner.waitForSchema() }
    }

    private func serve(_ configuration: Configuration, _ session: DatabaseSession, _ logger: Logger) async throws {
        // A lane may wait for an operator's lock for minutes.
        let board = HealthBoard(logger: logger, progressLimit: .seconds(600))
        let systemd = SystemdNotifier(board: board, logger: logger)
        var settings = ServiceRunner.Settings(configuration, session.options)
        settings.isMuted = self.mute
        if let migrate { settings.changes = migrate ? .all : .none }
        let deliveries = DeliverySlot()
        settings.onMilestones = { deliveries.wake() }
        let metrics = configuration.server.map { _ in ServiceMetrics(configuration, version: TidemarkVersion.current) }
        settings.metrics = metrics
        let runner = ServiceRunner(settings, board: board, logger: logger)
        // Shut down from the last to the first.
        var services: [any Service] = [systemd, board]
        let delivery = self.deliver ? self.delivery(configuration, session, board, metrics, runner, logger) : nil
        let server = configuration.server.map {
            let page = metrics.map { MetricsPage($0, runner, deliveries: delivery) }
            return HTTPServer($0, board: board, runner: runner, metrics: page, logger: logger)
        }
        if let server { services.append(server) }
        let reload = Reload(runner, deliveries, server, systemd, logger, configuration) {
            try self.load().configuration
        }
        if let delivery {
            try delivery.check(configuration)
            deliveries.fill(delivery)
            services.append(delivery)
        }
        #if Kafka || RocketMQ
            if !configuration.publications.isEmpty {
                services.append(
                    PublishService(configuration, session.options, board: board, logger: logger) {
                        try await runner.waitForSchema()
                    }
                )
            }
        #endif
        services.append(ReadyWatch(board: board, systemd: systemd, logger: logger))
        services.append(ReadingService(runner: runner))
        let group = ServiceGroup(
            configuration: .init(services: services.map { .init(service: $0) }, logger: quiet(logger))
        )
        let signals = SignalWatch()
        let limit = configuration.service.stopTimeout
        await signals.start {
            logger.info("stopping: what was read is committed", metadata: ["limit": "\(limit)"])
            systemd.stopping(within: limit)
            board.stopping()
            Task { await group.triggerGracefulShutdown() }
            Task {
                // What was read had less time: the log has said by now how much of it was dropped.
                try await Task.sleep(for: limit)
                logger.warning(
                    "stopped with requests or deliveries under way: clients send such requests again, the next run the deliveries"
                )
                Foundation.exit(0)
            }
        } onReload: {
            reload.perform()
        }
        logger.info(
            "running",
            metadata: [
                "sources": "\(configuration.sources.map(\.name).joined(separator: ", "))",
                "projections": "\(configuration.projections.map(\.name).joined(separator: ", "))",
            ]
        )
        try await group.run()
        logger.info("stopped")
    }
}

/// The group's own lines are about its services, one for each step.
private func quiet(_ logger: Logger) -> Logger {
    var quiet = logger
    quiet.logLevel = .warning
    return quiet
}

/// Reads until the group is shut down.
private struct ReadingService: Service {
    let runner: ServiceRunner

    func run() async throws {
        try await withGracefulShutdownHandler {
            try await self.runner.run()
        } onGracefulShutdown: {
            self.runner.stop()
        }
    }
}
