import Synchronization
import TidemarkCore

/// How many bytes of bodies have arrived and cannot be handed on yet, of all requests of a process: a message has to be
/// whole, and a body with an `Idempotency-Key` too. Each may have `message_bytes`, so thousands would fill the memory.
final class BodyMemory: Sendable {
    private let bytes = Atomic<Int>(0)
    private static let bytesMax = 64 << 20

    var isExceeded: Bool { self.bytes.load(ordering: .relaxed) > Self.bytesMax }

    /// What one request holds, given back with the last reference.
    func permit() -> MemoryPermit {
        MemoryPermit(0) { [self] change in self.bytes.add(change, ordering: .relaxed) }
    }
}
