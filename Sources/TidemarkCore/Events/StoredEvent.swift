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
    /// `nil` for a delete, and for an event whose content was forgotten.
    package var image: StoredImage?
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
        image: StoredImage?,
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

/// The row as a stored event has it.
package enum StoredImage: Sendable {
    /// A whole row, and every row of a timeline in the form of earlier versions.
    case json(String)
    /// The declared columns, which the page names.
    case columns(StoredValues)

    /// About how many bytes it takes.
    package var byteCount: Int {
        switch self {
        case .json(let text): text.utf8.count
        case .columns(let values): values.bytes.count
        }
    }

    /// A JSON object, in which the values of declared columns are texts.
    package func text(_ columns: [StoredColumn]) -> String {
        guard case .columns(let values) = self else {
            if case .json(let text) = self { return text }
            return ""
        }
        let members = zip(columns, values.cells).compactMap { column, cell -> String? in
            let name = JSONOutput.string(String(decoding: column.name, as: UTF8.self))
            switch cell {
            case .absent: return nil
            case .null: return "\(name):null"
            case .text(let range):
                let text = values.bytes[column.form == .json ? range.dropFirst() : range]
                return "\(name):\(JSONOutput.string(String(decoding: text, as: UTF8.self)))"
            }
        }
        return "{\(members.joined(separator: ","))}"
    }
}

/// The values of one stored event, in the order of the page's columns.
package struct StoredValues: Sendable {
    package enum Cell: Sendable {
        /// The event does not carry the column.
        case absent
        case null
        /// Where its text stands in the bytes.
        case text(Range<Int>)
    }

    package private(set) var bytes: [UInt8] = []
    package private(set) var cells: [Cell] = []

    package init(columns: Int) {
        self.cells.reserveCapacity(columns)
    }

    package mutating func append(_ text: UnsafeRawBufferPointer) {
        self.bytes.append(contentsOf: text)
        self.cells.append(.text(self.bytes.count - text.count..<self.bytes.count))
    }

    package mutating func appendNull() { self.cells.append(.null) }
    package mutating func appendAbsent() { self.cells.append(.absent) }
}

/// A declared column of stored events.
package struct StoredColumn: Sendable {
    package enum Form: Sendable {
        case text
        /// Digits; or a name, such as `NaN`.
        case number
        /// `true` and `false`.
        case boolean
        /// `s` and the characters of a string, or a space and any other JSON.
        case json
    }

    /// In UTF-8.
    package var name: [UInt8]
    package var form: Form

    package init(_ name: String, _ type: ColumnType) {
        self.name = Array(name.utf8)
        self.form =
            switch type {
            case .bigint, .integer, .smallint, .numeric, .doublePrecision, .real: .number
            case .boolean: .boolean
            case .jsonb: .json
            case .text, .varchar, .uuid, .date, .time, .timestamp, .timestamptz, .bytea: .text
            }
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
    /// The columns of ``StoredImage/columns(_:)``.
    package var columns: [StoredColumn]
    package var reading: StoredEventReading
    /// What is configured of the sources that the events came from.
    package var sources: [SourceSettings]

    package init(
        events: [StoredEvent],
        columns: [StoredColumn],
        reading: StoredEventReading,
        sources: [SourceSettings]
    ) {
        self.events = events
        self.columns = columns
        self.reading = reading
        self.sources = sources
    }
}
