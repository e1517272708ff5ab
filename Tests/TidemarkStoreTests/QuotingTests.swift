import LibPQ
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

/// Names stand quoted in every statement, whatever follows a quotation mark.
struct QuotingTests {
    @Test func aQuotationMarkIsDoubledWhateverFollowsIt() {
        #expect(Array(SQLText.identifier("a\"\u{301}b").utf8) == Array("\"a\"\"\u{301}b\"".utf8))
        #expect(Array(SQLText.literal("a'\u{301}b").utf8) == Array("'a''\u{301}b'".utf8))
        #expect(Array(SQLText.literal("\\\u{301}'").utf8) == Array("E'\\\\\u{301}'''".utf8))
        #expect(SQLText.arrayLiteral([Array("a\"".utf8), Array("\\".utf8)], hasNull: true) == #"{NULL,"a\"","\\"}"#)
        #expect(SQLText.arrayLiteral([]) == "{}")
    }

    @Test func viewsAreNamedAfterTheTableAndStorageAfterTheProjection() {
        var definition = ProjectionDefinition(name: "Näme", from: ["a.b"], key: ["k"], sequence: [.received])
        (definition.schema, definition.table) = ("S.1", "T\"1")
        let names = RelationNames(definition)
        #expect(names.orders.sql == #""S.1"."T""1""#)
        #expect(names.timeline.sql == #""S.1"."T""1_timeline""#)
        #expect(names.history.sql == #""S.1"."T""1_history""#)
        #expect(names.milestones.sql == #""S.1"."T""1_milestones""#)
        #expect(names.gaps.sql == #""S.1"."T""1_gaps""#)
        #expect(names.entityStorage.sql == #""tidemark_internal"."Näme_entities""#)
        let next = RelationNames(definition, storage: "Näme.next")
        #expect(next.orders == names.orders)
        #expect(next.eventStorage.sql == #""tidemark_internal"."Näme.next_events""#)
        #expect(next.anomalies == names.anomalies)
    }

    @Test(arguments: [true, false])
    func noNameStandsInAStatementUnquoted(_ declaresColumns: Bool) {
        var definition = OddNames.definition(columns: declaresColumns)
        definition.onTruncate = .delete
        definition.contiguous = .fromFirst
        let plan = ProjectionPlan(definition, late: declaresColumns ? [OddNames.note] : [])
        var identifiers: Set<[UInt8]> = []
        for statement in OddNames.statements(plan) {
            let parsed = OddNames.parse(statement)
            #expect(!String(decoding: parsed.rest, as: UTF8.self).contains("Ω"), "\(statement)")
            identifiers.formUnion(parsed.identifiers)
        }
        var expected = plan.names.all(of: plan).flatMap { [$0.schema, $0.name] } + [OddNames.id]
        if declaresColumns { expected += [OddNames.note, OddNames.version] }
        for name in expected { #expect(identifiers.contains(Array(name.utf8)), "\(name)") }
    }
}

/// Names and texts come back from PostgreSQL as they went there.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct QuotingOnServerTests {
    /// Of 63 bytes with the longest suffix, and of more bytes than characters.
    private static let longest = String(repeating: "Ω", count: 26)
    private static let longestSchema = String(repeating: "Ω", count: 31) + "S"

    @Test(arguments: [(OddNames.schema, OddNames.table), (longestSchema, longest)], [true, false])
    func aProjectionOfOddNamesIsCreatedWrittenPrunedAndDropped(
        _ names: (schema: String, table: String),
        _ declaresColumns: Bool
    ) async throws {
        var definition = OddNames.definition(schema: names.schema, table: names.table, columns: declaresColumns)
        if !declaresColumns {
            definition.key = ["id"]
            definition.sequence = [.column("version", type: nil)]
        }
        let bench = try await StoreBench([definition])
        let connection = bench.connection
        let lane = try bench.lane()
        try await lane.commit(
            try bench.batch(Block(bench.streams[0], from: 0, [OddNames.change(1), OddNames.change(3, note: "c'\"")]))
        )
        try await lane.commit(try bench.batch(Block(bench.streams[0], from: 2, [OddNames.change(2, state: "Ω'lost")])))
        await lane.close()

        let relations = bench.plans[0].names
        let note = declaresColumns ? SQLText.identifier(OddNames.note) : "\"row\" ->> 'note'"
        #expect(try await connection.rows("select \(note) from \(relations.orders.sql)") == [["c'\""]])
        let key = SQLText.identifier(declaresColumns ? OddNames.id : "id")
        let timeline = try await connection.rows(
            "select \(key), sequence, state from \(relations.timeline.sql) order by sequence"
        )
        #expect(timeline == [["7", "1", "Ω'shipped"], ["7", "2", "Ω'lost"], ["7", "3", "Ω'shipped"]])
        let delivery = try await connection.rows("select projection, milestone, notifier from tidemark.deliveries")
        #expect(delivery == [[names.table, "Ω\(OddNames.quote)reached", "Ω'"]])
        for view in relations.views(of: bench.plans[0]) {
            _ = try await connection.query("select * from \(view.sql)")
        }

        let pruned = try await Pruning.prune(names.table, before: 1 << 52, on: connection)
        #expect(pruned.events == 1)
        let erased = try await ForgetStore.erase(["7"], json: #"["7"]"#, of: names.table, letters: [], on: connection)
        #expect([erased.rows, erased.events] == [1, 2])
        let dropped = try await ProjectionRegistry.drop(names.table, on: connection)
        #expect(Set(dropped) == Set(relations.all(of: bench.plans[0]).map { "\($0.schema).\($0.name)" }))
        let left = try await connection.number(
            """
            select count(*) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where nspname = \(SQLText.literal(names.schema))
            """
        )
        #expect(left == 0)
        await connection.close()
    }

    /// One letter each to Swift: a character that quoting is about, with a mark behind it.
    private static let texts = ["\"", "'", "\\", ",", "{", "}", "\n"].flatMap { quoted in
        ["\u{301}", "\u{200D}", "\u{FE0F}", ""].map { "a\(quoted)\($0); b" }
    }

    @Test func identifiersLiteralsAndArraysComeBackAsTheyWent() async throws {
        let connection = try await TestDatabase.current.connect()
        for text in Self.texts {
            let literal = try await connection.value("select \(SQLText.literal(text))")
            #expect(Array(literal.utf8) == Array(text.utf8))
            let names = try await connection.rows(
                "select key from jsonb_each(to_jsonb((select row from (select 1 as \(SQLText.identifier(text))) as row)))"
            )
            #expect(names.map { Array($0[0].utf8) } == [Array(text.utf8)])
        }
        let array = SQLText.arrayLiteral(Self.texts.map { Array($0.utf8) })
        let elements = try await connection.rows("select unnest(\(SQLText.literal(array))::text[])")
        #expect(elements.map { Array($0[0].utf8) } == Self.texts.map { Array($0.utf8) })
        await connection.close()
    }
}
