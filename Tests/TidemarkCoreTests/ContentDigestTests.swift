import Testing
import TidemarkTesting

@testable import TidemarkCore

@Suite struct ContentDigestTests {
    private static func orderKey(_ row: TestRow, _ bench: EncoderBench) throws -> [UInt8] {
        try #require(bench.encode(TestEvent(.update, after: row)).encoded.first).orderKey
    }

    /// Two different events at one sequence are two events: no content may be taken for another.
    @Test(arguments: [true, false])
    func `rows that differ anywhere have two order keys`(_ declaresColumns: Bool) throws {
        var definition = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["id"],
            sequence: [.column("version", type: .bigint)]
        )
        if declaresColumns {
            definition.columns = ["id", "a", "b"].map { .init(name: $0, type: .text) }
        }
        let bench = EncoderBench(definition)
        let long = TestCell(String(repeating: "x", count: 252), .string)
        let values: [TestCell] = [
            .null, .unavailable, "", "a", "b", "ab", "\u{1}", "\u{2}", "\u{3}", "\u{4}a", "null", long,
            TestCell(long.text + "x", .string), TestCell(String(repeating: "x", count: 300), .string),
        ]
        var keys: [[UInt8]: String] = [:]
        for first in values {
            for second in values {
                let key = try Self.orderKey(["id": "1", "version": 1, "a": first, "b": second], bench)
                let former = keys.updateValue("\(first.text.count) \(second.text.count)", forKey: key)
                #expect(former == nil, "\(first) \(second) is as \(former ?? "")")
            }
        }
    }

    @Test func `an order key ends with half of the digest of its content`() throws {
        let bench = EncoderBench(.orders())
        let row: TestRow = ["id": 1, "version": 2, "status": "paid", "total": .null]
        let key = try Self.orderKey(row, bench)
        // Columns in name order: the length behind 3, 1 for null.
        var content = ByteBuffer()
        content.append([4] + Array("1".utf8) + [7] + Array("paid".utf8) + [1, 4] + Array("2".utf8))
        let output = content.withSpan { span in span.withUnsafeBytes { DigestContext.sha256(Array($0)) } }
        #expect(Array(key.suffix(16)) == Array(output.prefix(16)))
        #expect(key.dropLast(16).suffix(3) == [0, 0, 2], "no delete, and the place of the state")
    }

    /// A column that is configured no more goes on telling events apart; one that was added does not begin to.
    @Test func `events that are stored keep their digests when columns come and go`() throws {
        let before = EncoderBench(.orders())
        var definition = ProjectionDefinition.orders()
        definition.columns?.removeAll { $0.name == "total" }
        definition.columns?.append(.init(name: "note", type: .text))
        let plan = ProjectionPlan(definition, digest: ProjectionDefinition.orders().columns, late: ["note"])
        var encoder = ChangeEncoder(plan: plan, index: 0)
        for total in [TestCell.null, .unavailable, "1.5", "no number"] {
            let row: TestRow = ["id": 1, "version": 2, "status": "paid", "total": total, "note": "new"]
            let event = TestEvent(.update, after: row)
            var segments = [LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start)]
            let origin = ChangeEncoder.Origin(
                settings: SourceSettings(name: "test"),
                sourceIndex: 0,
                stream: StreamID(rawValue: 1),
                offset: .start
            )
            let outcome = encoder.encode(event.change, of: event.message, from: origin, into: &segments)
            #expect(outcome == .encoded, "what is not kept is not checked")
            let change = EncodedView(segments[0].items[0], lane: 0, of: segments[0])
            #expect(change.valueFields == [Array("new".utf8), Array("paid".utf8), [0, 0, 0, 0, 0, 0, 0, 2]])
            guard total.text != "no number" else { continue }
            #expect(change.orderKey == (try Self.orderKey(row, before)), "\(total)")
        }
    }
}
