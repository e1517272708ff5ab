import Testing
import TidemarkCore
import TidemarkTesting

/// How the sequence orders events: the comparison of order keys that decides every row.
@Suite struct ChangeEncoderOrderTests {
    /// A projection that is ordered by one column of a type.
    private static func bench(_ type: ColumnType, _ encoding: ValueEncoding = .none) -> EncoderBench {
        var definition = ProjectionDefinition.orders(sequence: [.column("at", type: type)])
        definition.sequenceEncodings = ["at": encoding]
        return EncoderBench(definition)
    }

    private static func event(_ at: TestCell, id: TestCell = 1) -> TestEvent {
        TestEvent(.update, after: ["id": id, "at": at, "version": .null, "status": .null, "total": .null])
    }

    private static func sequence(_ at: TestCell, _ bench: EncoderBench) throws -> [UInt8] {
        let (outcome, encoded) = bench.encode(Self.event(at))
        return try #require(encoded.first, "\(at.text): \(outcome)").sequenceBytes
    }

    /// Values of a type, from least to greatest.
    @Test(arguments: [
        ("bigint", ["-9223372036854775808", "-10", "-9", "-1", "0", "9", "10", "100", "9223372036854775807"]),
        ("smallint", ["-32768", "0", "32767"]),
        (
            "numeric",
            [
                "-Infinity", "-1e30", "-10.5", "-10", "-1.01", "-1", "0", "0.0001", "0.5", "1", "1.5", "10",
                "18446744073709551615", "1e30", "Infinity",
            ]
        ),
        ("numeric(6,2)", ["-9999.99", "-0.01", "0.00", "0.01", "9.99", "10", "9999.99"]),
        ("double precision", ["-inf", "-1e300", "-0.1", "0", "5e-324", "0.1", "1", "1e300", "Infinity"]),
        ("text", ["", " ", "10", "9", "A", "a", "a ", "aa", "b", "é", "日", "😀"]),
        ("varchar(3)", ["a", "ab", "abc", "b"]),
        ("uuid", ["00000000-0000-0000-0000-000000000001", "0F000000-0000-0000-0000-000000000000", "a0" + "0" * 30]),
        (
            "timestamptz",
            [
                "-infinity", "4714-11-24 00:00:00 BC", "0001-12-31 23:59:59 BC", "0001-01-01 00:00:00",
                "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "2026-03-01T09:30:15+01:00",
                "2026-03-01 09:30:15", "2026-03-01 09:30:15.000001", "294276-12-31 23:59:59.999999", "infinity",
            ]
        ),
        (
            "date",
            [
                "-infinity", "4714-11-24 BC", "0001-12-31 BC", "0001-01-01", "1969-12-31", "1970-01-01", "2000-02-29",
                "2000-03-01", "5874897-12-31", "infinity",
            ]
        ),
    ])
    func `the sequence compares as values of its type do`(_ type: String, _ line: [String]) throws {
        let bench = Self.bench(try #require(ColumnType(type)))
        let keys = try line.map { try Self.sequence(TestCell($0, .string), bench) }
        for (index, pair) in zip(keys, keys.dropFirst()).enumerated() {
            let comment: Comment = "\(line[index]) before \(line[index + 1])"
            #expect(pair.0.lexicographicallyPrecedes(pair.1), comment)
            #expect(!pair.1.starts(with: pair.0), "what follows must not decide: \(line[index])")
        }
    }

    /// Ways to write one value.
    @Test(arguments: [
        ("bigint", ["7", "007", "7.0", "70e-1", "+7"]), ("numeric", ["1.5", "1.50", "15e-1", "001.5"]),
        ("numeric", ["0", "-0", "0.00", "0e9"]), ("numeric", ["Infinity", "inf", "POSITIVE_INFINITY"]),
        ("real", ["0.1", "0.10000000149011612", "1e-1"]), ("double precision", ["0", "-0", "0.0"]),
        ("uuid", ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"]),
        (
            "timestamptz",
            ["2026-03-01T09:30:15Z", "2026-03-01 10:30:15+01", "2026-03-01T09:30:15.000000", "2026-03-01 09:30:15"]
        ),
        ("timestamp", ["2026-03-02T00:00:00", "2026-03-01 24:00:00"]),
        ("date", ["2026-03-01", "2026-03-01T00:00:00Z"]),
    ])
    func `a value has one order however it is written`(_ type: String, _ texts: [String]) throws {
        let bench = Self.bench(try #require(ColumnType(type)))
        let keys = try texts.map { try Self.sequence(TestCell($0, .string), bench) }
        #expect(Set(keys).count == 1, "\(texts)")
    }

    @Test(arguments: [
        ("numeric", "NaN", "a number, which NaN is not: it has no order"),
        ("real", "1e39", "a number that real can hold"),
        ("double precision", "nan", "a number, which NaN is not: it has no order"),
        ("bigint", "1.5", "a whole number from"),
        ("numeric(4,2)", "Infinity", "a number"), ("smallint", "32768", "a whole number from -32768 to 32767"),
        ("numeric(4,2)", "1.234", "at most 2 digits before the decimal point and 2 after it"),
        ("date", "2026-02-29", "a date such as 2026-03-01"), ("uuid", "a0", "a UUID such as"),
        ("timestamptz", "2026-03-01T25:00:00", "a timestamp such as"),
        ("varchar(2)", "abc", "at most 2 characters, not 3"),
    ])
    func `what has no place in the order of its type is refused`(_ type: String, _ text: String, _ expected: String)
        throws
    {
        let bench = Self.bench(try #require(ColumnType(type)))
        let rejection = try #require(bench.rejection(Self.event(TestCell(text, .string))))
        #expect(rejection.reason == .sequenceMissing)
        #expect(
            rejection.detail.contains("\"at\" (\(type)) holds \"\(text)\"; expected \(expected)"),
            "\(rejection.detail)"
        )
    }

    @Test func `booleans and lists are no versions`() throws {
        let bench = Self.bench(.bigint)
        for cell in [TestCell("true", .true), TestCell("false", .false), .json("[1]")] {
            #expect(bench.rejection(Self.event(cell))?.reason == .sequenceMissing)
        }
    }

    @Test(arguments: [
        (ValueEncoding.epochSeconds, "1772357415"), (.epochMilliseconds, "1772357415000"),
        (.epochMicroseconds, "1772357415000000"), (.epochNanoseconds, "1772357415000000000"),
    ])
    func `a count of units is the instant that it counts`(_ encoding: ValueEncoding, _ count: String) throws {
        let bench = Self.bench(.timestamptz, encoding)
        let expected = try Self.sequence("2026-03-01T09:30:15Z", bench)
        #expect(try Self.sequence(.number(count), bench) == expected)
        let unknown = Self.bench(.timestamptz)
        #expect(unknown.rejection(Self.event(.number(count)))?.reason == .sequenceMissing, "the unit is never guessed")
    }

    @Test func `numbers of any size and scale compare as numbers, by both paths`() throws {
        var random = SeededGenerator.forTest("sequence numbers")
        let seed = random.seed
        let bench = Self.bench(.numeric(precision: nil, scale: 0))
        var keys: [(thousandths: Int, key: [UInt8])] = []
        for _ in 0..<600 {
            let digits = Int.random(in: 1...15, using: &random)
            let bound = (0..<digits).reduce(1) { power, _ in power * 10 }
            let number = Int.random(in: -bound...bound, using: &random)
            let (whole, rest) = abs(number).quotientAndRemainder(dividingBy: 1000)
            var text = (number < 0 ? "-" : "") + "\(whole)." + "\(rest + 1000)".dropFirst()
            if rest == 0, random.chance(50) { text = String(text.dropLast(4)) }
            if random.chance(20) { text += text.contains(".") ? "000" : ".0" }
            let cell = TestCell(text, random.chance(50) ? .string : .number)
            keys.append((number, try Self.sequence(cell, bench)))
        }
        for (left, right) in zip(keys, keys.dropFirst()) {
            let isBelow = left.key.lexicographicallyPrecedes(right.key)
            #expect(
                isBelow == (left.thousandths < right.thousandths),
                "\(left.thousandths) \(right.thousandths) seed \(seed)"
            )
            #expect((left.key == right.key) == (left.thousandths == right.thousandths), "seed \(seed)")
        }
    }

    @Test func `parts compare one after the other, and none reaches into the next`() throws {
        let definition = ProjectionDefinition.orders(
            sequence: [.column("note", type: .text), .column("version", type: nil), .eventTime]
        )
        let bench = EncoderBench(definition)
        let line: [(note: TestCell, version: TestCell, time: Int64)] = [
            ("", 9, 9), ("a", -2, 9), ("a", -1, 0), ("a", 1, -1), ("a", 1, 1_000_000), ("a", 2, 0), ("aa", 0, 0),
            ("b", 0, 0),
        ]
        var former: EncodedView?
        for (note, version, time) in line {
            let after: TestRow = ["id": 1, "note": note, "version": version, "status": .null, "total": .null]
            let event = TestEvent(.insert, after: after).with { $0.change.eventTime = time }
            let change = try #require(bench.encode(event).encoded.first)
            if let former {
                #expect(
                    former.orderKey.lexicographicallyPrecedes(change.orderKey),
                    "\(former.sequence) \(change.sequence)"
                )
            }
            former = change
        }
        #expect(former?.sequence == "b, 0, 1970-01-01T00:00:00+00:00")
    }

    @Test func `what is read later is above, where an event is ordered by where it was read`() throws {
        let bench = EncoderBench(.orders(sequence: [.received]))
        let offsets = [
            StreamOffset.start, StreamOffset(major: 0, row: 1), StreamOffset(major: 1), StreamOffset(major: 256),
        ]
        let keys = offsets.map { bench.encode(Self.event(1), at: $0).encoded.first }
        for (left, right) in zip(keys, keys.dropFirst()) {
            let (left, right) = (try #require(left), try #require(right))
            #expect(left.orderKey.lexicographicallyPrecedes(right.orderKey))
        }
        #expect(keys.map { $0?.sequence } == ["3:1:0:0", "3:1:0:1", "3:1:1:0", "3:1:256:0"])
        let other = bench.encode(Self.event(1)) { $0.sourceID = 4 }.encoded.first
        #expect(try #require(keys[3]).orderKey.lexicographicallyPrecedes(try #require(other).orderKey))
    }

    // MARK: Positions

    private static let positions: [[Position?]] = [
        [
            nil, Position(kind: .lsn, 0, 40, count: 2, isSnapshot: true), Position(kind: .lsn, 30, count: 1),
            Position(kind: .lsn, 31, 40, count: 2, isSnapshot: true), Position(kind: .lsn, 31, count: 1),
            Position(kind: .lsn, epoch: 1, 2, count: 1),
        ],
        [
            nil, Position(kind: .binlog, 9, 500, 0, count: 3),
            Position(kind: .binlog, 10, 4, 0, count: 3, isSnapshot: true),
            Position(kind: .binlog, 10, 4, 0, count: 3), Position(kind: .binlog, 10, 4, 1, count: 3),
            Position(kind: .binlog, 10, 20, 0, count: 3),
        ],
        [
            Position(kind: .gtid, 1, 5, 0, 0, count: 4), Position(kind: .gtid, 1, 5, 1, 0, count: 4),
            Position(kind: .gtid, 1, 6, 0, 0, count: 4), Position(kind: .gtid, 2, 1, 0, 0, count: 4),
        ],
    ]

    @Test(arguments: positions)
    func `whatever an event does, one at a later position is above it`(_ line: [Position?]) throws {
        let bench = EncoderBench(.orders(sequence: [.position]))
        var greatest: [UInt8] = []
        let row: TestRow = ["id": 1, "version": 1, "status": "delivered", "total": .null]
        for position in line {
            var keys: [[UInt8]] = []
            let operations: [TidemarkCore.Operation] = position == nil ? [.snapshot] : [.insert, .update, .delete]
            for operation in operations {
                let isDelete = operation == .delete
                let event = TestEvent(
                    operation,
                    before: isDelete ? row : nil,
                    after: isDelete ? nil : row,
                    position: position
                )
                let (outcome, encoded) = bench.encode(event)
                keys.append(try #require(encoded.first, "\(outcome)").orderKey)
            }
            for key in keys { #expect(greatest.lexicographicallyPrecedes(key)) }
            greatest = try #require(keys.last)
            guard let position else { continue }
            var truncate = ChangeEvent(table: .empty, operation: .truncate)
            truncate.position = position
            let order = try #require(try bench.encoder.truncateOrder(truncate, bench.settings))
            #expect(greatest.lexicographicallyPrecedes(order.key), "a truncate is above what stands at its position")
            greatest = order.key
        }
    }

    @Test func `a snapshot row of PostgreSQL says that it is one, where the position orders`() throws {
        let snapshot = TestEvent(
            .snapshot,
            after: ["id": 1, "version": 1, "status": .null, "total": .null],
            position: Position(kind: .lsn, 0, 40, count: 2, isSnapshot: true)
        )
        let byPosition = EncoderBench(.orders(sequence: [.position]))
        #expect(try #require(byPosition.encode(snapshot).encoded.first).item.isSnapshotOfLSN)
        let byVersion = EncoderBench(.orders())
        #expect(try !#require(byVersion.encode(snapshot).encoded.first).item.isSnapshotOfLSN)
    }

    @Test func `a truncate without a position deletes nothing`() throws {
        let truncate = ChangeEvent(table: .empty, operation: .truncate)
        let records = EncoderBench(.orders(sequence: [.position]))
        #expect(try records.encoder.truncateOrder(truncate, records.settings) == nil)
        var definition = ProjectionDefinition.orders(sequence: [.position])
        definition.onTruncate = .delete
        let deletes = EncoderBench(definition)
        #expect(throws: Rejection.self) { try deletes.encoder.truncateOrder(truncate, deletes.settings) }
    }
}

private func * (text: String, count: Int) -> String { String(repeating: text, count: count) }
