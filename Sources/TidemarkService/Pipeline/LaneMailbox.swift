import Synchronization
package import TidemarkCore

/// Where the reader leaves runs for one lane. A lane that is idle takes what is there at once; while it commits, more
/// gathers, and makes the next batch larger. When enough has gathered the reader waits: a slow database stops it.
package final class LaneMailbox: Sendable {
    private struct State {
        var runs: [EventRun] = []
        /// The first run's items before this one have been taken.
        var head = 0
        var events = 0
        var weight = 0
        var isClosed = false
        var isStopped = false
        var taker: CheckedContinuation<Void, Never>?
        var putter: CheckedContinuation<Void, Never>?

        mutating func wakeTaker() -> CheckedContinuation<Void, Never>? {
            defer { self.taker = nil }
            return self.taker
        }

        mutating func wakePutter() -> CheckedContinuation<Void, Never>? {
            defer { self.putter = nil }
            return self.putter
        }
    }

    private let state = Mutex(State())
    private let eventsMax: Int
    private let weightMax: Int

    /// - Parameters:
    ///   - eventsMax: waiting events beyond which the reader waits.
    ///   - weightMax: bytes beyond which it does.
    package init(eventsMax: Int, weightMax: Int) {
        self.eventsMax = eventsMax
        self.weightMax = weightMax
    }

    /// Leaves a run, and waits while the lane has enough to do.
    /// - Returns: `false` when the lane takes nothing any more.
    package func put(_ run: EventRun) async -> Bool {
        let (accepted, waiter) = self.state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            guard !state.isStopped else { return (false, nil) }
            state.events += run.items.count
            state.weight += run.weight
            state.runs.append(run)
            return (true, state.wakeTaker())
        }
        waiter?.resume()
        guard accepted else { return false }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let goOn = self.state.withLock { state in
                guard !state.isStopped, state.events > self.eventsMax || state.weight > self.weightMax else {
                    return true
                }
                state.putter = continuation
                return false
            }
            if goOn { continuation.resume() }
        }
        return true
    }

    /// Nothing more comes; what is there will still be taken.
    package func close() {
        let waiter = self.state.withLock { state in
            state.isClosed = true
            return state.wakeTaker()
        }
        waiter?.resume()
    }

    /// Nothing more is taken; what is there is dropped, and read again by the next run.
    package func stop() {
        let waiters = self.state.withLock { state in
            state.isClosed = true
            state.isStopped = true
            state.runs = []
            return [state.wakeTaker(), state.wakePutter()]
        }
        for waiter in waiters { waiter?.resume() }
    }

    /// Waits until there is something, and takes it: at most `eventsMax` events of one file, about as many bytes as may
    /// wait, and the items that share the last one's place.
    /// - Returns: `nil` when everything has been taken and nothing more comes.
    package func take(eventsMax: Int) async -> LaneBatch? {
        while true {
            let (batch, isOver, waiter) = self.state.withLock { state in
                if state.runs.isEmpty {
                    return (LaneBatch?.none, state.isClosed, CheckedContinuation<Void, Never>?.none)
                }
                let batch = Self.gather(&state, eventsMax, self.weightMax)
                let hasRoom = state.events <= self.eventsMax && state.weight <= self.weightMax
                return (batch, false, hasRoom ? state.wakePutter() : nil)
            }
            waiter?.resume()
            if let batch { return batch }
            if isOver { return nil }
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let goOn = self.state.withLock { state in
                    guard state.runs.isEmpty, !state.isClosed else { return true }
                    state.taker = continuation
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
                let item = items[index]
                if !item.isMark {
                    let isFull = events >= eventsMax || weight >= weightMax
                    if isFull, !(index > 0 && item.isAtPlace(of: items[index - 1])) {
                        state.head = index
                        break gathering
                    }
                    events += 1
                    weight += itemWeight
                }
                batch.items.append(ItemReference(run: batch.runs.count - 1, index: index))
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
