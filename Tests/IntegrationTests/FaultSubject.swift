import Foundation
import LibPQ
import Testing
import TidemarkConfiguration
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// What is replayed while connections, servers and processes fail.
struct FaultSubject {
    var yaml: String
    var files: [URL]

    private static let finerConfiguration = """
        sources:
          - { name: a, type: files, paths: ["*a.ndjson"], format: debezium, replica_identity: full, epoch: 1 }
          - { name: b, type: files, paths: ["*b.ndjson"], format: debezium, replica_identity: full, epoch: 2 }
        projections:
          - name: by_position
            from: [shop.orders_*]
            key: id
            sequence: $position
            state: status
            on_truncate: delete
            columns: { id: bigint, status: text, a: integer, b: text }
            lifecycle: { initial: created, transitions: { created: [paid, cancelled], paid: [shipped], shipped: [delivered] } }
            milestones: { paid: { state: paid, notify: [warehouse], unless: [cancelled] } }
          - name: whole
            from: [shop.orders_*]
            key: id
            sequence: $position
            state: status
            on_truncate: delete
          - name: counted
            from: [shop.orders_*]
            key: id
            sequence: version
            contiguous: true
            tags: { from: kind, accept: "x || y" }
            state: status
            columns: { id: bigint, version: bigint, status: text, a: integer, b: text }
          - name: lean
            from: [shop.orders_*]
            key: id
            sequence: $position
            timeline: false
            on_truncate: delete
            columns: { id: bigint, status: text, b: text }
        notifiers:
          warehouse: { type: webhook, url: "https://warehouse.example/hooks", secret: "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ==" }

        """

    /// Partial images, key changes, truncates that delete, versions and tags, in any order of arrival, with lines among
    /// them that are no messages.
    static func finer(in folder: URL, histories: Int, _ generator: inout SeededGenerator) throws -> FaultSubject {
        var events = FinerHistoryGenerator.histories(histories, generator)
        events += events.filter { _ in generator.chance(20) }
        events.shuffle(using: &generator)
        // Each table is truncated once more, late in its log and early in the order of arrival: much of what arrives
        // behind it lies below it.
        for table in Set(events.map(\.table)).sorted() {
            let places = events.filter { $0.table == table && $0.source == "a" }.map(\.lsn).sorted()
            guard !places.isEmpty else { continue }
            let truncate = FinerEvent(
                source: "a",
                change: .truncate,
                table: table,
                lsn: places[places.count * 3 / 4]
            )
            events.insert(truncate, at: events.count / 3)
        }
        var files: [URL] = []
        for source in ["a", "b"] {
            var lines: [String] = []
            for event in events where event.source == source {
                lines.append(event.line)
                // Each of its own: of equal ones the first to be committed is shown.
                if generator.chance(15) { lines.append("no message \(source) \(lines.count)") }
                if generator.chance(10) { lines.append(#"{"\#(source)":\#(lines.count)}"#) }
            }
            let file = folder.appendingPathComponent("\(source).ndjson")
            try Data(lines.map { $0 + "\n" }.joined().utf8).write(to: file)
            files.append(file)
        }
        return FaultSubject(yaml: Self.finerConfiguration, files: files)
    }

    /// Makes the projections' relations.
    /// - Parameter refusesRows: in some of them the database refuses events in spite of the check: those at a position
    ///   or version that ends with 7. It refuses the event and not the row, so that what is refused does not depend on
    ///   how events are gathered in batches.
    static func prepare(_ subject: FaultSubject, refusesRows: Bool, on connection: Connection) async throws {
        let loaded = try ConfigurationLoader.load(
            yaml: subject.yaml,
            fileName: "tidemark.yaml",
            environment: [:],
            ignoresDatabase: true
        )
        _ = try await ProjectionRegistry.prepare(
            loaded.configuration.projections.map { ProjectionPlan($0) },
            on: connection
        )
        guard refusesRows else { return }
        try await connection.execute(
            """
            create function public.refuse() returns trigger language plpgsql as
            $$ begin
                if new.sequence ~ '7\\D*$' then raise exception 'no such event' using errcode = '22003'; end if;
                return new;
            end $$;
            create trigger refuse before insert on tidemark_internal.by_position_events
            for each row execute function public.refuse();
            create trigger refuse before insert on tidemark_internal.counted_events
            for each row execute function public.refuse();
            """
        )
    }

    /// Empties everything that a replay fills.
    static func clear(_ connection: Connection) async throws {
        let storage = try await connection.rows(
            "select format('%I.%I', schema_name, relation_name) from tidemark_internal.relations where kind = 'table'"
        ).map { $0[0] }
        let own = ["deliveries", "dead_letters", "truncates", "passes"].map { "tidemark_internal.\($0)" }
        try await connection.execute((storage + own).map { "delete from \($0);" }.joined())
    }
}

/// Every public relation and what was counted: what must be the same however often a replay was disturbed.
struct PublicRelations: Equatable, CustomStringConvertible {
    private var digests: [String: String] = [:]
    private var counters: [[String]]

    init(on connection: Connection) async throws {
        var relations = try await connection.rows(
            """
            select format('%I.%I', schema_name, relation_name) from tidemark.relations
            where kind = 'view' and schema_name <> 'tidemark_internal'
            """
        ).map { $0[0] }
        relations += ["tidemark.anomalies", "tidemark.deliveries", "tidemark.dead_letters"]
        for relation in relations {
            self.digests[relation] = try await connection.value(
                """
                select count(*) || ' rows, ' || md5(coalesce(string_agg(line, E'\\n' order by line collate "C"), ''))
                from (
                    select (
                        to_jsonb(t) - array[
                            'received_at', 'reached_at', 'created_at', 'next_attempt_at', 'first_seen', 'last_seen'
                        ] - case when to_jsonb(t) ? 'raw' then 'id' else '' end
                    )::text as line
                    from \(relation) as t
                ) as rows
                """
            )
        }
        self.counters = try await connection.rows(
            """
            select lane, projection, sum(messages), sum(control), sum(filtered), sum(dead_letters), sum(applied),
                sum(late), sum(duplicate), sum(conflicts), sum(entities)
            from tidemark.counters group by lane, projection order by lane, projection
            """
        )
    }

    var description: String {
        let relations = self.digests.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        return (relations + self.counters.map { $0.joined(separator: " ") }).joined(separator: "\n")
    }
}
