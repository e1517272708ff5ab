internal import CLibPQ

extension Connection {
    /// Runs statements with one synchronisation at the end, in one round trip. Unless they begin a transaction
    /// themselves they are one; if they do, and one fails, the transaction stays open and failed: send `ROLLBACK`. With a
    /// COPY among them they have to begin one.
    ///
    /// Parameters and results may be of any size: when the server takes no more because it waits for us to read its
    /// answers, libpq waits for whichever is possible first and reads them. That is libpq's blocking mode, which may
    /// block here because the executor's thread is the connection's own. Its non-blocking mode with a poll() around it
    /// does the same, but moves all that is unsent to the front of its buffer after each write of some 200 KB: four
    /// times slower for a parameter of 50 MB, a fifth slower for one of 10 MB.
    /// - Parameter statements: given up by the caller, and gone once they are sent: while the server works nothing needs
    ///   the memory of their parameters.
    /// - Returns: one result for each statement.
    /// - Throws: the error of the first statement that failed, with its index. Those behind it were not run.
    /// - Complexity: O(bytes); libpq copies each statement's parameters once.
    package func pipeline(_ statements: consuming [Statement]) throws(PostgresError) -> [QueryResult] {
        guard !statements.isEmpty else { return [] }
        if let copy = statements.firstIndex(where: \.isCopy) { return try self.pipeline(statements, around: copy) }
        var commands: [(statement: Statement, list: ParameterList)] = []
        commands.reserveCapacity(statements.count)
        for (index, statement) in statements.enumerated() {
            do throws(PostgresError) {
                commands.append((statement, try Self.parameters(of: statement)))
            } catch {
                var error = error
                error.statementIndex = index
                throw error
            }
        }
        statements = []
        return try self.performing { () throws(PostgresError) in try self.run(&commands) }
    }

    /// libpq's pipelines have no COPY: what is before it, the COPY, and what is behind it are round trips of their own.
    private func pipeline(_ statements: [Statement], around copy: Int) throws(PostgresError) -> [QueryResult] {
        var results = try self.pipeline(Array(statements[..<copy]))
        var first = copy
        do throws(PostgresError) {
            results.append(try self.query(statements[copy]))
            first += 1
            results += try self.pipeline(Array(statements[first...]))
        } catch {
            var error = error
            error.statementIndex = first + (error.statementIndex ?? 0)
            throw error
        }
        return results
    }

    /// - Parameter commands: emptied once they are sent.
    private func run(
        _ commands: inout [(statement: Statement, list: ParameterList)]
    ) throws(PostgresError) -> [QueryResult] {
        let connection = try self.usablePointer()
        guard PQenterPipelineMode(connection) == 1 else {
            throw self.giveUp("the connection was not idle before a pipeline")
        }
        let count = commands.count
        // Each one's parameters go as soon as it is sent: the next one may be as large.
        commands.reverse()
        while let command = commands.popLast() {
            try self.queued(Self.send(command.statement, command.list, connection), connection)
        }
        try self.queued(PQpipelineSync(connection), connection)
        let results = try self.pipelineResults(connection, count: count)
        guard PQexitPipelineMode(connection) == 1 else { throw self.giveUp("a pipeline did not end with its results") }
        return try results.get()
    }

    /// A send that fails can have been preceded by the server's last words ("terminating connection due to…"), which
    /// say more than the broken pipe does.
    private func queued(_ status: Int32, _ connection: OpaquePointer) throws(PostgresError) {
        guard status != 1 else { return }
        var lastWords: PostgresError?
        while PQstatus(connection) == CONNECTION_BAD, let result = PQgetResult(connection) {
            if lastWords == nil, PQresultStatus(result) == PGRES_FATAL_ERROR {
                lastWords = PostgresError(result: result)
                lastWords?.code = .connectionLost
            }
            PQclear(result)
        }
        if let lastWords { throw lastWords }
        try self.sent(status, connection)
    }

    /// Reads up to the synchronisation point. A null pointer ends each statement's results.
    /// - Returns: the outcome of the pipeline, when the connection is in step.
    /// - Throws: when it is not.
    private func pipelineResults(
        _ connection: OpaquePointer,
        count: Int
    ) throws(PostgresError) -> Result<[QueryResult], PostgresError> {
        var results: [QueryResult] = []
        var failure: PostgresError?
        var index = 0
        while true {
            guard let result = PQgetResult(connection) else {
                if PQstatus(connection) == CONNECTION_BAD {
                    failure?.code = .connectionLost
                    throw failure ?? PostgresError(.connectionLost, connection: connection)
                }
                index += 1
                guard index <= count + 1 else { throw self.unanswered(failure, "a pipeline's end") }
                continue
            }
            let owned = QueryResult(taking: result)
            switch PQresultStatus(result) {
            case PGRES_PIPELINE_SYNC:
                if let failure { return .failure(failure) }
                guard results.count == count else {
                    throw self.giveUp("\(count) statements of a pipeline had \(results.count) results")
                }
                return .success(results)
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                results.append(owned)
            case PGRES_PIPELINE_ABORTED:
                break
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                throw self.giveUp("statement \(index) of a pipeline is a COPY")
            default:
                failure = failure ?? PostgresError(result: result, statementIndex: index < count ? index : nil)
            }
        }
    }
}
