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
    }

    private let state: Mutex<State>

    package init(level: StreamProgress) {
        self.state = Mutex(State(level: level))
    }

    package var level: StreamProgress { self.state.withLock { $0.level } }

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
        self.state.withLock { state in
            let index = number - state.first
            precondition(state.pending.indices.contains(index), "a part of a block is committed once")
            state.pending[index].parts -= 1
            if index == 0 { Self.advance(&state) }
        }
    }

    private static func advance(_ state: inout State) {
        let done = state.pending.prefix { $0.parts == 0 }.count
        guard done > 0 else { return }
        state.level = state.pending[done - 1].end
        state.pending.removeFirst(done)
        state.first += done
    }
}
