import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// Every combination of what a projection can have, made by a real server and filled once: statements are put together
/// from parts, and a part that is wrong in one company of others is found by no test of the parts.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct ProjectionCombinationTests {
    private enum Order: String, CaseIterable { case version, contiguous, fromFirst, position, truncates }
    private enum State: String, CaseIterable { case none, beside, among }

    /// One combination, as a projection of its own.
    private struct Combination {
        var order: Order
        var state: State
        var hasColumns: Bool
        var hasTimeline: Bool
        var hasMilestones: Bool
        var hasTags: Bool
        var isCompound: Bool

        var name: String {
            let flags = [
                self.hasColumns ? "columns" : "", self.hasTimeline ? "timeline" : "",
                self.hasMilestones ? "milestones" : "", self.hasTags ? "tags" : "", self.isCompound ? "pair" : "",
            ]
            // Names are short: a letter for each that is there.
            return "p_\(self.order)_\(self.state)_" + flags.map { $0.first.map(String.init) ?? "_" }.joined()
        }

        var yaml: String {
            let byPosition = self.order == .position || self.order == .truncates
            var lines = [
                "name: \(self.name.lowercased())", "from: [shop.orders]",
                "key: \(self.isCompound ? "[shop, id]" : "id")",
                "sequence: \(byPosition ? "$position" : "version")",
            ]
            if self.order == .contiguous { lines.append("contiguous: true") }
            if self.order == .fromFirst { lines.append("contiguous: from_first") }
            if self.order == .truncates { lines.append("on_truncate: delete") }
            if self.state != .none {
                lines.append("state: \(self.hasColumns && self.state == .beside ? "step" : "status")")
            }
            if !self.hasTimeline { lines.append("timeline: false") }
            if self.hasTags { lines.append(#"tags: { from: kind, accept: "x || y" }"#) }
            if self.hasColumns {
                lines.append(
                    "columns: { id: bigint, shop: text, version: bigint, status: text, note: text, size: jsonb }"
                )
            }
            if self.hasMilestones {
                lines.append(
                    "lifecycle: { initial: created, transitions: { created: [paid, cancelled], paid: [shipped] } }"
                )
                lines.append("milestones: { paid: { state: paid, notify: [warehouse], unless: [cancelled] } }")
            }
            return "  - " + lines.joined(separator: "\n    ") + "\n"
        }

        static let all: [Combination] = {
            var all: [Combination] = []
            for order in Order.allCases {
                for state in State.allCases {
                    for flags in 0..<32 {
                        func has(_ bit: Int) -> Bool { flags & (1 << bit) != 0 }
                        let combination = Combination(
                            order: order,
                            state: state,
                            hasColumns: has(0),
                            hasTimeline: has(1),
                            hasMilestones: has(2),
                            hasTags: has(3),
                            isCompound: has(4)
                        )
                        // Beside the columns there is nothing where there are none.
                        guard state != .beside || combination.hasColumns else { continue }
                        guard state != .none || !combination.hasMilestones else { continue }
                        all.append(combination)
                    }
                }
            }
            return all
        }()
    }

    private static func configuration(_ combinations: [Combination]) -> String {
        """
        sources:
          - { name: shop, type: files, paths: ["*.ndjson"], row_image: minimal }
        projections:
        \(combinations.map(\.yaml).joined())
        notifiers:
          warehouse: { type: webhook, url: "https://warehouse.example/hooks", secret: "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ==" }

        """
    }

    /// A handful of partial and complete images, deletes, key changes and a truncate in the middle of them.
    private static func log(_ generator: inout SeededGenerator) -> [String] {
        var lines: [String] = []
        for number in 1...40 {
            let id = Int.random(in: 1...4, using: &generator)
            var members = [
                #""id":\#(id)"#, #""shop":"de""#, #""version":\#(number)"#,
                #""kind":"\#(generator.pick(["x", "y", "z"]))""#,
            ]
            for name in ["status", "step"] where generator.chance(60) {
                members.append(#""\#(name)":"\#(generator.pick(["created", "paid", "shipped", "cancelled", "lost"]))""#)
            }
            if generator.chance(50) { members.append(#""note":\#(generator.pick(["null", #""a \"note\"""#]))"#) }
            if generator.chance(50) { members.append(#""size":{"w":\#(number)}"#) }
            let row = "{\(members.joined(separator: ","))}"
            let place = #""ts":"2026-03-01T09:30:\#(10 + number)Z","position":[\#(number)]"#
            switch Int.random(in: 0..<100, using: &generator) {
            case ..<10: lines.append(#"{"table":"shop.orders","op":"delete","before":\#(row),\#(place)}"#)
            case ..<18:
                let old = #"{"id":\#(id % 4 + 1),"shop":"de"}"#
                lines.append(#"{"table":"shop.orders","op":"update","before":\#(old),"after":\#(row),\#(place)}"#)
            default: lines.append(#"{"table":"shop.orders","op":"update","after":\#(row),\#(place)}"#)
            }
        }
        lines.append(#"{"table":"shop.orders","op":"truncate","position":[20]}"#)
        return lines.shuffled(using: &generator)
    }

    @Test
    func everyCombinationOfFeaturesStartsAndAnswers() async throws {
        var generator = SeededGenerator.forTest("combinations")
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        try await withFolder { folder in
            let log = folder.appendingPathComponent("orders.ndjson")
            try Data(Self.log(&generator).map { $0 + "\n" }.joined().utf8).write(to: log)
            let all = Combination.all.shuffled(using: &generator)
            // One replay fills a group of them: each takes the log's rows for itself.
            for start in stride(from: 0, to: all.count, by: 40) {
                let group = Array(all[start..<min(start + 40, all.count)])
                let outcome = try await replay(Self.configuration(group), [log], on: connection, database) { request in
                    request.configuration.lanes = 1
                    request.configuration.limits.batchEvents = 400
                }
                #expect(outcome.summary.deadLetters == 0)
                let relations = try await connection.rows(
                    "select format('%I.%I', schema_name, relation_name) from tidemark.relations where kind = 'view'"
                )
                for relation in relations.map({ $0[0] }) + ["tidemark.anomalies"] {
                    _ = try await connection.rows("select * from \(relation)")
                }
                for one in group.prefix(2) { try await Self.useByHand(one, log, folder, database, connection) }
                for one in group { _ = try await ProjectionRegistry.drop(one.name.lowercased(), on: connection) }
            }
            print("\(all.count) combinations, seed \(generator.seed)")
        }
        await connection.close()
    }

    /// The commands that look at a projection or rebuild it.
    private static func useByHand(
        _ combination: Combination,
        _ log: URL,
        _ folder: URL,
        _ database: TestDatabase,
        _ connection: Connection
    ) async throws {
        let name = combination.name.lowercased()
        let configuration = folder.appendingPathComponent("\(name).yaml")
        try Data(Self.configuration([combination]).utf8).write(to: configuration)
        func run(_ arguments: String..., key: [String] = [], status: Int32 = 0) async throws {
            let result = try await TidemarkProcess.run(
                arguments + key + ["--config", configuration.path],
                environment: ["DATABASE_URL": database.url],
                directory: folder
            )
            #expect(
                result.status == status,
                "\(name): \(arguments.joined(separator: " ")): \(result.output)\(result.error)"
            )
        }
        let rows = try await connection.rows("select to_jsonb(t)::text from \(name) as t order by 1")
        try await run("status")
        try await run("migrate", "--print")
        let key = try await connection.rows(
            "select \(combination.isCompound ? "shop, id" : "id") from tidemark_internal.\(name)_entities limit 1"
        )
        try await run("show", name, key: key[0])
        try await run("verify", name, status: combination.hasTimeline ? 0 : 65)
        try await run("rebuild", name, log.path)
        #expect(try await connection.rows("select to_jsonb(t)::text from \(name) as t order by 1") == rows, "\(name)")
    }
}
