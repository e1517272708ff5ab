/// Turns change events into encoded events of one projection: key, sequence and every kept value checked and encoded,
/// the order key built. One changeEncoder serves one reader; its buffers are used again.
package struct ChangeEncoder: ~Copyable {
    package enum Outcome: Equatable {
        case encoded
        /// `tags` does not take it.
        case filtered
        case rejected(Rejection)
    }

    package let plan: ProjectionPlan
    package let index: Int
    /// The kind of position this projection is ordered by; `nil` while there has been nothing to decide it by.
    package var positionKind: Position.Kind?

    var encoder = ValueEncoder()
    var order: OrderKeyBuilder
    var key = ByteBuffer()
    /// Where each key column's canonical text stands in `key`.
    var keyParts = ReusedArray<Range<Int>>()
    var keyFields = ByteBuffer()
    var oldKey = ByteBuffer()
    var oldKeyFields = ByteBuffer()
    var values = ByteBuffer(capacity: 4096)
    var image = ByteBuffer(capacity: 4096)
    var digestInput = ByteBuffer(capacity: 4096)
    /// The canonical text of a value that takes more than a look.
    var text = ByteBuffer()
    var contentDigest = DigestContext()
    var digest = [UInt8](repeating: 0, count: 32)
    var state: [UInt8]?
    var stateInfo: ProjectionPlan.StateInfo?
    var knownStates: [KnownState] = []
    var carriesState = true
    /// Of an image that lacks columns, as ``EncodedChange`` describes them.
    var isPartial = false
    var nullsOthers = false
    /// The event's content was forgotten: without declared columns there is no row of it.
    package var isErased = false
    var carried = ByteBuffer()
    var missing: [UInt8] = []
    /// Where each column stood in the last row that was looked at: messages of one table repeat their shape.
    var hints: [Int]
    /// The kept columns as the quick path sees them.
    let fastPathColumns: [FastPathColumn]
    /// How many columns are kept; `nil` where all of a row is.
    let keptCount: Int?
    let fastPathKey: [FastPathColumn]
    /// The sequence, when it is one column of whole numbers.
    let fastPathSequence: FastPathColumn?
    let laneRule: LaneRule

    package init(
        plan: ProjectionPlan,
        index: Int,
        positionKind: Position.Kind? = nil,
        laneRule: LaneRule = .current
    ) {
        self.plan = plan
        self.order = OrderKeyBuilder(numbers: plan.numbers)
        self.laneRule = laneRule
        self.index = index
        self.positionKind = positionKind
        self.hints = Array(repeating: 0, count: plan.slotCount)
        self.fastPathColumns = plan.keptColumns?.map { FastPathColumn($0) } ?? []
        self.keptCount = plan.keptColumns?.count
        self.fastPathKey = plan.keyColumns.map { FastPathColumn($0) }
        if plan.sequence.count == 1, case .column(let column, .number) = plan.sequence[0] {
            self.fastPathSequence = FastPathColumn(column)
        } else {
            self.fastPathSequence = nil
        }
    }

    /// Keys and order keys share one index entry, of which PostgreSQL takes about 2,700 bytes.
    static let keyBytesMax = 1024
    static let sequenceBytesMax = 1024

    /// Checks and encodes one event and appends it to the segment of the lane that its key belongs to. An update that
    /// changes the key becomes two: a delete of the old key and an upsert of the new one.
    package mutating func encode(
        _ event: ChangeEvent,
        of message: DecodedMessage,
        from origin: Origin,
        into segments: inout [LaneSegment]
    ) -> Outcome {
        if let time = event.eventTime, !CalendarText.timestampRange.contains(time) {
            // A clock that is beyond what a timestamp can hold says nothing.
            var timeless = event
            timeless.eventTime = nil
            return self.encode(timeless, of: message, from: origin, into: &segments)
        }
        do throws(Rejection) {
            let image = event.operation == .delete ? event.before ?? event.after : event.after
            guard let image else {
                throw Rejection(.keyMissing, "the \(event.operation) has no row image to take the key from")
            }
            if event.operation == .delete, event.beforeTrust == .columns {
                try self.checkIdentity(event, message, origin.settings)
            }
            try self.buildKey(event, message, image, origin.settings)
            if let newKey = message.newKey, try self.isKept(by: newKey, event, message, image, origin.settings) {
                return .filtered
            }
            let changesKey = try self.buildOldKey(event, message, origin.settings)
            guard try self.accepts(event, message, image, origin.settings) else {
                try self.encodeFiltered(event, message, image, origin, changesKey: changesKey, into: &segments)
                return .filtered
            }
            try self.buildSequence(event, message, image, origin)
            if event.operation == .delete {
                self.order.appendDeleteTag()
                let isDoubtful = event.beforeTrust == .full && self.looksLikeKeyAlone(message, image)
                self.append(
                    event,
                    message,
                    origin,
                    .delete,
                    isOldKey: false,
                    remarks: isDoubtful ? .doubtfulDelete : [],
                    into: &segments
                )
                return .encoded
            }
            try self.encodeRow(event, message, image, origin.settings)
            if changesKey {
                try self.buildFirstHalf(event, message, image, origin)
                self.append(event, message, origin, .delete, isOldKey: true, into: &segments)
                try self.buildSequence(event, message, image, origin)
            }
            if let known = origin.knownSequence?.tieBreakers {
                self.order.append(tieBreakers: known)
            } else {
                let rank = self.stateInfo?.rank ?? 0
                // Two branches: an array chosen from two is retained and released for every event.
                if let digest = origin.knownSequence?.digest {
                    self.order.appendTieBreakers(stateRank: rank, digest: digest.span)
                } else {
                    let digest = self.digest
                    self.order.appendTieBreakers(stateRank: rank, digest: digest.span)
                }
            }
            let operation = changesKey ? .insert : event.operation
            self.append(
                event,
                message,
                origin,
                operation,
                isOldKey: false,
                milestones: self.stateInfo?.milestones ?? 0,
                into: &segments
            )
            return .encoded
        } catch {
            return .rejected(error)
        }
    }

    /// What is left of an event that `tags` drop: a change of the key is a delete of the old one, and those are never
    /// dropped; and where versions are contiguous, its version has been seen.
    private mutating func encodeFiltered(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ origin: Origin,
        changesKey: Bool,
        into segments: inout [LaneSegment]
    ) throws(Rejection) {
        if changesKey {
            try self.buildFirstHalf(event, message, image, origin)
            self.append(event, message, origin, .delete, isOldKey: true, into: &segments)
        } else if self.plan.isContiguous {
            // Without a version nothing has been seen, and nothing that the projection takes is wrong.
            do throws(Rejection) { try self.buildSequence(event, message, image, origin) } catch { return }
            self.order.appendDeleteTag()
        } else {
            return
        }
        guard self.plan.isContiguous else { return }
        self.appendSeen(event, origin, into: &segments)
    }

    // MARK: Key

    mutating func buildKey(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) {
        self.emptyKey()
        let context = Self.context(event, settings)
        if !self.buildFastPathKey(message, image, isUTC: context.isUTC) {
            self.emptyKey()
            for (index, column) in self.plan.keyColumns.enumerated() {
                guard let field = self.keyField(column, event, message, image, settings), field.kind.isValue else {
                    throw Self.missingKey(column)
                }
                try self.checkIsScalar(field, column, message)
                if index > 0 { self.key.append(0) }
                let start = self.key.count
                try Self.encode(field, message, column, context, with: &self.encoder, to: &self.keyFields, &self.key)
                self.keyParts.append(start..<self.key.count)
            }
        }
        guard self.key.count <= Self.keyBytesMax else {
            throw Rejection(
                .valueInvalid,
                "the key is \(self.key.count) bytes long; at most \(Self.keyBytesMax) are indexed"
            )
        }
    }

    private mutating func emptyKey() {
        self.key.truncate()
        self.keyFields.truncate()
        self.keyParts.removeAll()
    }

    /// A key column; where a minimal image after the change lacks it, as it was before.
    mutating func keyField(
        _ column: ColumnPlan,
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ settings: SourceSettings
    ) -> Field? {
        if column.isDatabase { return self.databaseField(event) }
        if let field = self.find(column, in: image, of: message), field.kind != .unavailable { return field }
        // A broker's key that is one value names no column.
        if event.beforeTrust == .key, self.plan.keyColumns.count == 1,
            let field = self.findWithoutHint(MessageRecord.scalarKey, in: image, of: message)
        {
            return field
        }
        guard event.operation == .update, let before = event.before, self.believesBefore(column, event, settings)
        else { return nil }
        return self.find(column, in: before, of: message)
    }

    /// - Returns: whether the row had another key before.
    mutating func buildOldKey(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ settings: SourceSettings
    ) throws(Rejection) -> Bool {
        guard event.operation == .update || event.operation == .insert, let before = event.before,
            let after = event.after
        else { return false }
        guard self.mayChangeKey(message, before, after) else { return false }
        self.oldKey.truncate()
        self.oldKeyFields.truncate()
        for (index, column) in self.plan.keyColumns.enumerated() {
            var field: Field?
            if column.isDatabase {
                field = self.databaseField(event)
            } else if self.believesBefore(column, event, settings) {
                field = self.find(column, in: before, of: message)
            }
            if field == nil || field?.kind.isValue == false { field = self.find(column, in: after, of: message) }
            guard let field else { return false }
            try self.checkIsScalar(field, column, message)
            if index > 0 { self.oldKey.append(0) }
            let context = Self.context(event, settings)
            try Self.encode(field, message, column, context, with: &self.encoder, to: &self.oldKeyFields, &self.oldKey)
        }
        return self.oldKey.count <= Self.keyBytesMax && self.oldKey.array != self.key.array
    }

    /// A key is made of scalars. A decimal that carries its scale is one, in a column for numbers.
    func checkIsScalar(_ field: Field, _ column: ColumnPlan, _ message: DecodedMessage) throws(Rejection) {
        guard !field.kind.isScalar else { return }
        if field.kind == .json, column.type.sequenceKind == .number {
            let value = message.bytes.span.extracting(field.value.range)
            if VariableScaleDecimal.parse(value) != nil { return }
        }
        throw Rejection(
            .keyMissing,
            "key column \"\(column.name)\" holds an object or a list; a key is a text, a number or a time"
        )
    }

    static func context(_ event: ChangeEvent, _ settings: SourceSettings) -> ValueEncoder.Context {
        .init(zone: settings.zone, writesJSONAsText: event.writesJSONAsText)
    }

    mutating func encode(
        _ field: Field,
        _ message: DecodedMessage,
        _ column: ColumnPlan,
        _ context: ValueEncoder.Context
    ) throws(Rejection) {
        do {
            try self.encoder.encode(field, of: message.bytes.span, as: column, in: context)
        } catch {
            throw Self.invalid(column.name, column.type.sql, field, message, expected: error.expected)
        }
    }

    /// Appends a value's binary form, behind its length, and its canonical text.
    static func encode(
        _ field: Field,
        _ message: DecodedMessage,
        _ column: ColumnPlan,
        _ context: ValueEncoder.Context,
        with encoder: inout ValueEncoder,
        to binary: inout ByteBuffer,
        _ text: inout ByteBuffer
    ) throws(Rejection) {
        do {
            try encoder.append(field, of: message.bytes.span, as: column, in: context, binary: &binary, text: &text)
        } catch {
            throw Self.invalid(column.name, column.type.sql, field, message, expected: error.expected)
        }
    }

    static func invalid(
        _ column: String,
        _ type: String,
        _ field: Field,
        _ message: DecodedMessage,
        expected: String
    ) -> Rejection {
        var value = message.text(ByteRange(start: field.value.start, count: min(field.value.count, 200)))
        if field.value.count > 200 { value += "…" }
        if field.kind == .string || field.kind == .textOrBytes { value = "\"\(value)\"" }
        if field.kind == .bytes { value = "the bytes \"\(value)\"" }
        return Rejection(.valueInvalid, "column \"\(column)\" (\(type)) holds \(value); expected \(expected)")
    }

    // MARK: Looking up

    mutating func find(_ column: ColumnPlan, in row: Range<Int>, of message: DecodedMessage) -> Field? {
        let hint = self.hints[column.slot]
        if hint < row.count {
            let field = message.fields[row.lowerBound + hint]
            let isMatch = message.bytes.withUnsafeBytes { column.nameKey.matches(field.name, of: $0) }
            if isMatch || Self.isNamed(field, column.source, message) { return field }
        }
        for index in row where Self.isNamed(message.fields[index], column.source, message) {
            self.hints[column.slot] = index - row.lowerBound
            return message.fields[index]
        }
        return nil
    }

    func findWithoutHint(_ name: [UInt8], in row: Range<Int>, of message: DecodedMessage) -> Field? {
        row.lazy.map { message.fields[$0] }.first { Self.isNamed($0, name, message) }
    }

    @inline(__always)
    static func isNamed(_ field: Field, _ name: [UInt8], _ message: DecodedMessage) -> Bool {
        guard Int(field.name.count) == name.count else { return false }
        let bytes = message.bytes.span.extracting(field.name.range)
        for index in name.indices where bytes[index] != name[index] { return false }
        return true
    }
}

extension Field.Kind {
    package var isValue: Bool { self != .null && self != .unavailable }
    /// A value that can be a key, a state, a sequence or a tag by itself.
    var isScalar: Bool { self != .json }
}

/// One encoder per projection in manually allocated memory: no reference counting, no exclusivity checks.
/// Their owner alone does.
package struct EncoderTable: ~Copyable {
    private let encoders: UnsafeMutableBufferPointer<ChangeEncoder>

    package init(count: Int, _ make: (Int) -> ChangeEncoder) {
        self.encoders = .allocate(capacity: count)
        for index in 0..<count { self.encoders.initializeElement(at: index, to: make(index)) }
    }

    deinit {
        self.encoders.deinitialize()
        self.encoders.deallocate()
    }

    package var indices: Range<Int> { 0..<self.encoders.count }

    /// Not by assigning to the address of the former one: the compiler does not destroy its buffers then.
    package func replace(_ index: Int, with encoder: consuming ChangeEncoder) {
        self[index].deinitialize(count: 1)
        self[index].initialize(to: encoder)
    }

    /// Valid as long as the table.
    package subscript(index: Int) -> UnsafeMutablePointer<ChangeEncoder> {
        guard self.indices.contains(index), let base = self.encoders.baseAddress else {
            preconditionFailure("there is no changeEncoder \(index)")
        }
        return base + index
    }
}
