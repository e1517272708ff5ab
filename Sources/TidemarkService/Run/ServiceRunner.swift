package import LibPQ
package import Logging
import Synchronization
package import TidemarkConfiguration
import TidemarkCore
package import TidemarkProjector
import TidemarkSources
package import TidemarkStore

/// What `tidemark run` does beside delivering: reads all configured sources into all projections until it is told to
/// stop, whatever goes away and comes back meanwhile.
///
/// One attempt is a process among those that write (``ProcessSession``), with a projector over the projections that can be
/// written. What ends it begins the next one: a fence, a definition that another process has changed, a command, a
/// projection that fails or is tried again. Streams go on behind what is committed.
package final class ServiceRunner: Sendable {
    package struct Settings: Sendable {
        package var configuration: Configuration
        package var options: ConnectionOptions
        package var isMuted = false
        /// What of schema and relations may be created or extended.
        package var changes = SchemaChanges.creation
        /// Called after each commit that may have reached a milestone, from any thread.
        package var onMilestones: (@Sendable () -> Void)?
        package var metrics: ServiceMetrics?

        package init(_ configuration: Configuration, _ options: ConnectionOptions) {
            self.configuration = configuration
            self.options = options
        }
    }

    private let current: Mutex<Settings>
    let board: HealthBoard
    let logger: Logger
    package let progress = PassProgress()
    private let schema = Gate()
    /// Whether a stored definition that differs from the configuration is replaced by it.
    private let adopts = Atomic<Bool>(true)
    /// How often another configuration was given.
    private let configurations = Atomic<Int>(0)
    private let letters: DeadLetterMonitor
    let sourceChecks: SourceChecks
    private let failures = Mutex<[String: Failure]>([:])
    /// What connects requests with the HTTP sources, by their names.
    let hubs: [String: PushHub]
    /// This process among those that write, while it is one.
    let entered = Mutex<ProcessSession?>(nil)
    /// Names this start of the process.
    let start = ProcessStart()
    private let stopping = Mutex((isStopped: false, stop: (@Sendable () -> Void)?.none))

    package init(_ settings: Settings, board: HealthBoard, logger: Logger) {
        self.current = Mutex(settings)
        self.board = board
        self.logger = logger
        self.hubs = Self.hubs(of: settings.configuration)
        self.letters = DeadLetterMonitor(settings.configuration.limits.maxDeadLetters, board, logger)
        self.sourceChecks = SourceChecks(board)
        self.showStarting(settings.configuration)
    }

    private static func hubs(of configuration: Configuration) -> [String: PushHub] {
        var hubs: [String: PushHub] = [:]
        for source in configuration.sources where source.type == .http { hubs[source.name] = PushHub() }
        return hubs
    }

    /// Until the first attempt has looked, nothing is known of them.
    private func showStarting(_ configuration: Configuration) {
        self.board.set(HealthBoard.database, .starting, reason: "not connected yet")
        for source in configuration.sources { self.sourceChecks.set(source.name, .starting) }
        for projection in configuration.projections { self.board.set(Self.check(projection.name), .starting) }
    }

    var settings: Settings { self.current.withLock { $0 } }

    /// Returns once the database has been brought to this program's schema.
    /// - Throws: `CancellationError`.
    package func waitForSchema() async throws { try await self.schema.wait() }

    /// Reads with another configuration from now on: what was read is committed first.
    package func use(_ configuration: Configuration) {
        self.current.withLock { $0.configuration = configuration }
        self.configurations.wrappingAdd(1, ordering: .sequentiallyConsistent)
        self.stopping.withLock { $0.stop }?()
    }

    /// How long a projection that has failed is written until it counts as running.
    private static let trial = Duration.seconds(15)

    static func check(_ projection: String) -> String { "projection \(projection)" }

    /// Ends ``run()`` after what was read is committed, within the configured time. Safe from any thread.
    package func stop() {
        let stop = self.stopping.withLock { stopping in
            stopping.isStopped = true
            return stopping.stop
        }
        stop?()
    }

    private var isStopped: Bool { self.stopping.withLock { $0.isStopped } }

    /// What ``stop()`` calls from now on, in place of what it called before.
    private func onStop(_ step: @escaping @Sendable () -> Void) {
        let isStopped = self.stopping.withLock { stopping in
            stopping.stop = step
            return stopping.isStopped
        }
        if isStopped { step() }
    }

    /// Reads until ``stop()``. A failure is logged, shown on the board, and tried again.
    /// - Throws: ``StoreError/Kind/unusableDatabase``; `.invalidOptions`.
    package func run() async throws {
        let task = Task { try await self.runUntilStopped() }
        try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            self.stop()
        }
    }

    private func runUntilStopped() async throws {
        var backoff = Backoff(limit: nil)
        while !self.isStopped {
            do {
                try await self.attempt()
                backoff = Backoff(limit: nil)
            } catch is CancellationError {
                // A stop, which ends the loop; anything else is tried again as every failure is.
                await self.pause(for: backoff.next() ?? .seconds(10))
            } catch let timeout as DrainTimeout {
                if timeout.events > 0 { self.logger.warning("\(timeout)") }
                // Where another pass follows, its readers give up what the clients of this one sent.
                guard self.isStopped else { continue }
                for hub in self.hubs.values { hub.abandonAll(because: HealthBoard.stopReason) }
                return
            } catch let error as StoreError where error.kind == .fenced {
                self.logger.warning("entering anew: \(error)")
            } catch  where Self.isForGood(error) {
                throw error
            } catch {
                let failure = error as? PostgresError
                self.board.set(
                    HealthBoard.database,
                    failure?.isConnectionLoss == true ? .waiting : .failed,
                    reason: "\(error)",
                    remedy: failure?.remedy
                )
                await self.pause(for: backoff.next() ?? .seconds(10))
            }
        }
    }

    /// Sleeps, until ``stop()``.
    private func pause(for duration: Duration) async {
        let sleep = Task { try await Task.sleep(for: duration) }
        self.onStop { sleep.cancel() }
        _ = try? await sleep.value
    }

    // MARK: One attempt

    private func attempt() async throws {
        let connection = try await Connection.connect(self.settings.options)
        do {
            try await DatabaseRequirements.check(connection, self.settings.options)
            _ = try await Migrator.prepare(self.settings.changes, on: connection)
            self.schema.open()
            let configuration = self.settings.configuration
            var process = ProcessSession.Settings(
                self.settings.options,
                projections: configuration.projections.map(\.name),
                leaseTTL: configuration.service.leaseTTL,
                logger: self.logger
            )
            // Its health says what is away.
            process.outageLevel = .debug
            let board = self.board
            process.checks = { board.awayJSON }
            let show = { @Sendable (error: PostgresError?) in
                guard let error else { return board.set(HealthBoard.database, .running) }
                let remedy = error.remedy ?? "it is tried again by itself"
                board.set(HealthBoard.database, .waiting, reason: "\(error)", remedy: remedy)
            }
            process.onRefusal = show
            process.onHeartbeat = { error in
                // Its own condition, such as another definition, is met by the lanes.
                if let error = error as? PostgresError { show(error) } else if error == nil { show(nil) }
            }
            try await ProcessSession.with(connection, process) { process in
                board.set(HealthBoard.database, .running)
                self.entered.withLock { $0 = process }
                defer { self.entered.withLock { $0 = nil } }
                try await self.read(as: process)
            }
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
    }

    /// Begins one pass after the other until ``stop()``, or until the process is fenced.
    private func read(as process: ProcessSession) async throws {
        var backoff = Backoff(limit: nil)
        while !self.isStopped {
            let number = self.configurations.load(ordering: .sequentiallyConsistent)
            let (projections, paused) = try await self.writable(process)
            guard !projections.isEmpty else {
                await self.pause(for: .seconds(1))
                try process.check()
                continue
            }
            do {
                try await self.run(projections, paused: paused, configurationNumber: number, process)
                backoff = Backoff(limit: nil)
            } catch let error as StoreError where error.kind == .passChanged {
                self.logger.info("beginning again: \(error)")
            } catch let error as StoreError where error.kind == .superseded {
                self.logger.info("beginning again: \(error)")
                process.forgetDefinitions()
                // Two processes with different configurations would otherwise replace each other's definitions for ever.
                self.adopts.store(false, ordering: .relaxed)
                await self.pause(for: backoff.next() ?? .seconds(10))
            } catch let error as StoreError {
                guard case .projection(let name) = error.kind else { throw error }
                self.fail(name, error)
            } catch is AnotherAttempt {
                self.logger.debug("trying a projection again")
            }
        }
    }

    /// The projections that may be written now: those that are not paused, whose definitions are what the configuration
    /// says, and that have not failed a moment ago.
    private func writable(
        _ process: ProcessSession
    ) async throws -> (projections: [ProjectionDefinition], paused: Set<String>) {
        var writable: [ProjectionDefinition] = []
        let paused = try await process.perform(wait: nil) {
            try await ServiceCommands.pausedProjections(on: $0)
        }
        for projection in self.settings.configuration.projections {
            if paused.contains(projection.name) {
                self.failures.withLock { $0[projection.name] = nil }
                self.board.set(
                    Self.check(projection.name),
                    .paused,
                    reason: "paused by an operator",
                    remedy: "tidemark resume \(projection.name)"
                )
                continue
            }
            let due = self.failures.withLock { $0[projection.name]?.due }
            if let due, due > .now { continue }
            do {
                try await self.prepare(projection, process)
                // One that has failed runs once it has been written for a while.
                if self.failures.withLock({ $0[projection.name] == nil }) {
                    self.board.set(Self.check(projection.name), .running)
                }
                writable.append(projection)
            } catch let error as StoreError where error.kind != .fenced {
                self.fail(projection.name, error)
            } catch let error as PostgresError where !error.isRetriable {
                self.fail(projection.name, error)
            }
        }
        return (writable, paused)
    }

    private func prepare(_ projection: ProjectionDefinition, _ process: ProcessSession) async throws {
        let (settings, logger, adopts) = (self.settings, self.logger, self.adopts.load(ordering: .relaxed))
        try await process.perform(wait: nil) { connection in
            let plan = ProjectionPlan(projection)
            for note in try await ProjectionRegistry.prepare(
                [plan],
                changes: settings.changes,
                adopts: adopts,
                sources: settings.configuration.sources.map(\.settings),
                on: connection
            ) { logger.info("\(note)") }
            try await ProjectionRegistry.requireStorage(of: plan, on: connection)
            try await ProjectionRegistry.admit(
                settings.configuration.sources.map { .init($0.settings) },
                to: [plan],
                on: connection
            )
        }
    }

    private func fail(_ projection: String, _ error: any Error) {
        let delay = self.failures.withLock { failures in
            var failure = failures[projection] ?? Failure()
            let delay = failure.postpone()
            failures[projection] = failure
            return delay
        }
        self.logger.debug("projection \(projection) is tried again in \(delay)")
        self.board.set(
            Self.check(projection),
            .failed,
            reason: "\(error)",
            remedy: "\(error)".contains("SQLSTATE 42P01")
                ? "restore the table; or stop the service, `tidemark drop \(projection)`, and start it: it reads all of it again"
                : "correct what the reason names; it is tried again by itself, and the other projections go on"
        )
    }

    /// One of the failed projections is to be tried again.
    private struct AnotherAttempt: Error {}

    private func run(
        _ projections: [ProjectionDefinition],
        paused: Set<String>,
        configurationNumber: Int,
        _ process: ProcessSession
    ) async throws {
        let configuration = self.settings.configuration
        var settings = self.storeSettings(projections)
        settings.pausedProjections = paused
        let store = PostgresProjection(settings, as: process, logger: self.logger)
        let source = ServiceSources(
            members: configuration.sources.map { self.member($0, store) },
            checks: self.sourceChecks
        )
        let projector = Projector(
            store,
            source,
            self.projectorSettings(projections, process),
            progress: self.progress,
            logger: self.logger
        )
        self.onStop { projector.stop() }
        // Read while this pass was made ready.
        if self.configurations.load(ordering: .sequentiallyConsistent) != configurationNumber { projector.stop() }
        defer { for lane in 0..<configuration.lanes { self.board.retire("lane \(lane)") } }
        _ = try await projector.runLive()
    }

    private func storeSettings(_ projections: [ProjectionDefinition]) -> PostgresProjection.Settings {
        let configuration = self.settings.configuration
        var settings = PostgresProjection.Settings(
            projections,
            options: self.settings.options,
            kind: .service(sources: configuration.sources.map(\.name)),
            lanes: configuration.lanes,
            cacheBytes: configuration.limits.cacheBytes,
            databaseWait: nil
        )
        settings.adopts = self.adopts.load(ordering: .relaxed)
        settings.retention = configuration.service.retention
        settings.changes = self.settings.changes
        settings.isMuted = self.settings.isMuted
        settings.onPausedSources = { [checks = self.sourceChecks] in checks.pause($0) }
        settings.claimant = { path in configuration.sources.first { $0.names(path) }?.name }
        return settings
    }

    private func projectorSettings(
        _ projections: [ProjectionDefinition],
        _ process: ProcessSession
    ) -> ProjectorSettings {
        var settings = ProjectorSettings(limits: self.settings.configuration.limits)
        // One message may come to several dead letters.
        settings.limits.maxDeadLetters = .count(.max)
        settings.onMilestones = self.settings.onMilestones
        settings.drainTimeout = self.settings.configuration.service.commitTimeout
        let (board, letters) = (self.board, self.letters)
        let (metrics, progress) = (self.settings.metrics, self.progress)
        settings.onRouted = { block in
            letters.count(block)
            metrics?.note(block)
        }
        if let metrics {
            settings.onCommit = { metrics.note($0) }
            settings.onLease = { metrics.note($1, of: $0) }
        }
        settings.onLane = { lane, isBusy in
            isBusy ? board.busy("lane \(lane)") : board.beat("lane \(lane)")
        }
        let active = Set(projections.map(\.name))
        settings.check = { [self] in
            try process.check()
            metrics?.sample(progress.gauges)
            let (isDue, mended) = self.failures.withLock { failures in
                let mended = failures.filter { active.contains($0.key) && $0.value.due + Self.trial <= .now }.keys
                for name in mended { failures[name] = nil }
                return (failures.contains { !active.contains($0.key) && $0.value.due <= .now }, Array(mended))
            }
            for name in mended { board.set(Self.check(name), .running) }
            if isDue { throw AnotherAttempt() }
        }
        return settings
    }
}
