/// Where a pass is projected to: PostgreSQL, or memory for a dry run.
package protocol ProjectionStore: Sendable {
    associatedtype Committer: LaneCommitter

    /// Begins a pass over streams, or resumes an unfinished one.
    func begin(_ streams: [StreamDescription]) async throws -> PassContext

    /// Stores what messages were found to say of themselves, before anything is routed by it.
    func save(_ found: DetectedReadings) async throws

    /// Stores levels, now and then: what is lost of them is read again, and dropped.
    func save(levels: [StoredLevel]) async throws

    /// Stores where a projection that is read by itself is read together with the others from now on, before anything is
    /// read that depends on it.
    func join(_ key: ProgressKey, at offset: StreamOffset) async throws

    /// What writes one lane's batches.
    /// - Parameters:
    ///   - reread: a message by its stream, offset and ordinal; `nil` when it cannot be had.
    ///   - onLoss: called from any thread whenever a commit cannot reach the store and is tried again.
    func committer(
        for lane: Int,
        in pass: PassContext,
        reread: @escaping @Sendable (StreamID, StreamOffset, Int64) -> [UInt8]?,
        onLoss: @escaping @Sendable () -> Void
    ) throws -> Committer

    /// Ends a run and, when everything has been read, the pass.
    /// - Parameter waits: `false` after a failure: the database is not waited for again.
    func end(
        _ levels: [StoredLevel],
        elapsedSeconds: Double,
        isFinished: Bool,
        waits: Bool
    ) async throws -> PassSummary
}

/// A store of a pass whose streams come and go, and may be shared with other processes.
package protocol LiveProjectionStore: ProjectionStore {
    /// Stores a stream, and that the pass reads it.
    /// - Returns: `nil` where nothing is left to read of it.
    func enter(_ stream: StreamDescription) async throws -> StreamID?

    /// Waits until this process is to read the stream, and takes its lease.
    /// - Returns: `nil` where another process has read it to its end, or another task of this one reads it.
    /// - Throws: `CancellationError`.
    func lease(of stream: StreamID) async throws -> StreamLease?

    /// What is committed of a stream whose lease is held: as the projections that are read together have read it, and as
    /// each that is read by itself has.
    func open(_ stream: StreamID, _ description: StreamDescription) async throws -> (PassStream, detached: [PassStream])

    /// Stores the levels of a stream of which everything that was read is committed, and gives its lease back.
    func giveBack(_ lease: StreamLease, _ levels: [StoredLevel]) async throws

    /// Keeps this process's share of the streams until it is cancelled.
    /// - Throws: where the pass has to be begun again.
    func shareStreams() async throws

    /// Ends the sessions of lanes, which may wait for locks of others: what is not committed will not be.
    func endLaneSessions() async
}

/// How far a stream is committed, to be stored.
package struct StoredLevel: Sendable, Equatable {
    package var key: ProgressKey
    package var level: StreamProgress
    /// How much of the stream is behind it: bytes or messages, as its offsets count; `nil` where that is not known.
    package var behind: Int64?

    package init(_ key: ProgressKey, _ level: StreamProgress, behind: Int64? = nil) {
        self.key = key
        self.level = level
        self.behind = behind
    }
}

/// Writes one lane's batches. Used by one task at a time.
package protocol LaneCommitter: AnyObject {
    func open() async
    func commit(_ batch: LaneBatch) async throws -> CommitReport
    func close() async
}

/// A pass that is about to run.
package struct PassContext: Sendable {
    /// By which rows are written.
    package var plans: [ProjectionPlan]
    /// By which messages are read, where that differs: stored events have columns under other names.
    package var readingPlans: [ProjectionPlan]
    package var lanes: Int
    package var laneRule: LaneRule
    /// In the order of the descriptions that the pass was begun with.
    package var streams: [PassStream]
    /// Readings of the streams for projections that have come to the pass later, or are behind: each of one stream for one
    /// projection.
    package var detached: [PassStream] = []
    /// The names of the sources, as streams number them.
    package var sources: [String]
    package var readings: DetectedReadings
    /// Sees each message.
    package var observer: (any MessageObserver)?
    /// Counted by earlier runs of the pass.
    package var earlier: PassSummary
    package init(
        plans: [ProjectionPlan],
        lanes: Int,
        laneRule: LaneRule = .current,
        streams: [PassStream],
        sources: [String],
        readings: DetectedReadings = DetectedReadings(),
        earlier: PassSummary = PassSummary()
    ) {
        self.plans = plans
        self.readingPlans = plans
        self.lanes = lanes
        self.laneRule = laneRule
        self.streams = streams
        self.sources = sources
        self.readings = readings
        self.earlier = earlier
    }

    /// Streams as routers know them, and the sources that they number.
    /// - Parameters:
    ///   - sharesSources: streams of one source are read alike.
    ///   - entry: a stream's number, its source's, and what is committed of it, by its index.
    package static func streams(
        _ descriptions: [StreamDescription],
        sharesSources: Bool = true,
        _ entry: (Int) -> (id: StreamID, sourceID: Int64, committed: CommittedProgress)
    ) -> (streams: [PassStream], sources: [String]) {
        var sources: [String] = []
        var streams: [PassStream] = []
        for (index, description) in descriptions.enumerated() {
            let known = sharesSources ? sources.firstIndex(of: description.settings.name) : nil
            if known == nil { sources.append(description.settings.name) }
            let (id, sourceID, committed) = entry(index)
            streams.append(
                PassStream(
                    id: id,
                    settings: description.settings,
                    sourceIndex: known ?? sources.count - 1,
                    sourceID: sourceID,
                    name: description.label,
                    committed: committed
                )
            )
        }
        return (streams, sources)
    }
}

/// Sees what a pass decodes, before it is encoded: for reports about a log.
package protocol MessageObserver: Sendable {
    /// Called in the order of the streams; from one router at a time.
    /// - Parameters:
    ///   - ordinal: the message's number in its stream, from 1.
    ///   - isBeginning: it is in the first bytes of its stream, in which numbers are counted.
    func observe(_ message: DecodedMessage, ordinal: Int64, isBeginning: Bool, of stream: PassStream)

    /// Called with each batch of a dry run, before it is folded.
    func observe(_ batch: LaneBatch)
}
