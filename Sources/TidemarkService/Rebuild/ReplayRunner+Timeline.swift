import LibPQ
import Logging
import TidemarkCore
import TidemarkIngest
import TidemarkPostgres

/// A stored timeline as something that lanes have read up to a place, like a file: its *n*th event stands at offset *n*.
extension StoredTimeline {
    var identity: FileIdentity {
        FileIdentity(path: self.path, size: self.count, digest: self.digest)
    }

    private var path: String { "timeline of \(self.projection)" }

    func input(file: Int64, checkpoints: [Checkpoint]) -> EventRouter.Input {
        EventRouter.Input(
            settings: SourceSettings(name: self.path),
            sourceIndex: 0,
            path: self.path,
            file: file,
            checkpoints: checkpoints
        )
    }
}

extension ReplayRunner {
    /// Reads a timeline instead of files, page by page.
    func read(_ timeline: StoredTimeline, _ setting: Setting) async throws -> ReplayOutcome.Ending {
        guard let input = setting.inputs.first,
            let start = input.checkpoints.filter({ !$0.isFinished }).min(by: Checkpoint.isBefore)
        else { return .finished }
        let configuration = self.request.configuration
        var router = TimelineRouter(
            timeline,
            input: input,
            sources: setting.sources.map(configuration.settings(ofSource:)),
            lanes: setting.state.lanes
        )
        var deadLetterLimit = DeadLetterLimit(configuration.limits.maxDeadLetters, earlier: setting.earlier)
        let pages = TimelinePages(timeline, from: start.offset, request: self.request, logger: self.logger)
        var number = start.offset
        while true {
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
            let isTaken = await setting.queues.put(routed.runs) { !input.checkpoints[$0].isFinished }
            guard isTaken else { return .interrupted }
            if self.request.isStrict, routed.deadLetters > 0 { return .strict }
            if let limit = deadLetterLimit.exceeded { return .tooManyDeadLetters(limit: limit) }
            if self.interrupt.isRaised { return .interrupted }
        }
        var last = LaneSegment(file: input.file)
        last.close(at: number, line: number, isEnd: true)
        let runs = Array(repeating: last, count: setting.queues.count)
        let isTaken = await setting.queues.put(runs) { !input.checkpoints[$0].isFinished }
        return isTaken ? .finished : .interrupted
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
    private static let bytesMax = 4 << 20
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
