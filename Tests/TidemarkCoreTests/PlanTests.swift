import Testing

@testable import TidemarkCore

/// What a definition is worked out to.
@Suite struct PlanTests {
    private static let orders = ProjectionDefinition.orders()

    @Test func `columns stand in the order of their names' bytes, those of the key apart`() {
        var definition = Self.orders
        definition.key = ["region", "id"]
        definition.columns = ["b", "region", "Z", "é", "id", "a10", "a9"].map { .init(name: $0, type: .text) }
        let plan = ProjectionPlan(definition)
        #expect(plan.keyColumns.map(\.name) == ["region", "id"], "in the order of the configuration")
        #expect(plan.valueColumns?.map(\.name) == ["Z", "a10", "a9", "b", "é"])
        #expect(plan.keptColumns?.map(\.column.name) == ["Z", "a10", "a9", "b", "id", "region", "é"])
        #expect(plan.keptColumns?.map(\.keyPart) == [nil, nil, nil, nil, 1, 0, nil])
        #expect(plan.keyColumns.allSatisfy { $0.isKey && $0.type == .text })
    }

    @Test func `each role of a column has a slot of its own`() {
        var definition = Self.orders
        definition.tags = .init(column: "status", accepted: ["x"])
        let plan = ProjectionPlan(definition)
        let roles = plan.keyColumns + (plan.valueColumns ?? []) + (plan.keptColumns ?? []).map(\.column)
        let others = [plan.stateColumn, plan.tagColumn].compactMap { $0 } + plan.allColumns.suffix(1)
        let slots = (roles + others).map(\.slot)
        #expect(Set(slots).count == slots.count && slots.allSatisfy { (0..<plan.slotCount).contains($0) })
    }

    @Test func `a column is looked for by its name at the source`() {
        var definition = Self.orders
        definition.columns?[1] = .init(name: "id", from: "order_id", type: .integer)
        definition.columns?[0] = .init(name: "version", from: "lock", type: .bigint)
        let plan = ProjectionPlan(definition)
        #expect(plan.keyColumns[0].source == Array("order_id".utf8) && plan.keyColumns[0].type == .integer)
        guard case .column(let column, let kind) = plan.sequence[0] else { return #expect(Bool(false)) }
        #expect(column.source == Array("lock".utf8) && kind == .number)
    }

    @Test func `a part of the sequence has the type that it names, else its column's, else numeric`() {
        var definition = Self.orders
        definition.sequence = [
            .column("version", type: nil), .column("status", type: nil), .column("version", type: .timestamptz),
            .column("free", type: nil), .column("day", type: .date), .position, .eventTime, .received,
        ]
        definition.sequenceEncodings = ["version": .epochMilliseconds, "day": .epochDays]
        let plan = ProjectionPlan(definition)
        let parts = plan.sequence.map { part in
            switch part {
            case .column(let column, let kind): "\(column.type.sql) \(column.encoding) \(kind)"
            case .position: "position"
            case .eventTime: "event time"
            case .received: "received"
            }
        }
        #expect(
            parts == [
                "bigint none number", "text none text", "timestamptz epochMilliseconds timestamp",
                "numeric none number",
                "date epochDays date", "position", "event time", "received",
            ]
        )
    }

    @Test func `a projection tells databases apart where its key or its tables name them`() {
        #expect(!ProjectionPlan(Self.orders).distinguishesDatabases)
        let keyed = ProjectionPlan(.orders(key: [ProjectionDefinition.databaseColumn, "id"]))
        #expect(keyed.distinguishesDatabases && keyed.keyColumns.map(\.isDatabase) == [true, false])
        var definition = Self.orders
        definition.from = ["db.shop.orders"]
        #expect(ProjectionPlan(definition).distinguishesDatabases)
    }

    @Test func `a table is taken by any of the patterns, with the database that its message names`() {
        var definition = Self.orders
        definition.from = ["db_1.shop.orders", "archive.*"]
        let plan = ProjectionPlan(definition)
        for (table, isTaken) in [
            ("shop.orders", true), ("db_1.shop.orders", true), ("db_2.shop.orders", false), ("archive.x", true),
            ("shop.x", false),
            ("a.b.c.d", false), ("", false),
        ] {
            #expect(plan.takes(table: table) == isTaken, "\(table)")
        }
        for (database, isTaken) in [("db_1", true), ("db_2", false)] {
            var event = TestEvent(.insert, after: [:])
            event.change.database = event.add(database)
            #expect(plan.takes(event.change, of: event.message), "the table's text has its database already")
            event.change.isDatabaseApart = true
            #expect(plan.takes(event.change, of: event.message) == isTaken)
        }
    }

    @Test func `columns that came and went are known apart from those that stay`() throws {
        var definition = Self.orders
        definition.columns = [.init(name: "id", type: .bigint), .init(name: "note", type: .text)]
        let digest: [ProjectionDefinition.Column] = [
            .init(name: "id", type: .bigint), .init(name: "gone", type: .text),
        ]
        let plan = ProjectionPlan(definition, digest: digest, late: ["note", "gone"])
        let kept = try #require(plan.keptColumns)
        #expect(kept.map(\.column.name) == ["gone", "id", "note"])
        #expect(kept.map(\.isShown) == [false, true, true] && kept.map(\.isInDigest) == [true, true, false])
        #expect(plan.lateColumns == [Array("note".utf8)], "what is not configured is not late")
        #expect(plan.valueColumns?.map(\.name) == ["note"])
        #expect(plan.keepsStateBesideColumns, "the state is read from no configured column")
    }

    @Test func `accepted tags are texts of their column's type`() {
        var definition = Self.orders
        func tags() -> [String]? {
            ProjectionPlan(definition).acceptedTags?.map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(tags() == nil)
        definition.tags = .init(column: nil, accepted: ["b", "A"])
        #expect(tags() == ["A", "b"])
        definition.tags = .init(column: "total", accepted: ["1", "2.5", "x"])
        #expect(tags() == ["1.00", "2.50", "x"])
        definition.tags = .init(column: "total", accepted: nil)
        #expect(tags() == nil)
    }

    // MARK: Units

    @Test func `units that were found are those of a configuration that says them`() {
        var definition = Self.orders
        definition.columns = [
            .init(name: "id", type: .timestamptz), .init(name: "at", type: .timestamp), .init(name: "day", type: .date),
            .init(name: "told", type: .timestamptz, encoding: .epochSeconds), .init(name: "n", type: .bigint),
        ]
        definition.sequence = [.column("at", type: nil), .column("free", type: .timestamptz)]
        let plan = ProjectionPlan(definition)
        #expect(plan.columnsOfUnknownUnit.map(\.name) == ["id", "at", "day", "free"])
        let found = plan.with([
            "id": .epochMilliseconds, "at": .epochMicroseconds, "free": .epochSeconds, "day": .epochDays,
        ])
        #expect(found.columnsOfUnknownUnit.isEmpty)
        #expect(found.keyColumns[0].encoding == .epochMilliseconds)
        #expect(found.valueColumns?.map(\.encoding) == [.epochMicroseconds, .epochDays, .none, .epochSeconds])
        let sequence = found.allColumns.suffix(2)
        #expect(sequence.map(\.encoding) == [.epochMicroseconds, .epochSeconds])
        #expect(plan.with([:]) === plan)
    }

    // MARK: States

    @Test func `a state that nothing knows is at no place and implies nothing`() {
        let plan = ProjectionPlan(Self.orders)
        let info = plan.describe(state: Array("lost".utf8))
        #expect(info.rank == 0 && info.milestones == 0)
        #expect(plan.describe(state: Array("delivered".utf8)).rank == 4)
        #expect(plan.stateName(Array("10".utf8)) == Array("10".utf8))
    }

    @Test func `without a lifecycle a milestone is reached by its own state alone, in the configured order`() {
        var definition = Self.orders
        definition.lifecycle = nil
        let plan = ProjectionPlan(definition)
        #expect(plan.milestones.map(\.name) == ["shipped", "paid"])
        for (state, milestones) in [("shipped", 1), ("paid", 2), ("delivered", 0)] as [(String, UInt64)] {
            #expect(plan.describe(state: Array(state.utf8)).milestones == milestones)
        }
    }

    // MARK: Types

    /// A wider type holds every value under the same text, so what is stored is equal to itself after the change.
    @Test(arguments: [
        ("smallint", "integer", true), ("smallint", "bigint", true), ("integer", "bigint", true),
        ("bigint", "integer", false),
        ("smallint", "numeric(5,0)", true), ("smallint", "numeric(4,0)", false), ("integer", "numeric(10,0)", true),
        ("integer", "numeric(9,0)", false), ("bigint", "numeric(19,0)", true), ("bigint", "numeric(18,0)", false),
        ("bigint", "numeric(20,2)", false), ("numeric(5,2)", "numeric(7,2)", true),
        ("numeric(5,2)", "numeric(7,3)", false),
        ("numeric(5,2)", "numeric(4,2)", false), ("numeric(5,2)", "numeric", false), ("numeric", "numeric", true),
        ("varchar(5)", "varchar(6)", true), ("varchar(5)", "varchar(4)", false), ("varchar(5)", "text", true),
        ("text", "varchar(5)", false), ("real", "double precision", false), ("date", "timestamp", false),
        ("uuid", "uuid", true),
    ])
    func `a type is widened where no text of a value changes`(_ old: String, _ new: String, _ expected: Bool) throws {
        #expect(try #require(ColumnType(old)).widens(to: try #require(ColumnType(new))) == expected)
    }
}
