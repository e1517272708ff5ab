import Foundation
import Testing
import TidemarkCore

/// Rows from the tests of another reader, in the types that their own schema names, against another reading of the same
/// text.
@Suite(.enabled(if: SharedData.folder != nil))
struct PeerValueTests {
    private static let peers = "peers/paimon"
    /// The zone of the machine that wrote them.
    private static let pacific = ZoneRule.fixed(seconds: -7 * 3600)

    private func encode(
        _ field: Field,
        of message: DecodedMessage,
        as type: ColumnType,
        _ encoding: ValueEncoding = .none,
        zone: ZoneRule = .utc
    ) throws -> String {
        var encoder = ValueEncoder()
        let column = ColumnPlan(.init(name: message.text(field.name), type: type, encoding: encoding))
        let context = ValueEncoder.Context(zone: zone, writesJSONAsText: true)
        try encoder.encode(field, of: message.bytes.span, as: column, in: context)
        return String(decoding: encoder.text, as: UTF8.self)
    }

    private func object(_ line: [UInt8]) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
    }

    // MARK: Canal

    @Test("Every value that Canal wrote reads as its mysqlType says")
    func readsCanalValues() throws {
        var count = 0
        for file in try SharedData.files(in: Self.peers) where file.contains("/canal.") {
            for line in try SharedData.lines(file) {
                let types = try self.object(line)["mysqlType"] as? [String: String] ?? [:]
                let message = decode(line, settings(.canal))
                for image in message.events.flatMap({ [$0.before, $0.after].compactMap(\.self) }) {
                    for field in message.fields[image] where field.kind != .null {
                        let type = try MySQLType(try #require(types[message.text(field.name)]))
                        let raw = message.text(field.value)
                        let canonical = try self.encode(field, of: message, as: type.column, type.encoding)
                        #expect(canonical == type.expected(raw), "\(file): \(message.text(field.name))")
                        count += 1
                    }
                }
            }
        }
        #expect(count > 100)
    }

    // MARK: Debezium

    /// The columns whose values Canal writes in another way, or not at all.
    private static let notInCanal: Set<String> = ["_bin", "_enum", "_set", "_bit", "_bit1", "_big_decimal"]

    @Test("One row of all types, written by Debezium and by Canal, has the same values")
    func readsOneRowOfTwoFormats() throws {
        let canalLine = try #require(
            try SharedData.lines("\(Self.peers)/canal.table.alltype.canal-data.txt").first
        )
        let types = try #require(try self.object(canalLine)["mysqlType"] as? [String: String])
        let canal = decode(canalLine, settings(.canal))
        let canalFields = canal.fields[try #require(canal.events.first?.after)]
        let debezium = decode(
            try #require(try SharedData.lines("\(Self.peers)/debezium.table.schema.alltype.debezium-data-1.txt").first)
        )
        var compared = 0
        for field in debezium.fields[try #require(debezium.events.first?.after)] {
            let name = debezium.text(field.name)
            guard !Self.notInCanal.contains(name), let text = types[name],
                let other = canalFields.first(where: { canal.text($0.name) == name })
            else { continue }
            let type = try MySQLType(text)
            guard !type.isGeometry else { continue }
            // What Debezium writes needs no configuration: its schema says it.
            let left = try self.encode(field, of: debezium, as: type.column)
            let right = try self.encode(other, of: canal, as: type.column, type.encoding, zone: Self.pacific)
            #expect(left == right, "\(name)")
            compared += 1
        }
        #expect(compared > 60)
    }

    @Test("What only Debezium writes reads as its schema says")
    func readsDebeziumValues() throws {
        let message = decode(
            try #require(try SharedData.lines("\(Self.peers)/debezium.table.schema.alltype.debezium-data-1.txt").first)
        )
        let fields = message.fields[try #require(message.events.first?.after)]
        func value(_ name: String, _ type: ColumnType, _ encoding: ValueEncoding = .none) throws -> String {
            let field = try #require(fields.first { message.text($0.name) == name })
            return try self.encode(field, of: message, as: type, encoding)
        }
        // 0b11111000111, least significant byte first.
        #expect(try value("_bit", .numeric(precision: 20, scale: 0)) == "1991")
        #expect(try value("_bit1", .boolean) == "true")
        #expect(try value("_enum", .text) == "value1")
        #expect(try value("_set", .text) == "a,b")
        #expect(try value("_bin", .bytea) == "\\x" + "62797465730000000000")
        #expect(
            try value("_big_decimal", .numeric(precision: 38, scale: 10)) == "2222222222222222300000001111.1234567890"
        )
        #expect(try value("_time", .time) == "10:13:23")
        #expect(try value("_datetime6", .timestamp) == "2023-03-23T14:30:05.123456")
        #expect(try value("_timestamp", .timestamptz) == "2023-03-23T22:00:10.123456+00:00")
        #expect(try value("_point", .jsonb).hasPrefix(#"{"x":1"#))
    }

    @Test("Every other row of Debezium's and Maxwell's has the values of its JSON")
    func readsPlainRows() throws {
        var count = 0
        for file in try SharedData.files(in: Self.peers) where !file.contains("/canal.") && !file.contains("alltype") {
            for line in try SharedData.lines(file) {
                let object = try self.object(line)
                let payload = object["payload"] as? [String: Any] ?? object
                let images = ["after", "before", "data", "old"].compactMap { payload[$0] as? [String: Any] }
                let message = decode(line)
                for image in message.events.flatMap({ [$0.before, $0.after].compactMap(\.self) }) {
                    let row = try #require(
                        images.first { Set($0.keys) == Set(message.fields[image].map { message.text($0.name) }) }
                    )
                    for field in message.fields[image] {
                        switch try #require(row[message.text(field.name)]) {
                        case let text as String: #expect(try self.encode(field, of: message, as: .text) == text)
                        case let number as NSNumber:
                            #expect(try self.encode(field, of: message, as: .doublePrecision) == "\(number)")
                        case let other: Issue.record("\(other)")
                        }
                        count += 1
                    }
                }
            }
        }
        #expect(count > 40)
    }

    // MARK: PostgreSQL

    @Test("The values that Debezium wrote for PostgreSQL, without a schema, read as they are configured")
    func readsPostgresValues() throws {
        let message = decode(try #require(try SharedData.lines("data/debezium-postgres-3.6.ndjson").first))
        let fields = message.fields[try #require(message.events.first?.after)]
        func value(_ name: String, _ type: ColumnType, _ encoding: ValueEncoding = .none) throws -> String {
            let field = try #require(fields.first { message.text($0.name) == name })
            return try self.encode(field, of: message, as: type, encoding)
        }
        #expect(try value("amount", .numeric(precision: 12, scale: 2), .decimalBase64) == "1.25")
        #expect(try value("due", .date, .epochDays) == "2026-02-28")
        #expect(try value("pickup", .time, .epochMicroseconds) == "23:59:59.123456")
        #expect(try value("meta", .jsonb) == #"{"k":1}"#)
        #expect(try value("tags", .jsonb) == #"["a","b"]"#)
        #expect(try value("note", .text) == "n\"1")
        #expect(try value("updated_at", .timestamptz).hasSuffix("+00:00"))
    }
}

/// A type as MySQL writes it, the column it fits, and what a value's text must become there.
private struct MySQLType {
    let column: ColumnType
    var encoding = ValueEncoding.none
    var isGeometry = false

    init(_ text: String) throws {
        let folded = text.lowercased()
        let base = String(folded.prefix { $0.isLetter })
        let isUnsigned = folded.contains("unsigned")
        switch base {
        case "boolean", "bool": self.column = .boolean
        case "tinyint" where folded == "tinyint(1)": self.column = .boolean
        case "tinyint", "smallint": self.column = isUnsigned ? .integer : .smallint
        case "mediumint", "year": self.column = .integer
        case "int", "integer": self.column = isUnsigned ? .bigint : .integer
        case "bigint": self.column = isUnsigned ? .numeric(precision: 20, scale: 0) : .bigint
        case "serial": self.column = .numeric(precision: 20, scale: 0)
        case "float", "double", "real": self.column = .doublePrecision
        case "numeric", "decimal", "fixed":
            let numbers = folded.split(whereSeparator: { !$0.isNumber }).compactMap { Int($0) }
            self.column = .numeric(precision: numbers[0], scale: numbers[1])
        case "date": self.column = .date
        case "datetime": self.column = .timestamp
        case "timestamp": self.column = .timestamptz
        case "time": self.column = .time
        case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set": self.column = .text
        case "json": self.column = .jsonb
        case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
            (self.column, self.encoding) = (.bytea, .latin1)
        case "point", "geometry", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
            "geometrycollection":
            (self.column, self.encoding, self.isGeometry) = (.bytea, .latin1, true)
        default:
            Issue.record("unknown type \(text)")
            self.column = .text
        }
    }

    func expected(_ raw: String) -> String {
        switch self.column {
        case .boolean: return raw == "0" ? "false" : "true"
        case .doublePrecision: return "\(Double(raw) ?? .nan)"
        case .timestamp: return Self.trimmed(raw).replacingOccurrences(of: " ", with: "T")
        case .timestamptz: return Self.trimmed(raw).replacingOccurrences(of: " ", with: "T") + "+00:00"
        case .jsonb: return raw.replacingOccurrences(of: " ", with: "")
        case .bytea: return "\\x" + raw.unicodeScalars.map { String(format: "%02x", $0.value) }.joined()
        default: return raw
        }
    }

    /// Without zeros at the end of the fraction.
    private static func trimmed(_ time: String) -> String {
        guard time.contains(".") else { return time }
        return String(time.reversed().drop { $0 == "0" }.drop { $0 == "." }.reversed())
    }
}
