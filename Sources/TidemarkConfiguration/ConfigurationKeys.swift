/// The keys of one kind of mapping in the configuration file.
package struct KeyTable: Sendable {
    /// Also the name of its definition in `docs/tidemark.schema.json`.
    package let name: String
    package let keys: [String]

    init(_ name: String, _ keys: [String]) {
        self.name = name
        self.keys = keys
    }
}

/// Every key that the loader accepts. A test compares them with the JSON Schema.
package enum ConfigurationKeys {
    static let file = KeyTable(
        "file",
        ["database", "lanes", "limits", "server", "service", "sources", "projections", "notifiers", "publications"]
    )
    static let limits = KeyTable(
        "limits",
        ["batch_events", "pending_batches", "message_bytes", "cache_bytes", "max_dead_letters"]
    )
    static let service = KeyTable("service", ["drain_timeout", "lease_ttl", "retention"])
    static let server = KeyTable("server", ["listen", "tokens", "tls", "insecure", "request_bytes"])
    static let tls = KeyTable("tls", ["certificate", "key"])
    static let clientTLS = KeyTable("clientTLS", ["ca_file", "certificate", "key", "verify"])
    static let source = KeyTable(
        "source",
        [
            "name", "type", "paths", "follow", "format", "timezone", "absent", "replica_identity", "row_image",
            "snapshots", "epoch", "gtid_order", "table", "tombstones", "partitioned_by_key", "position", "brokers",
            "topics", "group", "start", "lost_history", "added_partitions", "options", "name_servers", "tags",
            "expression", "ordered", "tls", "access_key", "secret_key", "security_token",
        ]
    )
    static let projection = KeyTable(
        "projection",
        [
            "name", "from", "key", "sequence", "contiguous", "state", "table", "on_truncate", "tags", "timeline",
            "columns", "lifecycle", "milestones",
        ]
    )
    static let sequencePart = KeyTable("sequencePart", ["column", "type", "encoding"])
    static let state = KeyTable("state", ["from", "map"])
    static let tags = KeyTable("tags", ["from", "accept"])
    static let column = KeyTable("column", ["type", "from", "encoding", "unsigned", "default"])
    static let lifecycle = KeyTable("lifecycle", ["initial", "transitions"])
    static let milestone = KeyTable("milestone", ["state", "notify", "unless", "mute_before"])
    static let notifier = KeyTable(
        "notifier",
        [
            "type", "url", "secret", "allow_private", "ca_file", "channel", "database", "command", "environment",
            "connect_timeout", "timeout", "concurrency", "rate", "circuit", "schedule", "max_attempts", "on_failure",
            "when", "body", "brokers", "topic", "options", "name_servers", "tls", "access_key", "secret_key",
            "security_token",
        ]
    )
    static let publication = KeyTable(
        "publication",
        [
            "source", "type", "brokers", "topic", "message", "sequence", "options", "name_servers", "tls", "access_key",
            "secret_key", "security_token",
        ]
    )
    static let circuit = KeyTable("circuit", ["failures", "pause"])

    package static let all = [
        Self.file, Self.limits, Self.server, Self.publication, Self.tls, Self.clientTLS, Self.service, Self.source,
        Self.projection,
        Self.sequencePart,
        Self.state,
        Self.tags, Self.column,
        Self.lifecycle, Self.milestone, Self.notifier, Self.circuit,
    ]
}
