import TidemarkCore

/// What a message is, and what of it an earlier run has committed.
extension EventRouter {
    /// What a message is that no producer wrote.
    indirect enum Attachment {
        /// An event of a stored timeline.
        case stored(StoredEvent)
        case retried(RetriedLetter)

        /// - Parameter index: the message's, in its block.
        init?(_ block: MessageBlock, _ index: Int) {
            switch block.attachment {
            case let page as StoredEventPage: self = .stored(page.events[index])
            case let letter as RetriedLetter: self = .retried(letter)
            default: return nil
            }
        }
    }

    /// Where a message stands, and the lane that accounts for it.
    struct MessageContext {
        let block: MessageBlock
        let stream: PassStream
        let letters: LetterMessage
        var message: MessageBlock.Message
        var home = 0
        /// The block has an attachment. Asked first: `attached` is retained to be looked into.
        var isAttached = false
        /// What its source knows of it beside its bytes.
        var attached: Attachment?

        func offset(row: Int) -> StreamOffset {
            var offset = self.message.offset
            offset.row = UInt32(clamping: row)
            return offset
        }

        /// The number of messages of the block before this one.
        var ordinal: UInt32 { UInt32(truncatingIfNeeded: self.message.ordinal &- self.block.start.ordinal) }

        /// An earlier run has committed the row.
        func isCovered(row: Int) -> Bool {
            let offset = self.offset(row: row)
            return self.stream.committed.covers(lane: self.home, offset)
                || self.stream.committed.earlierCovers(
                    messageAt: offset,
                    ordinal: self.message.ordinal,
                    keys: []
                )
        }
    }

    /// Takes out what was committed before the restart.
    static func dropCommitted(_ segment: inout LaneSegment, _ progress: StreamProgress) {
        guard let first = segment.items.first, progress.covers(first.offset) else { return }
        segment.items.removeAll { progress.covers($0.offset) }
    }

    /// Takes out those of the message's items that lanes have committed under this or another number of lanes.
    /// - Parameter first: the item that the message is counted with; `nil` afterwards where that is gone, or was counted.
    /// - Returns: whether the message has been counted.
    func dropCommittedEarlier(
        _ context: MessageContext,
        _ isCommitted: Bool,
        _ first: inout (lane: Int, index: Int)?,
        in routed: inout Routed
    ) -> Bool {
        let committed = context.stream.committed
        var keys: [[UInt8]] = []
        for lane in routed.segments.indices {
            let segment = routed.segments[lane]
            let start = self.counts[lane]
            var kept: [EncodedChange] = []
            // What earlier messages had left to be counted with an item that goes.
            var left = Tally()
            for item in segment.items[start...] {
                var isDone = committed.covers(lane: lane, item.offset)
                switch item.kind {
                case .change, .seen:
                    let key = Array(segment.bytes[item.key.range])
                    keys.append(key)
                    isDone = isDone || committed.earlierCovers(key: key.span, item.offset)
                // It has no bytes of its own in the segment.
                case .deadLetter:
                    let ordinal = context.message.ordinal
                    isDone = isDone || committed.earlierCovers(messageAt: item.offset, ordinal: ordinal, keys: [])
                // Recorded again: every lane has to learn of it.
                case .truncate: break
                }
                if isDone { left += item.tally } else { kept.append(item) }
            }
            if first?.lane == lane, kept.count < segment.items.count - start { first = nil }
            routed.segments[lane].items.replaceSubrange(start..., with: kept)
            routed.segments[lane].pendingTally += left
        }
        let isCounted =
            isCommitted
            || committed.earlierCovers(
                messageAt: context.message.offset,
                ordinal: context.message.ordinal,
                keys: keys
            )
        if isCounted { first = nil }
        return isCounted
    }
}
