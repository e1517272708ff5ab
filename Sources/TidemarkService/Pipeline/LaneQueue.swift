import Synchronization
package import TidemarkCore

/// Where the reader leaves runs for one lane. While the reader has more at hand a batch is let grow to its full size:
/// the more events of one entity it has, the less is written. Once the reader waits, for input or for a lane, whatever
/// is there is taken at once. When enough has gathered the reader waits: a slow database stops it.
package final class LaneQueue: Sendable {
    private struct State {
        var runs: [LaneSegment] = []
        /// The first run's items before this one have been taken.
        var head = 0
        var events = 0
        var weight = 0
        /// The reader waits: a batch would grow no further.
        var isFlushing = false
        var isClosed = false
        var isStopped = false
        var consumer: CheckedContinuation<Void, Never>?
        var producer: CheckedContinuation<Void, Never>?

        mutating func wakeConsumer() -> CheckedContinuation<Void, Never>? {
            defer { self.consumer = nil }
            return self.consumer
        }

        mutating func wakeProducer() -> CheckedContinuation<Void, Never>? {
            defer { self.producer = nil }
            return self.producer
        }
    }

    private let state = Mutex(State())
    private let batchEvents: Int
    private let eventsMax: Int
    private let weightMax: Int

    /// - Parameters:
    ///   - batchEvents: how many events make a batch.
    ///   - eventsMax: waiting events beyond which the reader waits.
    ///   - weightMax: bytes beyond which it does; about as many make a batch.
    package init(batchEvents: Int, eventsMax: Int, weightMax: Int) {
        self.batchEvents = batchEvents
        self.eventsMax = eventsMax
        self.weightMax = weightMax
    }

    /// Leaves a run.
    /// - Returns: `false` when the lane takes nothing any more.
    package func enqueue(_ run: LaneSegment) -> Bool {
        let (accepted, waiter) = self.state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            guard !state.isStopped else { return (false, nil) }
            state.events += run.items.count
            state.weight += run.weight
            state.runs.append(run)
            state.isFlushing = false
            return (true, self.hasBatch(state) ? state.wakeConsumer() : nil)
        }
        waiter?.resume()
        return accepted
    }

    package var hasRoom: Bool { self.state.withLock { self.hasRoom($0) } }

    private func hasRoom(_ state: State) -> Bool {
        state.isStopped || state.events <= self.eventsMax && state.weight <= self.weightMax
    }

    /// Waits while the lane has enough to do.
    package func waitForRoom() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let goOn = self.state.withLock { state in
                guard !self.hasRoom(state) else { return true }
                state.producer = continuation
                return false
            }
            if goOn { continuation.resume() }
        }
    }

    /// The reader waits: what is there is a batch, until more comes.
    package func flush() {
        let waiter = self.state.withLock { state in
            state.isFlushing = true
            return state.runs.isEmpty ? nil : state.wakeConsumer()
        }
        waiter?.resume()
    }

    private func hasBatch(_ state: State) -> Bool {
        guard !state.runs.isEmpty else { return false }
        return state.isFlushing || state.isClosed || state.events >= self.batchEvents || state.weight >= self.weightMax
            || state.runs.count >= Self.runsMax
    }

    /// An idle lane's checkpoint is carried forward all the same.
    private static let runsMax = 512

    /// Nothing more comes; what is there will still be taken.
    package func close() {
        let waiter = self.state.withLock { state in
            state.isClosed = true
            return state.wakeConsumer()
        }
        waiter?.resume()
    }

    /// Nothing more is taken; what is there is dropped, and read again by the next run.
    package func stop() {
        let waiters = self.state.withLock { state in
            state.isClosed = true
            state.isStopped = true
            state.runs = []
            return [state.wakeConsumer(), state.wakeProducer()]
        }
        for waiter in waiters { waiter?.resume() }
    }

    /// Waits until there is a batch, and takes it: events of one file, and the items that share the last one's place.
    /// - Returns: `nil` when everything has been taken and nothing more comes.
    package func take() async -> LaneBatch? {
        while true {
            let (batch, isOver, waiter) = self.state.withLock { state in
                guard self.hasBatch(state) else {
                    let isOver = state.isClosed && state.runs.isEmpty
                    return (LaneBatch?.none, isOver, CheckedContinuation<Void, Never>?.none)
                }
                let batch = Self.gather(&state, self.batchEvents, self.weightMax)
                return (batch, false, self.hasRoom(state) ? state.wakeProducer() : nil)
            }
            waiter?.resume()
            if let batch { return batch }
            if isOver { return nil }
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let goOn = self.state.withLock { state in
                    guard !self.hasBatch(state), !state.isClosed else { return true }
                    state.consumer = continuation
                    return false
                }
                if goOn { continuation.resume() }
            }
        }
    }

    private static func gather(_ state: inout State, _ eventsMax: Int, _ weightMax: Int) -> LaneBatch {
        var batch = LaneBatch()
        var events = 0
        var weight = 0
        var emptied = 0
        let file = state.runs[0].file
        gathering: for run in state.runs {
            guard run.file == file else { break }
            batch.runs.append(run)
            let items = run.items
            let itemWeight = run.weight / max(1, items.count)
            var index = emptied == 0 ? state.head : 0
            while index < items.count {
                if !items[index].isMark {
                    let isFull = events >= eventsMax || weight >= weightMax
                    if isFull, !(index > 0 && items[index].isAtPlace(of: items[index - 1])) {
                        state.head = index
                        break gathering
                    }
                    events += 1
                    weight += itemWeight
                }
                batch.append(ItemReference(run: batch.runs.count - 1, index: index))
                index += 1
            }
            emptied += 1
            state.head = 0
            state.weight -= run.weight
            if items.last?.kind == .end { break }
        }
        state.runs.removeFirst(emptied)
        state.events -= batch.items.count
        return batch
    }
}

extension [LaneQueue] {
    /// Leaves each lane its run, and waits while one of them has enough to do.
    /// - Parameter takes: whether a lane takes runs.
    /// - Returns: `false` when a lane takes nothing any more.
    func put(_ runs: [LaneSegment], where takes: (Int) -> Bool) async -> Bool {
        for (lane, run) in runs.enumerated() where takes(lane) {
            guard self[lane].enqueue(run) else { return false }
        }
        for queue in self where !queue.hasRoom {
            self.flush()
            await queue.waitForRoom()
        }
        return true
    }

    func flush() {
        for queue in self { queue.flush() }
    }
}
