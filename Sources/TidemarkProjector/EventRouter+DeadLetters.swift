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
        let bytes = context.block.bytes[message.range]
        let offset = context.offset(row: row)
        var letter = DeadLetter(
            projection: projection,
            source: stream.settings.name,
            position: "\(stream.name):\(message.ordinal)",
            rejection: rejection,
            row: Int32(clamping: row),
            raw: Array(bytes.prefix(DeadLetter.rawBytesMax)),
            digest: DeadLetter.digest(of: bytes, oversizedLength: message.isOversized ? message.length : nil),
            reading: DeadLetter.Reading(stream: stream.id, offset: offset, ordinal: message.ordinal),
            isWhole: isWhole
        )
        switch context.attached {
        case .stored(let event): Self.describe(event, of: stream, in: &letter)
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
    private static func describe(_ event: StoredEvent, of stream: PassStream, in letter: inout DeadLetter) {
        letter.source = event.source
        letter.position = "\(stream.name) \(event.key.joined(separator: " ")), sequence \(event.sequence)"
        letter.raw = Array((event.image ?? "").utf8.prefix(DeadLetter.rawBytesMax))
        let identity = Array(event.key.joined(separator: "\0").utf8) + event.orderKey
        letter.digest = DeadLetter.digest(of: identity[...], oversizedLength: nil)
        letter.reading = nil
        letter.isWhole = false
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
}
