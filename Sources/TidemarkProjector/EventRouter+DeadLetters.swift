import TidemarkCore
import TidemarkDecoding

/// What becomes a dead letter, and what a truncate becomes.
extension EventRouter {
    /// - Returns: 0 for what an earlier run has committed: it was counted there, and stopped that one where it had to.
    static func deadLetter(
        _ rejection: Rejection,
        of projection: String? = nil,
        row: Int = 0,
        isWhole: Bool = false,
        _ context: MessageContext,
        into segments: inout [LaneSegment]
    ) -> Int {
        let (message, stream) = (context.message, context.stream)
        // What belongs to no one projection is recorded where they are read together.
        guard stream.projection == nil || projection != nil else { return 0 }
        let (raw, digest, record) = context.letters.message(of: context)
        let offset = context.offset(row: row)
        var letter = DeadLetter(
            projection: projection,
            source: stream.settings.name,
            // A message of a broker is known by its offset, others by their number.
            position:
                "\(stream.name):\(context.block.origin == nil ? message.ordinal : Int64(clamping: message.offset.major))",
            rejection: rejection,
            row: Int32(clamping: row),
            raw: raw,
            digest: digest,
            reading: DeadLetter.Reading(stream: stream.id, offset: offset, ordinal: message.ordinal),
            isWhole: isWhole
        )
        letter.record = record
        switch context.attached {
        case .stored(let event):
            let columns = (context.block.attachment as? StoredEventPage)?.columns ?? []
            Self.describe(event, columns, of: stream, in: &letter)
        case .retried(let retried):
            letter.position = retried.position
            letter.reading = retried.reading
            letter.reading?.offset.row = UInt32(clamping: row)
        case nil: break
        }
        segments[context.home].append(deadLetter: letter, at: offset, ordinal: context.ordinal)
        return context.isCovered(row: row) ? 0 : 1
    }

    /// A stored event has no message: it is known by its key and order key, and cannot be tried again from here.
    private static func describe(
        _ event: StoredEvent,
        _ columns: [StoredColumn],
        of stream: PassStream,
        in letter: inout DeadLetter
    ) {
        letter.source = event.source
        letter.position = "\(stream.name) \(event.key.joined(separator: " ")), sequence \(event.sequence)"
        letter.raw = Array((event.image?.text(columns) ?? "").utf8.prefix(DeadLetter.rawBytesMax))
        let identity = Array(event.key.joined(separator: "\0").utf8) + event.orderKey
        letter.digest = DeadLetter.digest(of: identity[...], oversizedLength: nil)
        letter.reading = nil
        letter.isWhole = false
        letter.record = nil
    }

    /// Recorded once; where it is a delete, each lane has to know of it, since each has entities of the table.
    mutating func recordTruncate(
        _ event: ChangeEvent,
        of message: DecodedMessage,
        _ projection: Int,
        _ context: MessageContext,
        into segments: inout [LaneSegment]
    ) throws(Rejection) {
        let isDelete = self.encoders[projection].pointee.plan.truncatesDelete
        let position = message.bytes[event.positionText.range]
        // Without a position that can be compared it is known by what the message says of its place.
        let order =
            try self.encoders[projection].pointee.truncateOrder(event, context.stream.settings)
            ?? (key: [0] + position, text: Array(position))
        let table = try self.encoders[projection].pointee.truncatedTable(event, message)
        try Self.checkTruncate(of: table, at: order.text)
        for lane in isDelete ? Array(segments.indices) : [context.home] {
            var item = EncodedChange(kind: .truncate, offset: context.offset(row: event.row))
            item.ordinal = context.ordinal
            item.projection = Int16(projection)
            item.eventTime = event.eventTime
            segments[lane].append(truncate: item, of: table[...], order: order)
        }
    }

    private static let truncateTextBytesMax = 1024

    /// Refuses a truncate whose table or position the database cannot store. PostgreSQL's text has no U+0000, and the
    /// primary key of the truncates, which holds both, takes 2,704 bytes: the insert would end the process.
    static func checkTruncate(of table: [UInt8], at position: [UInt8]) throws(Rejection) {
        for (name, text) in [("table name", table), ("position", position)] {
            guard text.count > Self.truncateTextBytesMax || text.contains(0) else { continue }
            throw Rejection(
                .valueInvalid,
                "a truncate of \(Excerpt.quoted(table)) at position \(Excerpt.quoted(position)): expected a \(name) of at "
                    + "most \(Self.truncateTextBytesMax) bytes without U+0000"
            )
        }
    }

    /// Takes the images out of the items that a message has come to.
    func removeImages(from segments: inout [LaneSegment]) {
        for lane in segments.indices {
            for index in self.counts[lane]..<segments[lane].items.count
            where segments[lane].items[index].kind == .change {
                segments[lane].items[index].removeImage()
            }
        }
    }

    /// Drops what a retried letter's message comes to beside the letter itself.
    /// - Returns: 1 when it is a dead letter still.
    func keepOwn(_ letter: RetriedLetter, _ tally: inout Tally, in segments: inout [LaneSegment]) -> Int {
        if !letter.isWhole { tally.filtered = 0 }
        var isRefused = false
        for lane in segments.indices {
            let segment = segments[lane]
            segments[lane].removeItems { !letter.owns($0, of: segment) { self.encoders[$0].pointee.plan.name } }
            segments[lane].retried = letter
            if letter.refusal(in: segments[lane]) != nil { isRefused = true }
        }
        return isRefused ? 1 : 0
    }
}

/// What the letters of one message share: its bytes in one piece of memory, and its digest. A message of thousands of bad
/// rows would otherwise be copied and hashed thousands of times.
final class LetterMessage {
    private var offset: StreamOffset?
    private var stream: StreamID?
    private var raw: [UInt8] = []
    private var digest: [UInt8] = []
    private var record: StoredRecord?

    /// - Returns: what one more letter of the message keeps of it.
    func message(of context: EventRouter.MessageContext) -> (raw: [UInt8], digest: [UInt8], record: StoredRecord?) {
        let message = context.message
        if self.offset != message.offset || self.stream != context.stream.id {
            (self.offset, self.stream) = (message.offset, context.stream.id)
            let bytes = context.block.bytes[message.range]
            self.raw = Array(bytes.prefix(DeadLetter.rawBytesMax))
            self.record = Self.record(of: context)
            self.digest = DeadLetter.digest(
                of: bytes,
                self.record,
                oversizedLength: message.isOversized ? message.length : nil
            )
        }
        return (self.raw, self.digest, self.record)
    }

    private static func record(of context: EventRouter.MessageContext) -> StoredRecord? {
        if context.isAttached, case .retried(let letter) = context.attached { return letter.record }
        return context.block.withRecord(of: context.message) { _, record in
            record.map { StoredRecord($0, isTombstone: context.message.payload == nil) }
        }
    }

    /// Another block begins, whose offsets may be those of the one before.
    func reset() { (self.offset, self.raw, self.record) = (nil, [], nil) }
}
