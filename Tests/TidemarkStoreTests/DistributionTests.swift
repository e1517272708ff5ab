import Testing
import TidemarkCore

@testable import TidemarkStore

/// A read model that is distributed or partitioned by its key's first column is written shard by shard: every statement of
/// the hot path names that column for each of the projection's own tables.
@Suite struct DistributionTests {
    private static let plan: ProjectionPlan = {
        var definition = ProjectionDefinition(
            name: "orders",
            from: ["shop.orders"],
            key: ["tenant", "id"],
            sequence: [.column("version", type: nil)]
        )
        definition.contiguous = .fromOne
        definition.columns = [
            .init(name: "tenant", type: .text), .init(name: "id", type: .bigint), .init(name: "version", type: .bigint),
            .init(name: "status", type: .text),
        ]
        definition.state = .init(column: "status")
        return ProjectionPlan(definition)
    }()

    private static var statements: [(name: String, sql: String)] {
        let made = ProjectionStatements(Self.plan)
        let all: [(String, String?)] = [
            ("fetch", made.fetch), ("lock", made.lock), ("insert", made.insert), ("lockUnchanged", made.lockUnchanged),
            ("advanceRow", made.advanceRow), ("advanceExactly", made.advanceExactly), ("markTouched", made.markTouched),
            ("milestones", made.milestones), ("holdDeliveries", made.holdDeliveries),
            ("appendTimeline", made.appendTimeline), ("timeline", made.timeline),
            ("timelineReport", made.timelineReport), ("conflicts", made.conflicts),
            ("insertPlaceholder", made.insertPlaceholder), ("repeats", made.repeats), ("seen", made.seen),
            ("patch", made.patch), ("releaseDeliveries", made.releaseDeliveries),
        ]
        return all.compactMap { name, sql in sql.map { (name, $0) } }
    }

    @Test func `Every statement of the hot path names the key's first column of each table`() {
        let names = Self.plan.names
        let tables = [names.entityStorage.sql, names.eventStorage.sql, names.milestoneStorage.sql]
        var looked = 0
        for (name, sql) in Self.statements {
            let words = sql.split(whereSeparator: { $0 == " " || $0 == "\n" }).map(String.init)
            for (index, word) in words.enumerated() where tables.contains(word) {
                looked += 1
                let alias = words[index + 1] == "as" ? words[index + 2] : word
                if words[index - 1] == "into" {
                    let columns = sql.split(separator: word, maxSplits: 1).last?.prefix { $0 != ")" } ?? ""
                    #expect(columns.contains("tenant"), "\(name) inserts into \(word)")
                } else {
                    #expect(
                        sql.contains("\(alias).\"tenant\" = ") || sql.contains("= \(alias).\"tenant\""),
                        "\(name) looks at \(word) as \(alias)"
                    )
                }
            }
        }
        #expect(looked > 15, "\(looked)")
    }
}
