import Synchronization
package import TidemarkCore

/// Segments that wait for one lane, from any number of producers. While a producer has more at hand a batch is let grow
/// to its full size: the more events of one entity it has, the less is written. Once a producer is about to wait
/// (``flush()``), whatever is there is a batch at once. When enough has gathered, producers wait: a slow database stops
/// them.
package final class LaneQueue: Sendable {
    private struct State {
        var segments: [LaneSegment] = []
        /// The first segment's items before this one have been taken.
        var head = 0
        var events = 0
        var weight = 0
        /// A producer is about to wait: a batch would grow no further.
        var isFlushing = false
        var isClosed = false
        var isStopped = false
        var consumer: CheckedContinuation<Void, Never>?
        /// Opened once there is room.
        var producers: [Gate] = []

        mutating func wakeConsumer() -> [CheckedContinuation<Void, Never>] {
            defer { self.consumer = nil }
            return self.consumer.map { [$0] } ?? []
        }

        mutating func takeProducers() -> [Gate] {
            defer { self.producers.removeAll(keepingCapacity: true) }
            return self.producers
        }
    }

    private let state = Mutex(State())
    private let batchEvents: Int
    private let batchBytes: Int
    private let eventsMax: Int

    /// - Parameters:
    ///   - batchEvents: how many events make a batch.
    ///   - batchBytes: how many bytes do; beyond as many waiting bytes producers wait.
    ///   - eventsMax: waiting events beyond which producers wait.
    package init(batchEvents: Int, batchBytes: Int, eventsMax: Int) {
        self.batchEvents = batchEvents
        self.batchBytes = batchBytes
        self.eventsMax = eventsMax
    }

    // MARK: Producers

    /// Adds a segment. It never waits: a producer asks ``waitForRoom()`` behind it.
    /// - Returns: `false` when the lane takes nothing any more; the segment is dropped.
    package func enqueue(_ segment: LaneSegment) -> Bool {
        let (isAccepted, waiters) = self.state.withLock { state -> (Bool, [CheckedContinuation<Void, Never>]) in
            guard !state.isStopped else { return (false, []) }
            state.events += segment.items.count
            state.weight += segment.weight
            state.segments.append(segment)
            state.isFlushing = false
            return (true, self.hasBatch(state) ? state.wakeConsumer() : [])
        }
        for waiter in waiters { waiter.resume() }
        return isAccepted
    }

    /// Events that wait.
    package var events: Int { self.state.withLock { $0.events } }

    /// Bytes that wait.
    package var weight: Int { self.state.withLock { $0.weight } }

    package var hasRoom: Bool { self.state.withLock { self.hasRoom($0) } }

    private func hasRoom(_ state: State) -> Bool {
        state.isStopped || state.events <= self.eventsMax && state.weight <= self.batchBytes
    }

    /// Waits while the lane has enough to do.
    /// - Throws: `CancellationError`.
    package func waitForRoom() async throws {
        let room = self.state.withLock { state in
            if self.hasRoom(state) { return Gate?.none }
            let gate = Gate()
            state.producers.append(gate)
            return gate
        }
        try await room?.wait()
        try Task.checkCancellation()
    }

    /// A producer is about to wait: what is there is a batch, until more comes.
    package func flush() {
        let waiters = self.state.withLock { state in
            state.isFlushing = true
            return state.segments.isEmpty ? [] : state.wakeConsumer()
        }
        for waiter in waiters { waiter.resume() }
    }

    // MARK: Ending

    /// Nothing more comes; what is there will still be taken.
    package func close() {
        let waiters = self.state.withLock { state in
            state.isClosed = true
            return state.wakeConsumer()
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Nothing more is taken; what is there is dropped, and read again by the next run.
    package func stop() {
        let (waiters, producers, dropped) = self.state.withLock { state in
            state.isClosed = true
            state.isStopped = true
            let dropped = state.segments
            state.segments = []
            return (state.wakeConsumer(), state.takeProducers(), dropped)
        }
        // Outside the lock: the last reference to a segment gives its bytes back to the budget.
        withExtendedLifetime(dropped) {}
        for waiter in waiters { waiter.resume() }
        for producer in producers { producer.open() }
    }

    // MARK: The consumer

    private func hasBatch(_ state: State) -> Bool {
        guard !state.segments.isEmpty else { return false }
        return state.isFlushing || state.isClosed || state.events >= self.batchEvents
            || state.weight >= self.batchBytes || state.segments.count >= Self.segmentsMax
            || state.events >= Self.answeredEvents && state.segments[0].receipt != nil
    }

    /// Segments of nothing but tallies are committed all the same.
    private static let segmentsMax = 512

    /// Waits until there is a batch, and takes it: events in the order of arrival, of any streams.
    /// - Returns: `nil` when everything has been taken and nothing more comes.
    /// - Throws: `CancellationError`.
    package func next() async throws -> LaneBatch? {
        while true {
            try Task.checkCancellation()
            let (batch, isOver, producers) = self.state.withLock { state in
                guard self.hasBatch(state) else {
                    let isOver = state.isClosed && state.segments.isEmpty
                    return (LaneBatch?.none, isOver, [Gate]())
                }
                let batch = Self.gather(&state, self.batchEvents, self.batchBytes)
                return (batch, false, self.hasRoom(state) ? state.takeProducers() : [])
            }
            for producer in producers { producer.open() }
            if let batch { return batch }
            if isOver { return nil }
            await self.waitForBatch()
        }
    }

    private func waitForBatch() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
                let goesOn = self.state.withLock { state in
                    guard !Task.isCancelled, !self.hasBatch(state), !state.isClosed else { return true }
                    state.consumer = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            for waiter in self.state.withLock({ $0.wakeConsumer() }) { waiter.resume() }
        }
    }

    /// Clients that wait for answers send the next request once they have them. A batch of all that they have sent would
    /// leave the database without work while the next requests are decoded, so half of it is one, from so many events on.
    private static let answeredEvents = 400

    private static func gather(_ state: inout State, _ eventsMax: Int, _ bytesMax: Int) -> LaneBatch {
        var batch = LaneBatch()
        var events = 0
        var bytes = 0
        var taken = 0
        let half = (state.segments.count + 1) / 2
        gathering: for segment in state.segments {
            let items = segment.items
            var index = taken == 0 ? state.head : 0
            if events >= eventsMax || bytes >= bytesMax, events > 0 { break }
            if segment.receipt != nil, taken >= half, events >= Self.answeredEvents { break }
            batch.beginSegment(segment)
            let itemWeight = segment.weight / max(1, items.count)
            while index < items.count {
                let isFull = events >= eventsMax || bytes >= bytesMax
                if isFull, !(index > 0 && items[index].isAtOffset(of: items[index - 1])) {
                    state.head = index
                    break gathering
                }
                events += 1
                bytes += itemWeight
                batch.append(ItemReference(segment: batch.segments.count - 1, index: index))
                index += 1
            }
            batch.endSegment()
            taken += 1
            state.head = 0
            state.weight -= segment.weight
        }
        state.segments.removeFirst(taken)
        state.events -= batch.items.count
        return batch
    }
}

extension [LaneQueue] {
    /// Adds each lane's segment, where there is anything in it, and waits while one of the lanes has enough to do.
    /// - Returns: `false` when a lane takes nothing any more.
    /// - Throws: `CancellationError`.
    package func enqueue(_ segments: [LaneSegment]) async throws -> Bool {
        for (lane, segment) in segments.enumerated() where !segment.isEmpty {
            guard self[lane].enqueue(segment) else { return false }
        }
        for queue in self where !queue.hasRoom {
            self.flush()
            try await queue.waitForRoom()
        }
        return true
    }

    package func flush() {
        for queue in self { queue.flush() }
    }
}
