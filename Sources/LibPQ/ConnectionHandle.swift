internal import CLibPQ

/// Owns a `PGconn`. Not `Sendable`: it belongs to one ``Connection`` and is touched on that one's executor only.
final class ConnectionHandle {
    let pointer: OpaquePointer
    private let notices: NoticeSink

    init(taking pointer: OpaquePointer, notices: NoticeSink) {
        self.pointer = pointer
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
        PQfinish(self.pointer)
    }

    var isBroken: Bool { PQstatus(self.pointer) == CONNECTION_BAD }
}

/// Where notices and warnings go.
final class NoticeSink: Sendable {
    let handler: (@Sendable (String) -> Void)?

    init(_ handler: (@Sendable (String) -> Void)?) {
        self.handler = handler
    }
}
