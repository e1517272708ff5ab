import Synchronization
package import TidemarkCore

/// Messages that a client has sent, in one piece of memory.
package struct PushedMessages: Sendable {
    package struct Message: Sendable {
        /// Where its bytes are; of an oversized message, its first ones.
        package var range: Range<Int>
        /// Its whole length in bytes.
        package var length: Int64
        package var isOversized = false
    }

    /// ``MessageBlock/padding`` included.
    package var bytes: [UInt8]
    package var messages: [Message]
}

/// Why messages were not taken. Nothing of them is applied.
package enum PushRefusal: Error, Sendable {
    /// Too much waits for the database.
    case busy
    /// No pass reads the source now.
    case closed(reason: String)
}

/// What connects the requests of an HTTP source with the reader of its stream: a queue of blocks with a limit in bytes,
/// and the receipts of those that are on their way. It lives as long as the process, and outlasts passes.
package final class PushHub: Sendable {
    struct Entry {
        var pushed: PushedMessages
        var receipt: BlockReceipt
    }

    private struct State {
        var entries: [Entry] = []
        var bytes = 0
        /// The number of the reader that takes them; `nil` while no pass reads.
        var reader: Int?
        var readers = 0
        var closedBecause = "it has not started yet"
        var consumer: Gate?
        var producers: [Gate] = []
        /// Handed to a reader, and perhaps not committed yet.
        var underWay: [BlockReceipt] = []
        var checkAt = 64

        /// Takes out all that is on its way.
        mutating func takeAll() -> [BlockReceipt] {
            defer { (self.entries, self.bytes, self.underWay) = ([], 0, []) }
            return self.underWay + self.entries.map(\.receipt)
        }
    }

    private let state = Mutex(State())
    /// Bytes that may wait here, beside those in the budget of the pass.
    private static let bytesMax = 2 << 20

    package init() {}

    // MARK: Requests

    /// Adds messages, at least one. Waits while too much waits.
    /// - Parameter patience: for how long.
    /// - Throws: ``PushRefusal``; `CancellationError`.
    package func submit(_ pushed: PushedMessages, patience: Duration) async throws -> BlockReceipt {
        let receipt = BlockReceipt(messages: pushed.messages.count)
        let deadline = ContinuousClock.now + patience
        while true {
            let (isTaken, consumer, room) = try self.state.withLock { state throws(PushRefusal) in
                guard state.reader != nil else { throw PushRefusal.closed(reason: state.closedBecause) }
                guard state.bytes == 0 || state.bytes + pushed.bytes.count <= Self.bytesMax else {
                    let gate = Gate()
                    state.producers.append(gate)
                    return (false, Gate?.none, gate)
                }
                state.bytes += pushed.bytes.count
                state.entries.append(Entry(pushed: pushed, receipt: receipt))
                return (true, state.consumer.take(), Gate())
            }
            if isTaken {
                consumer?.open()
                return receipt
            }
            let timer = Task {
                try await Task.sleep(until: deadline)
                room.open()
            }
            defer { timer.cancel() }
            try await room.wait()
            guard ContinuousClock.now < deadline else { throw PushRefusal.busy }
        }
    }

    // MARK: The reader

    /// Has a new reader take what comes. What an earlier one was given and is not committed yet is given up.
    func attach() -> Int {
        let (number, abandoned) = self.state.withLock { state in
            state.readers += 1
            state.reader = state.readers
            return (state.readers, state.takeAll())
        }
        for receipt in abandoned { receipt.abandon(because: "the projections were begun anew") }
        return number
    }

    /// A reader ends: requests are refused until the next one.
    func detach(_ reader: Int, because reason: String) {
        let (waiting, gates) = self.state.withLock { state -> ([Entry], [Gate]) in
            guard state.reader == reader else { return ([], []) }
            state.reader = nil
            state.closedBecause = reason
            defer { (state.entries, state.bytes, state.producers) = ([], 0, []) }
            return (state.entries, state.producers + (state.consumer.take().map { [$0] } ?? []))
        }
        for entry in waiting { entry.receipt.abandon(because: reason) }
        for gate in gates { gate.open() }
    }

    /// Gives up all that is on its way: it is not committed, and nothing can read it again.
    package func abandonAll(because reason: String) {
        for receipt in self.state.withLock({ $0.takeAll() }) { receipt.abandon(because: reason) }
    }

    var isEmpty: Bool { self.state.withLock { $0.entries.isEmpty } }
    var nextBytes: Int { self.state.withLock { $0.entries.first?.pushed.bytes.count ?? 0 } }

    /// Waits until there is a block, no longer than the limit.
    func linger(_ limit: Duration) async {
        let gate = self.state.withLock { state -> Gate? in
            guard state.entries.isEmpty, state.reader != nil else { return nil }
            let gate = Gate()
            state.consumer = gate
            return gate
        }
        guard let gate else { return }
        let timer = Task {
            try await Task.sleep(for: limit)
            gate.open()
        }
        try? await gate.wait()
        timer.cancel()
    }

    /// Waits for the next block.
    /// - Throws: `CancellationError`, also where another reader has taken over.
    func next(_ reader: Int) async throws -> Entry {
        while true {
            try Task.checkCancellation()
            let (entry, producers, gate) = try self.state.withLock { state throws(CancellationError) in
                guard state.reader == reader else { throw CancellationError() }
                guard !state.entries.isEmpty else {
                    let gate = Gate()
                    state.consumer = gate
                    return (Entry?.none, [Gate](), gate)
                }
                let entry = state.entries.removeFirst()
                state.bytes -= entry.pushed.bytes.count
                state.underWay.append(entry.receipt)
                if state.underWay.count >= state.checkAt {
                    state.underWay.removeAll(where: \.isSettled)
                    state.checkAt = max(64, 2 * state.underWay.count)
                }
                defer { state.producers = [] }
                return (entry, state.producers, Gate())
            }
            for producer in producers { producer.open() }
            if let entry { return entry }
            try await gate.wait()
        }
    }
}
