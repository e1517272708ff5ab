import Synchronization
import TidemarkCore
import TidemarkStore

/// What a pass that has begun is stored as.
final class PassNumber: Sendable {
    private let begun = Mutex<(state: PassState, empty: EmptyRelations)?>(nil)

    func begin(_ state: PassState, empty: EmptyRelations) {
        self.begun.withLock { $0 = (state, empty) }
    }

    var id: Int64 { self.begun.withLock { $0?.state.id ?? 0 } }

    /// What was empty when the pass began.
    var empty: EmptyRelations { self.begun.withLock { $0?.empty ?? EmptyRelations() } }

    func rows(of lane: Int) -> [StreamID: StreamProgress] {
        self.begun.withLock { $0?.state.rows.compactMapValues { $0[lane] } ?? [:] }
    }
}
