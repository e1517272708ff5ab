package import LibPQ
package import TidemarkCore

/// Copies state of the live version that is not in its events to a next version that is made from its timeline.
extension RebuildStore {
    /// Copies the findings about readings, so that later messages are read as the copied events were.
    /// - Parameter keepsKind: whether positions are part of the copied order keys.
    package static func inheritReadings(_ projection: String, keepsKind: Bool, on connection: Connection) async throws {
        _ = try await connection.query(
            """
            update tidemark_internal.projections as next
            set position_kind = case when $3::boolean then coalesce(next.position_kind, live.position_kind)
                    else next.position_kind end,
                units = live.units, sources = live.sources
            from tidemark_internal.projections as live
            where next.name = $2::text and live.name = $1::text
            """,
            [.text(projection), .text(NextVersion.name(of: projection)), .bool(keepsKind)]
        )
    }

    /// Copies the events' times of arrival, and the versions that `tags` dropped. A repeat changes nothing.
    /// - Parameter boundary: only of events received or changed since, where order keys tell which those are.
    package static func inheritArrivals(
        _ definition: ProjectionDefinition,
        _ mapping: TimelineMapping,
        since boundary: TimelineBoundary? = nil,
        on connection: Connection
    ) async throws {
        guard let old = try await ProjectionRegistry.stored(definition.name, on: connection) else { return }
        let plan = ProjectionPlan(definition.nextVersion)
        let isSameSequence = old.sequence == StoredDefinition(plan).sequence
        var statements: [String] = []
        let keepsOrderKeys = isSameSequence && mapping.reading.keptParts > 0 && mapping.reading.keepsDigests
        if plan.keepsTimeline {
            func unchanged(_ shape: EventShape) -> [String] {
                guard !keepsOrderKeys else { return ["event.order_key"] }
                return [
                    "event.op", "coalesce(event.event_time, 'infinity')", shape.source("event"),
                    "coalesce(\(shape.position("event")), '')",
                ] + (isSameSequence ? [shape.sequence("event")] : [])
            }
            let former = unchanged(try await EventShape.read(old, of: definition.name, on: connection))
            let origin = Array(zip(former, unchanged(EventShape(plan))))
            statements.append(Self.arrivals(plan, definition.name, matching: origin, keepsOrderKeys ? boundary : nil))
        }
        if plan.isContiguous, old.contiguous ?? "no" != "no", isSameSequence {
            statements += Self.versionsSeen(plan, definition.name, old)
        }
        try await connection.transaction {
            for statement in statements { try await connection.execute(statement) }
        }
    }

    /// Matches events by their key and unchanged columns. Where several match, the first arrival counts for all of
    /// them.
    /// - Parameter origin: the unchanged columns, of the live version and of the next one: the order key, which
    ///   distinguishes events of equal sequence and time, or where it was rebuilt the columns beside it.
    private static func arrivals(
        _ plan: ProjectionPlan,
        _ projection: String,
        matching origin: [(live: String, next: String)],
        _ boundary: TimelineBoundary?
    ) -> String {
        let keys = zip(plan.keyList, plan.keyColumns).enumerated().map { index, key in
            "\(key.0)::\(key.1.type.sql) as key\(index)"
        }
        let parts = keys + origin.enumerated().map { "\($0.element.live) as origin\($0.offset)" }
        let names = keys.indices.map { "key\($0)" } + origin.indices.map { "origin\($0)" }
        let match = zip(plan.keyList.map { "event.\($0)" }, keys.indices).map { "arrival.key\($1) = \($0)" }
        let own = origin.enumerated().map { "arrival.origin\($0.offset) = \($0.element.next)" }
        return """
            update \(plan.names.eventStorage.sql) as event
            set received_at = arrival.received_at, late = arrival.late
            from (
                select distinct on (\(names.joined(separator: ", "))) *
                from (
                    select \(parts.joined(separator: ", ")), received_at, late
                    from \(RelationNames.storage(projection + "_events").sql) as event
                    where \(boundary?.isChanged ?? "true")
                ) as arrivals
                order by \(names.joined(separator: ", ")), received_at, late
            ) as arrival
            where \((match + own).joined(separator: " and "))
                and (event.received_at, event.late) is distinct from (arrival.received_at, arrival.late)
            """
    }

    private static func versionsSeen(
        _ plan: ProjectionPlan,
        _ projection: String,
        _ old: StoredDefinition
    ) -> [String] {
        let keys = plan.keyList.joined(separator: ", ")
        let cast = zip(plan.keyList, plan.keyColumns).map { "\($0)::\($1.type.sql)" }.joined(separator: ", ")
        return [
            """
            insert into \(plan.names.entityStorage.sql) as entity
                (\(keys), _last_pass_id, _deleted, _order_key, _sequence, _seen)
            select \(cast), 0, true, \(ProjectionStatements.unmade), '', _seen
            from \(RelationNames.storage(projection + "_entities").sql)
            on conflict (\(keys)) do update set _seen = entity._seen + excluded._seen
            where not entity._seen @> excluded._seen
            """
        ]
    }
}
