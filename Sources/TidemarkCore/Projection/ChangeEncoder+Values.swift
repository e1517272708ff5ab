/// The kept values of a row: binary form, image and digest.
extension ChangeEncoder {
    /// Whether `tags` takes the event.
    /// - Throws: a tag that its column's type does not hold.
    @inline(__always)
    mutating func accepts(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) -> Bool {
        guard let accepted = self.plan.acceptedTags, event.operation != .delete else { return true }
        return try self.accepts(accepted, event, message, image, settings)
    }

    @inline(never)
    private mutating func accepts(
        _ accepted: [[UInt8]],
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) -> Bool {
        guard let column = self.plan.tagColumn else {
            guard let tag = event.tag else { return false }
            return accepted.contains { message.has($0, at: tag) }
        }
        guard let field = self.findWithoutHint(column.source, in: image, of: message), field.kind.isValue else {
            return false
        }
        guard field.kind.isScalar, field.kind != .bytes else {
            throw Self.invalid(column.name, "the tag", field, message, expected: "a text or a number")
        }
        if column.type == .text, field.encoding != .decimalBase64 {
            return accepted.contains { message.has($0, at: field.value) }
        }
        try self.encode(field, message, column, Self.context(event, settings))
        return accepted.contains(self.encoder.text)
    }

    mutating func encodeRow(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ row: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) {
        self.values.truncate()
        self.image.truncate()
        self.digestInput.truncate()
        self.carried.truncate()
        if !self.missing.isEmpty { self.missing.removeAll(keepingCapacity: true) }
        self.isPartial = false
        self.nullsOthers = false
        let context = Self.context(event, settings)
        if let keptCount {
            var next = self.encodeFastPath(from: 0, message, row, isUTC: context.isUTC)
            while next < keptCount, let kept = self.plan.keptColumns?[next] {
                try self.encodeKept(kept, message, row, context, settings)
                next = self.encodeFastPath(from: next + 1, message, row, isUTC: context.isUTC)
            }
        } else {
            self.image.append(UInt8(ascii: "{"))
            try self.encodeWhole(message, row, settings)
            self.image.append(UInt8(ascii: "}"))
        }
        if self.keptCount == nil, self.isErased {
            self.values.appendBigEndian(-1 as Int32)
        } else if self.keptCount == nil {
            self.values.appendBigEndian(UInt32(self.image.count + 1))
            self.values.append(1)
            self.values.append(self.image)
        }
        try self.readState(message, row, context, settings)
        if self.plan.keepsStateBesideColumns {
            // Kept too, though under no column's name: without it events that only the state tells apart were equal.
            if let state = self.state {
                self.digestInput.appendContent(state.span)
            } else {
                self.digestInput.append(self.carriesState ? ContentTag.null : ContentTag.absent)
            }
        }
        self.digestInput.withSpan { content in
            content.withUnsafeBytes { self.contentDigest.update($0) }
        }
        self.contentDigest.finish(into: &self.digest)
        if self.digestInput.count > Self.scratchBytesKept { self.releaseScratch() }
    }

    private static var scratchBytesKept: Int { 1 << 20 }

    /// Gives back what a large row has needed so far, before the segment takes a copy of the rest.
    private mutating func releaseScratch() {
        self.digestInput = ByteBuffer(capacity: 4096)
        self.text = ByteBuffer()
        self.encoder.releaseMemory()
    }

    mutating func encodeKept(
        _ kept: ProjectionPlan.KeptColumn,
        _ message: DecodedMessage,
        _ row: Range<Int>,
        _ context: ValueEncoder.Context,
        _ settings: SourceSettings
    ) throws(Rejection) {
        let column = kept.column
        let field = self.find(column, in: row, of: message)
        guard kept.isShown else { return self.digestRetired(column, field, message, context, settings) }
        if let field, field.kind.isValue {
            self.carried.append(1)
            return try self.encodeValue(field, message, kept, context)
        }
        var isNull = field?.kind == .null
        if !isNull {
            // Unavailable means that the value is as it was; absent means it too, unless the configuration knows better.
            if field == nil, let substitute = column.absentValue {
                isNull = try self.encodeDefault(substitute, column)
            } else if field == nil, settings.absent == .null {
                isNull = true
            } else {
                return self.leaveOut(kept)
            }
        }
        self.carried.append(1)
        if isNull {
            if kept.isInDigest { self.digestInput.append(ContentTag.null) }
            self.values.appendBigEndian(-1 as Int32)
            return
        }
        let text = self.encoder.text
        self.values.append(self.encoder.binary)
        if kept.isInDigest { self.digestInput.appendContent(text.span) }
    }

    private mutating func encodeValue(
        _ field: Field,
        _ message: DecodedMessage,
        _ kept: ProjectionPlan.KeptColumn,
        _ context: ValueEncoder.Context
    ) throws(Rejection) {
        let column = kept.column
        self.text.truncate()
        try Self.encode(field, message, column, context, with: &self.encoder, to: &self.values, &self.text)
        if kept.isInDigest { self.text.withSpan { self.digestInput.appendContent($0) } }
    }

    /// The event does not carry the column: it keeps the value that another event gives it.
    private mutating func leaveOut(_ kept: ProjectionPlan.KeptColumn) {
        self.isPartial = true
        self.carried.append(0)
        self.missing.appendLengthPrefixed(Array(kept.column.name.utf8))
        self.values.appendBigEndian(-1 as Int32)
        if kept.isInDigest { self.digestInput.append(ContentTag.absent) }
    }

    /// A column that is configured no more: its value tells events apart as it always did, and is checked no more.
    private mutating func digestRetired(
        _ column: ColumnPlan,
        _ field: Field?,
        _ message: DecodedMessage,
        _ context: ValueEncoder.Context,
        _ settings: SourceSettings
    ) {
        do throws(Rejection) {
            switch field?.kind {
            case .null:
                self.digestInput.append(ContentTag.null)
            case nil, .unavailable:
                if let substitute = column.absentValue, try !self.encodeDefault(substitute, column) {
                    let text = self.encoder.text
                    self.digestInput.appendContent(text.span)
                } else {
                    let isNull = column.absentValue != nil || settings.absent == .null
                    self.digestInput.append(isNull ? ContentTag.null : ContentTag.absent)
                }
            default:
                guard let field else { return }
                try self.encode(field, message, column, context)
                let text = self.encoder.text
                self.digestInput.appendContent(text.span)
            }
        } catch {
            self.digestInput.append(ContentTag.invalid)
            self.digestInput.appendContent(message.bytes.span.extracting(field?.value.range ?? 0..<0))
        }
    }

    /// Encodes the configured default of a column that the message does not carry.
    /// - Returns: whether the default is null.
    mutating func encodeDefault(_ substitute: String?, _ column: ColumnPlan) throws(Rejection) -> Bool {
        guard let substitute else { return true }
        var message = DecodedMessage()
        message.bytes = Array(substitute.utf8)
        let field = Field(
            name: .empty,
            value: ByteRange(start: 0, end: message.bytes.count),
            kind: .string
        )
        let context = ValueEncoder.Context(zone: .utc, writesJSONAsText: true)
        try self.encode(field, message, column, context)
        return false
    }

    /// Keeps every column of the row: the form without declared columns.
    mutating func encodeWhole(
        _ message: DecodedMessage,
        _ row: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) {
        let hasPlaceholder = row.contains { message.fields[$0].kind == .unavailable }
        self.nullsOthers = hasPlaceholder && settings.absent == .null
        self.isPartial = hasPlaceholder || (settings.sendsMinimalImages && settings.absent != .null)
        let ordered = row.filter { !message.fields[$0].isMeta }.sorted { left, right in
            JSONText.precedes(
                Array(message.bytes[message.fields[left].name.range]),
                Array(message.bytes[message.fields[right].name.range])
            )
        }
        var missing: [[UInt8]] = []
        for index in ordered {
            let field = message.fields[index]
            let name = Array(message.bytes[field.name.range])
            do {
                guard !name.span.hasZero else { throw ValueEncoder.Misfit(expected: "a name without U+0000") }
                if field.kind == .unavailable {
                    missing.append(name)
                    continue
                }
                try self.encoder.encodeUntyped(field, of: message.bytes.span)
            } catch let misfit as ValueEncoder.Misfit {
                throw Self.invalid(message.text(field.name), "jsonb", field, message, expected: misfit.expected)
            } catch {
                throw Rejection(.valueInvalid, "\(error)")
            }
            if self.image.count > 1 { self.image.append(UInt8(ascii: ",")) }
            self.image.appendJSONString(name.span)
            self.image.append(UInt8(ascii: ":"))
            self.image.append(self.encoder.text)
            guard self.isPartial else { continue }
            for bytes in [name, self.encoder.text] {
                self.carried.appendBigEndian(UInt32(bytes.count))
                self.carried.append(bytes)
            }
        }
        self.digestInput.append(self.image)
        if self.isPartial { self.digestMissing(&missing, message, row) }
    }

    /// An image that lacks columns is another than one that has no more of them. What is hashed is what the timeline
    /// stores of it.
    private mutating func digestMissing(_ missing: inout [[UInt8]], _ message: DecodedMessage, _ row: Range<Int>) {
        // The state is a column that is known to exist: where it may be as it was, the image lacks it.
        if self.lacksAbsent, let state = self.plan.stateColumn, self.find(state, in: row, of: message) == nil {
            missing.append(state.source)
            missing.sort(by: JSONText.precedes)
        }
        for name in missing { self.missing.appendLengthPrefixed(name) }
        self.digestInput.append(self.nullsOthers ? 1 : 0)
        self.digestInput.append(self.missing)
    }
}

extension [UInt8] {
    package mutating func appendLengthPrefixed(_ bytes: [UInt8]) {
        self.appendBigEndian(UInt32(bytes.count))
        self.append(contentsOf: bytes)
    }
}
