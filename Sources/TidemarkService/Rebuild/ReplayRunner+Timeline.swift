import LibPQ
import Logging
import TidemarkCore
import TidemarkIngest
import TidemarkPostgres

/// A stored timeline as a stream: its *n*th event stands at offset *n*.
extension StoredTimeline {
    /// A timeline that was written, pruned or forgotten from in between is another stream.
    var streamName: StreamName {
        let name = "timeline of \(self.projection)"
        return StreamName(source: name, name: name, incarnation: "timeline:\(self.count):\(self.digest)")
    }

    func stream(_ id: StreamID, committed: CommittedProgress) -> EventRouter.Stream {
        EventRouter.Stream(
            id: id,
            settings: SourceSettings(name: self.streamName.name),
            sourceIndex: 0,
            name: self.streamName.name,
            committed: committed
        )
    }
}

extension ReplayRunner {
    /// Reads a timeline instead of files, page by page.
    func read(_ timeline: StoredTimeline, _ context: ReplayContext) async throws -> ReplayOutcome.Ending {
        guard let stream = context.streams.first else { return .finished }
        let level = stream.committed.level
        let handover = LaneHandover(queues: context.queues, tracker: context.levels.track(stream.id, from: level))
        guard !level.isAtEnd else { return .finished }
        let configuration = self.request.configuration
        var router = TimelineRouter(
            timeline,
            stream: stream,
            sources: context.sources.map(configuration.settings(ofSource:)),
            lanes: context.state.lanes,
            laneRule: context.state.laneRule
        )
        var deadLetterLimit = DeadLetterLimit(configuration.limits.maxDeadLetters, earlier: context.earlier)
        let start = Int64(clamping: level.offset.major)
        let pages = TimelinePages(timeline, from: start, request: self.request, logger: self.logger)
        var number = start
        while true {
            let permit = try await context.budget.acquire(TimelinePages.bytesMax) { context.queues.flush() }
            let events = try await pages.next()
            guard !events.isEmpty else { break }
            let routed = router.route(events, from: number)
            number += Int64(events.count)
            deadLetterLimit.count(messages: routed.messages, deadLetters: routed.deadLetters)
            let read = number
            self.progress.update { progress in
                progress.bytesRead = read
                progress.messagesRead += Int64(routed.messages)
                progress.deadLetters += Int64(routed.deadLetters)
            }
            guard try await handover.enqueue(routed.segments, permit: permit) else { return .interrupted }
            if self.request.isStrict, routed.deadLetters > 0 { return .strict }
            if let limit = deadLetterLimit.exceeded { return .tooManyDeadLetters(limit: limit) }
            if self.interrupt.isRaised { return .interrupted }
        }
        handover.close(at: TimelineRouter.progress(at: number))
        return .finished
    }
}

/// Fetches a timeline's events in order, as many at a time as memory allows, and again after a lost connection.
private final class TimelinePages {
    private let timeline: StoredTimeline
    private let request: ReplayRequest
    private let logger: Logger
    private var connection: Connection?
    private var last: StoredEvent?
    private var count: Int64
    private var limit = 500

    /// What one page may take, by the images of the one before.
    static let bytesMax = 4 << 20
    private static let rowsMax = 10_000

    init(_ timeline: StoredTimeline, from count: Int64, request: ReplayRequest, logger: Logger) {
        self.timeline = timeline
        self.count = count
        self.request = request
        self.logger = logger
    }

    /// - Returns: none at the end.
    func next() async throws -> [StoredEvent] {
        var backoff = Backoff(limit: self.request.databaseWait)
        while true {
            do {
                return try await self.fetch()
            } catch let error as PostgresError {
                guard error.isRetriable, let delay = backoff.next() else { throw error }
                self.logger.warning(
                    "database not available, trying again",
                    metadata: ["delay": "\(delay)", "error": "\(error)"]
                )
                self.connection = nil
                try await Task.sleep(for: delay)
            }
        }
    }

    private func fetch() async throws -> [StoredEvent] {
        let connection = try await self.connected()
        if self.last == nil { self.last = try await self.timeline.place(behind: self.count, on: connection) }
        let events = try await self.timeline.events(behind: self.last, limit: self.limit, on: connection)
        guard let last = events.last else {
            await connection.close()
            self.connection = nil
            return []
        }
        let bytes = events.reduce(0) { $0 + ($1.image?.utf8.count ?? 0) + 200 }
        self.limit = min(Self.rowsMax, max(1, Self.bytesMax / max(1, bytes / events.count)))
        self.last = last
        self.count += Int64(events.count)
        return events
    }

    private func connected() async throws -> Connection {
        if let connection { return connection }
        let connection = try await Connection.connect(self.request.options)
        try await StoredTimeline.settle(connection)
        self.connection = connection
        return connection
    }
}
