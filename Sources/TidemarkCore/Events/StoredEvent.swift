/// One event as the timeline keeps it.
package struct StoredEvent: Sendable {
    /// Each part of the key in PostgreSQL's text.
    package var key: [String]
    package var orderKey: [UInt8]
    package var sequence: String
    package var operation: Operation
    package var state: String?
    package var eventTime: Int64?
    package var source: String
    package var position: String?
    /// JSON; `nil` for a delete.
    package var image: String?
    /// Columns that the image is known to lack; `nil` for a complete one.
    package var missing: [String]?
    /// Without declared columns: what the image neither holds nor is known to lack was null, and not as it was.
    package var nullsOthers = false
    package var remarks: Remarks

    package init(
        key: [String],
        orderKey: [UInt8],
        sequence: String,
        operation: Operation,
        state: String?,
        eventTime: Int64?,
        source: String,
        position: String?,
        image: String?,
        missing: [String]?,
        nullsOthers: Bool,
        remarks: Remarks
    ) {
        self.key = key
        self.orderKey = orderKey
        self.sequence = sequence
        self.operation = operation
        self.state = state
        self.eventTime = eventTime
        self.source = source
        self.position = position
        self.image = image
        self.missing = missing
        self.nullsOthers = nullsOthers
        self.remarks = remarks
    }

    /// Its content was forgotten (`tidemark forget`).
    package var isErased: Bool { self.image == nil && self.operation != .delete }

    /// How many bytes of the order key are the sequence.
    package var sequenceCount: Int {
        KnownSequence.byteCount(ofOrderKey: self.orderKey, isDelete: self.operation == .delete)
    }

    /// The digest that the order key ends with; a delete has none.
    package var digest: [UInt8]? {
        self.operation == .delete ? nil : Array(self.orderKey.suffix(KnownSequence.digestCount))
    }
}

/// Under which names and in which form the images of stored events are read, and what of their order keys stays.
package struct StoredEventReading: Sendable {
    /// The projection to be made of them, as it reads stored images: columns by their stored names, values in canonical
    /// text.
    package var definition: ProjectionDefinition
    /// Parts at the beginning of `sequence` that are taken over from the stored order keys.
    package var keptParts: Int
    /// The digests of the stored order keys are taken over: what takes part in them is what it was.
    package var keepsDigests: Bool
    /// Columns of the stored images, by their names there, in which JSON null is told from null.
    package var jsonColumns: [String]
    /// The state is not in the images, and is given to them under this name as the timeline has it.
    package var stateName: String?
    /// The stored images hold every column of their message, and not only declared ones.
    package var isWhole: Bool

    package init(
        definition: ProjectionDefinition,
        keptParts: Int,
        keepsDigests: Bool,
        jsonColumns: [String],
        stateName: String?,
        isWhole: Bool
    ) {
        self.definition = definition
        self.keptParts = keptParts
        self.keepsDigests = keepsDigests
        self.jsonColumns = jsonColumns
        self.stateName = stateName
        self.isWhole = isWhole
    }
}

/// Stored events in the order of a timeline, one for each message of the block that carries them.
package struct StoredEventPage: Sendable {
    package var events: [StoredEvent]
    package var reading: StoredEventReading
    /// What is configured of the sources that the events came from.
    package var sources: [SourceSettings]

    package init(events: [StoredEvent], reading: StoredEventReading, sources: [SourceSettings]) {
        self.events = events
        self.reading = reading
        self.sources = sources
    }
}
