/// What a process may use, and when bad messages end a pass.
public struct Limits: Sendable, Hashable {
    /// Most events in one transaction.
    public var batchEvents = 20_000
    /// Most batches that wait for the database, for each lane.
    public var pendingBatches = 2
    /// A longer message becomes a dead letter without being read.
    public var messageBytes = 16 << 20
    /// Memory for the high-water marks of all lanes together.
    public var cacheBytes = 64 << 20
    /// More bad messages than this, after the first 10,000, stop the process.
    public var maxDeadLetters = DeadLetterLimit.fraction(0.1)

    public init() {}
}

/// How many messages may be dead letters.
public enum DeadLetterLimit: Sendable, Hashable {
    /// Of the messages read, from 0 to 1.
    case fraction(Double)
    case count(Int)
}
