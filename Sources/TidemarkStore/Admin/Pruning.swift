package import LibPQ

/// Prunes old tombstones, events and deliveries that no row or milestone needs.
package enum Pruning {
    /// The counts of what was pruned, or would be.
    package struct Outcome: Sendable, Equatable {
        package var tombstones: Int64 = 0
        package var events: Int64 = 0
        package var deliveries: Int64 = 0
    }

    /// Prunes one projection, in pages of entities in the order of their keys, each in a transaction that no batch runs
    /// beside. What an interrupted run has pruned stays pruned, and the next run goes on. Milestones stay, so that none is
    /// reached again.
    ///
    /// - A tombstone goes when its delete is older than `cutoff`. A late event can then revive its key, and those that
    ///   may have done so are counted (`revived`).
    /// - An event of the timeline goes when it is older, unless the row or a milestone comes from it. Read again, it
    ///   counts as late again and comes back.
    /// - A delivery goes when it was delivered before.
    /// - Parameters:
    ///   - cutoff: microseconds since 1970.
    ///   - connection: of a process that has entered the projection, so that other processes share it: then no batch is
    ///     folded on tombstones that it remembers.
    ///   - isStopped: asked between two pages.
    package static func prune(
        _ projection: String,
        before cutoff: Int64,
        on connection: Connection,
        isStopped: () -> Bool = { false }
    ) async throws -> Outcome {
        let storage = try await PrunedStorage(projection, on: connection)
        var outcome = Outcome()
        var last: [String]?
        repeat {
            guard !isStopped() else { return outcome }
            let end = try await storage.endOfPage(behind: last, on: connection)
            let page = try await storage.prune(
                behind: last,
                to: end,
                before: cutoff,
                outcome.tombstones == 0,
                on: connection
            )
            outcome.events += page.events
            outcome.tombstones += page.tombstones
            last = end
        } while last != nil
        outcome.deliveries = try await Self.pruneDeliveries(projection, before: cutoff, on: connection, isStopped)
        return outcome
    }

    /// What would be pruned.
    package static func count(
        _ projection: String,
        before cutoff: Int64,
        on connection: Connection
    ) async throws -> Outcome {
        let storage = try await PrunedStorage(projection, on: connection)
        let instant = Parameter.int64(cutoff)
        var outcome = Outcome()
        if storage.hasTimeline {
            outcome.events = try await connection.number(
                "select count(*) from \(storage.events) as event where \(storage.goneEvents)",
                [instant]
            )
        }
        outcome.tombstones = try await connection.number(
            "select count(*) from \(storage.entities) as entity where \(PrunedStorage.goneTombstones)",
            [instant]
        )
        outcome.deliveries = try await connection.number(
            "select count(*) from tidemark_internal.deliveries where \(Self.goneDeliveries)",
            [instant, .text(projection)]
        )
        return outcome
    }

    private static let goneDeliveries = """
        projection = $2::text and status = 'delivered' and delivered_at < to_timestamp($1::bigint / 1000000.0)
        """

    private static func pruneDeliveries(
        _ projection: String,
        before cutoff: Int64,
        on connection: Connection,
        _ isStopped: () -> Bool
    ) async throws -> Int64 {
        var deleted: Int64 = 0
        while !isStopped() {
            let page = try await connection.query(
                """
                delete from tidemark_internal.deliveries
                where ctid = any (
                    array(
                        select ctid from tidemark_internal.deliveries where \(Self.goneDeliveries)
                        limit \(PrunedStorage.pageRows)
                    )
                )
                """,
                [.int64(cutoff), .text(projection)]
            ).affectedRows
            deleted += Int64(page)
            if page < PrunedStorage.pageRows { break }
        }
        return deleted
    }

    /// The cutoff before which tombstones were pruned, in microseconds since 1970; `nil` when none were.
    static func prunedBefore(_ projection: String, on connection: Connection) async throws -> Int64? {
        let result = try await connection.query(
            """
            select (extract(epoch from pruned_before) * 1000000)::bigint
            from tidemark_internal.projections where name = $1::text
            """,
            [.text(projection)]
        )
        return result.rowCount == 1 ? try result.int64(0, 0) : nil
    }
}

/// The storage of a projection, and the conditions of the rows that are pruned. Parameter 1 is the cutoff, in
/// microseconds since 1970.
private struct PrunedStorage {
    private let projection: String
    let entities: String
    let events: String
    let hasTimeline: Bool
    let goneEvents: String
    private let keys: [(name: String, type: String)]

    /// About so many rows are a page.
    static let pageRows = 5000

    static let goneTombstones = """
        entity._deleted and entity._order_key <> \(ProjectionStatements.unmade)
            and entity._event_time < to_timestamp($1::bigint / 1000000.0)
        """

    init(_ projection: String, on connection: Connection) async throws {
        guard let (_, columns, hasTimeline) = try await Inspection.key(of: projection, on: connection) else {
            throw Inspection.unknown(projection)
        }
        func storage(_ suffix: String) -> String { RelationNames.storage(projection + suffix).sql }
        func matching(_ row: String) -> String {
            columns.map { "\(row).\(SQLText.identifier($0.name)) = event.\(SQLText.identifier($0.name))" }
                .joined(separator: " and ")
        }
        self.projection = projection
        self.entities = storage("_entities")
        self.events = storage("_events")
        self.hasTimeline = hasTimeline
        self.keys = columns.map { (SQLText.identifier($0.name), $0.type) }
        self.goneEvents = """
            exists (
                -- All events of a pruned tombstone go: without it they would make a live row.
                select from \(storage("_entities")) as entity
                where \(matching("entity")) and entity._deleted
                    and entity._event_time < to_timestamp($1::bigint / 1000000.0)
            )
            or coalesce(event.event_time, event.received_at) < to_timestamp($1::bigint / 1000000.0)
                and not exists (
                    select from \(storage("_entities")) as entity
                    where \(matching("entity")) and (
                        entity._order_key = event.order_key
                        -- `_column_keys` has the order keys of the row's other events in hexadecimal digits.
                        or position(encode(event.order_key, 'hex') in entity._column_keys::text) > 0
                    )
                )
                and not exists (
                    select from \(storage("_milestones")) as reached
                    where \(matching("reached")) and reached.order_key = event.order_key
                )
            """
    }

    /// Prunes one page.
    /// - Parameter isFirst: no tombstone has been pruned yet.
    func prune(
        behind last: [String]?,
        to end: [String]?,
        before cutoff: Int64,
        _ isFirst: Bool,
        on connection: Connection
    ) async throws -> Pruning.Outcome {
        let events = self.range(behind: last, to: end, of: "event", instant: cutoff)
        let entities = self.range(behind: last, to: end, of: "entity", instant: cutoff)
        return try await connection.transaction {
            var outcome = Pruning.Outcome()
            try await ProjectionLocks.lockBatches(of: self.projection, on: connection)
            if self.hasTimeline {
                // Before the tombstones, whose column keys tell what is needed.
                let deleted = try await connection.query(
                    "delete from \(self.events) as event where (\(self.goneEvents)) and \(events.condition)",
                    events.parameters
                )
                outcome.events = Int64(deleted.affectedRows)
            }
            let deleted = try await connection.query(
                "delete from \(self.entities) as entity where \(Self.goneTombstones) and \(entities.condition)",
                entities.parameters
            )
            outcome.tombstones = Int64(deleted.affectedRows)
            if isFirst, outcome.tombstones > 0 {
                // Batches count the keys that they may revive from now on.
                _ = try await connection.query(
                    """
                    update tidemark_internal.projections
                    set pruned_before = greatest(pruned_before, to_timestamp($1::bigint / 1000000.0)),
                        revision = revision + 1
                    where name = $2::text
                    """,
                    [.int64(cutoff), .text(self.projection)]
                )
            }
            return outcome
        }
    }

    private func list(of row: String) -> String { self.keys.map { "\(row).\($0.name)" }.joined(separator: ", ") }

    /// The last key of the page behind a key; `nil` for all that is left.
    func endOfPage(behind last: [String]?, on connection: Connection) async throws -> [String]? {
        // An event has a row, and mostly there are more events.
        let table = self.hasTimeline ? self.events : self.entities
        var parameters: [Parameter] = []
        var condition = ""
        if let last {
            condition = "where (\(self.list(of: "stored"))) > (\(self.bounds(from: 1)))"
            parameters = last.map { .text($0) }
        }
        let found = try await connection.query(
            """
            select \(self.keys.map { "stored.\($0.name)::text" }.joined(separator: ", ")) from \(table) as stored
            \(condition)
            order by \(self.list(of: "stored"))
            offset \(Self.pageRows - 1) limit 1
            """,
            parameters
        )
        guard found.rowCount == 1 else { return nil }
        return try self.keys.indices.map { try found.text(0, $0) ?? "" }
    }

    private func bounds(from first: Int) -> String {
        self.keys.enumerated().map { "$\(first + $0.offset)::text::\($0.element.type)" }.joined(separator: ", ")
    }

    struct Range {
        var parameters: [Parameter]
        var condition = "true"
    }

    /// The keys behind `last` up to `end`.
    private func range(
        behind last: [String]?,
        to end: [String]?,
        of row: String,
        instant: Int64
    ) -> Range {
        var range = Range(parameters: [.int64(instant)])
        for (bound, comparison) in [(last, ">"), (end, "<=")] {
            guard let bound else { continue }
            let values = self.bounds(from: range.parameters.count + 1)
            range.condition += " and (\(self.list(of: row))) \(comparison) (\(values))"
            range.parameters += bound.map { .text($0) }
        }
        return range
    }
}

extension Inspection {
    /// Counts gaps between versions, and keys that pruning may have revived.
    package struct Holes: Sendable {
        /// The number of versions not seen; `nil` unless `contiguous`, and where they were not counted.
        package var missingVersions: String?
        /// The relation that lists them, where the table is too large to count them in passing.
        package var uncounted: String?
        package var entitiesWithGaps: Int64 = 0
        /// Keys that were inserted with an event older than the pruned tombstones.
        package var revived: Int64 = 0
    }

    /// - Complexity: reads every entity where versions are counted.
    /// - Parameter countedBytes: in a larger table they are not.
    package static func holes(
        of projection: String,
        countedBytes: Int64 = Self.countedBytes,
        on connection: Connection
    ) async throws -> Holes {
        var holes = Holes()
        let found = try await connection.query(
            """
            select p.revived, r.schema_name, r.relation_name
            from tidemark_internal.projections as p
            left join tidemark_internal.relations as r
                on r.projection = p.name and r.relation_name = split_part(p.definition ->> 'table', '.', 2) || '_gaps'
            where p.name = $1::text
            """,
            [.text(projection)]
        )
        guard found.rowCount > 0 else { return holes }
        holes.revived = try found.int64(0, 0) ?? 0
        guard let schema = try found.text(0, 1), let name = try found.text(0, 2),
            let (_, columns, _) = try await Self.key(of: projection, on: connection)
        else { return holes }
        guard try await Self.size(of: Self.storage(projection + "_entities"), on: connection) <= countedBytes else {
            holes.uncounted = "\(schema).\(name)"
            return holes
        }
        let keys = columns.map { SQLText.identifier($0.name) }.joined(separator: ", ")
        let totals = try await connection.query(
            """
            select coalesce(sum(last - first + 1), 0)::text, count(distinct (\(keys)))
            from \(SQLText.identifier(schema)).\(SQLText.identifier(name))
            """
        )
        holes.missingVersions = try totals.text(0, 0)
        holes.entitiesWithGaps = try totals.int64(0, 1) ?? 0
        return holes
    }

    /// Counts snapshot rows that were ignored on arrival because of a streamed event with a lower LSN.
    package static func ignoredSnapshots(of projection: String, on connection: Connection) async throws -> Int64 {
        let events = RelationNames.storage(projection + "_events").sql
        // Only projections by LSN have such rows and their index; storage of an earlier version has neither.
        let found = try await connection.query(
            """
            select from tidemark_internal.projections as p
            join pg_catalog.pg_attribute as a on a.attrelid = to_regclass($2::text) and a.attname = '_remarks'
            where p.name = $1::text and p.definition -> 'sequence' -> 0 ->> 'name' = '$position'
            """,
            [.text(projection), .text(events)]
        )
        guard found.rowCount > 0 else { return 0 }
        return try await connection.number("select count(*) from \(events) where \(ProjectionStatements.isIgnored)")
    }
}
