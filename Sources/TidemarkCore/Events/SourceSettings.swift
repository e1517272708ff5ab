/// What must be known about a source to read its messages: declared, never inferred.
public struct SourceSettings: Sendable {
    public enum Format: String, Sendable, CaseIterable {
        case auto, tidemark, debezium, maxwell, canal
    }

    /// What a column that a message does not carry means.
    public enum AbsentRule: String, Sendable, CaseIterable {
        case unchanged, null
    }

    /// Where a snapshot row of Debezium for PostgreSQL stands among the streamed events.
    public enum SnapshotRule: String, Sendable, CaseIterable {
        /// Behind the last commit before it, or below every streamed event: it fills and never replaces.
        case fill
        /// At the LSN at which the snapshot was taken.
        case replace
    }

    public var name: String
    public var format: Format
    /// What zone-less timestamps mean.
    package var zone = ZoneRule.utc
    /// The zone as the configuration names it; a fixed offset has one name, such as `UTC` and `+08:00`.
    package var zoneName = "UTC"
    public var absent = AbsentRule.unchanged
    public var snapshots = SnapshotRule.fill
    /// Which columns the source logs with deletes (PostgreSQL).
    public var replicaIdentities = ReplicaIdentities()
    /// The source logs only changed columns (`binlog_row_image=MINIMAL`).
    public var sendsMinimalImages = false
    /// Rises when the source's coordinates start anew.
    public var epoch: UInt32 = 0
    /// Server identifiers in the order in which they were primary; declares that GTIDs are the positions.
    public var gtidOrder: [String] = []

    public init(name: String, format: Format = .auto) {
        self.name = name
        self.format = format
    }
}
