internal import CLibPQ
internal import Foundation
internal import Synchronization

/// Owns a `PGconn`. Not `Sendable`: it belongs to one ``Connection`` and is touched on that one's executor only.
final class ConnectionHandle {
    let pointer: OpaquePointer
    let socket: ConnectionSocket
    private let notices: NoticeSink

    init(taking pointer: OpaquePointer, notices: NoticeSink) {
        self.pointer = pointer
        self.socket = ConnectionSocket(PQsocket(pointer))
        self.notices = notices
        // The sink is passed unretained: it lives as long as this object, and libpq forgets it in PQfinish.
        PQsetNoticeProcessor(
            pointer,
            { sink, text in
                guard let sink, let text else { return }
                let handler = Unmanaged<NoticeSink>.fromOpaque(sink).takeUnretainedValue().handler
                handler?(PostgresError.oneLine(String(cString: text)))
            },
            Unmanaged.passUnretained(notices).toOpaque()
        )
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

/// Where notices and warnings go.
final class NoticeSink: Sendable {
    let handler: (@Sendable (String) -> Void)?

    init(_ handler: (@Sendable (String) -> Void)?) {
        self.handler = handler
    }
}
