import Testing
import TidemarkCore

/// Encodes a JSON string or number as a type.
private func canonical(
    _ value: String,
    _ type: String,
    kind: Field.Kind = .string,
    encoding: ValueEncoding = .none,
    isUnsigned: Bool = false,
    zone: ZoneRule = .utc,
    scale: Int16 = 0,
    own: ValueEncoding = .none
) -> Result<String, ValueEncoder.Misfit> {
    var encoder = ValueEncoder()
    let bytes = Array(value.utf8)
    let field = Field(
        name: .empty,
        value: ByteRange(start: 0, end: bytes.count),
        kind: kind,
        encoding: own,
        scale: scale
    )
    let column = ColumnPlan(
        .init(name: "c", type: ColumnType(type)!, encoding: encoding, isUnsigned: isUnsigned)
    )
    do throws(ValueEncoder.Misfit) {
        try encoder.encode(
            field,
            of: bytes.span,
            as: column,
            in: .init(zone: zone, writesJSONAsText: true)
        )
        return .success(String(decoding: encoder.text, as: UTF8.self))
    } catch {
        return .failure(error)
    }
}

@Suite struct ValueEncoderTests {
    /// PostgreSQL's own text, and what Debezium makes of a `timestamp` without a zone.
    @Test(arguments: [
        ("infinity", Field.Kind.string, ValueEncoding.none),
        ("9223372036825200000", .number, .epochMicroseconds), ("9223372036854775807", .number, .epochNanoseconds),
        ("9223372036825200", .number, .epochMilliseconds),
    ])
    func infinityIsATimestamp(_ value: String, _ kind: Field.Kind, _ own: ValueEncoding) throws {
        for type in ["timestamp", "timestamptz"] {
            #expect(try canonical(value, type, kind: kind, own: own).get() == "infinity")
            #expect(
                try canonical(value, type, kind: kind, encoding: own, zone: .fixed(seconds: 3600)).get() == "infinity"
            )
        }
    }

    @Test(arguments: [
        ("-infinity", Field.Kind.string, ValueEncoding.none),
        ("-9223372036832400000", .number, .epochMicroseconds), ("-9223372036854775808", .number, .epochNanoseconds),
        ("-9223372036832400", .number, .epochMilliseconds),
    ])
    func soIsTheOneBeforeAllOthers(_ value: String, _ kind: Field.Kind, _ own: ValueEncoding) throws {
        for type in ["timestamp", "timestamptz"] {
            #expect(try canonical(value, type, kind: kind, own: own).get() == "-infinity")
        }
    }

    @Test
    func whateverElseIsOutOfRangeIsNoTimestamp() throws {
        #expect(try canonical("infinity", "date").get() == "infinity")
        #expect(try canonical("-infinity", "date").get() == "-infinity")
        for value in ["9223372036854775807", "-9223372036854775808", "-9223372036832399999"] {
            #expect(throws: ValueEncoder.Misfit.self) {
                try canonical(value, "timestamp", kind: .number, own: .epochMicroseconds).get()
            }
            #expect(throws: ValueEncoder.Misfit.self) {
                try canonical(value, "date", kind: .number, own: .epochDays).get()
            }
        }
        for value in ["Infinity", "+infinity", "inf", "infinity "] {
            #expect(throws: ValueEncoder.Misfit.self) { try canonical(value, "timestamptz").get() }
        }
        #expect(throws: ValueEncoder.Misfit.self) { try canonical("infinity", "time").get() }
    }

    @Test(arguments: [
        ("9223372036854775807", "bigint", "9223372036854775807"), ("-0", "integer", "0"), ("1.0", "smallint", "1"),
        ("199.950", "numeric(12,2)", "199.95"), ("1e2", "numeric(5,1)", "100.0"), ("0", "numeric(4,2)", "0.00"),
        ("18446744073709551615", "numeric", "18446744073709551615"), ("-0.010", "numeric", "-0.010"),
        ("2026-03-01 09:30:15.120000", "timestamptz", "2026-03-01T09:30:15.12+00:00"),
        ("2026-03-01T09:30:15+08:00", "timestamptz", "2026-03-01T01:30:15+00:00"),
        ("2026-03-01T09:30:15Z", "timestamp", "2026-03-01T09:30:15"),
        ("1969-12-31 23:59:59", "timestamp", "1969-12-31T23:59:59"),
        ("2024-02-29", "date", "2024-02-29"), ("09:30:15.5", "time", "09:30:15.5"), ("24:00:00", "time", "24:00:00"),
        ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("{\"b\":1.50,\"a\":[true,null]}", "jsonb", "{\"a\":[true,null],\"b\":1.50}"), ("AP8=", "bytea", "\\x00ff"),
        ("5.610000133514404", "real", "5.61"), ("3.4028234663852886e38", "real", "3.4028235e+38"),
        ("-0.0", "real", "-0"),
        ("-0", "double precision", "-0"), ("-0.0", "numeric", "0.0"), ("1.2345679e+11", "real", "1.2345679e+11"),
        ("0.1000000000000000055511151231257827021181583404541015625", "double precision", "0.1"),
        ("NaN", "numeric(4,2)", "NaN"), ("POSITIVE_INFINITY", "numeric", "Infinity"), ("-inf", "numeric", "-Infinity"),
        ("12000", "numeric(2,-3)", "12000"), ("0.00123", "numeric(3,5)", "0.00123"),
        ("0.00", "numeric(38,20)", "0.00000000000000000000"),
        ("-0043-03-15", "date", "0044-03-15 BC"), ("44-03-15 BC", "date", "0044-03-15 BC"),
        ("0000-02-29", "date", "0001-02-29 BC"),
        ("5874897-12-31", "date", "5874897-12-31"),
        ("+10000-01-01T00:00:00Z", "timestamptz", "10000-01-01T00:00:00+00:00"),
        ("294276-12-31 23:59:59.999999", "timestamp", "294276-12-31T23:59:59.999999"),
        ("0044-03-15 00:00:00+00 BC", "timestamptz", "0044-03-15T00:00:00+00:00 BC"),
        ("1900-01-01T00:00:00+00:19:32", "timestamptz", "1899-12-31T23:40:28+00:00"),
        ("déjà vu", "varchar(7)", "déjà vu"), ("1.5", "double precision", "1.5"), ("t", "boolean", "true"),
    ])
    func aValueThatFitsHasOneCanonicalText(_ value: String, _ type: String, _ expected: String) throws {
        #expect(try canonical(value, type).get() == expected)
    }

    @Test(arguments: [
        ("9223372036854775808", "bigint"), ("1.5", "integer"), ("32768", "smallint"), ("abc", "bigint"),
        ("1.234", "numeric(12,2)"), ("10000", "numeric(5,2)"), ("2026-02-30", "date"), ("2026-13-01", "date"),
        ("0000-00-00 00:00:00", "timestamptz"), ("2026-03-01T09:30:15.1234567Z", "timestamptz"), ("25:00:00", "time"),
        ("12345678", "varchar(7)"), ("a\u{0}b", "text"), ("{\"a\":\"\\u0000\"}", "jsonb"), ("{", "jsonb"),
        ("[01]", "jsonb"), ("[1.]", "jsonb"), ("[.5]", "jsonb"), ("[1e]", "jsonb"),
        ("[1e999999999]", "jsonb"),
        ("1e400", "double precision"), ("9007199254740993", "double precision"), ("16777217", "real"),
        ("Infinity", "numeric(4,2)"), ("NaN", "bigint"), ("12345", "numeric(2,-3)"), ("0.0123", "numeric(3,5)"),
        ("44-03-15", "date"), ("-0044-03-15 BC", "date"), ("0000-03-15 BC", "date"), ("5874898-01-01", "date"),
        ("4714-11-23 BC", "date"), ("294277-01-01 00:00:00", "timestamp"), ("0000-00-00", "date"),
        ("0000-03-00", "date"),
        ("5.610000133514405", "real"), ("123456791000", "real"),
        ("not-a-uuid", "uuid"), ("A", "bytea"), ("maybe", "boolean"), ("", "bigint"),
    ])
    func aValueThatWouldBeRoundedCutOrMisreadIsRefused(_ value: String, _ type: String) {
        #expect(throws: ValueEncoder.Misfit.self) { try canonical(value, type).get() }
    }

    @Test func everyDebeziumEncodingOfANumberOrTimeIsRead() throws {
        #expect(try canonical("Ths=", "numeric(10,2)", scale: 2, own: .decimalBase64).get() == "199.95")
        #expect(try canonical("/w==", "numeric(10,2)", scale: 2, own: .decimalBase64).get() == "-0.01")
        #expect(try canonical("AP//////////", "numeric", own: .decimalBase64).get() == "18446744073709551615")
        #expect(try canonical("{\"scale\":3,\"value\":\"Bdw=\"}", "numeric", kind: .json).get() == "1.500")
        #expect(try canonical("-1", "numeric", kind: .number, isUnsigned: true).get() == "18446744073709551615")
        #expect(try canonical("20513", "date", kind: .number, own: .epochDays).get() == "2026-03-01")
        #expect(
            try canonical("1772357415000", "timestamp", kind: .number, own: .epochMilliseconds).get()
                == "2026-03-01T09:30:15"
        )
        #expect(
            try canonical("1772357415000000", "timestamp", kind: .number, encoding: .epochMicroseconds).get()
                == "2026-03-01T09:30:15"
        )
        #expect(
            try canonical("86399123456", "time", kind: .number, encoding: .epochMicroseconds).get()
                == "23:59:59.123456"
        )
        #expect(throws: ValueEncoder.Misfit.self) {
            try canonical("1772357415000000001", "timestamp", kind: .number, encoding: .epochNanoseconds).get()
        }
    }

    @Test func aNumberJustBeyondSixtyFourBitsIsRefusedAndNeverWraps() throws {
        for literal in ["-9223372036854775808", "9223372036854775808", "9223372036854775809"] {
            #expect(throws: ValueEncoder.Misfit.self) {
                try canonical(literal, "time", kind: .number, own: .epochMicroseconds).get()
            }
            #expect(throws: ValueEncoder.Misfit.self) {
                try canonical(literal, "timestamp", kind: .number, encoding: .epochMicroseconds).get()
            }
        }
        let beyond = "-18446744073709551617"
        #expect(try canonical(beyond, "numeric", kind: .number, isUnsigned: true).get() == beyond)
    }

    @Test func aZonelessTimeIsReadInTheSourcesZoneOnlyWhereTheColumnHasOne() throws {
        let zone = ZoneRule.fixed(seconds: 8 * 3600)
        #expect(try canonical("2026-03-01 09:30:15", "timestamptz", zone: zone).get() == "2026-03-01T01:30:15+00:00")
        #expect(try canonical("2026-03-01 09:30:15", "timestamp", zone: zone).get() == "2026-03-01T09:30:15")
    }

    @Test(arguments: [ValueEncoding.epochMilliseconds, .epochMicroseconds, .epochNanoseconds])
    func `a count of a zone-less type is wall-clock time of the source, another is an instant`(
        _ unit: ValueEncoding
    ) throws {
        let zone = ZoneRule.fixed(seconds: 8 * 3600)
        let zeros = [.epochMilliseconds: 3, .epochMicroseconds: 6][unit] ?? 9
        let count = "1772386215" + String(repeating: "0", count: zeros)
        func read(_ type: String, _ scale: Int16, encoding: ValueEncoding = .none) throws -> String {
            try canonical(count, type, kind: .number, encoding: encoding, zone: zone, scale: scale, own: unit).get()
        }
        #expect(try read("timestamptz", Field.wallClock) == "2026-03-01T09:30:15+00:00")
        #expect(try read("timestamp", Field.wallClock) == "2026-03-01T17:30:15")
        #expect(try read("timestamptz", 0) == "2026-03-01T17:30:15+00:00")
        // What the schema says comes before what the configuration says for messages without one.
        #expect(try read("timestamptz", Field.wallClock, encoding: .epochSeconds) == "2026-03-01T09:30:15+00:00")
        #expect(
            try canonical(count, "timestamptz", kind: .number, encoding: unit, zone: zone).get()
                == "2026-03-01T17:30:15+00:00"
        )
    }

    @Test(arguments: ["9223372036854775806", "-9223372036854775807", "9223371331199999999", "-210866803200000000"])
    func `a time that its zone moves beyond 64 bits is refused`(_ value: String) {
        for seconds in [-12 * 3600, 12 * 3600] as [Int64] {
            let read = canonical(
                value,
                "timestamptz",
                kind: .number,
                zone: .fixed(seconds: seconds),
                scale: Field.wallClock,
                own: .epochMicroseconds
            )
            if case .success(let text) = read { #expect(!text.contains("infinity"), "\(text)") }
        }
    }

    @Test(arguments: ["timestamptz", "timestamp", "date", "time"])
    func `a number without a unit is refused, and encoding is named`(_ type: String) {
        for value in ["1772357415000", "20513", "0", "-1", "9223372036854775807"] {
            guard case .failure(let misfit) = canonical(value, type, kind: .number) else {
                Issue.record("\(value) was read as \(type)")
                continue
            }
            #expect(misfit.expected.contains("`c: { type: \(type), encoding: epoch_"), "\(misfit.expected)")
        }
    }

    @Test func aYearBeforeOurEraIsWrittenAsPostgreSQLReadsIt() throws {
        #expect(try canonical("-800000", "date", kind: .number, own: .epochDays).get() == "0222-09-04 BC")
        #expect(
            try canonical("-62200000000", "timestamptz", kind: .number, encoding: .epochSeconds).get()
                == "0003-12-17T14:13:20+00:00 BC"
        )
    }

    @Test func datesRoundTripThroughDayNumbers() {
        for days in stride(from: Int64(-800_000), through: 3_000_000, by: 317) {
            let (year, month, day) = CalendarText.date(days: days)
            #expect(CalendarText.days(year: year, month: month, day: day) == days)
        }
    }
}
