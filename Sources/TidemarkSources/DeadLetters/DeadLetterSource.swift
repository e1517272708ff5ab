package import LibPQ
package import TidemarkCore
package import TidemarkStore

/// Stored dead letters as a source: one stream for each source and stream that they came from, in the order in which they
/// were stored. Each is a block of its own, whose attachment says what of its message is the letter's.
package struct DeadLetterSource: Source {
    package let streams: [StreamDescription]
    fileprivate let filter: DeadLetterFilter
    private let origins: [DeadLetterOrigin]
    fileprivate let settings: Settings

    package struct Settings: Sendable {
        package var options: ConnectionOptions
        /// How long a database that goes away is waited for; `nil` for ever.
        package var wait: Duration?
        package var messageBytesMax: Int
        /// Why a letter cannot be tried, and what would help; `nil` for one that can.
        package var obstacle: @Sendable (StoredDeadLetter) -> String?
        package var report: RetryReport
        package var outage: OutageLog

        package init(
            options: ConnectionOptions,
            wait: Duration?,
            messageBytesMax: Int,
            obstacle: @escaping @Sendable (StoredDeadLetter) -> String?,
            report: RetryReport,
            outage: OutageLog
        ) {
            self.options = options
            self.wait = wait
            self.messageBytesMax = messageBytesMax
            self.obstacle = obstacle
            self.report = report
            self.outage = outage
        }
    }

    /// - Parameters:
    ///   - filter: which letters. Those that the retry itself stores come behind them, and are not read.
    ///   - read: how the messages of an origin are read now.
    package init(
        _ filter: DeadLetterFilter,
        _ settings: Settings,
        read: (DeadLetterOrigin) -> SourceSettings,
        on connection: Connection
    ) async throws {
        self.filter = filter
        self.settings = settings
        self.origins = try await DeadLetterStore.origins(filter, on: connection)
        self.streams = self.origins.map { origin in
            StreamDescription(
                name: StreamName(source: origin.source, name: origin.stream ?? ""),
                label: origin.stream ?? origin.source,
                settings: read(origin)
            )
        }
    }

    package func run(_ host: some StreamHost) async throws {
        for index in self.origins.indices {
            try await host.assign(index) { level in DeadLetterReader(self, self.origins[index], from: level) }
        }
    }

    package func beginning(of stream: Int) -> MessageBlock? { nil }

    /// What is kept of a letter's message stays with the letter.
    package func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? { nil }
}

/// Reads the letters of one origin; a letter's offset is its number.
private final class DeadLetterReader: StreamReader {
    private let source: DeadLetterSource
    private let origin: DeadLetterOrigin
    private var connection: Connection?
    /// In descending order.
    private var page: [StoredDeadLetter] = []
    private var last: Int64
    let blockBytes = DeadLetter.rawBytesMax
    private static let pageLetters: Int64 = 100

    init(_ source: DeadLetterSource, _ origin: DeadLetterOrigin, from level: StreamProgress) {
        self.source = source
        self.origin = origin
        // A level is the offset behind the last letter.
        self.last = Int64(clamping: level.offset.major) - 1
    }

    let isIdle = false
    var progress: StreamProgress { Self.progress(behind: self.last) }
    var bytesRead: Int64 { self.last }

    private static func progress(behind id: Int64) -> StreamProgress {
        StreamProgress(offset: StreamOffset(major: UInt64(id + 1)), ordinal: 1)
    }

    func next() async throws -> MessageBlock? {
        while true {
            try Task.checkCancellation()
            if self.page.isEmpty { self.page = try await self.fetch().reversed() }
            guard let letter = self.page.popLast() else { return nil }
            self.last = letter.id
            if let why = self.source.settings.obstacle(letter) {
                self.source.settings.report.skip(letter, because: why)
                continue
            }
            return self.block(of: letter)
        }
    }

    private func fetch() async throws -> [StoredDeadLetter] {
        guard self.last < self.origin.last else { return [] }
        return try await DatabaseRetry(wait: self.source.settings.wait, outage: self.source.settings.outage).perform {
            do {
                return try await DeadLetterStore.page(
                    self.source.filter,
                    of: self.origin,
                    after: self.last,
                    limit: Self.pageLetters,
                    on: try await self.connected()
                )
            } catch {
                self.connection = nil
                throw error
            }
        }
    }

    private func connected() async throws -> Connection {
        if let connection { return connection }
        let connection = try await Connection.connect(self.source.settings.options)
        self.connection = connection
        return connection
    }

    private func block(of letter: StoredDeadLetter) -> MessageBlock {
        let start = StreamProgress(offset: StreamOffset(major: UInt64(letter.id)), ordinal: 1)
        let count = letter.raw.count
        let message = MessageBlock.Message(
            payload: ByteRange(start: 0, end: count),
            offset: start.offset,
            ordinal: 1,
            length: Int64(count),
            isOversized: count > self.source.settings.messageBytesMax
        )
        return MessageBlock(
            bytes: letter.raw + [UInt8](repeating: 0, count: MessageBlock.padding),
            messages: [message],
            start: start,
            end: self.progress,
            attachment: RetriedLetter(
                id: letter.id,
                projection: letter.projection,
                row: letter.row,
                isWhole: letter.isWhole,
                position: letter.position,
                reading: letter.reading,
                raw: letter.raw,
                digest: letter.digest,
                record: letter.record
            )
        )
    }
}
