import Synchronization

/// What the messages of one or several blocks came to, as the summary of a replay counts it.
package struct MessageCounts: Sendable, Hashable {
    package var messages: Int64 = 0
    package var applied: Int64 = 0
    package var late: Int64 = 0
    package var duplicate: Int64 = 0
    package var filtered: Int64 = 0
    package var control: Int64 = 0
    package var deadLetters: Int64 = 0

    package init() {}

    package static func += (left: inout MessageCounts, right: MessageCounts) {
        left.messages += right.messages
        left.applied += right.applied
        left.late += right.late
        left.duplicate += right.duplicate
        left.filtered += right.filtered
        left.control += right.control
        left.deadLetters += right.deadLetters
    }

    package mutating func add(_ tally: Tally) {
        self.messages += Int64(tally.messages)
        self.control += Int64(tally.control)
        self.filtered += Int64(tally.filtered)
    }
}

/// Tells a source when one of its blocks is committed by every lane, and what its messages came to. Its
/// ``CarriedReceipt`` goes with the block. Used from any thread.
package final class BlockReceipt: Sendable {
    package enum Outcome: Sendable {
        case committed(MessageCounts)
        /// It may be committed or not: the block is to be sent again, which is always safe.
        case unknown(reason: String)
    }

    private struct State {
        var counts = MessageCounts()
        /// `nil` until the block is routed.
        var parts: Int?
        var outcome: Outcome?
        var committed: Gate?
    }

    private let state = Mutex(State())
    /// How many messages the block has.
    private let messages: Int64

    package init(messages: Int) { self.messages = Int64(messages) }

    /// The block is routed: so many lanes have a part of it.
    fileprivate func expect(parts: Int) {
        self.change { state in
            state.parts = (state.parts ?? 0) + parts
            self.settle(&state)
        }
    }

    /// A part of it, or all, came to this. Called before ``commitPart()``.
    fileprivate func add(_ counts: MessageCounts) { self.state.withLock { $0.counts += counts } }

    /// One lane has committed all that it has of the block.
    fileprivate func commitPart() {
        self.change { state in
            state.parts = (state.parts ?? 0) - 1
            self.settle(&state)
        }
    }

    /// Nothing more is heard of the block. Has no effect once it is committed.
    package func abandon(because reason: String) {
        self.change { state in
            if state.outcome == nil { state.outcome = .unknown(reason: reason) }
        }
    }

    private func settle(_ state: inout State) {
        guard state.parts == 0, state.outcome == nil else { return }
        // A message that no lane has counted is not committed, and its client has to send it again.
        state.outcome =
            state.counts.messages == self.messages
            ? .committed(state.counts)
            : .unknown(
                reason: "only \(state.counts.messages) of \(self.messages) messages were committed"
            )
    }

    private func change(_ body: (inout State) -> Void) {
        let gate = self.state.withLock { state in
            body(&state)
            return state.outcome == nil ? nil : state.committed.take()
        }
        gate?.open()
    }

    /// Nothing is to be heard of the block any more.
    package var isSettled: Bool { self.state.withLock { $0.outcome != nil } }

    /// Waits until all of the block is committed, or given up.
    /// - Throws: `CancellationError`.
    package func outcome() async throws -> Outcome {
        while true {
            let (outcome, gate) = self.state.withLock { state in
                let gate = state.committed ?? Gate()
                if state.outcome == nil { state.committed = gate }
                return (state.outcome, gate)
            }
            if let outcome { return outcome }
            try await gate.wait()
        }
    }
}

/// A receipt on its way: a block's ``MessageBlock/attachment``, then in each of the segments that the block becomes. Where
/// the last of them is released without a commit (a pass ends, a lane fails), it gives the block up, so that
/// whoever waits for it gets an answer.
package final class CarriedReceipt: Sendable {
    private let receipt: BlockReceipt

    package init(_ receipt: BlockReceipt) { self.receipt = receipt }

    deinit { self.receipt.abandon(because: "the projections are begun anew") }

    /// The block is routed: so many lanes have a part of it.
    package func expect(parts: Int) { self.receipt.expect(parts: parts) }

    /// A part of it, or all, came to this. Called before ``commitPart()``.
    package func add(_ counts: MessageCounts) { self.receipt.add(counts) }

    /// One lane has committed all that it has of the block.
    package func commitPart() { self.receipt.commitPart() }

    /// Nothing more is heard of the block. Has no effect once it is committed.
    package func abandon(because reason: String) { self.receipt.abandon(because: reason) }
}
