internal import CLibPQ

extension Connection {
    /// Runs one statement or several, separated by semicolons, without parameters; several are one transaction unless
    /// they say otherwise. Rows are dropped.
    /// - Throws: the first error; what follows the statement that failed is not run.
    package func execute(_ sql: String) throws(PostgresError) {
        try Self.check(sql)
        try self.performing { () throws(PostgresError) in
            let connection = try self.usablePointer()
            try self.sent(PQsendQuery(connection, sql), connection)
            _ = try self.lastResult(connection)
        }
    }

    /// Runs one statement with parameters (`$1`…). Type names in the SQL, not the values, decide what a parameter is
    /// where both are silent; see ``Parameter``.
    package func query(
        _ sql: String,
        _ parameters: [Parameter] = [],
        resultFormat: ResultFormat = .binary
    ) throws(PostgresError) -> QueryResult {
        let statement = Statement(.sql(sql), parameters, resultFormat: resultFormat)
        return try self.query(statement)
    }

    /// Runs one statement, prepared or not.
    package func query(_ statement: Statement) throws(PostgresError) -> QueryResult {
        let list = try Self.parameters(of: statement)
        return try self.performing { () throws(PostgresError) in
            let connection = try self.usablePointer()
            try self.sent(Self.send(statement, list, connection), connection)
            return try self.lastResult(connection, copying: statement.isCopy ? list : nil)
        }
    }

    /// Prepares a statement under a name, for ``Statement/prepared(_:_:)``. Names last as long as the connection.
    /// - Parameter types: of `$1`…; where there is none, or 0, the server infers it from the SQL.
    package func prepare(_ name: String, _ sql: String, types: [UInt32] = []) throws(PostgresError) {
        try Self.check(name)
        try Self.check(sql)
        try self.performing { () throws(PostgresError) in
            let connection = try self.usablePointer()
            try self.sent(PQsendPrepare(connection, name, sql, Int32(types.count), types), connection)
            _ = try self.lastResult(connection)
        }
    }

    // MARK: - Sending

    /// Text for libpq ends at the first NUL: what follows would be dropped in silence.
    static func check(_ sql: String) throws(PostgresError) {
        guard !sql.utf8.contains(0) else { throw PostgresError(.invalidParameter, "a statement has a NUL in it") }
    }

    static func parameters(of statement: Statement) throws(PostgresError) -> ParameterList {
        switch statement.command {
        case .sql(let text), .prepared(let text), .copying(let text): try Self.check(text)
        case .preparing(let sql, let name):
            try Self.check(sql)
            try Self.check(name)
        }
        return try ParameterList(statement.parameters)
    }

    static func send(_ statement: Statement, _ list: ParameterList, _ connection: OpaquePointer) -> Int32 {
        let format = statement.resultFormat.rawValue
        return list.withPointers { values in
            switch statement.command {
            case .sql(let sql):
                PQsendQueryParams(connection, sql, list.count, list.types, values, list.lengths, list.formats, format)
            case .prepared(let name):
                PQsendQueryPrepared(connection, name, list.count, values, list.lengths, list.formats, format)
            case .preparing(let sql, let name):
                PQsendPrepare(connection, name, sql, 0, nil)
            case .copying(let sql):
                PQsendQuery(connection, sql)
            }
        }
    }

    /// libpq has nothing more to give and still calls the connection good: a server that crashed can leave it so. What
    /// was sent may have happened.
    func unanswered(_ failure: PostgresError?, _ what: String) -> PostgresError {
        var lost = self.giveUp("\(what) was not answered", .connectionLost)
        if let failure { lost.message = failure.message }
        return lost
    }

    func sent(_ status: Int32, _ connection: OpaquePointer) throws(PostgresError) {
        guard status != 1 else { return }
        let error = PostgresError(.connectionLost, connection: connection)
        if PQstatus(connection) != CONNECTION_BAD {
            // Something may be half sent, and a command half open.
            _ = self.giveUp(error.message)
        }
        throw error
    }

    /// Sends what a COPY takes, in pieces: libpq copies each into its buffer.
    private static func put(_ bytes: UnsafePointer<CChar>?, _ count: Int32, _ connection: OpaquePointer) -> Int32 {
        let pieceBytes: Int32 = 1 << 18
        var start: Int32 = 0
        while start < count {
            let length = min(pieceBytes, count - start)
            guard PQputCopyData(connection, bytes.map { $0 + Int(start) }, length) == 1 else { return -1 }
            start += length
        }
        return 1
    }

    // MARK: - Receiving

    /// Reads results up to the end of the command.
    /// - Parameter rows: what a COPY is sent, as its only value.
    /// - Returns: the last one.
    /// - Throws: the first error among them.
    private func lastResult(
        _ connection: OpaquePointer,
        copying rows: ParameterList? = nil
    ) throws(PostgresError) -> QueryResult {
        var last: QueryResult?
        var failure: PostgresError?
        while let result = PQgetResult(connection) {
            let owned = QueryResult(taking: result)
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                last = owned
            case PGRES_COPY_IN:
                if let rows {
                    // An error of the server's comes as the next result, whatever is sent meanwhile.
                    let status = rows.withPointers { Self.put($0?[0], rows.lengths.first ?? 0, connection) }
                    try self.sent(status, connection)
                    try self.sent(PQputCopyEnd(connection, nil), connection)
                    continue
                }
                // The error with which the server answers is the one to report.
                try self.sent(PQputCopyEnd(connection, "COPY FROM STDIN is not supported"), connection)
            case PGRES_COPY_OUT, PGRES_COPY_BOTH:
                throw self.giveUp("COPY TO STDOUT is not supported")
            default:
                failure = failure ?? PostgresError(result: result)
            }
        }
        if var failure {
            if PQstatus(connection) == CONNECTION_BAD { failure.code = .connectionLost }
            throw failure
        }
        guard let last else {
            guard PQstatus(connection) != CONNECTION_BAD else {
                throw PostgresError(.connectionLost, connection: connection)
            }
            throw self.unanswered(failure, "a command")
        }
        return last
    }
}
