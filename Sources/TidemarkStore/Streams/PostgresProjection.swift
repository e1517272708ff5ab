package import LibPQ
package import Logging
import Synchronization
package import TidemarkCore

/// The read model in PostgreSQL for one pass: writes as one of perhaps several processes, and retries while
/// the database is away.
package struct PostgresProjection: ProjectionStore {
    /// The kind of the pass.
    package enum Kind: Sendable {
        /// A replay of streams, which a later run resumes.
        case replay
        /// A pass over a stored timeline.
        /// - Parameter sources: the names of the sources that its events came from.
        case rebuild(StoredEventReading, sources: [String])
        /// A retry of dead letters. Their streams are not entered; the report keeps what is done.
        case retry(RetryReport)
        /// The service's pass, whose streams other processes may read too.
        /// - Parameter sources: the names of the configured sources.
        case service(sources: [String])
    }

    package struct Settings: Sendable {
        package var projections: [ProjectionDefinition]
        package var options: ConnectionOptions
        package var kind: Kind
        package var lanes: Int
        /// For all lanes together.
        package var cacheBytes: Int
        /// What of the projections' relations may be created or extended.
        package var changes = SchemaChanges.all
        /// `false` where a stored definition that differs is an error: another process has changed it while this one ran.
        package var adopts = true
        package var isMuted = false
        /// `false` for a pass that stores no dead letters.
        package var keepsDeadLetters = true
        /// How long to wait for an unreachable database; `nil` for ever.
        package var databaseWait: Duration?
        /// How long finished passes are kept.
        package var retention = PassRetention.standard
        /// The source that the current configuration assigns to a stream's name.
        package var claimant: @Sendable (String) -> String? = { _ in nil }
        /// The paused projections by which those of the service's pass were chosen.
        package var pausedProjections: Set<String>?
        /// Told, with each look at how streams are shared, which sources an operator has paused.
        package var onPausedSources: (@Sendable (Set<String>) -> Void)?

        package init(
            _ projections: [ProjectionDefinition],
            options: ConnectionOptions,
            kind: Kind,
            lanes: Int,
            cacheBytes: Int,
            databaseWait: Duration?
        ) {
            self.projections = projections
            self.options = options
            self.kind = kind
            self.lanes = lanes
            self.cacheBytes = cacheBytes
            self.databaseWait = databaseWait
        }
    }

    let settings: Settings
    let process: ProcessSession
    let logger: Logger
    let pass = BegunPass()
    private let work = SerialWork()

    /// - Parameter process: the one that writes the projections.
    package init(_ settings: Settings, as process: ProcessSession, logger: Logger) {
        self.settings = settings
        self.process = process
        self.logger = logger
    }

    var names: [String] { self.settings.projections.map(\.name) }

    /// Runs a repeatable step on the process's connection, after those before it.
    func perform<R: Sendable>(
        waits: Bool = true,
        _ step: @escaping @Sendable (Connection) async throws -> R
    ) async throws -> R {
        let wait = waits ? self.settings.databaseWait : .zero
        return try await self.work.run {
            try await self.process.perform(wait: wait, step)
        }
    }

    // MARK: Beginning

    /// Begins the pass. A repeat resumes the pass that the first attempt began.
    package func begin(_ streams: [StreamDescription]) async throws -> PassContext {
        try await self.perform { connection in
            for note in try await ProjectionRegistry.prepare(
                self.settings.projections.map { ProjectionPlan($0) },
                changes: self.settings.changes,
                adopts: self.settings.adopts,
                sources: streams.map(\.settings),
                on: connection
            ) { self.logger.info("\(note)") }
            try await self.process.enter(on: connection)
            switch self.settings.kind {
            case .replay: return try await self.beginReplay(streams, on: connection)
            case .rebuild(let reading, let sources):
                return try await self.beginRebuild(streams, reading, sources, on: connection)
            case .retry: return try await self.beginRetry(streams, on: connection)
            case .service(let sources): return try await self.beginService(sources, on: connection)
            }
        }
    }

    private func beginReplay(_ streams: [StreamDescription], on connection: Connection) async throws -> PassContext {
        let sourceIDs = try await PassStore.identify(sources: streams.map(\.name.source), on: connection)
        let entries = try await self.enter(streams, sourceIDs, on: connection)
        try await ProjectionRegistry.admit(
            zip(streams, entries).map { stream, entry in
                .init(stream.settings, stream: (entry.id, stream.name.name))
            },
            to: self.settings.projections.map { ProjectionPlan($0) },
            claimant: self.settings.claimant,
            on: connection
        )
        return try await self.context(streams, entries, sourceIDs, on: connection)
    }

    private func beginRebuild(
        _ streams: [StreamDescription],
        _ reading: StoredEventReading,
        _ sources: [String],
        on connection: Connection
    ) async throws -> PassContext {
        let entries = try await self.enter(streams, [:], on: connection)
        var context = try await self.context(streams, entries, [:], on: connection)
        context.sources = sources
        context.readingPlans = [ProjectionPlan(reading.definition)]
        return context
    }

    /// Begins a retry. It is never resumed: letters that were not done are still dead letters.
    private func beginRetry(_ streams: [StreamDescription], on connection: Connection) async throws -> PassContext {
        let plans = try await ProjectionRegistry.withStoredDigests(self.settings.projections, on: connection)
        let sourceIDs = try await PassStore.identify(sources: streams.map(\.name.source), on: connection)
        try await ProjectionRegistry.admit(streams.map { .init($0.settings) }, to: plans, on: connection)
        let state = PassState(
            id: try await PassStore.beginWithoutStreams(projections: self.names, on: connection),
            lanes: 1
        )
        self.pass.begin(state, empty: EmptyRelations())
        // Letters of one source may have been read with different settings.
        let known = PassContext.streams(streams, sharesSources: false) { index in
            let id = StreamID(rawValue: -Int64(index) - 1)
            return (id, sourceIDs[streams[index].name.source] ?? 0, CommittedProgress(lanes: 1))
        }
        return PassContext(
            plans: plans,
            lanes: 1,
            streams: known.streams,
            sources: known.sources,
            readings: try await PassStore.readings(of: self.names, on: connection)
        )
    }

    private func enter(
        _ streams: [StreamDescription],
        _ sourceIDs: [String: Int64],
        on connection: Connection
    ) async throws -> [StreamEntry] {
        var entries: [StreamEntry] = []
        for stream in streams {
            let sourceID = sourceIDs[stream.name.source]
            guard let id = try await StreamStore.enter(stream, sourceID: sourceID, on: connection) else {
                throw StoreError(.failed, "\(stream.label): its content is gone; run the command again")
            }
            entries.append(StreamEntry(id: id, isResumable: stream.isResumable))
        }
        return entries
    }

    /// Begins or resumes a pass over entered streams.
    private func context(
        _ streams: [StreamDescription],
        _ entries: [StreamEntry],
        _ sourceIDs: [String: Int64],
        on connection: Connection
    ) async throws -> PassContext {
        let plans = try await ProjectionRegistry.withStoredDigests(self.settings.projections, on: connection)
        let state = try await PassStore.begin(
            streams: entries,
            projections: self.names,
            lanes: self.settings.lanes,
            process: self.process.id,
            on: connection
        )
        if state.isResumed { self.logger.info("resuming an interrupted replay", metadata: ["replay": "\(state.id)"]) }
        self.pass.begin(state, empty: try await self.emptyRelations(of: plans, on: connection))
        let known = PassContext.streams(streams) { index in
            let id = entries[index].id
            let committed =
                state.committed[ProgressKey(stream: id)] ?? CommittedProgress(lanes: state.lanes, rule: state.laneRule)
            return (id, sourceIDs[streams[index].name.source] ?? 0, committed)
        }
        var context = PassContext(
            plans: plans,
            lanes: state.lanes,
            laneRule: state.laneRule,
            streams: known.streams,
            sources: known.sources,
            readings: try await PassStore.readings(of: self.names, on: connection),
            earlier: try await PassStore.summary(of: state.id, milestones: [], on: connection)
        )
        for stream in known.streams {
            for (key, committed) in state.committed where key.stream == stream.id && key.projection >= 0 {
                var own = stream
                (own.projection, own.committed, own.limit) = (key.projection, committed, state.joins[key])
                context.detached.append(own)
            }
        }
        return context
    }

    /// Which relations are empty. Of what other processes write too, nothing is known between two batches.
    func emptyRelations(of plans: [ProjectionPlan], on connection: Connection) async throws -> EmptyRelations {
        let own = plans.filter { self.process.access[$0.name]?.isShared == false }
        return try await PassStore.emptyRelations(of: own, on: connection)
    }

    // MARK: While it runs

    /// - Throws: `.superseded` where another process has found something else at the same time: what is stored holds.
    package func save(_ found: DetectedReadings) async throws {
        try await self.perform { connection in
            try await PassStore.save(found, on: connection)
            let stored = try await PassStore.readings(of: self.names, on: connection)
            for name in self.names where !stored.holds(found, of: name) { throw StoreError.superseded(name) }
        }
    }

    package func save(levels: [StoredLevel]) async throws {
        guard self.keepsLevels, !levels.isEmpty else { return }
        try await self.perform {
            try await PassStore.save(
                levels: self.named(levels),
                of: self.pass.id,
                process: self.process.id,
                on: $0
            )
        }
    }

    package func join(_ key: ProgressKey, at offset: StreamOffset) async throws {
        let name = self.names[Int(key.projection)]
        try await self.perform {
            try await PassStore.join(name, key.stream, at: offset, of: self.pass.id, on: $0)
        }
    }

    func named(_ levels: [StoredLevel]) -> [(projection: String, level: StoredLevel)] {
        levels.map { ($0.key.projection == ProgressKey.together ? "" : self.names[Int($0.key.projection)], $0) }
    }

    private var isService: Bool {
        if case .service = self.settings.kind { true } else { false }
    }

    private var keepsLevels: Bool {
        if case .retry = self.settings.kind { false } else { true }
    }

    package func committer(
        for lane: Int,
        in pass: PassContext,
        reread: @escaping @Sendable (StreamID, StreamOffset, Int64) -> [UInt8]?,
        onLoss: @escaping @Sendable () -> Void
    ) throws -> LaneStore {
        var settings = LaneStore.Settings(
            options: self.settings.options,
            pass: self.pass.id,
            lane: lane,
            lanes: pass.lanes,
            progress: self.pass.progress,
            sources: pass.sources,
            isMuted: self.settings.isMuted,
            keepsDeadLetters: self.settings.keepsDeadLetters,
            cacheBytes: self.settings.cacheBytes / pass.lanes,
            empty: self.pass.empty,
            databaseWait: self.settings.databaseWait,
            process: self.process,
            message: reread
        )
        settings.isService = self.isService
        settings.onLoss = onLoss
        if case .retry(let report) = self.settings.kind { settings.closing = { report.statements(closing: $0) } }
        return try LaneStore(settings: settings, plans: pass.plans, logger: self.logger)
    }

    /// Ends the run. A repeat changes nothing.
    package func end(
        _ levels: [StoredLevel],
        elapsedSeconds: Double,
        isFinished: Bool,
        waits: Bool
    ) async throws -> PassSummary {
        let milestones = self.settings.projections.flatMap { $0.milestones.map(\.name) }
        let isService = self.isService
        return try await self.perform(waits: waits) { connection in
            if self.keepsLevels {
                try await PassStore.save(
                    levels: self.named(levels),
                    of: self.pass.id,
                    process: self.process.id,
                    on: connection
                )
            }
            if isService {
                try await PassStore.leaveService(self.pass.id, self.process.id, on: connection)
            } else {
                try await PassStore.end(
                    self.pass.id,
                    elapsedSeconds: elapsedSeconds,
                    isFinished: isFinished,
                    on: connection
                )
            }
            if isFinished || isService {
                _ = try await PassRetention.removeExpired(self.settings.retention, on: connection)
            }
            return try await PassStore.summary(of: self.pass.id, milestones: milestones, on: connection)
        }
    }
}

extension LaneStore: LaneCommitter {}

/// The stored form of a pass that has begun.
final class BegunPass: Sendable {
    private let begun = Mutex<(state: PassState, empty: EmptyRelations, progress: LaneProgress)?>(nil)
    private let service = Mutex((revision: Int64(0), sources: [String](), sourceIDs: [String: Int64]()))
    let leases = HeldLeases()

    func noteService(revision: Int64, sources: [String], _ sourceIDs: [String: Int64]) {
        self.service.withLock { $0 = (revision, sources, sourceIDs) }
    }

    /// The pass's revision when this process began with it.
    var revision: Int64 { self.service.withLock { $0.revision } }
    var sources: [String] { self.service.withLock { $0.sources } }
    func sourceID(_ name: String) -> Int64? { self.service.withLock { $0.sourceIDs[name] } }

    func begin(_ state: PassState, empty: EmptyRelations) {
        self.begun.withLock { $0 = (state, empty, LaneProgress(state.rows)) }
    }

    var id: Int64 { self.begun.withLock { $0?.state.id ?? 0 } }
    var lanes: Int { self.begun.withLock { $0?.state.lanes ?? 1 } }
    var laneRule: LaneRule { self.begun.withLock { $0?.state.laneRule ?? .current } }

    /// The relations that were empty when the pass began.
    var empty: EmptyRelations { self.begun.withLock { $0?.empty ?? EmptyRelations() } }

    var progress: LaneProgress { self.begun.withLock { $0?.progress ?? LaneProgress() } }
}
