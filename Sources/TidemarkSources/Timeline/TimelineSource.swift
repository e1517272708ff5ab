package import LibPQ
package import TidemarkCore
package import TidemarkStore

/// A stored timeline as a source of one stream, whose *n*th event stands at offset *n*.
package struct TimelineSource: Source {
    fileprivate let timeline: StoredTimeline
    fileprivate let settings: [SourceSettings]
    fileprivate let options: ConnectionOptions
    fileprivate let wait: Duration?
    fileprivate let outage: OutageLog

    /// - Parameters:
    ///   - settings: what is configured of the sources that its events came from.
    ///   - wait: how long a database that goes away is waited for.
    package init(
        _ timeline: StoredTimeline,
        _ settings: [SourceSettings],
        _ options: ConnectionOptions,
        wait: Duration?,
        outage: OutageLog
    ) {
        self.timeline = timeline
        self.settings = settings
        self.options = options
        self.wait = wait
        self.outage = outage
    }

    package var streams: [StreamDescription] {
        let name = "timeline of \(self.timeline.projection)"
        // A timeline that was written, pruned or forgotten from in between is another stream.
        let incarnation = "timeline:\(self.timeline.count):\(self.timeline.digest)"
        return [
            StreamDescription(
                name: StreamName(source: name, name: name, incarnation: incarnation),
                label: name,
                settings: SourceSettings(name: name),
                size: self.timeline.count
            )
        ]
    }

    package func run(_ host: some StreamHost) async throws {
        try await host.assign(0) { level in TimelineReader(self, from: level) }
    }

    package func beginning(of stream: Int) -> MessageBlock? { nil }

    package func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? { nil }
}

/// Fetches a timeline's events in order, as many at a time as memory allows, and again after a lost connection.
final class TimelineReader: StreamReader {
    private let source: TimelineSource
    private var connection: Connection?
    private var last: StoredEvent?
    /// The number of the next event, from 0.
    private var number: Int64
    private var limit = 500

    /// What one page may take, by the images of the one before.
    let blockBytes = 4 << 20
    private static let rowsMax = 10_000

    init(_ source: TimelineSource, from level: StreamProgress) {
        self.source = source
        self.number = Int64(clamping: level.offset.major)
    }

    let isIdle = false
    var progress: StreamProgress { Self.progress(at: self.number) }
    var bytesRead: Int64 { self.number }

    private static func progress(at number: Int64) -> StreamProgress {
        StreamProgress(offset: StreamOffset(major: UInt64(number)), ordinal: number + 1)
    }

    func next() async throws -> MessageBlock? {
        let first = self.number
        let events = try await DatabaseRetry(wait: self.source.wait, outage: self.source.outage).perform {
            do {
                return try await self.fetch()
            } catch {
                self.connection = nil
                throw error
            }
        }
        return events.isEmpty ? nil : self.block(of: events, from: first)
    }

    private func block(of events: [StoredEvent], from first: Int64) -> MessageBlock {
        MessageBlock(
            bytes: [],
            messages: events.indices.map { index in
                let progress = Self.progress(at: first + Int64(index))
                return MessageBlock.Message(
                    payload: nil,
                    offset: progress.offset,
                    ordinal: progress.ordinal,
                    length: Int64(events[index].image?.byteCount ?? 0)
                )
            },
            start: Self.progress(at: first),
            end: self.progress,
            attachment: StoredEventPage(
                events: events,
                columns: self.source.timeline.columns,
                reading: self.source.timeline.mapping.reading,
                sources: self.source.settings
            )
        )
    }

    private func fetch() async throws -> [StoredEvent] {
        let connection = try await self.connected()
        let timeline = self.source.timeline
        if self.last == nil { self.last = try await timeline.event(number: self.number, on: connection) }
        let events = try await timeline.events(behind: self.last, limit: self.limit, on: connection)
        guard let last = events.last else {
            await connection.close()
            self.connection = nil
            return []
        }
        let bytes = events.reduce(0) { $0 + ($1.image?.byteCount ?? 0) + 200 }
        self.limit = min(Self.rowsMax, max(1, self.blockBytes / max(1, bytes / events.count)))
        self.last = last
        self.number += Int64(events.count)
        return events
    }

    private func connected() async throws -> Connection {
        if let connection { return connection }
        let connection = try await Connection.connect(self.source.options)
        self.connection = connection
        return connection
    }
}
