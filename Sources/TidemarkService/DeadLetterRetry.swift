package import LibPQ
package import Logging
package import TidemarkConfiguration
package import TidemarkCore
import TidemarkProjector
package import TidemarkStore

/// What became of the dead letters that were retried.
package struct RetryOutcome: Sendable {
    /// One that is a dead letter still.
    package struct Remaining: Sendable {
        package var id: Int64
        package var reason: String
        package var detail: String
    }

    /// Letters that are gone: their rows went through, or are none that a projection takes.
    package var resolved = 0
    /// Tried, and refused again.
    package var refused: [Remaining] = []
    /// Not tried: what is kept of them is not enough.
    package var skipped: [Remaining] = []
    /// What the rows came to.
    package var summary = PassSummary()

    package var retried: Int { self.resolved + self.refused.count }
}

/// Runs dead letters again, after the configuration or a column's type was mended: each is decoded, staged, folded and
/// committed as a replay would, at the place of its first reading, for its own projection and row only. It goes away in
/// the transaction that writes its row. When it is done does not matter: the row goes through the gate like any other.
package final class DeadLetterRetry {
    private let configuration: Configuration
    private let options: ConnectionOptions
    private let logger: Logger
    private let databaseWait: Duration?
    private var plans: [ProjectionPlan] = []
    private var outcome = RetryOutcome()
    private static let pageLetters: Int64 = 500

    package init(
        _ configuration: Configuration,
        options: ConnectionOptions,
        databaseWait: Duration? = .seconds(300),
        logger: Logger
    ) {
        self.configuration = configuration
        self.options = options
        self.databaseWait = databaseWait
        self.logger = logger
    }

    /// - Parameter connection: ready and migrated; takes the locks of the projections that the letters belong to, of all
    ///   configured ones for letters that belong to no one.
    /// - Throws: `StoreError` when another process writes one of them.
    package func run(_ filter: DeadLetterFilter, on connection: Connection) async throws -> RetryOutcome {
        let concerned = try await DeadLetterStore.projections(filter, on: connection)
        let definitions = self.configuration.projections.filter {
            concerned.contains("") || concerned.contains($0.name)
        }
        let names = definitions.map(\.name)
        for name in names { try await PassStore.lock(name, on: connection) }
        for note in try await ProjectionRegistry.prepare(definitions.map { ProjectionPlan($0) }, on: connection) {
            self.logger.info("\(note)")
        }
        self.plans = try await ProjectionRegistry.withStoredDigests(definitions, on: connection)
        let writer = WriterLock(connection, options: self.options, projections: names)
        let replay = try await DeadLetterStore.beginRetry(of: names, on: connection)
        let start = ContinuousClock.now
        do {
            // One source at a time: a lane has one list of them.
            for source in try await DeadLetterStore.sources(filter, on: connection) {
                var filter = filter
                filter.source = source
                try await self.retry(filter, source: source, replay, writer)
            }
        } catch {
            try? await self.end(replay, since: start, isFinished: false, writer)
            throw error
        }
        try await self.end(replay, since: start, isFinished: true, writer)
        return self.outcome
    }

    private func end(
        _ replay: Int64,
        since start: ContinuousClock.Instant,
        isFinished: Bool,
        _ writer: WriterLock
    ) async throws {
        let connection = try await writer.held(wait: self.databaseWait)
        let elapsed = (ContinuousClock.now - start) / .seconds(1)
        try await PassStore.end(replay, elapsedSeconds: elapsed, isFinished: isFinished, on: connection)
        let milestones = self.plans.flatMap { $0.milestones.map(\.name) }
        self.outcome.summary = try await PassStore.summary(of: replay, milestones: milestones, on: connection)
    }

    // MARK: One source

    private func retry(_ filter: DeadLetterFilter, source: String, _ replay: Int64, _ writer: WriterLock) async throws {
        let connection = try await writer.held(wait: self.databaseWait)
        // A unit is taken from what is stored or configured: letters are no beginning that would tell it.
        var detector = ReadingDetector(
            self.plans,
            known: try await PassStore.readings(of: self.plans.map(\.name), on: connection)
        )
        var router = EventRouter(
            plans: self.plans,
            readings: detector.known,
            settings: SourceSettings(name: source),
            lanes: 1,
            isStrict: false
        )
        // What is set aside by the retry itself comes behind, and is not retried with the rest.
        let last = try await DeadLetterStore.lastID(filter, on: connection)
        let sourceID = try await PassStore.identify(sources: [source], on: connection)[source] ?? 0
        let wait = self.databaseWait
        let store = try LaneStore(
            settings: .init(
                options: self.options,
                pass: replay,
                lane: 0,
                sources: [source],
                isMuted: false,
                cacheBytes: 1 << 20,
                databaseWait: wait,
                ensureWriter: { _ = try await writer.held(wait: wait) }
            ),
            plans: self.plans,
            logger: self.logger
        )
        var done: Int64 = 0
        do {
            while done < last {
                let connection = try await writer.held(wait: self.databaseWait)
                let page = try await DeadLetterStore.page(
                    filter,
                    after: done,
                    limit: Self.pageLetters,
                    on: connection
                ).filter { $0.id <= last }
                guard let behind = page.last?.id else { break }
                let settings = page.map { self.configuration.settings(of: $0) }
                try await ProjectionRegistry.admit(settings.map { .init($0) }, to: self.plans, on: connection)
                for letter in page where detector.isKindOpen {
                    detector.count(self.block(of: letter), self.configuration.settings(of: letter), isBeginning: false)
                }
                let found = detector.decide()
                if !found.isEmpty {
                    try await PassStore.save(found, on: connection)
                    router.use(detector.known)
                }
                var attempts: [RetryAttempt] = []
                for letter in page {
                    if let attempt = self.route(letter, sourceID, by: &router) { attempts.append(attempt) }
                }
                try await self.commit(attempts, to: store, writer)
                done = behind
            }
        } catch {
            await store.close()
            throw error
        }
        await store.close()
    }

    // MARK: One letter

    /// What one letter means now; `nil` when it cannot be tried, which is noted.
    private func route(
        _ letter: StoredDeadLetter,
        _ sourceID: Int64,
        by router: inout EventRouter
    ) -> RetryAttempt? {
        if let why = self.obstacle(letter) {
            self.outcome.skipped.append(.init(id: letter.id, reason: letter.reason, detail: why))
            return nil
        }
        let settings = self.configuration.settings(of: letter)
        let name = letter.position.lastIndex(of: ":").map { String(letter.position[..<$0]) } ?? letter.position
        let stream = EventRouter.Stream(
            id: letter.reading?.stream ?? StreamID(rawValue: 0),
            settings: settings,
            sourceIndex: 0,
            sourceID: sourceID,
            name: name,
            committed: CommittedProgress(lanes: 1)
        )
        return RetryAttempt(letter, router.route(self.block(of: letter), of: stream).segments[0], self.plans)
    }

    private func block(of letter: StoredDeadLetter) -> MessageBlock {
        MessageBlock(
            message: letter.raw,
            messageBytesMax: self.configuration.limits.messageBytes,
            offset: letter.reading?.offset ?? .start,
            ordinal: letter.reading?.ordinal ?? 1
        )
    }

    /// Why a letter cannot be tried, and what would help.
    private func obstacle(_ letter: StoredDeadLetter) -> String? {
        if let name = letter.projection, !self.plans.contains(where: { $0.name == name }) {
            return "projection \(name) is not configured"
        }
        guard letter.isComplete else {
            return letter.raw.count >= DeadLetter.rawBytesMax
                ? "only the first 1 MiB of its message is kept; read its file again (tidemark replay)"
                : "only the image of its row is kept; read its file again (tidemark replay)"
        }
        let ordered = self.plans.first { plan in
            (letter.projection == nil || letter.projection == plan.name) && plan.isOrderedByPlace
        }
        if letter.reading == nil, let ordered {
            return
                "projection \(ordered.name) is ordered by $received, and the place of its reading is not known; read "
                + "its file again (tidemark replay)"
        }
        return nil
    }

    // MARK: Committing

    private func commit(_ attempts: [RetryAttempt], to store: LaneStore, _ writer: WriterLock) async throws {
        guard !attempts.isEmpty else { return }
        var batch = LaneBatch()
        for attempt in attempts { attempt.append(to: &batch) }
        let resolved = attempts.filter { $0.rejection == nil }.map(\.letter.id)
        do {
            try await store.commit(batch, closing: resolved.isEmpty ? [] : [DeadLetterStore.resolve(resolved)])
        } catch let error as PostgresError where error.isDataException {
            // The database refuses a row in spite of the check: one by one, so that the others go through.
            if attempts.count > 1 {
                for attempt in attempts { try await self.commit([attempt], to: store, writer) }
                return
            }
            let rejection = Rejection(.valueInvalid, "the database refused the row: \(error.message)")
            let connection = try await writer.held(wait: self.databaseWait)
            try await DeadLetterStore.record(rejection, of: attempts[0].letter.id, on: connection)
            self.note(rejection, of: attempts[0])
            return
        }
        for attempt in attempts {
            if let rejection = attempt.rejection {
                self.note(rejection, of: attempt)
            } else {
                self.outcome.resolved += 1
            }
        }
    }

    private func note(_ rejection: Rejection, of attempt: RetryAttempt) {
        self.outcome.refused.append(
            .init(id: attempt.letter.id, reason: rejection.reason.rawValue, detail: rejection.detail)
        )
    }
}

extension ProjectionPlan {
    /// `$received` takes part in its order.
    fileprivate var isOrderedByPlace: Bool {
        self.sequence.contains { part in
            if case .received = part { true } else { false }
        }
    }
}

extension Configuration {
    /// What is configured now of the source that a dead letter was read from.
    package func settings(of letter: StoredDeadLetter) -> SourceSettings {
        var settings =
            self.sources.first { $0.name == letter.source }?.settings
            ?? letter.streamName.map(self.settings(forFile:)) ?? SourceSettings(name: letter.source)
        settings.name = letter.source
        return settings
    }
}
