import LibPQ
import TidemarkCore

/// Merges milestones in a swap: reached ones stay reached, new ones go into the outbox, and open deliveries are held or
/// released by the new rows' states.
struct MilestoneHandover {
    private let versions: VersionPair
    private let isMuted: Bool
    private static let pageRows = 5000

    init(_ versions: VersionPair, isMuted: Bool) {
        self.versions = versions
        self.isMuted = isMuted
    }

    private var storage: String { self.versions.next.names.milestoneStorage.sql }

    /// Runs in the swap's transaction, before readers see the tables that it writes.
    /// - Returns: how many milestones were newly reached, by name.
    func run(on connection: Connection) async throws -> [String: Int64] {
        try await connection.execute("drop table if exists pg_temp.tidemark_fresh")
        try await self.collectFresh(on: connection)
        try await connection.execute(
            """
            update \(self.storage) as next set reached_at = now(), muted = next.muted or \(self.isMuted)
            from pg_temp.tidemark_fresh as fresh
            where \(ProjectionStatements.match(self.versions.plan, "fresh", "next"))
                and fresh.milestone = next.milestone
            """
        )
        let shared = self.versions.sharedMilestones
        try await connection.execute(
            """
            update \(self.storage) as next set reached_at = live.reached_at, muted = live.muted
            from \(shared.from)
            where \(shared.condition)
            """
        )
        if self.versions.hasSameKey {
            try await self.keepLost(on: connection)
            try await self.keepOthers(on: connection)
        }
        try await self.rekeyDeliveries(on: connection)
        try await self.holdOrRelease(on: connection)
        try await self.fillOutbox(on: connection)
        let counts = try await connection.query(
            "select milestone, count(*) from pg_temp.tidemark_fresh group by milestone"
        )
        var reached = Dictionary(self.versions.plan.milestones.map { ($0.name, Int64(0)) }) { first, _ in first }
        for row in 0..<counts.rowCount { reached[try counts.text(row, 0) ?? ""] = try counts.int64(row, 1) ?? 0 }
        return reached
    }

    /// Collects the new milestones, ranked in the order of the outbox: of one entity a dominator first.
    private func collectFresh(on connection: Connection) async throws {
        let keys = self.versions.plan.keyList.joined(separator: ", ")
        let names = self.versions.plan.milestones.map { SQLText.literal($0.name) }.joined(separator: ", ")
        try await connection.execute(
            """
            create temporary table tidemark_fresh on commit drop as
            select fresh.*, row_number() over (
                order by \(keys), array_position(array[\(names)]::text[], milestone)
            ) as _rank
            from (\(self.versions.freshMilestones())) as fresh;
            create unique index on pg_temp.tidemark_fresh (_rank);
            analyze pg_temp.tidemark_fresh
            """
        )
    }

    /// Keeps state, sequence and order key of milestones whose event was forgotten or pruned. The timeline has such an event
    /// without its state, or not at all, so that the next version derives the milestone from a later event. One that was
    /// pruned counts only where its state still implies the milestone.
    private func keepLost(on connection: Connection) async throws {
        guard self.versions.old.timeline, self.versions.hasSameOrderKeys,
            let implied = ProjectionStatements.impliedMilestones(self.versions.plan)
        else { return }
        let events = RelationNames.storage(self.versions.plan.name + "_events").sql
        let key = self.versions.old.key.map { SQLText.identifier($0.name) }
        try await connection.execute(
            """
            update \(self.storage) as next
            set state = live.state, sequence = live.sequence, order_key = live.order_key
            from \(self.versions.milestoneStorage) as live
            left join \(events) as event
                on \(key.map { "event.\($0) = live.\($0)" }.joined(separator: " and ")) and event.order_key = live.order_key
            where \(self.versions.match("live", "next")) and next.milestone = live.milestone
                and live.order_key < next.order_key
                and case
                    when event.order_key is null then (live.state, live.milestone) in (values \(implied))
                    else \(EventShape(self.versions.old).isErased("event"))
                end
            """
        )
    }

    /// Keeps milestones that only the live version had reached. Order keys of another sequence, kind of position or
    /// reading rules do not compare with new ones; the next event that implies such a milestone then counts as the
    /// least.
    private func keepOthers(on connection: Connection) async throws {
        let plan = self.versions.plan
        let cast = zip(plan.keyList, plan.keyColumns).map { "live.\($0)::\($1.type.sql)" }.joined(separator: ", ")
        let orderKey = self.versions.hasSameOrderKeys ? "live.order_key" : "'\\xffffffffffffffff'::bytea"
        try await connection.execute(
            """
            insert into \(self.storage)
                (\(plan.keyList.joined(separator: ", ")), milestone, state, sequence, order_key, reached_at, muted)
            select \(cast), live.milestone, live.state, live.sequence, \(orderKey), live.reached_at, live.muted
            from \(self.versions.milestoneStorage) as live
            where not exists (
                select from \(self.storage) as next
                where \(self.versions.match("live", "next")) and next.milestone = live.milestone
            )
            on conflict do nothing
            """
        )
    }

    // MARK: Deliveries

    /// Rewrites keys in the outbox where a key column changes between a number and another type in JSON.
    private func rekeyDeliveries(on connection: Connection) async throws {
        guard self.versions.hasSameKey else { return }
        let parts = zip(self.versions.old.key, self.versions.plan.keyColumns).enumerated()
        guard parts.contains(where: { (ColumnType($1.0.type) ?? .text).isBareInJSON != $1.1.type.isBareInJSON }) else {
            return
        }
        let elements = parts.map { index, part in
            part.1.type.isBareInJSON ? "to_jsonb((key ->> \(index))::\(part.1.type.sql))" : "to_jsonb(key ->> \(index))"
        }
        _ = try await connection.query(
            """
            update tidemark_internal.deliveries set key = jsonb_build_array(\(elements.joined(separator: ", ")))
            where projection = $1::text
            """,
            [.text(self.versions.plan.name)]
        )
    }

    private func holdOrRelease(on connection: Connection) async throws {
        guard self.versions.hasSameKey else { return }
        let plan = self.versions.plan
        let match = zip(plan.keyList, plan.keyColumns).enumerated().map { index, key in
            "entity.\(key.0) = (delivery.key ->> \(index))::\(key.1.type.sql)"
        }
        let isHeld = "coalesce($2::jsonb -> delivery.milestone ? entity._state, false)"
        _ = try await connection.query(
            """
            update tidemark_internal.deliveries as delivery
            set status = case when \(isHeld) then 'held' else 'due' end
            from \(self.versions.next.names.entityStorage.sql) as entity
            where delivery.projection = $1::text and delivery.status in ('due', 'held')
                and \(match.joined(separator: " and "))
                and (delivery.status = 'held') is distinct from \(isHeld)
            """,
            [.text(plan.name), .text(ProjectionStatements.holds(plan) ?? "{}")]
        )
    }

    /// Fills the outbox page by page, because the ids are computed here.
    private func fillOutbox(on connection: Connection) async throws {
        let plan = self.versions.plan
        guard plan.milestones.contains(where: { !$0.notify.isEmpty }) else { return }
        let keys = plan.keyList.map { "\($0)::text" }.joined(separator: ", ")
        var rank: Int64 = 0
        while true {
            let page = try await connection.query(
                """
                select _rank, milestone, \(keys) from pg_temp.tidemark_fresh
                where _rank > $1::bigint order by _rank limit \(Self.pageRows)
                """,
                [.int64(rank)]
            )
            guard page.rowCount > 0 else { return }
            var rows = ArrayParameters([OID.int8, OID.uuid, OID.text], rows: page.rowCount)
            for row in 0..<page.rowCount {
                rank = try page.int64(row, 0) ?? 0
                let key = try self.key(page, row)
                rows.append(rank, to: 0)
                let id = key.deliveryID(projection: plan.name, milestone: try page.text(row, 1) ?? "")
                rows.append(id[...], to: 1)
                rows.append(key.json, to: 2)
            }
            let scope = [Parameter.text(plan.name)] + ProjectionWriter.outboxTargets(plan)
            let holds = ProjectionStatements.holds(plan).map { [Parameter.text($0)] } ?? []
            _ = try await connection.query(self.outbox, rows.parameters + scope + holds)
        }
    }

    /// The key in the canonical text that its delivery ids are derived from.
    private func key(_ page: QueryResult, _ row: Int) throws -> KeyText {
        var bytes: [UInt8] = []
        var encoder = ValueEncoder()
        for (index, column) in self.versions.plan.keyColumns.enumerated() {
            let value = Array((try page.text(row, 2 + index) ?? "").utf8)
            let field = Field(name: .empty, value: ByteRange(start: 0, end: value.count), kind: .string)
            let plain = ColumnPlan(.init(name: column.name, type: column.type))
            if index > 0 { bytes.append(0) }
            do {
                try encoder.encode(field, of: value.span, as: plain, in: .init())
            } catch {
                throw StoreError(.failed, "a stored key does not read as \(column.type.sql): \(error.expected)")
            }
            bytes.append(contentsOf: encoder.text)
        }
        return KeyText(self.versions.plan, bytes[...])
    }

    /// Parameters: ranks, ids, keys as JSON; projection, notifiers of each milestone (four arrays), holding states.
    private var outbox: String {
        let (plan, next) = (self.versions.plan, self.versions.next)
        let columns = [("_rank", "bigint"), ("_id", "uuid"), ("_key", "text")].map { (name: $0.0, type: $0.1) }
        return """
            insert into tidemark_internal.deliveries \(ProjectionStatements.outboxColumns)
            select \(ProjectionStatements.outboxRow(plan, projection: "$4::text", holds: "$9::jsonb"))
            from (
                select page._rank, page._id, page._key, reached.*
                from (select * from \(ProjectionStatements.rows(columns))) as page
                join pg_temp.tidemark_fresh as fresh on fresh._rank = page._rank
                join \(self.storage) as reached
                    on \(ProjectionStatements.match(plan, "reached", "fresh")) and reached.milestone = fresh.milestone
            ) as batch
            \(ProjectionStatements.outboxTargets(plan, next.names, from: 5))
            order by batch._rank
            on conflict (id, notifier) do nothing
            """
    }
}
