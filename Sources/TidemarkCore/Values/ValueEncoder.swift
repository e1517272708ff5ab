/// Checks one column's value against its declared type and writes it in the three forms in which it goes on:
/// canonical text (for the digest, keys and the timeline's image) and PostgreSQL's binary form (for the row).
///
/// A value that its type would round, cut or misread does not fit and is refused: the database is never the first to
/// find out. Buffers are used again, so encoding allocates nothing for the common types.
package struct ValueEncoder {
    /// The canonical text of the value that was encoded last.
    package internal(set) var text: [UInt8] = []
    /// Its length in four bytes and its binary form, as COPY and array parameters have them.
    package internal(set) var binary: [UInt8] = []
    var decimal = Decimal()
    var scratch: [UInt8] = []

    package init() {
        self.text.reserveCapacity(256)
    }

    /// Forgets the value that was encoded last, and gives its memory back.
    mutating func releaseMemory() {
        (self.text, self.binary, self.scratch) = ([], [], [])
    }

    /// What a value can be told about where it came from.
    package struct Context: Sendable {
        package var zone: ZoneRule
        package var writesJSONAsText: Bool

        package init(zone: ZoneRule = .utc, writesJSONAsText: Bool = false) {
            self.zone = zone
            self.writesJSONAsText = writesJSONAsText
        }

        var isUTC: Bool {
            if case .utc = self.zone { true } else { false }
        }
    }

    /// Why a value does not fit; completed with the column's name by the caller.
    package struct Misfit: Error {
        package var expected: String
    }

    /// Encodes `field` (neither null nor unavailable) as `column`'s type, into `text` and `binary`.
    package mutating func encode(
        _ field: Field,
        of bytes: Span<UInt8>,
        as column: ColumnPlan,
        in context: Context
    ) throws(Misfit) {
        self.text.removeAll(keepingCapacity: true)
        self.binary.removeAll(keepingCapacity: true)
        let field = field.resolved(for: column)
        let value = bytes.extracting(field.value.range)
        self.binary.appendBigEndian(0 as UInt32)
        switch column.type {
        case .bigint, .integer, .smallint:
            try self.integer(field, value, column)
        case .numeric(let precision, let scale):
            try self.numeric(field, value, column, precision, scale)
        case .text, .varchar:
            try self.string(field, value, column)
        case .boolean:
            try self.boolean(field, value)
        case .timestamptz, .timestamp:
            let micros = try self.timestamp(field, value, column, context.zone)
            CalendarText.appendTimestamp(postgres: micros, hasZone: column.type == .timestamptz, to: &self.text)
            self.binary.appendBigEndian(micros)
        case .date:
            let days = try self.date(field, value, column)
            CalendarText.appendDate(days: days, to: &self.text)
            let isFinite = CalendarText.isFinite(days)
            self.binary.appendBigEndian(Int32(clamping: isFinite ? days - CalendarText.postgresEpochDays : days))
        case .time:
            let micros = try self.time(field, value, column)
            CalendarText.appendTime(microseconds: micros, to: &self.text)
            self.binary.appendBigEndian(micros)
        case .doublePrecision, .real:
            try self.floatingPoint(field, value, column)
        case .uuid:
            try self.uuid(field, value)
        case .jsonb:
            try self.json(field, value, context)
            self.binary.append(1)
            self.binary.append(contentsOf: self.text)
        case .bytea:
            try self.bytea(field, value, column)
        }
        self.binary.setLength(at: 0)
    }

    // MARK: Text, booleans, identifiers, bytes

    mutating func string(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan
    ) throws(Misfit) {
        switch field.kind {
        case .string where field.encoding == .decimalBase64:
            // As the producer's other modes write it: in digits.
            guard self.number(field, value, column) else { throw Misfit(expected: "a decimal in base64") }
            self.decimal.appendText(to: &self.text)
        case .string, .number, .textOrBytes: self.text.append(contentsOf: value)
        case .true: self.text.append(contentsOf: "true".utf8)
        case .false: self.text.append(contentsOf: "false".utf8)
        case .json: try self.json(field, value, Context())
        case .bytes: throw Misfit(expected: "a text; these are bytes, which a column of type bytea holds")
        case .null, .unavailable: throw Misfit(expected: "a text")
        }
        if self.text.span.hasZero { throw Misfit(expected: "a text without the character U+0000") }
        if case .varchar(let length) = column.type, self.text.count > length {
            let characters = self.text.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
            guard characters <= length else {
                throw Misfit(expected: "at most \(length) characters, not \(characters)")
            }
        }
        self.binary.append(contentsOf: self.text)
    }

    mutating func boolean(_ field: Field, _ value: Span<UInt8>) throws(Misfit) {
        let reading: Bool? =
            switch field.kind {
            case .true: true
            case .false: false
            case .number, .string:
                switch String(decoding: value).lowercased() {
                case "1", "true", "t", "yes", "on": true
                case "0", "false", "f", "no", "off": false
                default: nil
                }
            case .null, .unavailable, .json, .bytes, .textOrBytes: nil
            }
        guard let reading else { throw Misfit(expected: "true or false") }
        self.text.append(contentsOf: (reading ? "true" : "false").utf8)
        self.binary.append(reading ? 1 : 0)
    }

    mutating func uuid(_ field: Field, _ value: Span<UInt8>) throws(Misfit) {
        let misfit = Misfit(expected: "a UUID such as 0b0e4a5e-59f5-4a4c-9d5e-0d5f5a3c2b1a")
        guard field.kind == .string else { throw misfit }
        var digits: [UInt8] = []
        for index in value.indices where value[index] != UInt8(ascii: "-") {
            guard let digit = JSONText.hexDigit(value[index]) else { throw misfit }
            digits.append(digit)
        }
        guard digits.count == 32 else { throw misfit }
        let hex = Array("0123456789abcdef".utf8)
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { self.text.append(UInt8(ascii: "-")) }
            self.text.append(hex[Int(digit)])
        }
        for index in 0..<16 { self.binary.append(digits[2 * index] << 4 | digits[2 * index + 1]) }
    }

    mutating func bytea(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan
    ) throws(Misfit) {
        let encoding = try Self.encoding(ofBytes: field, column)
        guard let raw = BinaryText.decode(value, as: encoding == .none ? .base64 : encoding) else {
            throw Misfit(expected: "bytes as \(encoding == .none ? "base64" : encoding.rawValue)")
        }
        self.text.append(contentsOf: "\\x".utf8)
        BinaryText.appendHex(raw, to: &self.text)
        self.binary.append(contentsOf: raw)
    }

    mutating func json(_ field: Field, _ value: Span<UInt8>, _ context: Context) throws(Misfit) {
        do throws(JSONText.Failure) {
            switch field.kind {
            case .true: self.text.append(contentsOf: "true".utf8)
            case .false: self.text.append(contentsOf: "false".utf8)
            case .string where !context.writesJSONAsText, .textOrBytes where !context.writesJSONAsText:
                JSONText.appendString(value, to: &self.text)
                guard !value.hasZero else { throw .nulCharacter }
            case .string, .number, .json, .textOrBytes: try JSONText.appendCanonical(value, to: &self.text)
            case .bytes:
                guard !context.writesJSONAsText, let raw = BinaryText.decode(value, as: .latin1) else {
                    throw .malformed
                }
                self.text.append(UInt8(ascii: "\""))
                BinaryText.appendBase64(raw, to: &self.text)
                self.text.append(UInt8(ascii: "\""))
            case .null, .unavailable: throw .malformed
            }
        } catch {
            switch error {
            case .nulCharacter: throw Misfit(expected: "JSON without the character U+0000")
            case .tooDeep: throw Misfit(expected: "JSON nested at most \(JSONText.depthMax) deep")
            case .numberOutOfRange:
                throw Misfit(
                    expected:
                        "JSON whose numbers numeric can hold, without exponents that add many times its length in zeros"
                )
            case .malformed: throw Misfit(expected: "JSON text")
            }
        }
    }

    /// Writes the canonical JSON of any field: the form a value has in a row without declared columns.
    package mutating func encodeUntyped(_ field: Field, of bytes: Span<UInt8>) throws(Misfit) {
        self.text.removeAll(keepingCapacity: true)
        if field.kind == .null {
            self.text.append(contentsOf: "null".utf8)
        } else {
            try self.json(field, bytes.extracting(field.value.range), Context())
        }
    }
}

extension String {
    package init(decoding span: Span<UInt8>) {
        self = span.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }
}

extension [UInt8] {
    package mutating func append(contentsOf span: Span<UInt8>) {
        span.withUnsafeBufferPointer { self.append(contentsOf: $0) }
    }

    /// Fills in the four length bytes at `offset` for what follows them.
    package mutating func setLength(at offset: Int) {
        let count = UInt32(truncatingIfNeeded: self.count - offset - 4)
        self[offset] = UInt8(truncatingIfNeeded: count >> 24)
        self[offset + 1] = UInt8(truncatingIfNeeded: count >> 16)
        self[offset + 2] = UInt8(truncatingIfNeeded: count >> 8)
        self[offset + 3] = UInt8(truncatingIfNeeded: count)
    }
}
