import TidemarkCore
import TidemarkStore

extension EntityHistory {
    private static func text(_ value: String?) -> String { value.map(JSONOutput.string) ?? "null" }

    /// The history with values as they are stored, so that no number loses a digit.
    var json: String {
        JSONOutput.object([
            ("projection", Self.text(self.projection)), ("key", self.key),
            ("deleted", self.isDeleted ? "true" : "false"), ("state", Self.text(self.state)),
            ("sequence", Self.text(self.sequence)), ("order_key", Self.text(self.orderKey)),
            ("row", self.row.map { JSONOutput.object($0.map { (name: $0.column, json: $0.value) }) } ?? "null"),
            ("events", self.events.map { "[\($0.map(Self.json(of:)).joined(separator: ","))]" } ?? "null"),
            ("milestones", "[\(self.milestones.map(Self.json(of:)).joined(separator: ","))]"),
        ])
    }

    private static func json(of event: Event) -> String {
        let verdict: String? = event.arrival.map { _ in event.isLate ? "late" : "applied" }
        let changes = event.changes.map { change in
            var members: [(name: String, json: String)] = [("column", Self.text(change.column))]
            if let old = change.old { members.append(("old", old)) }
            if let new = change.new { members.append(("new", new)) }
            return JSONOutput.object(members)
        }
        return JSONOutput.object([
            ("sequence", Self.text(event.sequence)), ("order_key", Self.text(event.orderKey)),
            ("op", Self.text(event.operation)), ("state", Self.text(event.state)),
            ("event_time", Self.text(event.eventTime)), ("verdict", Self.text(verdict)),
            ("arrival", event.arrival.map { "\($0)" } ?? "null"),
            ("last_arrival", event.lastArrival.map { "\($0)" } ?? "null"), ("received_at", Self.text(event.receivedAt)),
            ("late", event.isLate ? "true" : "false"), ("source", Self.text(event.source)),
            ("position", Self.text(event.position)), ("image", event.image ?? "null"),
            ("missing", event.missing ?? "null"), ("changes", "[\(changes.joined(separator: ","))]"),
        ])
    }

    private static func json(of milestone: Milestone) -> String {
        let deliveries = milestone.deliveries.map { delivery in
            JSONOutput.object([
                ("id", Self.text(delivery.id)), ("notifier", Self.text(delivery.notifier)),
                ("status", Self.text(delivery.status)), ("attempts", "\(delivery.attempts)"),
                ("next_attempt_at", Self.text(delivery.nextAttemptAt)), ("last_error", Self.text(delivery.lastError)),
                ("created_at", Self.text(delivery.createdAt)), ("delivered_at", Self.text(delivery.deliveredAt)),
            ])
        }
        return JSONOutput.object([
            ("milestone", Self.text(milestone.name)), ("state", Self.text(milestone.state)),
            ("sequence", Self.text(milestone.sequence)), ("reached_at", Self.text(milestone.reachedAt)),
            ("muted", milestone.isMuted ? "true" : "false"), ("deliveries", "[\(deliveries.joined(separator: ","))]"),
        ])
    }
}
