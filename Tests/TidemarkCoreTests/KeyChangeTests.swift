import Testing
import TidemarkCore

private func row(_ id: TestCell, _ version: TestCell = 2, _ status: TestCell = "paid") -> TestRow {
    ["id": id, "version": version, "status": status, "total": .null]
}

/// An update of the key is two events: the delete of one entity, and an insert of another.
@Suite struct KeyChangeTests {
    @Test func `an update of the key deletes the old one and inserts the new one`() throws {
        let bench = EncoderBench(.orders())
        let (outcome, encoded) = bench.encode(TestEvent(.update, before: row(1, 1), after: row(2)))
        #expect(outcome == .encoded)
        try #require(encoded.count == 2)
        #expect(encoded.map(\.operation) == [.delete, .insert])
        #expect(encoded.map(\.key) == ["1", "2"])
        #expect(encoded.map(\.sequence) == ["2", "2"], "both at the sequence of the row as it is")
        #expect(encoded[0].keyFields == [[0, 0, 0, 0, 0, 0, 0, 1]])
        #expect(encoded[0].orderKey == encoded[0].sequenceBytes + [1])
        #expect(encoded[0].valueFields.isEmpty && encoded[0].item.milestones == 0)
        #expect(encoded[1].valueFields == [Array("paid".utf8), nil, [0, 0, 0, 0, 0, 0, 0, 2]])
        #expect(encoded[1].item.milestones == 1)
        #expect(encoded[0].item.isAtOffset(of: encoded[1].item))
    }

    @Test func `each half goes to the lane of its key`() throws {
        let bench = EncoderBench(.orders(), lanes: 5)
        var parted = 0
        for id in 0..<40 {
            let event = TestEvent(.update, before: row(.number("\(id)")), after: row(.number("\(id + 1000)")))
            let encoded = bench.encode(event, at: StreamOffset(major: UInt64(id))).encoded
            try #require(encoded.count == 2)
            for half in encoded {
                let lane = LaneRule.current.lane(ofKey: Array(half.key.utf8).span, among: 5)
                #expect(half.lane == lane)
            }
            if encoded[0].lane != encoded[1].lane { parted += 1 }
        }
        #expect(parted > 20)
    }

    /// The row that takes over a key in the same statement has the position of the row that gives it up.
    @Test func `at its position the old key's delete is below what else has that position`() throws {
        let bench = EncoderBench(.orders(sequence: [.position]))
        let position = Position(kind: .binlog, 3, 400, 0, count: 3)
        let moved = bench.encode(TestEvent(.update, before: row(1), after: row(2), position: position)).encoded
        let insert = try #require(bench.encode(TestEvent(.insert, after: row(1), position: position)).encoded.first)
        let delete = try #require(bench.encode(TestEvent(.delete, before: row(1), position: position)).encoded.first)
        try #require(moved.count == 2)
        #expect(moved.map(\.sequence) == ["3:400:0:0", "3:400:0:1"])
        #expect(moved[0].orderKey.lexicographicallyPrecedes(insert.orderKey))
        #expect(insert.orderKey.lexicographicallyPrecedes(delete.orderKey), "a plain delete is above it")
        let former = Position(kind: .binlog, 3, 399, .max, count: 3)
        let before = try #require(bench.encode(TestEvent(.insert, after: row(1), position: former)).encoded.first)
        #expect(before.orderKey.lexicographicallyPrecedes(moved[0].orderKey))
    }

    @Test func `a key that is written otherwise is the same key`() {
        let bench = EncoderBench(.orders())
        for (old, new) in [("1", 1), ("1.0", "1"), ("+7", "007"), (.number("1e1"), 10)] as [(TestCell, TestCell)] {
            let encoded = bench.encode(TestEvent(.update, before: row(old, 1), after: row(new))).encoded
            #expect(encoded.map(\.operation) == [.update], "\(old) \(new)")
        }
        var definition = ProjectionDefinition.orders()
        definition.columns?[1].type = .text
        let texts = EncoderBench(definition)
        let encoded = texts.encode(TestEvent(.update, before: row("1.0"), after: row("1"))).encoded
        #expect(encoded.map(\.key) == ["1.0", "1"], "as texts they are two")
    }

    @Test func `columns that the row before does not hold are as they are after`() {
        let bench = EncoderBench(.orders(key: ["region", "id"]))
        let after: TestRow = ["id": 2, "region": "de", "version": 2, "status": "paid", "total": .null]
        let befores: [(TestRow, [String])] = [
            (["version": 1], ["de|2"]), (["id": 1], ["de|1", "de|2"]), (["region": "at"], ["at|2", "de|2"]),
            (["id": .null], ["de|2"]), (["region": .unavailable, "id": 3], ["de|3", "de|2"]),
        ]
        for (before, keys) in befores {
            let event = TestEvent(.update, before: before, after: after).with {
                $0.change.beforeHoldsChangesOnly = true
            }
            #expect(bench.encode(event).encoded.map(\.key) == keys, "\(before)")
        }
    }

    /// Under another replica identity Debezium writes a default in the place of the key.
    @Test func `a key that the row before is not believed to hold is no other key`() throws {
        let bench = EncoderBench(.orders())
        bench.settings.replicaIdentities = ReplicaIdentities(rest: .columns(["code"]))
        let event = TestEvent(.update, before: row(0, 0), after: row(9))
        for (trust, keys) in [
            (BeforeTrust.whole, ["0", "9"]), (.full, ["0", "9"]), (.key, ["0", "9"]), (.columns, ["9"]),
        ] {
            #expect(bench.encode(event.with { $0.change.beforeTrust = trust }).encoded.map(\.key) == keys, "\(trust)")
        }
    }

    @Test func `a key change that tags drop is a delete of the old key`() throws {
        var definition = ProjectionDefinition.orders()
        definition.tags = .init(column: "status", accepted: ["created"])
        let bench = EncoderBench(definition)
        let event = TestEvent(.update, before: row(1, 1, "created"), after: row(2, 2, "paid"))
        let (outcome, encoded) = bench.encode(event)
        #expect(outcome == .filtered)
        #expect(encoded.map(\.key) == ["1"] && encoded.map(\.operation) == [.delete])
        definition.contiguous = .fromOne
        let contiguous = EncoderBench(definition)
        let items = contiguous.encode(event).encoded
        #expect(items.map(\.key) == ["1", "2"] && items.map(\.item.kind) == [.change, .seen])
    }

    @Test func `an event speaks of every key that it names`() {
        let bench = EncoderBench(.orders())
        func keys(_ event: TestEvent) -> [String] {
            let keys = bench.encoder.keys(of: event.change, event.message, bench.settings)
            return Set(keys.map { String(decoding: $0, as: UTF8.self) }).sorted()
        }
        #expect(keys(TestEvent(.update, before: row(1), after: row(2))) == ["1", "2"])
        #expect(keys(TestEvent(.delete, before: row(1))) == ["1"])
        // Whatever else is wrong with it.
        #expect(keys(TestEvent(.update, before: ["id": 1], after: ["id": "x"])) == ["1"])
        #expect(keys(TestEvent(.update, after: row(2, "no number"))) == ["2"])
        let delete = TestEvent(.delete, before: row(0)).with { $0.change.beforeTrust = .columns }
        #expect(keys(delete).isEmpty, "a default is no key")
    }

    @Test func `a key that a person writes is the key of the events`() throws {
        let bench = EncoderBench(.orders(key: [ProjectionDefinition.databaseColumn, "id"]))
        let written = try bench.encoder.key(ofTexts: ["shard", "007"])
        #expect(written == Array("shard\u{0}7".utf8))
        #expect(throws: Rejection(.valueInvalid, "column \"id\" (bigint) holds \"x\"; expected a whole number")) {
            try bench.encoder.key(ofTexts: ["shard", "x"])
        }
    }
}
