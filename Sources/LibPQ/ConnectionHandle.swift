internal import CLibPQ
internal import PlatformC
internal import Synchronization

/// Owns a `PGconn`. Not `Sendable`: it belongs to one ``Connection`` and is touched on that one's executor only.
final class ConnectionHandle {
    let pointer: OpaquePointer
    let socket: ConnectionSocket

    init(taking pointer: OpaquePointer) {
        self.pointer = pointer
        self.socket = ConnectionSocket(PQsocket(pointer))
        // Without a processor libpq prints notices to standard error.
        PQsetNoticeProcessor(pointer, { _, _ in }, nil)
    }

    deinit {
        self.socket.close()
        PQfinish(self.pointer)
    }

    var isBroken: Bool { PQstatus(self.pointer) == CONNECTION_BAD }
}

/// The socket of a connection, to shut it down from any thread while libpq waits for it.
final class ConnectionSocket: Sendable {
    private let descriptor: Mutex<Int32?>

    init(_ descriptor: Int32) {
        self.descriptor = Mutex(descriptor >= 0 ? descriptor : nil)
    }

    /// libpq sees the end of its input, and reports the connection as lost. The descriptor stays open.
    func shutDown() {
        self.descriptor.withLock { descriptor in
            if let descriptor { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// The descriptor is about to be closed, and may then be another's.
    func close() {
        self.descriptor.withLock { $0 = nil }
    }
}
