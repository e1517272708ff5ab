import TidemarkCore

extension HealthBoard {
    /// The checks that are not running, as a JSON object by name: what the process stores with its heartbeat for
    /// `tidemark status`. It is the same text for as long as nothing changes.
    package var awayJSON: String {
        func text(_ value: String?) -> String { value.map(JSONOutput.string) ?? "null" }
        return JSONOutput.object(
            self.checks.filter { $0.status != .running }.map { check in
                (
                    check.name,
                    JSONOutput.object([
                        ("status", text(check.status.rawValue)), ("since", text(check.since.utcTimestamp)),
                        ("reason", text(check.reason)), ("remedy", text(check.remedy)),
                    ])
                )
            }
        )
    }
}
