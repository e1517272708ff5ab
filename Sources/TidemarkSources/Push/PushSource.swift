package import TidemarkCore

/// A source whose messages clients send: one stream for each start of the process. What a stream brought is not kept, so
/// it cannot be read again; a client is answered once its messages are committed, and sends again what is not.
package struct PushSource: Source {
    private let settings: SourceSettings
    private let hub: PushHub
    private let start: StreamName
    private let prepare: @Sendable (_ incarnation: String) async throws -> Void
    private let onOpen: @Sendable () -> Void

    /// - Parameters:
    ///   - start: names the process's start, and so the stream.
    ///   - prepare: called before the stream is entered, with its incarnation: ends the streams of processes that are
    ///     gone.
    ///   - onOpen: called once requests are taken.
    package init(
        _ settings: SourceSettings,
        hub: PushHub,
        start: StreamName,
        prepare: @escaping @Sendable (_ incarnation: String) async throws -> Void,
        onOpen: @escaping @Sendable () -> Void
    ) {
        self.settings = settings
        self.hub = hub
        self.start = start
        self.prepare = prepare
        self.onOpen = onOpen
    }

    package var streams: [StreamDescription] { [] }
    package func beginning(of stream: Int) -> MessageBlock? { nil }
    package func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? { nil }

    package func run(_ host: some StreamHost) async throws {
        try await self.prepare(self.start.incarnation)
        var description = StreamDescription(name: self.start, label: self.start.name, settings: self.settings)
        description.isRereadable = false
        description.tellsUnits = false
        let (hub, onOpen) = (self.hub, self.onOpen)
        try await host.assign(description) { level in
            let reader = PushReader(hub, from: level)
            onOpen()
            return reader
        }
        // The stream has no end: its lease was not to be had.
        throw InputError(.unreadable, path: self.settings.name, detail: "its stream cannot be read by this process")
    }
}

/// Makes blocks of what a hub is given. A message's offset is its number in the stream, from 0.
private final class PushReader: StreamReader {
    private let hub: PushHub
    private let number: Int
    private(set) var progress: StreamProgress
    private(set) var bytesRead: Int64 = 0
    /// The last block had so many messages.
    private var lastCount = 0

    /// A client that sends so many messages at a time sends the next ones as soon as it is answered. The end of a batch
    /// answers several clients, so the reader waits a moment until all of them have sent, and one batch takes all.
    /// Blocks with fewer messages are not held up.
    private static let manyMessages = 100
    private static let patience = Duration.milliseconds(1)

    init(_ hub: PushHub, from level: StreamProgress) {
        self.hub = hub
        self.number = hub.attach()
        self.progress = StreamProgress(offset: level.offset, ordinal: Int64(clamping: level.offset.major) + 1)
    }

    deinit { self.hub.detach(self.number, because: "the projections are begun anew") }

    var isIdle: Bool { self.hub.isEmpty }

    func linger() async {
        guard self.lastCount >= Self.manyMessages else { return }
        await self.hub.linger(Self.patience)
        self.lastCount = 0
    }

    var blockBytes: Int { self.hub.nextBytes }

    func next() async throws -> MessageBlock? {
        let entry = try await self.hub.next(self.number)
        let start = self.progress
        let messages = entry.pushed.messages.enumerated().map { index, message in
            MessageBlock.Message(
                payload: ByteRange(start: message.range.lowerBound, end: message.range.upperBound),
                offset: StreamOffset(major: start.offset.major + UInt64(index)),
                ordinal: start.ordinal + Int64(index),
                length: message.length,
                isOversized: message.isOversized
            )
        }
        self.progress.offset = StreamOffset(major: start.offset.major + UInt64(messages.count))
        self.progress.ordinal += Int64(messages.count)
        self.lastCount = messages.count
        self.bytesRead += Int64(entry.pushed.bytes.count - MessageBlock.padding)
        return MessageBlock(
            bytes: entry.pushed.bytes,
            messages: messages,
            start: start,
            end: self.progress,
            attachment: CarriedReceipt(entry.receipt)
        )
    }
}
