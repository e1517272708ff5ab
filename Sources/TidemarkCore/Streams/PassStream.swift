/// A stream of a pass, as routers know it.
package struct PassStream: Sendable {
    package var id: StreamID
    package var settings: SourceSettings
    /// The source's index among the sources of the run.
    package var sourceIndex: Int
    /// The source's id in the database.
    package var sourceID: Int64 = 0
    /// How a person calls it.
    package var name: String
    /// What has been committed of it is dropped.
    package var committed: CommittedProgress
    /// The projection that this reading of the stream is for alone; `nil` for those that are read together.
    package var projection: Int16?
    /// Nothing at this offset or behind is read: from here on the projection is read together with the others.
    package var limit: StreamOffset?
    /// Where the projections that have a reading of their own join this one, by their indexes.
    package var joins: [Int16: StreamOffset] = [:]

    package var key: ProgressKey { ProgressKey(stream: self.id, projection: self.projection ?? ProgressKey.together) }

    /// Whether this reading is for a projection's items at an offset.
    @inline(__always)
    package func reads(_ projection: Int, at offset: StreamOffset) -> Bool {
        if let own = self.projection { return projection == Int(own) && self.limit.map { offset < $0 } ?? true }
        return self.joins[Int16(projection)].map { offset >= $0 } ?? true
    }
}

/// What progress is of: a stream, as the projections that are read together have read it, or one that is read by itself.
package struct ProgressKey: Hashable, Sendable {
    package var stream: StreamID
    /// A projection's index, or ``together``.
    package var projection: Int16

    package static let together: Int16 = -1

    package init(stream: StreamID, projection: Int16 = Self.together) {
        self.stream = stream
        self.projection = projection
    }
}
