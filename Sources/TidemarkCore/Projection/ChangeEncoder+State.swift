/// The state that an event carries.
extension ChangeEncoder {
    /// The state that the event leaves its entity in, where its image tells.
    mutating func readState(
        _ message: DecodedMessage,
        _ row: Range<Int>,
        _ context: ValueEncoder.Context,
        _ settings: SourceSettings
    ) throws(Rejection) {
        self.state = nil
        self.stateInfo = nil
        self.carriesState = true
        guard let column = self.plan.stateColumn else { return }
        let field = self.find(column, in: row, of: message)
        if let field, field.kind.isValue {
            if self.recallState(field, message) { return }
            guard field.kind.isScalar else {
                throw Self.invalid(column.name, "the state", field, message, expected: "a text or a number")
            }
            try self.encode(field, message, column, context)
            self.takeState()
            self.keepState(field, message, column)
        } else if field == nil, let substitute = column.absentValue {
            if try !self.encodeDefault(substitute, column) { self.takeState() }
        } else if field?.kind == .unavailable || (field == nil && settings.absent == .unchanged && self.lacksAbsent) {
            self.carriesState = false
            // Without declared columns it is among those that the row lacks.
            guard self.plan.keepsStateBesideColumns else { return }
            self.missing.appendLengthPrefixed(Array(column.name.utf8))
            if !self.isPartial {
                self.isPartial = true
                self.carried.truncate()
                for _ in self.plan.valueColumns ?? [] { self.carried.append(1) }
            }
        }
    }

    /// The state that was just encoded.
    private mutating func takeState() {
        let name = self.plan.stateName(self.encoder.text)
        self.state = name
        self.stateInfo = self.plan.describe(state: name)
    }

    /// Orders are in few states: what became of a text is kept, and found by its bytes.
    private mutating func recallState(_ field: Field, _ message: DecodedMessage) -> Bool {
        guard field.kind == .string, field.encoding == .none else { return false }
        for known in self.knownStates where message.has(known.value, at: field.value) {
            self.state = known.name
            self.stateInfo = known.info
            return true
        }
        return false
    }

    private mutating func keepState(_ field: Field, _ message: DecodedMessage, _ column: ColumnPlan) {
        guard column.plain.kind == .text, field.kind == .string, field.encoding == .none,
            self.knownStates.count < KnownState.countMax, let name = self.state, let info = self.stateInfo
        else { return }
        let value = Array(message.bytes[field.value.range])
        self.knownStates.append(KnownState(value: value, name: name, info: info))
    }

    /// Whether a column that the image does not have is as it was: always where columns are declared, and where the
    /// image is known to hold less than the row.
    var lacksAbsent: Bool { self.plan.keptColumns != nil || (self.isPartial && !self.nullsOthers) }
}

/// A state as a message wrote it, and what it means.
struct KnownState: Sendable {
    /// More are no states of a lifecycle, and would be looked through in vain.
    static let countMax = 32

    let value: [UInt8]
    let name: [UInt8]
    let info: ProjectionPlan.StateInfo
}
