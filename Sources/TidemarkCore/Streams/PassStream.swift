/// A stream of a pass, as routers know it.
package struct PassStream: Sendable {
    package var id: StreamID
    package var settings: SourceSettings
    /// The source's index among the sources of the run.
    package var sourceIndex: Int
    /// The source's id in the database.
    package var sourceID: Int64
    /// How a person calls it.
    package var name: String
    /// What has been committed of it is dropped.
    package var committed: CommittedProgress

    package init(
        id: StreamID,
        settings: SourceSettings,
        sourceIndex: Int,
        sourceID: Int64 = 0,
        name: String,
        committed: CommittedProgress
    ) {
        self.id = id
        self.settings = settings
        self.sourceIndex = sourceIndex
        self.sourceID = sourceID
        self.name = name
        self.committed = committed
    }
}
