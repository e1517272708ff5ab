/// Turns change events into staged events of one projection: key, sequence and every kept value checked and encoded,
/// the order key built. One stager serves one reader; its buffers are used again.
package struct EventStager: ~Copyable {
    package enum Outcome: Equatable {
        case staged
        /// `tags` does not take it.
        case filtered
        case rejected(Rejection)
    }

    package let plan: ProjectionPlan
    package let index: Int
    /// The kind of position this projection is ordered by; `nil` while there has been nothing to settle it by.
    package var positionKind: Position.Kind?

    var encoder = ValueEncoder()
    var order = OrderKeyBuilder()
    var key = ByteSink()
    /// Where each key column's canonical text stands in `key`.
    var keyParts: [Range<Int>] = []
    var keyFields = ByteSink()
    var oldKey = ByteSink()
    var oldKeyFields = ByteSink()
    var values = ByteSink(capacity: 4096)
    var image = ByteSink(capacity: 4096)
    var digestInput = ByteSink(capacity: 4096)
    var digest = [UInt8](repeating: 0, count: 16)
    var state: [UInt8]?
    var carriesState = true
    /// Of an image that lacks columns, as ``StagedEvent`` describes them.
    var isPartial = false
    var carried = ByteSink()
    var missing: [UInt8] = []
    /// Where each column stood in the last row that was looked at: messages of one table repeat their shape.
    var hints: [Int]
    /// Somebody keeps the row as JSON.
    let writesImage: Bool

    package init(plan: ProjectionPlan, index: Int, positionKind: Position.Kind? = nil) {
        self.plan = plan
        self.index = index
        self.positionKind = positionKind
        self.writesImage = plan.keepsTimeline || plan.keptColumns == nil
        self.hints = Array(repeating: 0, count: plan.slotCount)
    }

    /// Keys and order keys share one index entry, of which PostgreSQL takes about 2,700 bytes.
    static let keyBytesMax = 1024
    static let sequenceBytesMax = 1024

    /// What the stager is told about the message beside the message itself.
    package struct Origin: Sendable {
        package var settings: SourceSettings
        package var sourceIndex: Int
        package var place: Place
        package var line: Int64
        /// Parts of the sequence that need not be looked for in the message.
        package var knownSequence: KnownSequence?

        package init(settings: SourceSettings, sourceIndex: Int, place: Place, line: Int64) {
            self.settings = settings
            self.sourceIndex = sourceIndex
            self.place = place
            self.line = line
        }
    }

    /// Checks and encodes one event and appends it to the run of the lane that its key belongs to. An update that
    /// changes the key becomes two: a delete of the old key and an upsert of the new one.
    package mutating func stage(
        _ event: ChangeEvent,
        of message: DecodedMessage,
        from origin: Origin,
        into runs: inout [EventRun]
    ) -> Outcome {
        var event = event
        // A clock that is beyond what a timestamp can hold says nothing.
        if let time = event.eventTime, !CalendarText.timestampRange.contains(time) { event.eventTime = nil }
        do throws(Rejection) {
            let image = event.operation == .delete ? event.before ?? event.after : event.after
            guard let image else {
                throw Rejection(.keyMissing, "the \(event.operation) has no row image to take the key from")
            }
            try self.buildKey(event, message, image, origin.settings)
            let changesKey = try self.buildOldKey(event, message, origin.settings)
            guard self.accepts(event, message, image, origin.settings) else {
                try self.stageFiltered(event, message, image, origin, changesKey: changesKey, into: &runs)
                return .filtered
            }
            try self.buildSequence(event, message, image, origin)
            if event.operation == .delete {
                self.order.appendDeleteMark()
                self.append(event, message, origin, .delete, isOldKey: false, into: &runs)
                return .staged
            }
            try self.encodeRow(event, message, image, origin.settings)
            if changesKey {
                self.order.appendDeleteMark()
                self.append(event, message, origin, .delete, isOldKey: true, into: &runs)
                self.order.removeTieBreakers()
            }
            let info = self.state.map(self.plan.describe(state:))
            let digest = self.digest
            if let known = origin.knownSequence?.tieBreakers {
                self.order.append(tieBreakers: known)
            } else {
                self.order.appendTieBreakers(stateRank: info?.place ?? 0, digest: digest.span)
            }
            let operation = changesKey ? .insert : event.operation
            self.append(
                event,
                message,
                origin,
                operation,
                isOldKey: false,
                milestones: info?.milestones ?? 0,
                into: &runs
            )
            return .staged
        } catch {
            return .rejected(error)
        }
    }

    /// What is left of an event that `tags` drop: a change of the key is a delete of the old one, and those are never
    /// dropped; and where versions are contiguous, its version has been seen.
    private mutating func stageFiltered(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ origin: Origin,
        changesKey: Bool,
        into runs: inout [EventRun]
    ) throws(Rejection) {
        if changesKey {
            try self.buildSequence(event, message, image, origin)
            self.order.appendDeleteMark()
            self.append(event, message, origin, .delete, isOldKey: true, into: &runs)
        } else if self.plan.isContiguous {
            // Without a version nothing has been seen, and nothing that the projection takes is wrong.
            do throws(Rejection) { try self.buildSequence(event, message, image, origin) } catch { return }
            self.order.appendDeleteMark()
        } else {
            return
        }
        guard self.plan.isContiguous else { return }
        let lane = self.lane(isOldKey: false, among: runs.count)
        runs[lane].append(self.item(.seen, event, origin, isOldKey: false, into: &runs[lane]))
    }

    // MARK: Key

    mutating func buildKey(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>,
        _ settings: SourceSettings
    ) throws(Rejection) {
        self.key.truncate()
        self.keyFields.truncate()
        self.keyParts.removeAll(keepingCapacity: true)
        for (index, column) in self.plan.keyColumns.enumerated() {
            guard let field = self.keyField(column, event, message, image), field.kind.isValue else {
                throw Rejection(.keyMissing, "key column \"\(column.name)\" is missing, null or unavailable")
            }
            if index > 0 { self.key.append(0) }
            let context = Self.context(event, settings)
            let start = self.key.count
            try Self.encode(field, message, column, context, with: &self.encoder, to: &self.keyFields, &self.key)
            self.keyParts.append(start..<self.key.count)
        }
        guard self.key.count <= Self.keyBytesMax else {
            throw Rejection(
                .valueInvalid,
                "the key is \(self.key.count) bytes long; at most \(Self.keyBytesMax) are indexed"
            )
        }
    }

    /// A key column; where a minimal image after the change lacks it, as it was before.
    private mutating func keyField(
        _ column: ColumnPlan,
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ image: Range<Int>
    ) -> Field? {
        if let field = self.find(column, in: image, of: message), field.kind != .unavailable { return field }
        guard event.operation == .update, let before = event.before else { return nil }
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
        // Most updates leave the key alone; the bytes tell without encoding anything.
        var mayDiffer = false
        for column in self.plan.keyColumns {
            guard let old = self.find(column, in: before, of: message), old.kind.isValue else { continue }
            guard let new = self.find(column, in: after, of: message) else { continue }
            if old.kind != new.kind || message.bytes[old.value.range] != message.bytes[new.value.range] {
                mayDiffer = true
            }
        }
        guard mayDiffer else { return false }
        self.oldKey.truncate()
        self.oldKeyFields.truncate()
        for (index, column) in self.plan.keyColumns.enumerated() {
            var field = self.find(column, in: before, of: message)
            if field == nil || field?.kind.isValue == false { field = self.find(column, in: after, of: message) }
            guard let field else { return false }
            if index > 0 { self.oldKey.append(0) }
            let context = Self.context(event, settings)
            try Self.encode(field, message, column, context, with: &self.encoder, to: &self.oldKeyFields, &self.oldKey)
        }
        return self.oldKey.count <= Self.keyBytesMax && self.oldKey.array != self.key.array
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
        to binary: inout ByteSink,
        _ text: inout ByteSink
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
        if field.kind == .string { value = "\"\(value)\"" }
        return Rejection(.valueInvalid, "column \"\(column)\" (\(type)) holds \(value); expected \(expected)")
    }

    // MARK: Looking up and laying down

    mutating func find(_ column: ColumnPlan, in row: Range<Int>, of message: DecodedMessage) -> Field? {
        let hint = self.hints[column.slot]
        if hint < row.count {
            let field = message.fields[row.lowerBound + hint]
            if Self.isNamed(field, column.source, message) { return field }
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

    mutating func append(
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ origin: Origin,
        _ operation: Operation,
        isOldKey: Bool,
        milestones: UInt64 = 0,
        into runs: inout [EventRun]
    ) {
        let lane = self.lane(isOldKey: isOldKey, among: runs.count)
        var staged = self.item(.change, event, origin, isOldKey: isOldKey, into: &runs[lane])
        staged.operation = operation
        staged.orderKey = runs[lane].copy(self.order.bytes)
        staged.position = runs[lane].copy(message.bytes[event.positionText.range])
        if self.plan.truncatesDelete { staged.table = runs[lane].copy(message.bytes[event.table.range]) }
        if operation != .delete {
            staged.valueFields = runs[lane].copy(self.values)
            if self.plan.keepsTimeline { staged.image = runs[lane].copy(self.image) }
            if let state = self.state { staged.state = runs[lane].copy(state) }
            staged.milestones = milestones
            if self.isPartial {
                staged.isPartial = true
                staged.carriesState = self.carriesState
                staged.carried = runs[lane].copy(self.carried)
                staged.missing = runs[lane].copy(self.missing)
            }
        }
        runs[lane].append(staged)
    }

    private func lane(isOldKey: Bool, among count: Int) -> Int {
        guard count > 1 else { return 0 }
        return isOldKey
            ? self.oldKey.withSpan { Murmur2.lane(of: $0, among: count) }
            : self.key.withSpan { Murmur2.lane(of: $0, among: count) }
    }

    /// An item with the event's key, place and sequence.
    private func item(
        _ kind: StagedEvent.Kind,
        _ event: ChangeEvent,
        _ origin: Origin,
        isOldKey: Bool,
        into run: inout EventRun
    ) -> StagedEvent {
        var staged = StagedEvent(kind: kind, offset: origin.place.offset, row: origin.place.row)
        staged.line = origin.line
        staged.projection = Int32(self.index)
        staged.source = Int32(origin.sourceIndex)
        if isOldKey {
            staged.keyHash = self.oldKey.withSpan { SipHash128.process.hash($0) }
            staged.key = run.copy(self.oldKey)
            staged.keyFields = run.copy(self.oldKeyFields)
        } else {
            staged.keyHash = self.key.withSpan { SipHash128.process.hash($0) }
            staged.key = run.copy(self.key)
            staged.keyFields = run.copy(self.keyFields)
        }
        staged.sequenceCount = UInt16(self.order.sequenceCount)
        staged.sequence = run.copy(self.order.text)
        staged.eventTime = event.eventTime
        return staged
    }
}

extension Field.Kind {
    var isValue: Bool { self != .null && self != .unavailable }
}

/// A stager where only a reference fits: among others, in an array.
package final class StagerBox {
    package var stager: EventStager

    package init(_ stager: consuming EventStager) {
        self.stager = stager
    }
}
