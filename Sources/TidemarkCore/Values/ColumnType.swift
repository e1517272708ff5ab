/// The PostgreSQL types a column can have.
public enum ColumnType: Sendable, Hashable {
    case bigint, integer, smallint
    /// `precision` total digits of which `scale` stand after the point; `nil` for unconstrained.
    case numeric(precision: Int?, scale: Int)
    case text
    /// At most `length` characters.
    case varchar(length: Int)
    case boolean, timestamptz, timestamp, date, time
    case doublePrecision, real
    case uuid, jsonb, bytea

    /// Reads a type as the configuration writes it, in any case: `numeric(12,2)`, `double precision`.
    /// - Returns: `nil` for anything that is not one of the supported types.
    public init?(_ text: String) {
        let folded = text.lowercased().split(whereSeparator: { $0 == " " }).joined(separator: " ")
        if let simple = Self.simple[folded] {
            self = simple
            return
        }
        guard folded.hasSuffix(")"), let open = folded.firstIndex(of: "(") else { return nil }
        let name = folded[..<open].split(separator: " ").joined(separator: " ")
        let inside = folded[folded.index(after: open)...].dropLast()
        let numbers = inside.split(separator: ",", omittingEmptySubsequences: false)
            .map { Int($0.split(separator: " ").joined()) }
        switch (name, numbers.count) {
        case ("numeric", 1), ("numeric", 2), ("decimal", 1), ("decimal", 2):
            guard let precision = numbers[0], (1...1000).contains(precision) else { return nil }
            let scale = numbers.count == 2 ? numbers[1] : 0
            // As PostgreSQL from 15 on: the scale may be below zero and above the precision.
            guard let scale, (-1000...1000).contains(scale) else { return nil }
            self = .numeric(precision: precision, scale: scale)
        case ("varchar", 1), ("character varying", 1):
            guard let length = numbers[0], (1...10_485_760).contains(length) else { return nil }
            self = .varchar(length: length)
        default:
            return nil
        }
    }

    private static let simple: [String: ColumnType] = [
        "bigint": .bigint, "int8": .bigint, "integer": .integer, "int": .integer, "int4": .integer,
        "smallint": .smallint, "int2": .smallint, "numeric": .numeric(precision: nil, scale: 0),
        "decimal": .numeric(precision: nil, scale: 0), "text": .text, "varchar": .text, "boolean": .boolean,
        "bool": .boolean, "timestamptz": .timestamptz, "timestamp with time zone": .timestamptz,
        "timestamp": .timestamp, "timestamp without time zone": .timestamp, "date": .date, "time": .time,
        "time without time zone": .time, "double precision": .doublePrecision, "float8": .doublePrecision,
        "real": .real, "float4": .real, "uuid": .uuid, "jsonb": .jsonb, "bytea": .bytea,
    ]

    /// What the configuration may say, for error messages.
    public static let supportedNames =
        "bigint, integer, smallint, numeric(p,s), text, varchar(n), boolean, timestamptz, timestamp, date, time, "
        + "double precision, real, uuid, jsonb, bytea"

    /// The type as SQL writes it.
    public var sql: String {
        switch self {
        case .bigint: "bigint"
        case .integer: "integer"
        case .smallint: "smallint"
        case .numeric(let precision?, let scale): "numeric(\(precision),\(scale))"
        case .numeric(nil, _): "numeric"
        case .text: "text"
        case .varchar(let length): "varchar(\(length))"
        case .boolean: "boolean"
        case .timestamptz: "timestamptz"
        case .timestamp: "timestamp"
        case .date: "date"
        case .time: "time"
        case .doublePrecision: "double precision"
        case .real: "real"
        case .uuid: "uuid"
        case .jsonb: "jsonb"
        case .bytea: "bytea"
        }
    }

    /// The type without its modifier, as array parameters have it.
    package var baseSQL: String {
        switch self {
        case .numeric: "numeric"
        case .varchar: "text"
        default: self.sql
        }
    }

    /// Whether `wider` holds every value of this type, under the same canonical text: then events that were digested
    /// before the change are equal to themselves after it.
    package func widens(to wider: ColumnType) -> Bool {
        switch (self, wider) {
        case (.smallint, .integer), (.smallint, .bigint), (.integer, .bigint): true
        case (.smallint, .numeric(let precision?, 0)): precision >= 5
        case (.integer, .numeric(let precision?, 0)): precision >= 10
        case (.bigint, .numeric(let precision?, 0)): precision >= 19
        case (.numeric(let old?, let oldScale), .numeric(let new?, let newScale)): oldScale == newScale && new >= old
        case (.varchar, .text): true
        case (.varchar(let old), .varchar(let new)): new >= old
        default: self == wider
        }
    }

    /// How JSON writes a value of the type: as a bare token, or in quotes.
    package var isBareInJSON: Bool {
        switch self {
        case .bigint, .integer, .smallint, .numeric, .boolean, .doublePrecision, .real, .jsonb: true
        default: false
        }
    }

    /// Whether JSON writes this value of the type as a bare token: NaN and the infinities are no JSON numbers, and `jsonb`
    /// takes the sign from a zero.
    package func isBareInJSON(_ text: Span<UInt8>) -> Bool {
        guard self.isBareInJSON else { return false }
        switch self {
        case .numeric, .doublePrecision, .real:
            let last = text.isEmpty ? 0 : text[text.count - 1]
            if last &- 0x30 >= 10 { return false }
            return !(text.count == 2 && last == 0x30 && text[0] == UInt8(ascii: "-"))
        default:
            return true
        }
    }

    /// Units that numbers of the type can count; none for types that are no times.
    package var timeUnits: [ValueEncoding] {
        let parts: [ValueEncoding] = [.epochSeconds, .epochMilliseconds, .epochMicroseconds, .epochNanoseconds]
        return self.isInstant ? parts + [.epochDays] : self == .time ? parts : []
    }

    /// A date or a timestamp: the unit of its numbers can be detected.
    package var isInstant: Bool {
        switch self {
        case .timestamptz, .timestamp, .date: true
        default: false
        }
    }

    /// Whether the type holds NaN and the infinities.
    package var holdsInfinity: Bool {
        switch self {
        case .numeric(nil, _), .doublePrecision, .real: true
        default: false
        }
    }

    /// Whether values of the type have one order that everyone agrees on, so that a sequence may use it.
    package var sequenceKind: SequenceValueKind? {
        switch self {
        case .bigint, .integer, .smallint, .numeric, .doublePrecision, .real: .number
        case .timestamptz, .timestamp: .timestamp
        case .date: .date
        case .text, .varchar, .uuid: .text
        case .boolean, .time, .jsonb, .bytea: nil
        }
    }
}

/// The kinds of value that a sequence part can compare. Dates are one of their own: they reach beyond 64-bit
/// microseconds.
package enum SequenceValueKind: Sendable, Hashable {
    case number, timestamp, date, text
}

/// How a message writes a value of a type that JSON has no own form for.
public enum ValueEncoding: String, Sendable, Hashable, CaseIterable {
    /// The type's usual form.
    case none
    case epochSeconds = "epoch_s"
    case epochMilliseconds = "epoch_ms"
    case epochMicroseconds = "epoch_us"
    case epochNanoseconds = "epoch_ns"
    case epochDays = "epoch_days"
    case base64
    case base64URL = "base64_url"
    case hex
    /// Every character is one byte (Canal's BLOB).
    case latin1
    /// The bytes of the text itself.
    case utf8
    /// Base64 of a big-endian two's complement number, its decimal point `scale` digits from the right.
    case decimalBase64 = "decimal_base64"
    /// Base64 of an unsigned number, least significant byte first (Debezium's BIT(n)).
    case bitsBase64 = "bits_base64"

    /// Numbers count this unit of time.
    package var isTimeUnit: Bool {
        switch self {
        case .epochSeconds, .epochMilliseconds, .epochMicroseconds, .epochNanoseconds, .epochDays: true
        default: false
        }
    }
}
