import LibPQ
import Testing

@Suite(.timeLimit(.minutes(15)))
struct PipelineTests {
    @Test
    func eachStatementHasItsResult() async throws {
        let connection = try await TestServer.connect()
        try await connection.prepare("twice", "SELECT 2 * $1", types: [OID.int8])
        let results = try await connection.pipeline([
            .sql("BEGIN"),
            .sql("CREATE TEMP TABLE t (a bigint)"),
            .sql("INSERT INTO t SELECT generate_series(1, $1)", [.int32(10)]),
            .prepared("twice", [.int64(21)]),
            .sql("SELECT sum(a)::bigint FROM t"),
            .sql("COMMIT"),
        ])
        #expect(results.count == 6)
        #expect(results[2].affectedRows == 10)
        #expect(try results[3].int64(0, 0) == 42)
        #expect(try results[4].int64(0, 0) == 55)
        #expect(await connection.transactionStatus == .idle)
        #expect(try await connection.pipeline([]).isEmpty)
    }

    @Test
    func fiftyMegabytesEachWayDoNotDeadlock() async throws {
        let connection = try await TestServer.connect()
        let large = [UInt8](repeating: 0x5a, count: 10 << 20)
        // The server sends each back before it reads the next, so both directions fill at once.
        let results = try await connection.pipeline((0..<5).map { _ in .sql("SELECT $1", [.bytes(large)]) })
        for result in results {
            result.withCell(0, 0) { #expect($0?.count == large.count && $0?.last == 0x5a) }
        }
        let one = [UInt8](repeating: 1, count: 50 << 20)
        let sizes = try await connection.pipeline([.sql("SELECT length($1), $1", [.bytes(one)])])
        #expect(try sizes[0].int64(0, 0) == 50 << 20)
        #expect(try await connection.query("SELECT 1").int32(0, 0) == 1)
    }

    @Test
    func manySmallStatementsWithLargeAnswersDoNotDeadlock() async throws {
        let connection = try await TestServer.connect()
        let results = try await connection.pipeline(
            (0..<5000).map { .sql("SELECT $1, repeat('x', 5000)", [.int32($0)]) }
        )
        #expect(try results.enumerated().allSatisfy { try $1.int32(0, 0) == Int32($0) })
    }

    @Test
    func anErrorInTheMiddleNamesItsStatementAndCommitsNothing() async throws {
        try await TestServer.withTable("a int PRIMARY KEY") { table, connection in
            let error = try await postgresError {
                _ = try await connection.pipeline([
                    .sql("INSERT INTO \(table) VALUES (1)"),
                    .sql("INSERT INTO \(table) VALUES (2)"),
                    .sql("INSERT INTO \(table) VALUES (1)"),
                    .sql("INSERT INTO \(table) VALUES (3)"),
                ])
            }
            #expect(error.statementIndex == 2)
            #expect(error.sqlState == "23505" && error.code == .serverError)
            #expect(error.table == table && error.constraint == "\(table)_pkey")
            #expect(await connection.transactionStatus == .idle)
            #expect(await !connection.isBroken)
            #expect(try await connection.query("SELECT count(*) FROM \(table)").int64(0, 0) == 0)
        }
    }

    @Test
    func aTransactionThatFailedInsideCanBeRolledBack() async throws {
        try await TestServer.withTable("a int") { table, connection in
            let error = try await postgresError {
                _ = try await connection.pipeline([
                    .sql("BEGIN"),
                    .sql("INSERT INTO \(table) VALUES (1)"),
                    .sql("INSERT INTO \(table) VALUES ($1::text::int)", [.text("seven")]),
                    .sql("COMMIT"),
                ])
            }
            #expect(error.statementIndex == 2 && error.isDataException)
            #expect(await connection.transactionStatus == .inFailedTransaction)
            try await connection.execute("ROLLBACK")
            #expect(await connection.transactionStatus == .idle)
            let results = try await connection.pipeline([.sql("SELECT count(*) FROM \(table)")])
            #expect(try results[0].int64(0, 0) == 0)
        }
    }

    @Test
    func aConstraintThatFailsAtTheFinalCommitIsReported() async throws {
        try await TestServer.withTable("a int UNIQUE DEFERRABLE INITIALLY DEFERRED") { table, connection in
            let insert = Statement.sql("INSERT INTO \(table) VALUES (1)")
            let error = try await postgresError { _ = try await connection.pipeline([insert, insert]) }
            #expect(error.sqlState == "23505" && error.statementIndex == nil)
            #expect(try await connection.query("SELECT count(*) FROM \(table)").int64(0, 0) == 0)
            let inside = try await postgresError {
                _ = try await connection.pipeline([.sql("BEGIN"), insert, insert, .sql("COMMIT")])
            }
            #expect(inside.sqlState == "23505" && inside.statementIndex == 3)
            #expect(await connection.transactionStatus == .idle)
        }
    }

    @Test
    func aParameterThatCannotBeSentStopsThePipelineBeforeItBegins() async throws {
        let connection = try await TestServer.connect()
        let error = try await postgresError {
            _ = try await connection.pipeline([.sql("BEGIN"), .sql("SELECT $1::text", [.text("\0")])])
        }
        #expect(error.code == .invalidParameter && error.statementIndex == 1)
        #expect(await connection.transactionStatus == .idle)
    }

    @Test
    func aCopyInAPipelineEndsTheConnectionAndNotTheProcess() async throws {
        let connection = try await TestServer.connect()
        let error = try await postgresError {
            _ = try await connection.pipeline([.sql("COPY (SELECT 1) TO STDOUT"), .sql("SELECT 1")])
        }
        #expect(error.code == .protocolViolation || error.code == .connectionLost)
        #expect(await connection.isBroken)
    }
}
