import Foundation
import LibPQ
import Logging
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkService
import TidemarkStore
import TidemarkTesting

/// The finer half of the contract over generated histories: partial images, positions with epochs, snapshots, truncates,
/// tags and versions, in any order, batches, lanes and restarts, with a timeline and without.
@Suite(.freshDatabase, .timeLimit(.minutes(30)))
struct FinerPropertyTests {
    static let configuration = Self.yaml(
        typed: "id: bigint, a: integer, b: { type: text, default: none }, doc: jsonb"
    )
    /// As long as `a` is not configured yet.
    private static let earlier = Self.yaml(typed: "id: bigint, b: { type: text, default: none }, doc: jsonb")

    private static func yaml(typed columns: String) -> String {
        """
        sources:
          - { name: a, type: files, paths: ["*a.ndjson"], format: debezium, replica_identity: full, epoch: 1 }
          - { name: b, type: files, paths: ["*b.ndjson"], format: debezium, replica_identity: full, epoch: 2 }
          - { name: c, type: files, paths: ["*c.ndjson"], format: debezium, replica_identity: full, epoch: 3, absent: "null" }
        projections:
          - name: by_position
            from: [shop.orders_*]
            key: id
            sequence: $position
            state: status
            on_truncate: delete
            columns: { id: bigint, status: text, a: integer, b: text, doc: jsonb }
            \(Self.lifecycle)
          - name: whole
            from: [shop.orders_*]
            key: id
            sequence: $position
            state: status
          - name: typed
            from: [shop.orders_*]
            key: id
            sequence: $position
            state: status
            columns: { \(columns) }
          - name: counted
            from: [shop.orders_*]
            key: id
            sequence: version
            contiguous: true
            tags: { from: kind, accept: "x || y" }
            state: status
            columns: { id: bigint, version: bigint, status: text, a: integer, b: text }
            \(Self.lifecycle)
          - name: lean
            from: [shop.orders_*]
            key: id
            sequence: $position
            timeline: false
            state: status
            on_truncate: delete
            columns: { id: bigint, status: text, b: text }
            \(Self.lifecycle)
        notifiers:
          warehouse: { type: webhook, url: "https://warehouse.example/hooks", secret: "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ==" }
        """
    }

    private static let lifecycle = """
        lifecycle: { initial: created, transitions: { created: [paid, cancelled], paid: [shipped], \
        shipped: [delivered, returned], delivered: [returned], returned: [shipped] } }
            milestones:
              paid: { state: paid }
              shipped: { state: shipped, notify: [warehouse], unless: [cancelled] }
        """

    static let models = [
        FinerModel(name: "by_position", order: .position, columns: ["status", "a", "b", "doc"], truncatesDelete: true),
        FinerModel(name: "whole", order: .position, columns: nil, hasLifecycle: false),
        Self.typed,
        FinerModel(name: "counted", order: .version, columns: ["version", "status", "a", "b"], accepts: ["x", "y"]),
        FinerModel(name: "lean", order: .position, columns: ["status", "b"], truncatesDelete: true),
    ]

    static let typed = FinerModel(
        name: "typed",
        order: .position,
        columns: ["a", "b", "doc"],
        hasLifecycle: false,
        defaults: ["b": "none"]
    )

    static func keepsTimeline(_ model: FinerModel) -> Bool { model.name != "lean" }

    private static var histories: Int {
        ProcessInfo.processInfo.environment["TIDEMARK_TEST_FINER_HISTORIES"].flatMap { Int($0) } ?? 750
    }

    @Test
    func noArrivalBatchLaneOrRestartChangesTheResult() async throws {
        let generator = SeededGenerator.forTest("finer histories")
        let database = TestDatabase.current
        let connection = try await database.connect()
        _ = try await Migrator.migrate(connection)
        let groupSize = 125
        var events = 0
        for group in 0..<((Self.histories + groupSize - 1) / groupSize) {
            var own = generator.fork(group)
            var history: [FinerEvent] = []
            for number in 0..<min(groupSize, Self.histories - group * groupSize) {
                var maker = FinerHistoryGenerator(number: number, own.fork(number))
                history += maker.events()
            }
            events += history.count
            var first: [ReadModelDigest]?
            for arrival in 0..<3 {
                let name: Comment = "seed \(generator.seed), group \(group), arrival \(arrival)"
                let repeated =
                    arrival == 0 ? history : (history + history.filter { _ in own.chance(40) }).shuffled(using: &own)
                try await withFolder { folder in
                    try await Self.run(repeated, arrival, in: folder, on: connection, database, &own)
                }
                for model in Self.models { try await Self.compare(model, history, on: connection, name) }
                let digests = try await Self.digests(connection)
                #expect(digests == first ?? digests, name)
                first = first ?? digests
                if arrival == 0 { try await Self.rebuild(history, digests, on: connection, database, &own, name) }
                try await Self.clear(connection)
            }
            let name: Comment = "seed \(generator.seed), group \(group), a column added"
            try await Self.addColumn(history, on: connection, database, &own, name)
        }
        print("\(Self.histories) finer histories, \(events) events")
        await connection.close()
    }

    static func digests(_ connection: Connection) async throws -> [ReadModelDigest] {
        var digests: [ReadModelDigest] = []
        for model in Self.models {
            let timeline = Self.keepsTimeline(model)
            digests.append(
                try await ReadModelDigest(table: model.name, key: "id", timeline: timeline, on: connection)
            )
        }
        return digests
    }

    // MARK: What is read back

    /// A rebuild from the timeline gives everything back, order keys and all, and what is read again is known.
    private static func rebuild(
        _ history: [FinerEvent],
        _ before: [ReadModelDigest],
        on connection: Connection,
        _ database: TestDatabase,
        _ generator: inout SeededGenerator,
        _ name: Comment
    ) async throws {
        let loaded = try ConfigurationLoader.load(
            yaml: Self.configuration,
            fileName: "tidemark.yaml",
            environment: [:],
            ignoresDatabase: true
        )
        for projection in loaded.configuration.projections where projection.timeline && projection.onTruncate == .record
        {
            let request = RebuildRequest(
                configuration: loaded.configuration,
                projection: projection,
                files: nil,
                options: ConnectionOptions(database.url, applicationName: "tidemark rebuild")
            )
            let runner = RebuildRunner(request, logger: Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() })
            #expect(try await runner.run(on: connection).swap != nil, name)
            let lost = try await connection.rows("select projection, reason, detail from tidemark.dead_letters limit 3")
            #expect(lost.isEmpty, "\(name), rebuilt")
        }
        Self.expect(try await Self.digests(connection), before, "\(name), rebuilt")
        try await withFolder { folder in
            try await Self.run(history.shuffled(using: &generator), 1, in: folder, on: connection, database, &generator)
        }
        Self.expect(try await Self.digests(connection), before, "\(name), rebuilt and read again")
    }

    static func expect(_ found: [ReadModelDigest], _ expected: [ReadModelDigest], _ name: Comment) {
        for (model, (found, expected)) in zip(Self.models, zip(found, expected)) {
            for (relation, digest) in expected.relations where found.relations[relation] != digest {
                Issue.record("\(name) \(model.name): \(relation) is \(found.relations[relation] ?? ""), was \(digest)")
            }
        }
    }

    /// What was seen before a column was configured does not carry it, however often it is read again.
    private static func addColumn(
        _ history: [FinerEvent],
        on connection: Connection,
        _ database: TestDatabase,
        _ generator: inout SeededGenerator,
        _ name: Comment
    ) async throws {
        _ = try await ProjectionRegistry.drop(Self.typed.name, on: connection)
        let seen = Array(history.shuffled(using: &generator).prefix(history.count / 2))
        try await withFolder { folder in
            try await Self.run(seen, 1, in: folder, on: connection, database, &generator, Self.earlier)
        }
        for _ in 0..<2 {
            try await withFolder { folder in
                let all = history.shuffled(using: &generator)
                try await Self.run(all, 1, in: folder, on: connection, database, &generator)
            }
            for var model in Self.models {
                if model.name == Self.typed.name { model.late = ("a", Set(seen)) }
                try await Self.compare(model, history, on: connection, name)
            }
        }
        try await Self.clear(connection)
        _ = try await ProjectionRegistry.drop(Self.typed.name, on: connection)
    }

    // MARK: Arrivals

    static func run(
        _ events: [FinerEvent],
        _ arrival: Int,
        in folder: URL,
        on connection: Connection,
        _ database: TestDatabase,
        _ generator: inout SeededGenerator,
        _ configuration: String = Self.configuration,
        batchEvents: Int = 10_000
    ) async throws {
        var files: [URL] = []
        let size = max(1, events.count / (arrival == 0 ? 1 : 4))
        for (segment, start) in stride(from: 0, to: events.count, by: size).enumerated() {
            let part = events[start..<min(start + size, events.count)]
            for source in segment.isMultiple(of: 2) ? ["a", "b", "c"] : ["c", "b", "a"] {
                let file = folder.appendingPathComponent("\(segment)-\(source).ndjson")
                let lines = part.filter { $0.source == source }.map { $0.line + "\n" }.joined()
                try Data(lines.utf8).write(to: file)
                files.append(file)
            }
        }
        let lanes = arrival == 0 ? 1 : Int.random(in: 1...8, using: &generator)
        let batch = arrival == 0 ? batchEvents : generator.pick([9, 40, 150, 1000])
        // Interrupted where a commit happens to be, and gone on with, until all is read.
        var stops = arrival == 2 ? Int.random(in: 1...4, using: &generator) : 0
        while true {
            let commits = stops > 0 ? Int.random(in: 1...20, using: &generator) : .max
            stops -= 1
            let countdown = Countdown(commits)
            let outcome = try await replay(configuration, files, on: connection, database) { request in
                request.configuration.lanes = lanes
                request.configuration.limits.batchEvents = batch
                request.onCommit = { countdown.tick() }
            } started: { runner in
                countdown.onZero { runner.stop() }
            }
            guard outcome.ending == .interrupted else {
                #expect(outcome.ending == .finished)
                #expect(outcome.summary.deadLetters == 0)
                return
            }
        }
    }

    static func clear(_ connection: Connection) async throws {
        var tables = Self.models.flatMap { model in
            ["entities", "milestones"].map { "\(model.name)_\($0)" }
                + (Self.keepsTimeline(model) ? ["\(model.name)_events"] : [])
        }
        tables += ["deliveries", "dead_letters", "truncates", "passes"]
        try await connection.execute(tables.map { "delete from tidemark_internal.\($0);" }.joined())
    }

    // MARK: Held against the model

    static func compare(
        _ model: FinerModel,
        _ events: [FinerEvent],
        on connection: Connection,
        _ name: Comment
    ) async throws {
        let facts = model.facts(events)
        var rows: Set<[String]> = []
        var history: Set<[String]> = []
        var milestones: Set<[String]> = []
        var gaps: Set<[String]> = []
        for (id, all) in facts {
            for (milestone, state) in model.milestones(all) { milestones.insert(["\(id)", milestone, state]) }
            if model.name == "counted" { for gap in model.gaps(all) { gaps.insert(["\(id)"] + gap.map(String.init)) } }
            let kept = all.filter { !$0.isDropped }
            if let last = kept.last, !last.isDelete {
                rows.insert(Self.cells(id, model.row(kept[...]), last.time))
            }
            var from: Int64?
            for (index, fact) in kept.enumerated() {
                from = [from, fact.time].compactMap(\.self).max()
                guard !fact.isDelete else { continue }
                let next = index + 1 < kept.count ? [from, kept[index + 1].time].compactMap(\.self).max() : nil
                history.insert(
                    Self.cells(id, model.row(kept[...index]), fact.time)
                        + [from, next].map { $0.map(String.init) ?? "∅" }
                )
            }
        }
        // As JSON the two nulls are one.
        let doc = model.columns?.contains("doc") ?? false ? " || jsonb_build_object('doc', t.doc::text)" : ""
        let source = model.columns == nil ? "t.row" : "(to_jsonb(t) - 'id'\(doc))"
        let shown = """
            id::text,
            (
                select string_agg(f.key || '=' || coalesce(f.value, '∅'), '|' order by f.key collate "C")
                from jsonb_each_text(\(source)) as f where left(f.key, 1) <> '_' and f.key not like 'valid%'
            ),
            array_to_string(array(select unnest(_incomplete) order by 1), ','),
            (extract(epoch from _event_time) * 1000)::bigint::text
            """
        let found = try await connection.rows("select \(shown) from \(model.name) as t")
        Self.expect(found, rows, "\(name) \(model.name): rows")
        if Self.keepsTimeline(model) {
            let dated = """
                (extract(epoch from valid_from) * 1000)::bigint::text, (extract(epoch from valid_to) * 1000)::bigint::text
                """
            let found = try await connection.rows("select \(shown), \(dated) from \(model.name)_history as t")
            Self.expect(found, history, "\(name) \(model.name): history")
        }
        if Self.keepsTimeline(model) { try await Self.verify(model, on: connection, name) }
        let reached = try await connection.rows("select id, milestone, state from \(model.name)_milestones")
        Self.expect(reached, milestones, "\(name) \(model.name): milestones")
        guard model.name == "counted" else { return }
        let missing = try await connection.rows("select id, first, last from counted_gaps")
        Self.expect(missing, gaps, "\(name) \(model.name): gaps")
    }

    /// The second opinion of `tidemark verify`.
    private static func verify(_ model: FinerModel, on connection: Connection, _ name: Comment) async throws {
        let loaded = try ConfigurationLoader.load(
            yaml: Self.configuration,
            fileName: "tidemark.yaml",
            environment: [:],
            ignoresDatabase: true
        )
        for projection in loaded.configuration.projections where projection.name == model.name {
            let outcome = try await Verification.timeline(ProjectionPlan(projection), limit: 3, on: connection)
            #expect(outcome.differences.isEmpty, "\(name) \(model.name)")
        }
    }

    private static func cells(_ id: Int, _ row: FinerModel.Row, _ time: Int64?) -> [String] {
        let cells = row.cells.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value ?? "∅")" }
        return [
            "\(id)", cells.joined(separator: "|"), row.incomplete.joined(separator: ","), time.map(String.init) ?? "∅",
        ]
    }

    /// Reports a few of the rows that differ rather than all there are.
    private static func expect(_ found: [[String]], _ expected: Set<[String]>, _ name: Comment) {
        let found = Set(found)
        guard found != expected else { return }
        Issue.record(
            "\(name): found \(Array(found.subtracting(expected).prefix(3))), expected \(Array(expected.subtracting(found).prefix(3)))"
        )
    }
}
