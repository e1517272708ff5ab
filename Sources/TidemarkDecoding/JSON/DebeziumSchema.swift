internal import TidemarkCore

/// How the columns of one table are written, as the `schema` beside a Debezium payload tells.
struct SchemaHints: Sendable {
    struct Hint: Sendable, Hashable {
        var encoding: ValueEncoding
        var scale: Int16
        /// What the type says of a time's zone, where its text says otherwise or nothing.
        var zone = Zone.asWritten
    }

    enum Zone: Sendable, Hashable {
        case asWritten
        /// A `Z` behind wall-clock time means nothing.
        case none
        /// A text without a zone is in UTC.
        case utc
    }

    private struct Column: Sendable {
        var name: [UInt8]
        var hint: Hint?
    }

    /// A column's default, as a row would hold it.
    private struct Default: Sendable {
        var text: [UInt8]
        var isString: Bool
    }

    /// In the schema's order, which is the rows' order too.
    private var columns: [Column] = []
    private var indices: [[UInt8]: Int] = [:]
    private var defaults: [[UInt8]: Default] = [:]

    /// Reads the schema of an envelope, whose `before` and `after` are alike, or of a flattened row.
    init(_ schema: Int, in document: borrowing JSONDocument, names: WireNameTable, of bytes: [UInt8]) {
        let outer = Members(of: schema, in: document, names: names)
        guard let fields = Self.array(outer[.fields], document) else { return }
        var row = fields
        for field in document.children(of: fields) where document.kind(field) == .object {
            let members = Members(of: field, in: document, names: names)
            if let name = document.string(members[.field]), let inner = Self.array(members[.fields], document),
                bytes.matches(name, "after") || bytes.matches(name, "before")
            {
                row = inner
            }
        }
        self.readColumns(row, in: document, names: names, of: bytes)
    }

    private static func array(_ node: Int?, _ document: borrowing JSONDocument) -> Int? {
        guard let node, document.kind(node) == .array else { return nil }
        return node
    }

    private mutating func readColumns(
        _ fields: Int,
        in document: borrowing JSONDocument,
        names: WireNameTable,
        of bytes: [UInt8]
    ) {
        for field in document.children(of: fields) where document.kind(field) == .object {
            let members = Members(of: field, in: document, names: names)
            guard let name = document.string(members[.field]) else { continue }
            let column = Column(
                name: Array(bytes[name.range]),
                hint: Self.hint(members, in: document, names: names, of: bytes)
            )
            self.indices[column.name] = self.columns.count
            self.defaults[column.name] = Self.defaultValue(of: field, in: document, bytes)
            self.columns.append(column)
        }
    }

    private static func hint(
        _ members: Members,
        in document: borrowing JSONDocument,
        names: WireNameTable,
        of bytes: [UInt8]
    ) -> Hint? {
        guard let name = document.string(members[.name]) else {
            guard let type = document.string(members[.type]), bytes.matches(type, "bytes") else { return nil }
            return Hint(encoding: .base64, scale: 0)
        }
        switch String(decoding: bytes[name.range], as: UTF8.self) {
        case "org.apache.kafka.connect.data.Decimal":
            guard let parameters = document.object(members[.parameters]),
                let digits = document.integer(
                    Members(of: parameters, in: document, names: names)[.scale],
                    of: bytes
                ),
                let scale = Int16(exactly: digits), abs(Int(scale)) <= 16_383
            else { return nil }
            return Hint(encoding: .decimalBase64, scale: scale)
        // Days, timestamps and times of day without a zone: what the clock on the source's wall showed.
        case "io.debezium.time.Date", "org.apache.kafka.connect.data.Date":
            return Hint(encoding: .epochDays, scale: Field.wallClock)
        case "io.debezium.time.Timestamp", "io.debezium.time.Time", "org.apache.kafka.connect.data.Timestamp",
            "org.apache.kafka.connect.data.Time":
            return Hint(encoding: .epochMilliseconds, scale: Field.wallClock)
        case "io.debezium.time.MicroTimestamp", "io.debezium.time.MicroTime":
            return Hint(encoding: .epochMicroseconds, scale: Field.wallClock)
        case "io.debezium.time.NanoTimestamp", "io.debezium.time.NanoTime":
            return Hint(encoding: .epochNanoseconds, scale: Field.wallClock)
        case "io.debezium.time.IsoTimestamp":
            return Hint(encoding: .none, scale: 0, zone: .none)
        case "io.debezium.time.ZonedTimestamp":
            return Hint(encoding: .none, scale: 0, zone: .utc)
        case "io.debezium.data.Bits":
            return Hint(encoding: .bitsBase64, scale: 0)
        default:
            return nil
        }
    }

    private static func defaultValue(of field: Int, in document: borrowing JSONDocument, _ bytes: [UInt8]) -> Default? {
        guard let value = document.present(document.member("default", of: field, bytes)) else { return nil }
        let text = Array(bytes[document.range(value).range])
        return Default(text: text, isString: document.kind(value) == .string)
    }

    /// Whether the field holds what the schema names as the default of its column.
    func isDefault(_ field: Field, of bytes: [UInt8]) -> Bool {
        guard !self.defaults.isEmpty, let value = self.defaults[Array(bytes[field.name.range])] else { return false }
        return value.isString == (field.kind == .string) && bytes.equals(field.value, value.text)
    }

    /// What is known of the column called `name`, which is at `index` in its row.
    func find(_ name: ByteRange, of bytes: [UInt8], at index: Int) -> Hint? {
        if index < self.columns.count, bytes.equals(name, self.columns[index].name) { return self.columns[index].hint }
        guard let known = self.indices[Array(bytes[name.range])] else { return nil }
        return self.columns[known].hint
    }
}

/// The schemas seen last. Messages of one table repeat theirs byte for byte, so comparing the text is enough, and
/// what was read once is never read differently.
struct SchemaHintCache: Sendable {
    static let entriesMax = 16
    static let bytesMax = 1 << 18

    private var entries: [(text: [UInt8], hints: SchemaHints)] = []
    private var replaceNext = 0

    mutating func hints(
        _ schema: Int,
        in document: borrowing JSONDocument,
        names: WireNameTable,
        of bytes: [UInt8]
    ) -> SchemaHints {
        let range = document.range(schema)
        for entry in self.entries where bytes.equals(range, entry.text) { return entry.hints }
        let hints = SchemaHints(schema, in: document, names: names, of: bytes)
        guard range.count <= Self.bytesMax else { return hints }
        let text = Array(bytes[range.range])
        if self.entries.count < Self.entriesMax {
            self.entries.append((text, hints))
        } else {
            self.entries[self.replaceNext] = (text, hints)
            self.replaceNext = (self.replaceNext + 1) % Self.entriesMax
        }
        return hints
    }
}
