import LibPQ
import Testing
import TidemarkCore
import TidemarkTesting

@testable import TidemarkStore

/// The server accepts a lane's statements for every combination of a projection's features.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct ProjectionStatementsTests {
    /// Every combination of what statements depend on.
    private static var plans: [ProjectionPlan] {
        var plans: [ProjectionPlan] = []
        for bits in 0..<128 {
            func has(_ bit: Int) -> Bool { bits & 1 << bit != 0 }
            var definition = ProjectionDefinition.orders
            (definition.name, definition.table) = ("p\(bits)", "p\(bits)")
            definition.timeline = has(0)
            if !has(1) { definition.milestones = [] }
            if has(1), has(2) { definition.milestones[0].unless = ["lost"] }
            if has(2), !has(1) {
                // The key's second part is a text: it compares by bytes.
                definition.key.append("region")
                definition.columns?.append(.init(name: "region", type: .varchar(length: 20)))
            }
            if has(3) { definition.contiguous = .fromOne }
            if has(4) { definition.onTruncate = .delete }
            if has(5) { definition.columns = nil }
            if has(6), has(5) { definition.state = nil }
            // The state is in no column of its own.
            if has(6), !has(5) { definition.columns?.removeAll { $0.name == "status" } }
            if has(6), has(5) { (definition.lifecycle, definition.milestones) = (nil, []) }
            plans.append(ProjectionPlan(definition, late: has(5) ? [] : ["version"]))
        }
        return plans
    }

    @Test func everyStatementOfEveryKindOfProjectionIsPrepared() async throws {
        let connection = try await StoreBench.migrated()
        let plans = Self.plans
        _ = try await ProjectionRegistry.prepare(plans, on: connection)
        for (index, plan) in plans.enumerated() {
            let writer = try ProjectionWriter(plan: plan, index: index, cacheBytes: 0, empty: EmptyRelations())
            for statement in writer.statements.all {
                let needsTimeline = ["appendTimeline", "timeline", "conflicts", "repeats"].contains(statement.name)
                if needsTimeline, !plan.keepsTimeline { continue }
                do {
                    _ = try await connection.pipeline([
                        .preparing(statement.sql, as: "s\(index)_\(statement.name)")
                    ])
                } catch {
                    Issue.record("\(plan.definition): \(statement.name): \(error)\n\(statement.sql)")
                }
            }
        }
        // The session of a lane: its settings, and its own statements beside those of the projections.
        let writers = try [0, 63, 127].map {
            try ProjectionWriter(plan: plans[$0], index: $0, cacheBytes: 0, empty: EmptyRelations())
        }
        let session = try await TestDatabase.current.connect()
        try await LaneSession.prepare(session, with: writers.flatMap(\.preparations))
        let names = Set(try await session.rows("select name from pg_prepared_statements").map { $0[0] })
        #expect(names.isSuperset(of: ["tm_begin", "tm_move_progress", "tm0_fetch", "tm63_timeline", "tm127_patch"]))
        #expect(!names.contains("tm0_timeline"))
    }

    /// Rows that no single event explains, with and without declared columns.
    @Test(arguments: [true, false], [true, false])
    func aColumnThatAnEventDoesNotCarryKeepsItsValue(_ declaresColumns: Bool, _ keepsTimeline: Bool) async throws {
        var definition = ProjectionDefinition.orders
        if !declaresColumns { definition.columns = nil }
        definition.timeline = keepsTimeline
        let bench = try await StoreBench([definition])
        let lane = try bench.lane()
        let unchanged = Change([
            ("id", "1", .number), ("version", "2", .number), ("status", "", .unavailable),
        ])
        let stream = bench.streams[0]
        // Before, in the same batch, behind and without its base.
        try await lane.commit(try bench.batch(Block(stream, from: 0, [.order(1, 1, "shipped")])))
        try await lane.commit(try bench.batch(Block(stream, from: 1, [unchanged])))
        var second = unchanged
        second.fields[0].value = "2"
        try await lane.commit(try bench.batch(Block(stream, from: 2, [second])))
        try await lane.commit(try bench.batch(Block(stream, from: 3, [.order(2, 1, "shipped")])))
        var third = unchanged
        third.fields[0].value = "3"
        try await lane.commit(try bench.batch(Block(stream, from: 4, [third, .order(3, 1, "shipped")])))
        let columns = declaresColumns ? "version, status" : "\"row\" ->> 'version', state"
        let rows = try await bench.connection.rows("select id, \(columns) from orders order by id::bigint")
        #expect(rows == [["1", "2", "shipped"], ["2", "2", "shipped"], ["3", "2", "shipped"]])
        let reached = try await bench.connection.rows("select id, milestone from orders_milestones order by id::bigint")
        #expect(reached == [["1", "shipped"], ["2", "shipped"], ["3", "shipped"]])
        await lane.close()
    }
}
