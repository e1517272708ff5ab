/// What the lanes of a pass have committed of one stream.
package struct CommittedProgress: Sendable {
    /// Everything before it is committed by all lanes.
    package let level: StreamProgress
    /// How far each lane is, under the number of lanes that the pass has now.
    package private(set) var lanes: [StreamProgress]
    /// The same under numbers that earlier runs of the pass had, where a lane is further than the level.
    package private(set) var older: [[StreamProgress]] = []
    package let rule: LaneRule

    package init(
        level: StreamProgress = .start,
        lanes: Int,
        rows: [Int: [Int: StreamProgress]] = [:],
        rule: LaneRule = .current
    ) {
        self.level = level
        self.rule = rule
        func progress(_ rows: [Int: StreamProgress], _ count: Int) -> [StreamProgress] {
            (0..<count).map { lane in rows[lane].map { StreamProgress.greater($0, level) } ?? level }
        }
        self.lanes = progress(rows[lanes] ?? [:], lanes)
        for (count, rows) in rows.sorted(by: { $0.key < $1.key }) where count != lanes && count > 0 {
            let progress = progress(rows, count)
            if progress.contains(where: { $0 != level }) { self.older.append(progress) }
        }
    }

    /// How far the lane is that is furthest, under any number of lanes.
    package var furthest: StreamProgress {
        (self.lanes + self.older.joined()).reduce(self.level) { StreamProgress.greater($0, $1) }
    }

    /// Whether a lane has committed what stands at an offset, under the number of lanes that there are now.
    @inline(__always)
    package func covers(lane: Int, _ offset: StreamOffset) -> Bool { self.lanes[lane].covers(offset) }

    /// Whether the lane of an entity has, under an earlier number of lanes.
    package func earlierCovers(key: Span<UInt8>, _ offset: StreamOffset) -> Bool {
        for lanes in self.older where lanes[self.rule.lane(ofKey: key, among: lanes.count)].covers(offset) {
            return true
        }
        return false
    }

    /// Whether the lane that accounts for a message has, under an earlier number of lanes.
    /// - Parameter keys: those of the message's events.
    package func earlierCovers(
        messageAt offset: StreamOffset,
        ordinal: Int64,
        keys: [[UInt8]]
    ) -> Bool {
        self.older.contains { progress in
            let home = self.rule.lane(ofMessageAt: offset, ordinal: ordinal, among: progress.count)
            let lanes = keys.map { self.rule.lane(ofKey: $0.span, among: progress.count) }
            let lane = lanes.contains(home) ? home : lanes.min() ?? home
            return progress[lane].covers(offset)
        }
    }
}
