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

    /// The table of rows that name none (flattened rows without `__table`).
    public enum TableRule: Sendable, Hashable {
        /// The text of a ``TableName``.
        case named(String)
        /// The topic is named after it.
        case fromTopic
    }

    /// What a broker's message without a value is.
    public enum TombstoneRule: String, Sendable, CaseIterable {
        /// It is counted and dropped: the delete came before it.
        case control
        /// The delete of the row that its key names.
        case delete
    }

    /// What `$position` is.
    public enum PositionRule: String, Sendable, CaseIterable {
        /// The coordinate of the database's log that the message carries.
        case message
        /// The message's offset in its partition: all messages of an entity are in one.
        case offset
    }

    public var name: String
    public var format: Format
    /// `nil`: rows that name no table are of an unknown format.
    package var table: TableRule?
    /// `nil`: deletes where flattened rows are ordered by the partition's offset, else control.
    package var tombstones: TombstoneRule?
    package var positions = PositionRule.message
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

    package var readsTombstonesAsDeletes: Bool {
        (self.tombstones ?? (self.table != nil && self.positions == .offset ? .delete : .control)) == .delete
    }

    public init(name: String, format: Format = .auto) {
        self.name = name
        self.format = format
    }
}
