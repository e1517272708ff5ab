internal import CLibPQ
internal import PlatformC

/// Opens one connection on the executor that will be its own, because making it blocks.
actor ConnectionOpening {
    private let executor: ConnectionExecutor

    nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }

    init(_ executor: ConnectionExecutor) {
        self.executor = executor
    }

    func connection(by opener: ConnectionOpener) -> Result<Connection, PostgresError> {
        Result { () throws(PostgresError) in
            Connection(self.executor, opener.waker, try opener.open(), opener.options.faults)
        }
    }
}

/// Makes connections. Blocks.
struct ConnectionOpener: Sendable {
    let options: ConnectionOptions
    let waker: Waker

    func open() throws(PostgresError) -> ConnectionHandle {
        _ = try self.options.parsed().get()
        let handle = try self.take(self.start(PQconnectStartParams))
        // For the SQLSTATE, which a failed attempt has nowhere else.
        PQsetErrorVerbosity(handle.pointer, PQERRORS_VERBOSE)
        let settings = self.settings(of: handle)
        let timeout = self.timeout(settings)
        switch self.poll(handle, until: timeout.map { .now + $0 }) {
        case .ready where PQstatus(handle.pointer) == CONNECTION_OK:
            PQsetErrorVerbosity(handle.pointer, PQERRORS_DEFAULT)
            return handle
        case .ready:
            throw PostgresError(verboseFailureOf: handle.pointer)
        case .woken:
            throw PostgresError(.cancelled, "connecting was cancelled")
        case .timedOut:
            if settings["host"]?.contains(",") ?? settings["hostaddr"]?.contains(",") ?? false {
                return try self.dialEachHost(timeout)
            }
            let host = PQhost(handle.pointer).map { String(cString: $0) } ?? ""
            let port = PQport(handle.pointer).map { String(cString: $0) } ?? ""
            throw PostgresError(
                .connectionFailed,
                "connection to server at \"\(host)\", port \(port) failed: no answer in \(timeout ?? .zero)"
            )
        }
    }

    /// One of several hosts swallows what is sent to it. Only libpq's blocking call knows how to leave it for the next;
    /// it cannot be cancelled and tells no SQLSTATE, so it is not the first choice.
    private func dialEachHost(_ timeout: Duration?) throws(PostgresError) -> ConnectionHandle {
        let handle = try self.take(self.start(PQconnectdbParams, timeout: timeout))
        guard PQstatus(handle.pointer) == CONNECTION_OK else {
            throw PostgresError(.connectionFailed, connection: handle.pointer)
        }
        return handle
    }

    private func take(_ pointer: OpaquePointer?) throws(PostgresError) -> ConnectionHandle {
        guard let pointer else { throw PostgresError(.connectionFailed, "out of memory") }
        return ConnectionHandle(taking: pointer)
    }

    private typealias Start = (
        UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<UnsafePointer<CChar>?>?, Int32
    ) -> OpaquePointer?

    /// Later keywords win over the connection string, which wins over earlier ones.
    private func start(_ start: Start, timeout: Duration? = nil) -> OpaquePointer? {
        var keywords = ["fallback_application_name", "dbname", "client_encoding"]
        var values = [self.options.applicationName, self.options.conninfo, "UTF8"]
        if let timeout {
            keywords.insert("connect_timeout", at: 0)
            values.insert(String(max(1, timeout.components.seconds)), at: 0)
        }
        return Self.withCStrings(keywords) { keywords in
            Self.withCStrings(values) { values in start(keywords, values, 1) }
        }
    }

    private func poll(_ handle: ConnectionHandle, until deadline: ContinuousClock.Instant?) -> Readiness {
        guard PQstatus(handle.pointer) != CONNECTION_BAD else { return .ready }
        var next = PGRES_POLLING_WRITING
        while next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING {
            // The socket is another one after each host or address that did not answer.
            let events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT
            let socket = PQsocket(handle.pointer)
            let readiness = self.waker.wait(for: socket, Int32(events), until: deadline)
            guard readiness == .ready else { return readiness }
            next = PQconnectPoll(handle.pointer)
        }
        return .ready
    }

    /// What libpq made of connection string, environment and service file together.
    private func settings(of handle: ConnectionHandle) -> [String: String] {
        guard let options = PQconninfo(handle.pointer) else { return [:] }
        defer { PQconninfoFree(options) }
        var settings: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { settings[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        return settings
    }

    /// libpq itself heeds `connect_timeout` in its blocking call only. There 0 and less mean no limit.
    private func timeout(_ settings: [String: String]) -> Duration? {
        guard let text = settings["connect_timeout"], let seconds = Int64(text) else {
            return self.options.connectTimeout
        }
        return seconds > 0 ? .seconds(seconds) : nil
    }

    /// Calls `body` with the strings as C has them, with a null pointer behind the last.
    private static func withCStrings<R>(
        _ strings: [String],
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> R
    ) -> R {
        func collect(_ rest: ArraySlice<String>, _ pointers: [UnsafePointer<CChar>?]) -> R {
            guard let first = rest.first else {
                return (pointers + [nil]).withUnsafeBufferPointer { body($0.baseAddress) }
            }
            return first.withCString { collect(rest.dropFirst(), pointers + [$0]) }
        }
        return collect(strings[...], [])
    }
}
