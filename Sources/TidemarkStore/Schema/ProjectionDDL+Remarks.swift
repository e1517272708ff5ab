import TidemarkCore

/// Anomalies from the remarks on events.
extension ProjectionDDL {
    /// Deletes that seem to carry the key alone, although the source declares whole rows, and that are below another
    /// event of their entity: their sequence may be a default, and the row may be gone at the source.
    var doubtfulDeletes: String {
        let tables = self.plan.definition.from
        let table = tables.count == 1 ? tables[0] : "TABLE"
        let detail =
            "the delete is below a newer event, and every column beside its key is null or a default, as PostgreSQL writes "
            + "it unless REPLICA IDENTITY is FULL: where the table has another identity, say "
            + "replica_identity: { default: full, \(table): default } and rebuild from the files"
        return """
            select \(SQLText.literal(self.plan.name))::text, \(self.anomalyKey(of: "event")),
                'doubtful_delete'::text, \(self.shape.sequence("event")), \(SQLText.literal(detail))
            from \(self.names.eventStorage.sql) as event
            where event.op = 'd' and event._remarks & \(Remarks.doubtfulDelete.rawValue) <> 0
                and exists (
                    select from \(self.names.eventStorage.sql) as above
                    where \(self.matching("above", "event")) and above.order_key > event.order_key
                )
            """
    }
}
