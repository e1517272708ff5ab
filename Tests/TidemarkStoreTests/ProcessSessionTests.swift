import LibPQ
import Logging
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// Processes that write one projection: who is there, and who is not any more.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct ProcessSessionTests {
    private static let logger = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

    private static func join(
        _ name: String,
        _ projections: [String] = ["orders"],
        operations: [String] = [],
        leaseTTL: Duration = .seconds(60)
    ) async throws -> ProcessSession {
        let options = ConnectionOptions(TestDatabase.current.url, applicationName: name)
        return try await ProcessSession.join(
            try await Connection.connect(options),
            .init(options, projections: projections, operations: operations, leaseTTL: leaseTTL, logger: Self.logger)
        )
    }

    private static func process(_ connection: Connection) async throws -> String {
        try await connection.value("select pg_backend_pid()")
    }

    @Test func aConnectionThatWasLostIsReplacedByOneOfTheSameProcess() async throws {
        let bench = try await StoreBench()
        let process = try await Self.join("writer")
        let first = try await process.held(wait: .zero)
        let lost = try await Self.process(first)
        // Returns once the session is gone, and its locks with it.
        #expect(try await bench.connection.value("select pg_terminate_backend(\(lost), 60000)") == "t")
        // Lanes ask at once: one of them connects.
        async let a = process.held(wait: .zero)
        async let b = process.held(wait: .zero)
        let (left, right) = (try await a, try await b)
        #expect(left === right && left !== first)
        let own = try await Self.process(left)
        let sessions = try await bench.connection.rows(
            "select pid from tidemark_internal.writing_sessions where process_id = \(process.id) and projection = 'orders'"
        )
        #expect(sessions.contains([own]) && !sessions.contains([lost]))
        await process.leave()
        #expect(try await bench.connection.value("select count(*) from tidemark_internal.processes") == "0")
        #expect(try await bench.connection.value("select count(*) from tidemark_internal.writing_sessions") == "0")
    }

    @Test func aStepIsDoneAgainOnTheConnectionThatReplacesALostOne() async throws {
        let bench = try await StoreBench()
        let process = try await Self.join("writer")
        let first = try await process.held(wait: .zero)
        let writer = try await process.perform(wait: nil) { connection in
            if connection === first {
                let pid = try await Self.process(connection)
                _ = try await bench.connection.value("select pg_terminate_backend(\(pid), 60000)")
            }
            return try await Self.process(connection)
        }
        #expect(try await Self.process(process.held(wait: .zero)) == writer)
        await process.leave()
    }

    /// Its own statement is what finds out.
    @Test func aStatementThatAnotherProcessEndsSaysSo() async throws {
        let bench = try await StoreBench()
        let options = ConnectionOptions(TestDatabase.current.url, applicationName: "writer")
        let connection = try await Connection.connect(options)
        let error = await #expect(throws: StoreError.self) {
            try await ProcessSession.with(
                connection,
                .init(options, projections: ["orders"], leaseTTL: .seconds(60), logger: Self.logger)
            ) { process in
                _ = try await bench.connection.query(
                    "update tidemark_internal.processes set fenced_at = now() where id = $1::integer",
                    [.int32(process.id)]
                )
                _ = try await connection.query("select pg_terminate_backend(pg_backend_pid())")
            }
        }
        #expect(error?.kind == .fenced)
    }

    /// A short lease is no reason to end one that waits to enter.
    @Test func whoWaitsToEnterIsNotTakenForSilent() async throws {
        let bench = try await StoreBench()
        let other = try await Self.join("writer", leaseTTL: .milliseconds(400))
        _ = try await bench.connection.query("select pg_advisory_lock(1953063024, hashtext('orders'))")
        let error = await #expect(throws: StoreError.self) {
            _ = try await Self.join("pruner", operations: ["orders"], leaseTTL: .milliseconds(400))
        }
        #expect(error?.kind == .failed)
        #expect(error?.description.contains("is being worked on") == true, "\(String(describing: error))")
        await other.leave()
    }

    @Test func whoIsLockedOutIsToldByWhom() async throws {
        let bench = try await StoreBench()
        let options = ConnectionOptions(TestDatabase.current.url, applicationName: "tidemark drop")
        let other = try await Connection.connect(options)
        try await PassStore.lock("orders", grace: .zero, on: other)
        let locked = await #expect(throws: StoreError.self) { _ = try await Self.join("writer") }
        #expect(locked?.description.contains("projection orders is being written by tidemark drop") == true)
        await other.close()
        let rebuild = try await Self.join("tidemark rebuild", [], operations: ["orders"])
        let writer = try await Self.join("writer")
        let prune = await #expect(throws: StoreError.self) { _ = try await Self.join("prune", operations: ["orders"]) }
        #expect(
            prune?.description.contains("worked on (rebuild, prune, forget, drop or verify) by tidemark rebuild")
                == true
        )
        await rebuild.leave()
        await writer.leave()
        _ = bench
    }

    @Test func twoProcessesShareAndOneIsAloneAgain() async throws {
        let bench = try await StoreBench()
        let first = try await Self.join("first")
        try await first.enter(on: first.held(wait: .zero))
        let alone = try #require(first.access["orders"])
        #expect(!alone.isShared)
        let second = try await Self.join("second")
        try await second.enter(on: second.held(wait: .zero))
        #expect(second.access["orders"]?.isShared == true)
        // The first one learns of it by the revision that its next batch compares.
        await #expect(throws: PostgresError.self) {
            _ = try await bench.connection.query(
                "select tidemark_internal.hold_revisions(array['orders'], array[$1::bigint])",
                [.int64(alone.revision)]
            )
        }
        try await first.refresh(wait: .zero)
        #expect(first.access["orders"]?.isShared == true)
        #expect(first.access["orders"]?.revision == second.access["orders"]?.revision)
        await second.leave()
        // The server lets go of the locks a moment after the connection.
        repeat { try await first.refresh(wait: .zero) } while first.access["orders"]?.isShared != false
        await first.leave()
    }

    @Test func aSilentProcessIsFencedAndCanDoNothingMore() async throws {
        let bench = try await StoreBench()
        let silent = try await Self.join("silent")
        try await silent.enter(on: silent.held(wait: .zero))
        let connection = try await silent.held(wait: .zero)
        try await connection.execute("begin; lock table tidemark_internal.passes")
        // A heartbeat in between says that it is alive.
        let fenced = "select fenced_at is not null from tidemark_internal.processes where id = \(silent.id)"
        repeat {
            _ = try await bench.connection.query(
                "update tidemark_internal.processes set seen_at = now() - interval '1 hour' where id = \(silent.id)"
            )
            try await Fencing.fenceSilent(besides: 0, logger: Self.logger, on: bench.connection)
        } while try await bench.connection.value(fenced) != "t"
        // Its locks are gone with its sessions.
        try await bench.connection.execute("begin; lock table tidemark_internal.passes in share mode nowait; rollback")
        let error = await #expect(throws: StoreError.self) { _ = try await silent.held(wait: .zero) }
        #expect(error?.description.contains("lease_ttl") == true)
        await silent.leave()
    }

    @Test func aProcessThatWasStoppedWithItsRowLockedIsFenced() async throws {
        let bench = try await StoreBench()
        // It does not end its sessions by itself meanwhile.
        let stopped = try await Self.join("stopped", leaseTTL: .seconds(3600))
        let row = "tidemark_internal.processes where id = \(stopped.id)"
        let connection = try await stopped.held(wait: .zero)
        repeat {
            // A heartbeat in between says that it is alive.
            try await connection.execute("rollback")
            try await connection.execute(
                "update tidemark_internal.processes set seen_at = now() - interval '1 day' where id = \(stopped.id)"
            )
            try await connection.execute("begin")
            try await connection.execute("select from \(row) for update")
            try await Fencing.fenceSilent(besides: 0, logger: Self.logger, on: bench.connection)
        } while try await bench.connection.value("select fenced_at is not null from \(row)") != "t"
        let sessions = "select count(*) from tidemark_internal.writing_sessions where process_id = \(stopped.id)"
        #expect(try await bench.connection.value(sessions) == "0")
        await stopped.leave()
    }

    @Test func aServerThatFallsSilentWhileASessionEntersIsNoticed() async throws {
        let bench = try await StoreBench()
        let url = TestDatabase.current.url
        let proxy = try HoldingProxy(to: ServerAddress(conninfo: url))
        let options = ConnectionOptions(proxy.address.replacing(in: url), applicationName: "behind a proxy")
        let process = try await ProcessSession.join(
            try await Connection.connect(options),
            .init(options, projections: ["orders"], leaseTTL: .seconds(1), logger: Self.logger)
        )
        let connection = try await Connection.connect(options)
        proxy.silence()
        let error = await #expect(throws: PostgresError.self) { try await process.admit(connection) }
        #expect(error?.isConnectionLoss == true)
        proxy.close()
        await process.leave()
        _ = bench
    }

    @Test func aProcessThatIsHeardOfIsNotFenced() async throws {
        let bench = try await StoreBench()
        let process = try await Self.join("alive")
        try await Fencing.fenceSilent(besides: 0, logger: Self.logger, on: bench.connection)
        _ = try await process.held(wait: .zero)
        await process.leave()
    }

    @Test func anotherDefinitionSupersedesTheOneThatIsWrittenBy() async throws {
        let bench = try await StoreBench()
        let process = try await Self.join("writer")
        try await process.enter(on: process.held(wait: .zero))
        _ = try await bench.connection.query(
            "update tidemark_internal.projections set definition = definition || '{\"late\": [\"note\"]}' where name = 'orders'"
        )
        let error = await #expect(throws: StoreError.self) { try await process.refresh(wait: .zero) }
        #expect(error?.kind == .superseded)
        process.forgetDefinitions()
        try await process.refresh(wait: .zero)
        await process.leave()
    }

    /// All sessions of a process are lost at once, as when the server restarts, and another process finds itself alone
    /// before they are back.
    @Test func aLaneThatWasDisconnectedIsNoticedByAProcessThatTookItselfForAlone() async throws {
        let bench = try await StoreBench()
        let (first, second) = (try await Self.join("first"), try await Self.join("second"))
        for process in [first, second] { try await process.enter(on: process.held(wait: .zero)) }
        let lane = try bench.lane(wait: .seconds(10), process: second)
        await lane.open()
        let sessions = "select distinct pid from tidemark_internal.writing_sessions where process_id = \(second.id)"
        _ = try await bench.connection.rows("select pg_terminate_backend(pid, 60000) from (\(sessions)) as lost")
        try await first.refresh(wait: .zero)
        // Its heartbeat may have brought one back.
        let alone = try #require(first.access["orders"])
        try await lane.commit(bench.batch(Block(bench.streams[0], from: 0, [.order(1, 1)])))
        let stored = try await bench.connection.value(
            "select revision from tidemark_internal.projections where name = 'orders'"
        )
        #expect(stored != "\(alone.revision)")
        try await first.refresh(wait: .zero)
        #expect(first.access["orders"]?.isShared == true)
        await lane.close()
        await first.leave()
        await second.leave()
    }

    /// A pass that is begun again, after another process has given a projection another definition, is its own.
    @Test func aProcessResumesThePassThatItRuns() async throws {
        let bench = try await StoreBench()
        let process = try await Self.join("writer")
        func begin() async throws -> PassState {
            try await PassStore.begin(
                streams: bench.streams.map { StreamEntry(id: $0, isResumable: true) },
                projections: ["orders"],
                lanes: 1,
                process: process.id,
                on: bench.connection
            )
        }
        let first = try await begin()
        let again = try await begin()
        #expect(again.isResumed && again.id == first.id)
        await process.leave()
    }

    @Test func whatAnotherProcessHasFoundOfMessagesHolds() async throws {
        let bench = try await StoreBench()
        let process = try await Self.join("writer")
        let store = PostgresProjection(
            .init(
                [.orders],
                options: ConnectionOptions(TestDatabase.current.url),
                kind: .replay,
                lanes: 1,
                cacheBytes: 0,
                databaseWait: .zero
            ),
            as: process,
            logger: Self.logger
        )
        try await store.save(DetectedReadings(positionKinds: ["orders": .lsn]))
        try await store.save(DetectedReadings(positionKinds: ["orders": .lsn]))
        let error = await #expect(throws: StoreError.self) {
            try await store.save(DetectedReadings(positionKinds: ["orders": .binlog]))
        }
        #expect(error?.kind == .superseded)
        _ = bench
        await process.leave()
    }

    @Test func anAdoptedColumnLeavesNoLockBehind() async throws {
        let bench = try await StoreBench()
        var wider = ProjectionDefinition.orders
        wider.columns?.append(.init(name: "remark", type: .text))
        _ = try await ProjectionRegistry.prepare([ProjectionPlan(wider)], on: bench.connection)
        let prune = try await Self.join("prune", operations: ["orders"])
        await prune.leave()
    }

    @Test func anAdoptedColumnWaitsForAReaderAndHoldsUpNoOther() async throws {
        let bench = try await StoreBench()
        var wider = ProjectionDefinition.orders
        wider.columns?.append(.init(name: "remark", type: .text))
        let reader = try await TestDatabase.current.connect()
        try await reader.execute("begin; select from orders")
        let plan = ProjectionPlan(wider)
        let adopting = Task { try await ProjectionRegistry.prepare([plan], on: bench.connection) }
        let other = try await TestDatabase.current.connect()
        let waiting =
            "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock' and query like '%drop view%'"
        while try await other.value(waiting) != "t" { try Task.checkCancellation() }
        // It passes while the first one still reads.
        try await other.execute("select from orders")
        try await reader.execute("commit")
        #expect(try await adopting.value == ["added column \"remark\" to projection orders"])
        try await other.execute("select remark from orders")
        await reader.close()
        await other.close()
    }
}
