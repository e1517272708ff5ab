import CLibPQ

/// A connection for small questions: no more of libpq than this program needs.
final class Database {
    private let connection: OpaquePointer

    init(_ conninfo: String) throws {
        guard let connection = PQconnectdb(conninfo) else { throw BenchmarkError("libpq has no memory") }
        self.connection = connection
        guard PQstatus(connection) == CONNECTION_OK else {
            throw BenchmarkError(String(cString: PQerrorMessage(connection)))
        }
        try self.query("set client_min_messages = warning")
    }

    deinit {
        PQfinish(self.connection)
    }

    /// - Returns: the rows, nulls as empty texts.
    @discardableResult
    func query(_ command: String) throws -> [[String]] {
        let result = PQexec(self.connection, command)
        defer { PQclear(result) }
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK: break
        default: throw BenchmarkError("\(command)\n\(String(cString: PQerrorMessage(self.connection)))")
        }
        return (0..<PQntuples(result)).map { row in
            (0..<PQnfields(result)).map { column in String(cString: PQgetvalue(result, row, column)) }
        }
    }

    func prepare(_ name: String, _ command: String) throws {
        let result = PQprepare(self.connection, name, command, 1, nil)
        defer { PQclear(result) }
        guard PQresultStatus(result) == PGRES_COMMAND_OK else {
            throw BenchmarkError(String(cString: PQerrorMessage(self.connection)))
        }
    }

    /// Whether a prepared statement returns a row for this one parameter.
    func finds(_ name: String, _ parameter: String) throws -> Bool {
        let result = parameter.withCString { text in
            PQexecPrepared(self.connection, name, 1, [text], nil, nil, 0)
        }
        defer { PQclear(result) }
        guard PQresultStatus(result) == PGRES_TUPLES_OK else {
            throw BenchmarkError(String(cString: PQerrorMessage(self.connection)))
        }
        return PQntuples(result) > 0
    }

    /// Sends a command on its way; ``finish()`` has to follow.
    func send(_ command: String) throws {
        guard PQsendQuery(self.connection, command) == 1 else {
            throw BenchmarkError(String(cString: PQerrorMessage(self.connection)))
        }
    }

    func finish() throws {
        while let result = PQgetResult(self.connection) {
            let status = PQresultStatus(result)
            PQclear(result)
            guard status == PGRES_COMMAND_OK else {
                throw BenchmarkError(String(cString: PQerrorMessage(self.connection)))
            }
        }
    }
}
