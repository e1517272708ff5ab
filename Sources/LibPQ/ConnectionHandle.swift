internal import CLibPQ

/// Owns a `PGconn`. Not `Sendable`: it belongs to one ``Connection`` and is touched on that one's executor only.
final class ConnectionHandle {
    let pointer: OpaquePointer

    init(taking pointer: OpaquePointer) {
        self.pointer = pointer
        // Without a processor libpq prints notices to standard error.
        PQsetNoticeProcessor(pointer, { _, _ in }, nil)
    }

    deinit {
        PQfinish(self.pointer)
    }

    var isBroken: Bool { PQstatus(self.pointer) == CONNECTION_BAD }
}
