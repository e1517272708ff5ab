import LibPQ
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

/// What is stored of a projection's meaning, and what is said of a change.
struct StoredDefinitionTests {
    /// As Tidemark of schema version 8 stored it (`fixtures/upgrade`), columns in another order.
    private static let stored = """
        {"key": [{"name": "id", "type": "bigint"}], "rules": 3, "state": "status", "table": "public.orders",
         "digest": [COLUMNS], "columns": [{"name": "id", "type": "bigint"}, {"name": "status", "type": "text"},
            {"name": "version", "type": "bigint"}],
         "readings": {"key": [{"from": "id", "name": "id", "type": "bigint", "encoding": "none", "hasDefault": false,
            "isUnsigned": false}], "state": {"from": "status", "name": "status", "type": "text", "encoding": "none",
            "hasDefault": false, "isUnsigned": false}, "columns": [COLUMNS], "sequence": [{"from": "version",
            "name": "version", "type": "bigint", "encoding": "none", "hasDefault": false, "isUnsigned": false}]},
         "sequence": [{"name": "version", "type": "number"}], "timeline": true,
         "lifecycle": {"paid": {"place": 2, "milestones": []}, "created": {"place": 1, "milestones": []},
            "shipped": {"place": 3, "milestones": ["shipped"]}, "delivered": {"place": 4, "milestones": ["shipped"]}},
         "contiguous": "no", "onTruncate": "record", "stateNames": {}}
        """.replacing(
            "COLUMNS",
            with: ["id", "version", "status"].map { name in
                """
                {"from": "\(name)", "name": "\(name)", "type": "\(name == "status" ? "text" : "bigint")",
                 "encoding": "none", "hasDefault": false, "isUnsigned": false}
                """
            }.joined(separator: ", ")
        )

    private static func changes(_ change: (inout ProjectionDefinition) -> Void) throws -> [String] {
        var definition = ProjectionDefinition.orders
        let before = StoredDefinition(ProjectionPlan(definition))
        change(&definition)
        return before.changes(to: StoredDefinition(ProjectionPlan(definition)), units: [:])
    }

    @Test func whatAnEarlierVersionStoredMeansWhatTheSameConfigurationMeansNow() throws {
        let old = try StoredDefinition(json: Self.stored)
        #expect(old == StoredDefinition(ProjectionPlan(.orders, numbers: .wide)))
    }

    @Test func everyDefinitionComesBackFromItsText() throws {
        var full = ProjectionDefinition.orders
        full.columns?.append(
            .init(name: "paid_at", from: "payé\"", type: .timestamptz, encoding: .epochMilliseconds)
        )
        full.columns?.append(.init(name: "count", type: .bigint, isUnsigned: true, absentValue: .some("0")))
        full.columns?.append(.init(name: "note", type: .text, absentValue: .some(nil)))
        full.state?.map = ["P": "paid"]
        full.contiguous = .fromFirst
        full.onTruncate = .delete
        full.key.append(ProjectionDefinition.databaseColumn)
        full.tags = .init(column: "kind", accepted: ["a"])
        var bare = ProjectionDefinition(name: "b", from: ["*.b"], key: ["k"], sequence: [.position, .eventTime])
        bare.timeline = false
        for definition in [full, bare, .orders] {
            var stored = StoredDefinition(ProjectionPlan(definition))
            stored.late = ["note"]
            let read = try StoredDefinition(json: try ProjectionRegistry.json(stored))
            #expect(read == stored)
            #expect(read.digest?.map(\.column) == definition.columns)
        }
    }

    @Test func definitionsBeforeReadingRulesAreToldByTheirVersion() throws {
        let now = StoredDefinition(ProjectionPlan(.orders))
        let first = try StoredDefinition(
            json:
                #"{"table": "public.orders", "key": [], "sequence": [], "stateNames": {}, "timeline": true, "lifecycle": {}}"#
        )
        #expect(first.rules == 1)
        #expect(first.contiguous == nil && first.readings == nil && first.digest == nil)
        let second = try StoredDefinition(json: Self.stored.replacing("\"rules\": 3", with: "\"layout\": 2"))
        #expect(second.rules == 2)
        #expect(
            second.changes(to: now, units: [:])
                == ["the reading rules (version 2 in the database, \(ReadingRules.version) in this Tidemark)"]
        )
        // What was not stored then is not taken for changed.
        var older = try StoredDefinition(json: Self.stored)
        (older.contiguous, older.onTruncate, older.readings) = (nil, nil, nil)
        #expect(older.changes(to: now, units: [:]).isEmpty)
    }

    @Test func aChangeOfMeaningIsNamedByTheConfigurationsWords() throws {
        #expect(try Self.changes { $0.table = "o" } == ["table (was public.orders, is public.o)"])
        #expect(try Self.changes { $0.timeline = false } == ["timeline (was true, is false)"])
        #expect(try Self.changes { $0.sequence = [.position] } == ["sequence (was version number, is $position)"])
        #expect(try Self.changes { $0.contiguous = .fromOne } == ["contiguous (was false, is true)"])
        #expect(try Self.changes { $0.onTruncate = .delete } == ["on_truncate (was record, is delete)"])
        #expect(try Self.changes { $0.state?.map = ["P": "paid"] } == ["state map (was none, is P: paid)"])
        #expect(
            try Self.changes { $0.columns?[2].from = "state" } == [#"column "status": from (was status, is state)"#]
        )
        #expect(
            try Self.changes { $0.columns?[1].absentValue = .some("1") }
                == [#"column "version": default (was none, is "1")"#]
        )
        #expect(
            try Self.changes { $0.milestones = [Milestone(name: "sent", state: "shipped")] }.count == 1
        )
        #expect(try Self.changes { $0.columns = nil }.contains("columns (was declared, is none)"))
    }

    @Test func aChangeThatLeavesTheRowsTheirMeaningIsNone() throws {
        #expect(try Self.changes { $0.from = ["shop.orders", "shop.more"] }.isEmpty)
        #expect(try Self.changes { $0.columns?.append(.init(name: "note", type: .text)) }.isEmpty)
        #expect(try Self.changes { $0.columns?.reverse() }.isEmpty)
        #expect(try Self.changes { $0.milestones[0].notify = [] }.isEmpty)
        // A state that is new has decided nothing.
        #expect(
            try Self.changes { definition in
                var transitions = definition.lifecycle?.transitions ?? [:]
                transitions["delivered"] = ["returned"]
                definition.lifecycle = Lifecycle(initial: "created", transitions: transitions)
            }.isEmpty
        )
    }
}

@Suite(.freshDatabase, .timeLimit(.minutes(1)))
struct StoredDefinitionOnServerTests {
    @Test func whatAnEarlierVersionStoredAsksForARebuildOrIsTakenOver() async throws {
        let bench = try await StoreBench()
        try await bench.connection.execute(
            #"update tidemark_internal.projections set definition = definition - 'rules' || '{"layout": 2}'"#
        )
        let error = await #expect(throws: StoreError.self) {
            _ = try await ProjectionRegistry.prepare(bench.plans, on: bench.connection)
        }
        #expect(error?.kind == .configuration)
        #expect(error?.description.contains("the reading rules (version 2") == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("tidemark rebuild orders") == true, "\(error?.description ?? "")")

        // A member that was not stored then is written once it is known.
        let forget = "definition - 'layout' - 'onTruncate' - 'contiguous'"
        try await bench.connection.execute(
            #"update tidemark_internal.projections set definition = \#(forget) || '{"rules": \#(ReadingRules.version)}'"#
        )
        _ = try await ProjectionRegistry.prepare(bench.plans, on: bench.connection)
        let stored = try await bench.connection.rows(
            "select definition ->> 'onTruncate', definition ->> 'contiguous' from tidemark_internal.projections"
        )
        #expect(stored == [["record", "no"]])
    }
}
