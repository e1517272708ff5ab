import Synchronization

/// Bytes of a budget, held by whatever they are for, and given back with the last reference.
package final class MemoryPermit: Sendable {
    private let bytes: Atomic<Int>
    private let change: @Sendable (Int) -> Void

    /// - Parameter change: takes more bytes of the budget, or gives some back where it is negative. Called from any thread.
    package init(_ bytes: Int, _ change: @escaping @Sendable (_ by: Int) -> Void) {
        self.bytes = Atomic(bytes)
        self.change = change
    }

    /// What is held has become larger or smaller. Never waits: the budget is exceeded until enough has come back.
    package func resize(to bytes: Int) {
        let before = self.bytes.exchange(bytes, ordering: .acquiringAndReleasing)
        if bytes != before { self.change(bytes - before) }
    }

    deinit {
        let bytes = self.bytes.load(ordering: .acquiring)
        if bytes != 0 { self.change(-bytes) }
    }
}
