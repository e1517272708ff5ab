import Crypto

/// The kept values of a row: binary form, image and digest.
extension EventStager {
    func accepts(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ settings: SourceSettings
    ) -> Bool {
        guard let accepted = self.plan.definition.tags?.accepted, event.operation != .delete else { return true }
        guard let column = self.plan.tagColumn else {
            return event.tag.map { accepted.contains(message.text($0)) } ?? false
        }
        guard let field = self.findWithoutHint(column.source, in: image, of: message) else { return false }
        return accepted.contains(message.text(field.value))
    }

    mutating func encodeRow(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ row: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) {
        self.values.removeAll(keepingCapacity: true)
        self.image.removeAll(keepingCapacity: true)
        self.digestInput.removeAll(keepingCapacity: true)
        self.image.append(UInt8(ascii: "{"))
        let context = Self.context(event, settings)
        if let kept = self.plan.keptColumns {
            for column in kept { try self.encodeKept(column, message, row, context, settings) }
        } else {
            try self.encodeWhole(message, row, settings)
        }
        self.image.append(UInt8(ascii: "}"))
        if self.plan.keptColumns == nil {
            self.values.appendBigEndian(UInt32(self.image.count + 1))
            self.values.append(1)
            self.values.append(contentsOf: self.image)
        }
        try self.readState(message, row, context)
        if self.plan.keepsStateBesideColumns {
            // Kept too, though under no column's name: without it events that only the state tells apart were equal.
            self.digestInput.append(self.state == nil ? 1 : 2)
            self.digestInput.append(contentsOf: self.state ?? [])
        }
        var hash = SHA256()
        self.digestInput.withUnsafeBytes { hash.update(bufferPointer: $0) }
        hash.finalize().withUnsafeBytes { bytes in
            for index in 0..<16 { self.digest[index] = bytes[index] }
        }
    }

    mutating func encodeKept(
        _ kept: ProjectionPlan.KeptColumn,
        _ message: DecodedMessage,
        _ row: Range<Int>,
        _ context: ValueEncoder.Context,
        _ settings: SourceSettings
    ) throws(Rejection) {
        let column = kept.column
        let field = self.find(column.source, in: row, of: message)
        guard kept.isShown else { return self.digestRetired(column, field, message, context, settings) }
        if self.image.count > 1 { self.image.append(UInt8(ascii: ",")) }
        self.image.append(contentsOf: kept.imageName)
        var isNull = field?.kind == .null
        if let field, field.kind == .unavailable {
            throw Self.partial(column, "unavailable (\(String(message.text(field.value).prefix(60))))")
        }
        if let field, !isNull {
            try self.encode(field, message, column, context)
        } else if !isNull {
            if let substitute = column.absentValue {
                isNull = try self.encodeDefault(substitute, column)
            } else if settings.absent == .null {
                isNull = true
            } else {
                throw Self.partial(column, "absent")
            }
        }
        if isNull {
            if kept.isInDigest { self.digestInput.append(1) }
            self.image.append(contentsOf: "null".utf8)
            if !kept.isKey { self.values.appendBigEndian(-1 as Int32) }
            return
        }
        if !kept.isKey { self.values.append(contentsOf: self.encoder.binary) }
        if kept.isInDigest { self.digestEncoded() }
        self.appendImage(of: column.type)
    }

    /// Adds the value that was encoded last to the digest.
    private mutating func digestEncoded() {
        self.digestInput.append(2)
        self.digestInput.appendBigEndian(UInt32(self.encoder.text.count))
        self.digestInput.append(contentsOf: self.encoder.text)
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
                self.digestInput.append(1)
            case nil, .unavailable:
                if let substitute = column.absentValue, try !self.encodeDefault(substitute, column) {
                    self.digestEncoded()
                } else {
                    self.digestInput.append(column.absentValue != nil || settings.absent == .null ? 1 : 0)
                }
            default:
                guard let field else { return }
                try self.encode(field, message, column, context)
                self.digestEncoded()
            }
        } catch {
            self.digestInput.append(3)
            if let field { self.digestInput.append(contentsOf: message.bytes[field.value.range]) }
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

    mutating func appendImage(of type: ColumnType) {
        // Not a number, and the infinities, are no JSON numbers.
        let isSpecial = self.encoder.text.last.map { $0 == UInt8(ascii: "N") || $0 == UInt8(ascii: "y") } ?? false
        if type.isBareInJSON, !(isSpecial && (type == .doublePrecision || type == .real)) {
            self.image.append(contentsOf: self.encoder.text)
        } else {
            let text = self.encoder.text
            JSONText.appendString(text.span, to: &self.image)
        }
    }

    static func partial(_ column: ColumnPlan, _ why: String) -> Rejection {
        Rejection(
            .partialImage,
            "column \"\(column.name)\" is \(why); the way out is a full row image, "
                + "a `default` for the column, or `absent: null` for the source"
        )
    }

    /// Keeps every column of the row: the form without declared columns.
    mutating func encodeWhole(
        _ message: DecodedMessage,
        _ row: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) {
        let ordered = row.sorted { left, right in
            JSONText.precedes(
                Array(message.bytes[message.fields[left].name.range]),
                Array(message.bytes[message.fields[right].name.range])
            )
        }
        for index in ordered {
            let field = message.fields[index]
            let name = message.bytes[field.name.range]
            if field.kind == .unavailable {
                throw Rejection(
                    .partialImage,
                    "column \"\(message.text(field.name))\" is unavailable; a full row image is needed"
                )
            }
            if settings.sendsMinimalImages {
                throw Rejection(.partialImage, "the source sends minimal row images; a full row image is needed")
            }
            let start = self.image.count
            if start > 1 { self.image.append(UInt8(ascii: ",")) }
            JSONText.appendString(Array(name).span, to: &self.image)
            self.image.append(UInt8(ascii: ":"))
            do {
                guard !name.contains(0) else { throw ValueEncoder.Misfit(expected: "a name without U+0000") }
                try self.encoder.encodeUntyped(field, of: message.bytes.span)
            } catch let misfit as ValueEncoder.Misfit {
                throw Self.invalid(message.text(field.name), "jsonb", field, message, expected: misfit.expected)
            } catch {
                throw Rejection(.valueInvalid, "\(error)")
            }
            self.image.append(contentsOf: self.encoder.text)
        }
        self.digestInput.append(contentsOf: self.image)
    }

    mutating func readState(
        _ message: DecodedMessage,
        _ row: Range<Int>,
        _ context: ValueEncoder.Context
    ) throws(Rejection) {
        self.state = nil
        guard let column = self.plan.stateColumn, let field = self.find(column.source, in: row, of: message),
            field.kind.isValue
        else { return }
        try self.encode(field, message, column, context)
        self.state = self.plan.stateName(self.encoder.text)
    }
}
