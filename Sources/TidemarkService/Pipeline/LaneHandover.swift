import TidemarkCore

/// Hands what blocks came to over to the lanes, in the order of their stream.
struct LaneHandover {
    let queues: [LaneQueue]
    let tracker: LevelTracker

    /// Enters the block with the stream's level, and gives each lane its segment.
    /// - Parameter permit: what the block holds of the budget; from here on as much as its segments weigh.
    /// - Returns: `false` when a lane takes nothing any more.
    /// - Throws: `CancellationError`.
    func enqueue(_ segments: [LaneSegment], permit: MemoryPermit?) async throws -> Bool {
        guard let end = segments.first?.end else { return true }
        let parts = segments.count { !$0.isEmpty }
        let block = self.tracker.enter(end: end, parts: parts)
        permit?.resize(to: segments.reduce(0) { $0 + ($1.isEmpty ? 0 : $1.weight) })
        var segments = segments
        for lane in segments.indices where !segments[lane].isEmpty {
            segments[lane].level = (self.tracker, block)
            segments[lane].permit = permit
        }
        return try await self.queues.enqueue(segments)
    }

    /// Nothing comes behind `end`.
    func close(at end: StreamProgress) {
        var end = end
        end.isAtEnd = true
        _ = self.tracker.enter(end: end, parts: 0)
    }
}
