/// The order key of an event.
extension ChangeEncoder {
    mutating func buildSequence(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ origin: Origin
    ) throws(Rejection) {
        self.order.reset()
        let isBelieved = event.beforeTrust == .whole || event.beforeTrust == .full
        let isPlain = origin.knownSequence == nil && (isBelieved || event.operation != .delete)
        if isPlain, self.buildFastPathSequence(message, image) {
            if self.plan.isContiguous { try self.checkVersion() }
            return
        }
        if let known = origin.knownSequence { self.order.append(known) }
        for part in self.plan.sequence.dropFirst(origin.knownSequence?.parts ?? 0) {
            switch part {
            case .column(let column, let kind):
                try self.appendColumn(column, kind, event, message, image, origin.settings)
            case .position:
                try self.appendPosition(event, origin.settings)
            case .eventTime:
                guard let time = event.eventTime else {
                    throw Self.missing("$event_time", "the message carries no timestamp", "a column, or $position")
                }
                self.order.append(timestamp: time)
            case .received:
                let received = origin.received
                self.order.append(received: received.offset, of: received.stream, source: origin.sourceID)
            }
        }
        if self.plan.isContiguous { try self.checkVersion() }
        guard self.order.bytes.count <= Self.sequenceBytesMax else {
            throw Self.missing(
                "\(self.plan.definition.sequence.map(\.name).joined(separator: ", "))",
                "its value is \(self.order.bytes.count) bytes long; at most \(Self.sequenceBytesMax) are indexed",
                "a number, a timestamp or $position"
            )
        }
    }

    /// Versions that are counted are whole; the bound keeps their successors within 128 bits.
    @inline(__always)
    private func checkVersion() throws(Rejection) {
        let hasPoint = self.order.text.withSpan { text in text.indices.contains { text[$0] == UInt8(ascii: ".") } }
        guard self.order.text.count > 37 || hasPoint else { return }
        throw Self.missing(
            self.plan.definition.sequence.map { "\"\($0.name)\"" }.joined(separator: ", "),
            "\(String(decoding: self.order.text.array.prefix(60), as: UTF8.self)) is no whole number of up to 37 digits, as "
                + "`contiguous` counts them",
            "another column, or a projection that is not contiguous"
        )
    }

    static func missing(_ part: String, _ why: String, _ wayOut: String) -> Rejection {
        Rejection(.sequenceMissing, "sequence part \(part): \(why); the way out is \(wayOut)")
    }

    mutating func appendColumn(
        _ column: ColumnPlan,
        _ kind: SequenceValueKind,
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) {
        let part = "\"\(column.name)\""
        let wayOut =
            event.operation == .delete
            ? "REPLICA IDENTITY FULL (say replica_identity: full), a full row image, or $position"
            : "a full row image, or $position"
        guard let field = self.find(column, in: image, of: message) else {
            throw Self.missing(part, "the \(event.operation) does not carry the column", wayOut)
        }
        if event.operation == .delete, !self.believesBefore(column, event, settings) {
            let known = event.beforeTrust == .key ? "the key" : "the columns of its replica_identity"
            throw Self.missing(part, "the delete carries only \(known); other columns may be type defaults", wayOut)
        }
        guard field.kind.isValue else {
            throw Self.missing(part, "the column is \(field.kind == .null ? "null" : "unavailable")", wayOut)
        }
        do {
            try self.encoder.appendSequence(
                field,
                of: message.bytes.span,
                as: column,
                kind,
                zone: settings.zone,
                to: &self.order
            )
        } catch {
            let value = Self.invalid(column.name, column.type.sql, field, message, expected: error.expected)
            throw Self.missing(part, value.detail, "a value of the declared type, another type, or $position")
        }
    }

    func isKey(_ column: ColumnPlan) -> Bool {
        self.plan.keyColumns.contains { $0.source == column.source }
    }

    mutating func appendPosition(_ event: ChangeEvent, _ settings: SourceSettings) throws(Rejection) {
        guard let position = event.position else {
            guard event.operation == .snapshot else {
                let gap = event.positionGap ?? .unreadable
                throw Self.missing("$position", "a message of source \"\(settings.name)\" \(gap.why)", gap.wayOut)
            }
            self.order.append(position: nil)
            return
        }
        if let kind = self.positionKind, kind != position.kind {
            throw Self.missing(
                "$position",
                "a message of source \"\(settings.name)\" carries a \(position.kind) position, the projection is ordered by "
                    + "\(kind)",
                "one projection for each kind of source, or the other `type` with $position"
            )
        }
        self.order.append(position: position)
    }

    /// The delete half of a key change: at the event's sequence, below what else has its position.
    mutating func buildFirstHalf(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ origin: Origin
    ) throws(Rejection) {
        var half = event
        half.position?.isFirstHalf = true
        try self.buildSequence(half, message, image, origin)
        self.order.appendDeleteTag()
    }

    /// The order key of a truncate: above all that stands at its position or before it.
    /// - Throws: where truncates are deletes and the message has no position to compare.
    /// - Returns: `nil` for a message without a position.
    package mutating func truncateOrder(
        _ event: ChangeEvent,
        _ settings: SourceSettings
    ) throws(Rejection) -> (key: [UInt8], text: [UInt8])? {
        self.order.reset()
        if self.plan.truncatesDelete {
            try self.appendPosition(event, settings)
        } else {
            guard let position = event.position else { return nil }
            self.order.append(position: position)
        }
        return (self.order.bytes.array + [0xFF], self.order.text.array)
    }
}
