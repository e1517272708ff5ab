import LibPQ
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

/// Rows arrive on the server as they were appended.
@Suite(.freshDatabase, .timeLimit(.minutes(1)))
struct ArrayParametersTests {
    @Test func rowsOfRandomValuesArriveAsTheyWereAppended() async throws {
        var random = SeededGenerator.forTest("ArrayParametersTests")
        let texts = ["", "a", "{", "\"", "\\", "NULL", "Ω", "'", "\n", String(repeating: "x", count: 70_000)]
        let count = 200
        let oids = [OID.int8, OID.int4, OID.text, OID.bool, OID.bytea, OID.text, OID.int4]
        var rows = ArrayParameters(oids, rows: count, lastBytes: 1)
        var expected: [[String]] = []
        for _ in 0..<count {
            let number = Int64.random(in: .min ... .max, using: &random)
            let small = Int32.random(in: .min ... .max, using: &random)
            let text = random.pick(texts)
            let isTrue = random.chance(50)
            let bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                UInt8.random(in: .min ... .max, using: &random)
            }
            let perhaps = random.chance(30) ? nil : random.pick(texts)
            let perhapsNumber = random.chance(30) ? nil : small
            rows.append(number, to: 0)
            rows.append(small, to: 1)
            rows.append(text, to: 2)
            rows.append(isTrue, to: 3)
            rows.append(bytes[...], to: 4)
            rows.append(orNull: perhaps.map { Array($0.utf8)[...] }, to: 5)
            rows.append(orNull: perhapsNumber, to: 6)
            let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            expected.append([
                "\(number)", "\(small)", text, isTrue ? "t" : "f", "\\x" + hex, perhaps ?? "∅",
                perhapsNumber.map { "\($0)" } ?? "∅",
            ])
        }
        let connection = try await TestDatabase.current.connect()
        let found = try await connection.rows(
            """
            select unnest($1::bigint[]), unnest($2::integer[]), unnest($3::text[]), unnest($4::boolean[]),
                unnest($5::bytea[]), unnest($6::text[]), unnest($7::integer[])
            """,
            rows.parameters
        )
        #expect(found == expected, "seed \(random.seed)")
    }

    /// Length-prefixed fields, as keys and values are stored in a segment; a length of -1 is null.
    @Test func fieldsBehindTheirLengthsGoToAColumnEach() async throws {
        var rows = ArrayParameters([OID.text, OID.text, OID.text, OID.int4], rows: 2)
        for fields in [["a", nil, ""], [nil, "bc", "Ω"]] as [[String?]] {
            var bytes: [UInt8] = []
            for field in fields {
                bytes.appendBigEndian(Int32(field?.utf8.count ?? -1))
                bytes += Array((field ?? "").utf8)
            }
            let next = rows.append(fields: bytes[...], from: 0)
            #expect(next == 3)
            rows.append(Int32(next), to: next)
        }
        let connection = try await TestDatabase.current.connect()
        let found = try await connection.rows(
            "select unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::integer[])",
            rows.parameters
        )
        #expect(found == [["a", "∅", "", "3"], ["∅", "bc", "Ω", "3"]])
    }

    @Test func timestampsCountFrom1970() async throws {
        let instants: [(Int64?, String)] = [
            (0, "1970-01-01 00:00:00+00"), (-1, "1969-12-31 23:59:59.999999+00"),
            (946_684_800_000_000, "2000-01-01 00:00:00+00"), (nil, "∅"),
        ]
        var rows = ArrayParameters([OID.timestamptz], rows: instants.count)
        for (instant, _) in instants { rows.append(timestamp: instant, to: 0) }
        let connection = try await TestDatabase.current.connect()
        let found = try await connection.rows("select unnest($1::timestamptz[])", rows.parameters)
        #expect(found.map { $0[0] } == instants.map(\.1))
    }

    @Test func noRowsAreAnEmptyArray() async throws {
        var rows = ArrayParameters([OID.int8, OID.char], rows: 0)
        let connection = try await TestDatabase.current.connect()
        let found = try await connection.rows(
            #"select cardinality($1::bigint[]), cardinality($2::"char"[])"#,
            rows.parameters
        )
        #expect(found == [["0", "0"]])
    }

    /// Every type that a column can have travels under the server's own number for it.
    @Test func everyColumnTypeHasTheNumberThatTheServerGivesIt() async throws {
        let connection = try await TestDatabase.current.connect()
        let types: [ColumnType] = [
            .bigint, .integer, .smallint, .numeric(precision: 12, scale: 2), .text, .boolean, .timestamptz, .timestamp,
            .date, .time, .doublePrecision, .real, .uuid, .jsonb, .bytea,
        ]
        for type in types {
            let number = try await connection.value("select '\(type.baseSQL)'::regtype::oid")
            #expect(number == "\(type.oid)", "\(type.sql)")
            let array = try await connection.value("select typarray from pg_type where oid = \(type.oid)")
            #expect(array == "\(OID.array(of: type.oid) ?? 0)", "\(type.sql)")
        }
    }
}
