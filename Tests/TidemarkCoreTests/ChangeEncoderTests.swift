import Testing
import TidemarkCore

private func row(_ id: Int = 1, _ version: Int = 1, _ status: TestCell = "created", _ total: TestCell = "9.50")
    -> TestRow
{
    ["id": .number("\(id)"), "version": .number("\(version)"), "status": status, "total": total]
}

/// What an event of each operation becomes: key, row and state.
@Suite struct ChangeEncoderTests {
    @Test(arguments: [TidemarkCore.Operation.insert, .update, .snapshot])
    func `a row's columns stand in name order, in binary`(_ operation: TidemarkCore.Operation)
        throws
    {
        let bench = EncoderBench(.orders())
        let (outcome, encoded) = bench.encode(TestEvent(operation, after: row(7, 3, "paid", "9.5")))
        #expect(outcome == .encoded)
        let change = try #require(encoded.first)
        #expect(encoded.count == 1)
        #expect(change.operation == operation)
        #expect(change.key == "7")
        #expect(change.keyFields == [[0, 0, 0, 0, 0, 0, 0, 7]])
        #expect(change.sequence == "3")
        #expect(
            change.valueFields == [
                Array("paid".utf8), [0, 2, 0, 0, 0, 0, 0, 2, 0, 9, 0x13, 0x88], [0, 0, 0, 0, 0, 0, 0, 3],
            ]
        )
        #expect(change.state == "paid")
        #expect(change.item.stateImage == .value)
        #expect(!change.item.isPartial && change.missing.isEmpty)
    }

    @Test(arguments: [true, false])
    func `a delete has a key and a sequence, and no row`(_ isBefore: Bool) throws {
        let bench = EncoderBench(.orders())
        let image = row(7, 4, "shipped")
        let event = TestEvent(.delete, before: isBefore ? image : nil, after: isBefore ? nil : image)
        let (outcome, encoded) = bench.encode(event)
        #expect(outcome == .encoded)
        let change = try #require(encoded.first)
        #expect(change.operation == .delete)
        #expect(change.key == "7" && change.sequence == "4")
        #expect(change.valueFields.isEmpty)
        #expect(change.state == nil && change.item.milestones == 0)
        #expect(change.orderKey == change.sequenceBytes + [1])
    }

    @Test func `the parts of a key are canonical texts in the order of the configuration`() throws {
        var definition = ProjectionDefinition.orders(key: ["region", "id"])
        definition.columns?.append(.init(name: "region", type: .text))
        let bench = EncoderBench(definition)
        let (_, encoded) = bench.encode(
            TestEvent(.insert, after: ["id": "007.0", "region": "de", "version": 1, "status": .null])
        )
        let change = try #require(encoded.first)
        #expect(change.key == "de|7")
        #expect(change.keyFields == [Array("de".utf8), [0, 0, 0, 0, 0, 0, 0, 7]])
        #expect(change.item.stateImage == .null)
    }

    @Test func `columns are found by name, in whatever order rows have them`() throws {
        let bench = EncoderBench(.orders())
        let first = try #require(bench.encode(TestEvent(.insert, after: row(1, 1))).encoded.first)
        let rows: [TestRow] = [
            ["total": "9.50", "status": "created", "version": 1, "id": 1],
            ["extra": "x", "status": "created", "id": 1, "total": .number("9.5"), "version": "1"],
        ]
        for row in rows {
            let other = try #require(bench.encode(TestEvent(.insert, after: row)).encoded.first)
            #expect(other.orderKey == first.orderKey)
            #expect(other.valueFields == first.valueFields)
        }
    }

    /// A duplicate is an event with the same order key: what tells where it was read is no part of it.
    @Test func `the order key is the content's, not the message's`() throws {
        let bench = EncoderBench(.orders())
        let event = TestEvent(.insert, after: row(1, 5, "paid"))
        let first = try #require(bench.encode(event).encoded.first)
        let again = try #require(bench.encode(event, at: StreamOffset(major: 900, row: 2)).encoded.first)
        let update = TestEvent(.update, after: row(1, 5, "paid")).with { $0.change.eventTime = 77 }
        let other = try #require(bench.encode(update).encoded.first)
        #expect(again.orderKey == first.orderKey && other.orderKey == first.orderKey)
        #expect(again.item.offset == StreamOffset(major: 900, row: 2))
        #expect(other.item.eventTime == 77)
        let changed = try #require(bench.encode(TestEvent(.insert, after: row(1, 5, "paid", "9.51"))).encoded.first)
        #expect(changed.orderKey != first.orderKey)
        #expect(changed.sequenceBytes == first.sequenceBytes)
    }

    @Test func `an event time beyond what a timestamp holds says nothing`() throws {
        let bench = EncoderBench(.orders())
        for time in [Int64.max, .min, CalendarText.timestampRange.lowerBound - 1] {
            let event = TestEvent(.insert, after: row()).with { $0.change.eventTime = time }
            #expect(try #require(bench.encode(event).encoded.first).item.eventTime == nil)
        }
    }

    // MARK: State and milestones

    @Test func `a state implies the milestones before it, a dominator in the lower bit`() throws {
        let bench = EncoderBench(.orders())
        #expect(bench.plan.milestones.map(\.name) == ["paid", "shipped"])
        for (status, milestones) in [
            ("created", 0), ("paid", 1), ("shipped", 3), ("delivered", 3), ("lost", 0), ("", 0),
        ] as [(String, UInt64)] {
            let event = TestEvent(.update, after: row(1, 1, TestCell(status, .string)))
            let change = try #require(bench.encode(event).encoded.first)
            #expect(change.state == status && change.item.milestones == milestones)
        }
    }

    @Test func `a state is called what the configuration calls it, whether a text or a number stands for it`() throws {
        var definition = ProjectionDefinition.orders()
        definition.state = .init(column: "code", map: ["10": "created", "20": "shipped"])
        let bench = EncoderBench(definition)
        for (code, state, milestones) in [
            (TestCell("20", .number), "shipped", 3), ("20", "shipped", 3), ("10", "created", 0), ("30", "30", 0),
            ("20", "shipped", 3),
        ] as [(TestCell, String, UInt64)] {
            let after: TestRow = ["id": 1, "version": 1, "status": "x", "total": .null, "code": code]
            let change = try #require(bench.encode(TestEvent(.update, after: after)).encoded.first)
            #expect(change.state == state && change.item.milestones == milestones)
        }
    }

    @Test func `at one version the state further along the lifecycle is above the other`() throws {
        let bench = EncoderBench(.orders())
        var former: [UInt8] = []
        // No state of the lifecycle is below all of them.
        for status in ["lost", "created", "paid", "shipped", "delivered"] {
            let event = TestEvent(.update, after: row(1, 8, TestCell(status, .string)))
            let key = try #require(bench.encode(event).encoded.first).orderKey
            #expect(former.lexicographicallyPrecedes(key), "\(status)")
            former = key
        }
        let delete = try #require(bench.encode(TestEvent(.delete, before: row(1, 8))).encoded.first).orderKey
        #expect(former.lexicographicallyPrecedes(delete))
        let next = try #require(bench.encode(TestEvent(.update, after: row(1, 9, "lost"))).encoded.first).orderKey
        #expect(delete.lexicographicallyPrecedes(next))
    }

    // MARK: Columns that an image lacks

    @Test func `an unavailable column makes a partial image, and is none of its columns`() throws {
        let bench = EncoderBench(.orders())
        let event = TestEvent(.update, after: row(1, 2, "paid", .unavailable))
        let change = try #require(bench.encode(event).encoded.first)
        #expect(change.item.isPartial && change.item.carriesState)
        #expect(change.missing == ["total"])
        #expect(change.carried == [1, 0, 1], "status, total and version, behind the key")
        #expect(change.valueFields == [Array("paid".utf8), nil, [0, 0, 0, 0, 0, 0, 0, 2]])
        let null = try #require(bench.encode(TestEvent(.update, after: row(1, 2, "paid", .null))).encoded.first)
        #expect(!null.item.isPartial)
        #expect(null.valueFields == change.valueFields)
        #expect(null.orderKey != change.orderKey, "null is another content than none")
    }

    @Test func `an unavailable state is not carried`() throws {
        let bench = EncoderBench(.orders())
        let change = try #require(bench.encode(TestEvent(.update, after: row(1, 2, .unavailable))).encoded.first)
        #expect(change.item.stateImage == .absent && change.state == nil && change.item.milestones == 0)
        #expect(change.missing == ["status"])
    }

    @Test func `an absent column is as it was, or null, or what the configuration puts in its place`() throws {
        let after: TestRow = ["id": 1, "version": 2, "status": "paid"]
        let bench = EncoderBench(.orders())
        let unchanged = try #require(bench.encode(TestEvent(.update, after: after)).encoded.first)
        #expect(unchanged.item.isPartial && unchanged.missing == ["total"])
        bench.settings.absent = .null
        let null = try #require(bench.encode(TestEvent(.update, after: after)).encoded.first)
        #expect(!null.item.isPartial && null.valueFields == [Array("paid".utf8), nil, [0, 0, 0, 0, 0, 0, 0, 2]])
        for (substitute, value) in [("0", [0, 0, 0, 0, 0, 0, 0, 2]), (nil, nil)] as [(String?, [UInt8]?)] {
            var definition = ProjectionDefinition.orders()
            definition.columns?[3].absentValue = .some(substitute)
            let bench = EncoderBench(definition)
            let change = try #require(bench.encode(TestEvent(.update, after: after)).encoded.first)
            #expect(!change.item.isPartial && change.valueFields[1] == value)
        }
    }

    @Test func `a minimal image takes its key from the row before`() throws {
        let bench = EncoderBench(.orders())
        let event = TestEvent(.update, before: ["id": 5], after: ["version": 3, "status": "paid"])
        let change = try #require(bench.encode(event).encoded.first)
        #expect(change.key == "5")
        #expect(change.valueFields == [Array("paid".utf8), nil, [0, 0, 0, 0, 0, 0, 0, 3]])
        #expect(change.missing == ["total"])
    }

    // MARK: Rows without declared columns

    @Test func `without declared columns the row is kept as jsonb orders it`() throws {
        let bench = EncoderBench(.orders(declaresColumns: false))
        let event = TestEvent(
            .insert,
            after: [
                "version": 2, "id": "7", "status": "pa\"id", "b": .number("1e2"), "on": TestCell("true", .true),
                "aa": .json(#"{ "y": [1 , null], "x": 0.10 }"#), "z": .null,
            ]
        )
        let change = try #require(bench.encode(event).encoded.first)
        let json =
            #"{"b":100,"z":null,"aa":{"x":0.10,"y":[1,null]},"id":"7","on":true,"status":"pa\"id","version":2}"#
        #expect(change.image == json)
        #expect(change.valueFields == [[1] + Array(json.utf8)], "the binary form of jsonb begins with its version")
        #expect(change.key == "7" && change.state == "pa\"id")
    }

    @Test func `without declared columns a minimal image names what it carries`() throws {
        let bench = EncoderBench(.orders(declaresColumns: false))
        bench.settings.sendsMinimalImages = true
        let event = TestEvent(.update, before: ["id": 7], after: ["id": 7, "version": 2, "note": .unavailable])
        let change = try #require(bench.encode(event).encoded.first)
        #expect(change.item.isPartial && !change.item.nullsOthers && !change.item.carriesState)
        #expect(change.image == #"{"id":7,"version":2}"#)
        #expect(change.missing == ["note", "status"], "the state is a column that exists")
        bench.settings.absent = .null
        let nulled = try #require(bench.encode(event).encoded.first)
        #expect(nulled.item.isPartial && nulled.item.nullsOthers)
        #expect(nulled.missing == ["note"])
    }

    // MARK: Tags

    @Test func `tags drop an event that has another tag or none, and never a delete`() {
        var definition = ProjectionDefinition.orders()
        definition.tags = .init(column: nil, accepted: ["web", "shop"])
        let bench = EncoderBench(definition)
        for (tag, outcome) in [("web", .encoded), ("shop", .encoded), ("we", .filtered), (nil, .filtered)]
            as [(String?, ChangeEncoder.Outcome)]
        {
            let event = TestEvent(.update, after: row()).with { event in
                event.change.tag = tag.map { event.add($0) }
            }
            let result = bench.encode(event)
            #expect(result.outcome == outcome && result.encoded.count == (outcome == .encoded ? 1 : 0))
        }
        #expect(bench.encode(TestEvent(.delete, before: row())).outcome == .encoded)
    }

    @Test func `a tag column is compared in its type's canonical form`() {
        var definition = ProjectionDefinition.orders()
        definition.tags = .init(column: "total", accepted: ["9.5", "x"])
        let bench = EncoderBench(definition)
        #expect(bench.encode(TestEvent(.update, after: row(1, 1, "paid", .number("9.50")))).outcome == .encoded)
        #expect(bench.encode(TestEvent(.update, after: row(1, 1, "paid", .number("9.51")))).outcome == .filtered)
        #expect(bench.encode(TestEvent(.update, after: row(1, 1, "paid", .null))).outcome == .filtered)
        #expect(
            bench.rejection(TestEvent(.update, after: row(1, 1, "paid", .json("[1]"))))
                == Rejection(.valueInvalid, #"column "total" (the tag) holds [1]; expected a text or a number"#)
        )
    }

    @Test func `where versions are contiguous a dropped event leaves its version`() throws {
        var definition = ProjectionDefinition.orders()
        definition.tags = .init(column: nil, accepted: ["web"])
        definition.contiguous = .fromOne
        let bench = EncoderBench(definition)
        let (outcome, encoded) = bench.encode(TestEvent(.update, after: row(4, 9)))
        #expect(outcome == .filtered)
        let seen = try #require(encoded.first)
        #expect(seen.item.kind == .seen && seen.key == "4" && seen.sequence == "9" && seen.orderKey.isEmpty)
        #expect(bench.encode(TestEvent(.update, after: ["id": 4])).outcome == .filtered)
    }
}
