import LibPQ
import Logging
import TidemarkConfiguration
import TidemarkCore
import TidemarkProjector
import TidemarkStore

/// The read model in PostgreSQL, as one pass writes it: under the writer's locks, waiting for a database that goes away.
struct PostgresProjection: ProjectionStore {
    let request: ReplayRequest
    let writer: WriterLock
    let logger: Logger
    private let state = PassNumber()

    init(_ request: ReplayRequest, holding writer: WriterLock, logger: Logger) {
        self.request = request
        self.writer = writer
        self.logger = logger
    }

    private var projections: [String] { self.request.configuration.projections.map(\.name) }

    private func perform<R: Sendable>(waits: Bool = true, _ step: (Connection) async throws -> R) async throws -> R {
        let wait = waits ? self.request.databaseWait : .zero
        return try await self.writer.perform(wait: wait, logger: self.logger, step)
    }

    // MARK: Beginning

    /// Doing it again resumes the pass that the first attempt began.
    func begin(_ streams: [StreamDescription]) async throws -> PassContext {
        try await self.perform { try await self.begin(streams, on: $0) }
    }

    private func begin(_ streams: [StreamDescription], on connection: Connection) async throws -> PassContext {
        let configuration = self.request.configuration
        for note in try await ProjectionRegistry.prepare(
            configuration.projections.map { ProjectionPlan($0) },
            migrates: self.request.migrates,
            on: connection
        ) { self.logger.info("\(note)") }
        let sourceIDs =
            self.request.timeline == nil
            ? try await PassStore.identify(sources: streams.map(\.name.source), on: connection) : [:]
        var entries: [StreamEntry] = []
        for stream in streams {
            let id = try await StreamStore.enter(stream, sourceID: sourceIDs[stream.name.source], on: connection)
            entries.append(StreamEntry(id: id, isResumable: stream.isResumable))
        }
        if self.request.timeline == nil { try await self.admit(streams, entries, on: connection) }
        let plans = try await ProjectionRegistry.withStoredDigests(configuration.projections, on: connection)
        let state = try await PassStore.begin(
            streams: entries,
            projections: self.projections,
            lanes: configuration.lanes,
            on: connection
        )
        if state.isResumed { self.logger.info("resuming an interrupted replay", metadata: ["replay": "\(state.id)"]) }
        self.state.begin(state, empty: try await PassStore.emptyRelations(of: plans, on: connection))
        return try await self.context(state, plans, streams, entries, sourceIDs, on: connection)
    }

    private func context(
        _ state: PassState,
        _ plans: [ProjectionPlan],
        _ streams: [StreamDescription],
        _ entries: [StreamEntry],
        _ sourceIDs: [String: Int64],
        on connection: Connection
    ) async throws -> PassContext {
        var known = PassContext.streams(streams) { index in
            let id = entries[index].id
            let committed = state.committed[id] ?? CommittedProgress(lanes: state.lanes, rule: state.laneRule)
            return (id, sourceIDs[streams[index].name.source] ?? 0, committed)
        }
        let configuration = self.request.configuration
        if let timeline = self.request.timeline { known.sources = timeline.sources }
        var context = PassContext(
            plans: plans,
            lanes: state.lanes,
            laneRule: state.laneRule,
            streams: known.streams,
            sources: known.sources,
            readings: try await PassStore.readings(of: self.projections, on: connection),
            earlier: try await PassStore.summary(of: state.id, milestones: [], on: connection)
        )
        context.timeline = self.request.timeline.map { ($0, $0.sources.map(configuration.settings(ofSource:))) }
        return context
    }

    /// Makes sure that sources are read as they were when the rows were made.
    private func admit(
        _ streams: [StreamDescription],
        _ entries: [StreamEntry],
        on connection: Connection
    ) async throws {
        let sources = self.request.configuration.sources
        try await ProjectionRegistry.admit(
            zip(streams, entries).map { stream, entry in
                .init(stream.settings, stream: (entry.id, stream.name.name))
            },
            to: self.request.configuration.projections.map { ProjectionPlan($0) },
            claimant: { path in sources.first { $0.names(path) }?.name },
            on: connection
        )
    }

    // MARK: While it runs

    func save(_ found: DetectedReadings) async throws {
        try await self.perform { try await PassStore.save(found, on: $0) }
    }

    func save(levels: [(stream: StreamID, level: StreamProgress)]) async throws {
        guard !levels.isEmpty else { return }
        let connection = try await self.writer.held(wait: self.request.databaseWait)
        try await PassStore.save(levels: levels, of: self.state.id, on: connection)
    }

    func committer(
        for lane: Int,
        in pass: PassContext,
        reread: @escaping @Sendable (StreamID, StreamOffset, Int64) -> [UInt8]?
    ) throws -> LaneStore {
        let (writer, wait) = (self.writer, self.request.databaseWait)
        return try LaneStore(
            settings: .init(
                options: self.request.options,
                pass: self.state.id,
                lane: lane,
                lanes: pass.lanes,
                progress: self.state.rows(of: lane),
                sources: pass.sources,
                isMuted: self.request.isMuted,
                keepsDeadLetters: self.request.keepsDeadLetters,
                cacheBytes: self.request.configuration.limits.cacheBytes / pass.lanes,
                empty: self.state.empty,
                databaseWait: wait,
                ensureWriter: { _ = try await writer.held(wait: wait) },
                message: reread
            ),
            plans: pass.plans,
            logger: self.logger
        )
    }

    /// Doing it again changes nothing.
    func end(
        _ levels: [(stream: StreamID, level: StreamProgress)],
        elapsedSeconds: Double,
        isFinished: Bool,
        waits: Bool
    ) async throws -> PassSummary {
        let milestones = self.request.configuration.projections.flatMap { $0.milestones.map(\.name) }
        return try await self.perform(waits: waits) { connection in
            try await PassStore.save(levels: levels, of: self.state.id, on: connection)
            try await PassStore.end(
                self.state.id,
                elapsedSeconds: elapsedSeconds,
                isFinished: isFinished,
                on: connection
            )
            if isFinished { _ = try await PassRetention.removeExpired(on: connection) }
            return try await PassStore.summary(of: self.state.id, milestones: milestones, on: connection)
        }
    }
}

extension LaneStore: LaneCommitter {}
