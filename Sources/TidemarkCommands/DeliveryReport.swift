import TidemarkCore
import TidemarkStore

extension DeliveryRow {
    private var members: [(name: String, json: String)] {
        func time(_ value: Int64?) -> String { value.map { JSONOutput.string(Terminal.timestamp($0)) } ?? "null" }
        return [
            ("id", JSONOutput.string(self.id)), ("projection", JSONOutput.string(self.projection)),
            ("key", self.key), ("milestone", JSONOutput.string(self.milestone)),
            ("notifier", JSONOutput.string(self.notifier)), ("status", JSONOutput.string(self.status)),
            ("cancelled", "\(self.isCancelled)"), ("attempts", "\(self.attempts)"),
            ("next_attempt_at", time(self.nextAttemptAt)),
            ("last_error", self.lastError.map(JSONOutput.string) ?? "null"), ("created_at", time(self.createdAt)),
            ("delivered_at", time(self.deliveredAt)),
        ]
    }

    var json: String { JSONOutput.object(self.members) }

    /// The delivery with its body and attempts.
    func json(with attempts: [AttemptRow], body: String) -> String {
        let list = "[\(attempts.map(\.json).joined(separator: ","))]"
        // As text, because receivers sign and compare bytes.
        return JSONOutput.object(self.members + [("body", JSONOutput.string(body)), ("attempted", list)])
    }

    /// Two or three lines of 80 columns.
    var report: String {
        var lines = ["\(self.id)  \(self.projection) \(self.key) \(self.milestone) → \(self.notifier)"]
        var state = "    \(self.status)\(self.isCancelled ? " (cancelled)" : ""), "
        state += "\(self.attempts) attempt\(self.attempts == 1 ? "" : "s")"
        state += ", created \(Terminal.time(self.createdAt))"
        if let delivered = self.deliveredAt { state += ", delivered \(Terminal.time(delivered))" }
        if self.status == "due", let next = self.nextAttemptAt { state += ", next \(Terminal.time(next))" }
        lines.append(state)
        if let error = self.lastError { lines.append("    \(Terminal.escaped(error))") }
        return lines.joined(separator: "\n")
    }

    func report(with attempts: [AttemptRow], body: String) -> String {
        var lines = [self.report, "    body: \(Terminal.escaped(body))"]
        for attempt in attempts { lines += attempt.report }
        return lines.joined(separator: "\n")
    }
}

extension AttemptRow {
    fileprivate var json: String {
        JSONOutput.object([
            ("attempt", "\(self.attempt)"), ("started_at", JSONOutput.string(Terminal.timestamp(self.startedAt))),
            ("duration_ms", "\(Int(self.duration / .milliseconds(1)))"), ("outcome", JSONOutput.string(self.outcome)),
            ("status", self.status.map { "\($0)" } ?? "null"),
            ("error", self.error.map(JSONOutput.string) ?? "null"),
            ("excerpt", self.excerpt.map(JSONOutput.string) ?? "null"),
        ])
    }

    fileprivate var report: [String] {
        var line = "    #\(self.attempt) \(Terminal.time(self.startedAt)), "
        line += "\(Int(self.duration / .milliseconds(1))) ms: \(self.outcome)"
        if let error = self.error {
            line += ", \(Terminal.escaped(error))"
        } else if let status = self.status {
            line += ", \(status)"
        }
        guard let excerpt = self.excerpt else { return [line] }
        return [line, "        \(Terminal.escaped(String(excerpt.prefix(200))))"]
    }
}
