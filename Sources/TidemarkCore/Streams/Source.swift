/// A configured input. It opens streams and gives each a reader; it knows nothing of projections, lanes or databases.
package protocol Source: Sendable {
    /// The streams that are known before anything is read, in the order in which they are read.
    var streams: [StreamDescription] { get }

    /// The first messages of one of `streams`, read ahead of its turn; `nil` where that is not possible.
    func beginning(of stream: Int) -> MessageBlock?

    /// Assigns streams to the host until all have ended, or until the task is cancelled.
    /// - Throws: `CancellationError`; ``StreamDataError`` for what is damaged; anything else ends the pass.
    func run(_ host: some StreamHost) async throws

    /// The message at an offset of one of `streams`, read once more; `nil` when it cannot be had.
    func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]?
}

/// What a source assigns its streams to.
package protocol StreamHost: Sendable {
    /// Reads one of the source's streams to its end, in the task that calls it.
    /// - Parameters:
    ///   - stream: its index among the source's ``Source/streams``.
    ///   - open: makes a reader that begins at a level. Not called for a stream that is at its end.
    /// - Throws: what `open` and the reader throw, once everything that was read before is handed on;
    ///   `CancellationError` where nothing may be read behind it.
    func assign(_ stream: Int, _ open: (StreamProgress) throws -> any StreamReader) async throws

    /// Enters a stream that was found while the pass runs, waits for its lease, and reads it to its end, in the task that
    /// calls it.
    /// - Parameter open: makes a reader that begins at a level. Called again after the lease was given back and taken
    ///   again.
    /// - Throws: what `open` and the reader throw, once everything that was read before is handed on;
    ///   `CancellationError`.
    func assign(
        _ stream: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws
}

/// Reads one stream. Used by one task.
package protocol StreamReader: AnyObject {
    /// The next block; `nil` at the end of a bounded stream.
    /// - Throws: `CancellationError` when the task is cancelled; ``StreamDataError``; ``StreamRevoked``.
    func next() async throws -> MessageBlock?

    /// Nothing is at hand: the next block may be long in coming, so lanes flush before it is waited for.
    var isIdle: Bool { get }

    /// Of one that is idle: the source is known to have more, which is on its way. Lanes may wait for it for a moment.
    var isBehind: Bool { get }

    /// Waits a moment for what is on its way, where more is likely to come at once: a batch of several blocks is
    /// committed for the price of one.
    func linger() async

    /// How far the stream has been read.
    var progress: StreamProgress { get }

    /// Bytes taken from the input, as they are stored there: for showing progress.
    var bytesRead: Int64 { get }

    /// How much memory the next block may take, about.
    var blockBytes: Int { get }

    /// Takes a block back whose memory may be used again.
    func recycle(_ block: consuming MessageBlock)

    /// What is told how far the stream is committed; `nil` where the source has no use for it.
    var acknowledger: (any StreamAcknowledger)? { get }

    /// Reads the message at an offset, by its ordinal too, once more: from any thread, also after the stream has been
    /// read. `nil` where that is not possible.
    var rereader: (@Sendable (StreamOffset, Int64) -> [UInt8]?)? { get }

    /// The first number of the offset at which the stream ended when it was looked at last; `nil` where that is not known.
    var head: UInt64? { get }
}

extension StreamReader {
    package func recycle(_ block: consuming MessageBlock) {}
    package var isBehind: Bool { false }
    package func linger() async {}
    package var acknowledger: (any StreamAcknowledger)? { nil }
    package var rereader: (@Sendable (StreamOffset, Int64) -> [UInt8]?)? { nil }
    package var head: UInt64? { nil }
}

/// Tells a source how far one of its streams is committed, beside its reader.
package protocol StreamAcknowledger: Sendable {
    /// Everything before the level is committed and stored. Called in order, outside transactions, not for every level.
    func acknowledge(_ level: StreamProgress) async throws

    /// The source did not take what it was told last: it is told again.
    var isRefused: Bool { get }
}

/// A stream was given to another process by what shares it: the broker's group.
package struct StreamRevoked: Error {
    package init() {}
}

/// A source cannot go on, others can: it is begun again with growing delays.
package protocol SourceFailure: Error, CustomStringConvertible {
    /// What an operator can do.
    var remedy: String { get }
    /// It may go away by itself.
    var isTransient: Bool { get }
}

extension SourceFailure {
    package var isTransient: Bool { false }
}

/// A stream's data is damaged, or ends in the middle: nothing behind it can be read.
package struct StreamDataError: Error, CustomStringConvertible {
    package var description: String

    package init(_ description: String) { self.description = description }
}

/// A stream before it has a number.
package struct StreamDescription: Sendable {
    package enum Identity: Sendable {
        case known(KnownStream)
        /// A new one; its incarnation may differ from the one that was described.
        case new(incarnation: String)
        /// Its content is not there any more, and nothing of it is entered.
        case gone
    }

    package var name: StreamName
    /// How a person calls it.
    package var label: String
    package var settings: SourceSettings
    /// Where the source may look for it first.
    package var hint: String?
    /// What an earlier run has read of it can be skipped. Not so for a pipe: what it brings next may be something else.
    package var isResumable: Bool
    /// What was read can be read again. Not so for what clients send: a projection that is behind finds nothing to catch
    /// up with.
    package var isRereadable = true
    /// Its beginning tells what numbers mean for which no unit is declared, as that of a file does. What a client sends
    /// first, or a partition begins with, says nothing of what follows.
    package var tellsUnits = true
    /// As stored: for showing progress. `nil` where it is not known.
    package var size: Int64?
    /// Whether a stream that was read to this level ends there still.
    package var isAtEnd: @Sendable (StreamProgress) -> Bool
    /// Says which of the known streams it is: they share its name, its hint or its incarnation.
    package var identify: @Sendable ([KnownStream]) -> Identity

    package init(
        name: StreamName,
        label: String,
        settings: SourceSettings,
        hint: String? = nil,
        isResumable: Bool = true,
        size: Int64? = nil,
        isAtEnd: @escaping @Sendable (StreamProgress) -> Bool = \.isAtEnd,
        identify: (@Sendable ([KnownStream]) -> Identity)? = nil
    ) {
        self.name = name
        self.label = label
        self.settings = settings
        self.hint = hint
        self.isResumable = isResumable
        self.size = size
        self.isAtEnd = isAtEnd
        self.identify =
            identify ?? { known in
                known.first { $0.name == name.name && $0.incarnation == name.incarnation }.map { .known($0) }
                    ?? .new(incarnation: name.incarnation)
            }
    }
}

/// A stream as the store knows it.
package struct KnownStream: Sendable, Hashable {
    package var id: StreamID
    package var name: String
    package var incarnation: String
    package var hint: String?
    /// How far an unfinished pass has come in it, in the first number of its offsets.
    package var reached: UInt64
    /// The resume token of the furthest level of an unfinished pass.
    package var resume: [UInt8]

    package init(
        id: StreamID,
        name: String,
        incarnation: String,
        hint: String?,
        reached: UInt64,
        resume: [UInt8] = []
    ) {
        self.id = id
        self.name = name
        self.incarnation = incarnation
        self.hint = hint
        self.reached = reached
        self.resume = resume
    }
}
