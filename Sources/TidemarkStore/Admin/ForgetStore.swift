package import LibPQ
import TidemarkCore

/// Erases the content of one key. Keys, order keys, sequences and operations stay.
package enum ForgetStore {
    package struct Erased: Sendable {
        package var rows = 0
        package var events = 0
        package var deliveries = 0
        package var deadLetters = 0
    }

    /// The columns of a row that stay: its key, its order key, and the versions seen. All others are nulled, those of
    /// earlier configurations too, and so are the column keys: the row then counts as made by its greatest event alone,
    /// and takes no column from an event below it that is read again.
    private static let keptOfEntity = [
        "_last_pass_id", "_event_time", "_deleted", "_order_key", "_sequence", "_seen", "_tables",
    ]
    private static let keptOfEvent = [
        "order_key", "sequence", "op", "late", "event_time", "received_at", "source", "position", "_origin",
        "_position",
        "_remarks",
    ]

    /// Erases the key in one transaction.
    /// - Parameters:
    ///   - key: the key's parts as text.
    ///   - json: the key as the outbox stores it.
    ///   - letters: dead letters to be deleted.
    package static func erase(
        _ key: [String],
        json: String,
        of projection: String,
        letters: [Int64],
        on connection: Connection
    ) async throws -> Erased {
        guard let (_, columns, hasTimeline) = try await Inspection.key(of: projection, on: connection) else {
            throw Inspection.unknown(projection)
        }
        let match = SQLText.match(columns, of: "kept")
        let keys = columns.map(\.name)
        let stored = try await ProjectionRegistry.stored(projection, on: connection)
        var shape: EventShape?
        if let stored { shape = try await EventShape.read(stored, of: projection, on: connection) }
        return try await connection.transaction { [shape] in
            var erased = Erased()
            // Batches that were folded on what is erased here fold again.
            try await ProjectionLocks.raiseRevision(projection, on: connection)
            func clear(_ table: String, keeping kept: [String]) async throws -> Int {
                let storage = RelationNames.storage(projection + table).sql
                let cleared = try await Self.columns(of: storage, without: keys + kept, on: connection)
                guard !cleared.isEmpty else { return 0 }
                var list = cleared.map { "\(SQLText.identifier($0)) = null" }
                if table == "_events", let shape, !shape.isFormer {
                    // A column may have told the sequence.
                    list.append("sequence = \(shape.sequence("kept"))")
                    list.append(
                        "_remarks = case when op = 'd' then _remarks else coalesce(_remarks, 0) | \(Remarks.erased.rawValue) end"
                    )
                }
                let update = "update \(storage) as kept set \(list.joined(separator: ", ")) where \(match)"
                return try await connection.query(update, key.map { .text($0) }).affectedRows
            }
            erased.rows = try await clear("_entities", keeping: Self.keptOfEntity)
            if hasTimeline { try await TimelineCopy.forget(projection, match, key, on: connection) }
            if hasTimeline { erased.events = try await clear("_events", keeping: Self.keptOfEvent) }
            erased.deliveries = try await connection.query(
                """
                update tidemark_internal.deliveries
                set body = jsonb_set(body::jsonb, '{data,row}', 'null'::jsonb)::text
                where projection = $1::text and key = $2::text::jsonb
                    and body::jsonb #> '{data,row}' is distinct from 'null'::jsonb
                """,
                [.text(projection), .text(json)]
            ).affectedRows
            // What a receiver answered may repeat what it was sent.
            _ = try await connection.query(
                """
                update tidemark_internal.attempts as attempt
                set excerpt = null
                from tidemark_internal.deliveries as delivery
                where delivery.seq = attempt.seq and delivery.projection = $1::text and delivery.key = $2::text::jsonb
                    and attempt.excerpt is not null
                """,
                [.text(projection), .text(json)]
            )
            erased.deadLetters = try await DeadLetterStore.dropWithinTransaction(
                DeadLetterFilter(ids: letters),
                on: connection
            )
            return erased
        }
    }

    private static func columns(
        of storage: String,
        without kept: [String],
        on connection: Connection
    ) async throws -> [String] {
        let found = try await connection.query(
            """
            select attname::text from pg_catalog.pg_attribute
            where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
            order by attnum
            """,
            [.text(storage)]
        )
        return try found.texts().filter { !kept.contains($0) }
    }
}
