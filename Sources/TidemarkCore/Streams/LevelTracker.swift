import Synchronization

/// Finds a stream's level: everything before it is committed by every lane. Blocks are entered in the order in which they
/// were read, each with the number of lanes that have a part in it, and lanes tell which parts they have committed, in
/// any order.
package final class LevelTracker: Sendable {
    private struct State {
        /// The number of the first block in `pending`.
        var first = 0
        var pending: [(end: StreamProgress, parts: Int)] = []
        var level: StreamProgress
        var head: UInt64?
        /// Opened once nothing is pending.
        var committed: Gate?
    }

    private let state: Mutex<State>

    package init(level: StreamProgress) {
        self.state = Mutex(State(level: level))
    }

    package var level: StreamProgress { self.state.withLock { $0.level } }

    /// The stream ends there now, by the first number of its offsets.
    package func note(head: UInt64?) { self.state.withLock { $0.head = head } }

    /// The level, and how much of the stream is behind it.
    package func stored(of key: ProgressKey) -> StoredLevel {
        self.state.withLock { state in
            let reached = state.level.offset.major
            return StoredLevel(key, state.level, behind: state.head.map { Int64(clamping: $0 - min($0, reached)) })
        }
    }

    /// All that is known of the stream is committed.
    package var isLevel: Bool {
        self.state.withLock { $0.pending.isEmpty && ($0.head ?? 0) <= $0.level.offset.major }
    }

    /// Enters a block.
    /// - Parameters:
    ///   - end: the level once this block and all before it are committed.
    ///   - parts: how many lanes have to commit something of it; 0 where there is nothing.
    /// - Returns: what its segments carry, for ``commit(_:)``.
    package func enter(end: StreamProgress, parts: Int) -> Int {
        self.state.withLock { state in
            let number = state.first + state.pending.count
            state.pending.append((end, parts))
            if state.pending.count == 1 { Self.advance(&state) }
            return number
        }
    }

    /// A lane has committed all that it has of a block.
    package func commit(_ number: Int) {
        let committed = self.state.withLock { state in
            let index = number - state.first
            precondition(state.pending.indices.contains(index), "a part of a block is committed once")
            state.pending[index].parts -= 1
            if index == 0 { Self.advance(&state) }
            return state.pending.isEmpty ? state.committed.take() : nil
        }
        committed?.open()
    }

    /// Waits until every block that was entered is committed.
    /// - Throws: `CancellationError`.
    package func waitUntilCommitted() async throws {
        let committed = self.state.withLock { state in
            if state.pending.isEmpty { return Gate?.none }
            let gate = state.committed ?? Gate()
            state.committed = gate
            return gate
        }
        try await committed?.wait()
    }

    private static func advance(_ state: inout State) {
        let done = state.pending.prefix { $0.parts == 0 }.count
        guard done > 0 else { return }
        state.level = state.pending[done - 1].end
        state.pending.removeFirst(done)
        state.first += done
    }
}
