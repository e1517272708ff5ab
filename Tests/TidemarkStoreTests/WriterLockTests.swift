import LibPQ
import Logging
import Testing
import TidemarkStore
import TidemarkTesting

/// A projection that is locked against other writers.
@Suite(.freshDatabase, .timeLimit(.minutes(2)))
struct WriterLockTests {
    private static func connect(_ name: String) async throws -> Connection {
        try await Connection.connect(ConnectionOptions(TestDatabase.current.url, applicationName: name))
    }

    /// The server processes that hold locks in this test's database, one for each lock.
    private static func holders(on connection: Connection) async throws -> [String] {
        try await connection.rows(
            """
            select pid from pg_locks where locktype = 'advisory' and granted
                and database = (select oid from pg_database where datname = current_database())
            """
        ).map { $0[0] }
    }

    private static func process(_ connection: Connection) async throws -> String {
        try await connection.value("select pg_backend_pid()")
    }

    @Test func aSecondWriterIsToldWhoHoldsTheLock() async throws {
        let first = try await Self.connect("tidemark replay at night")
        let second = try await Self.connect("tidemark rebuild")
        try await PassStore.lock("orders", grace: .zero, on: first)
        let error = await #expect(throws: StoreError.self) {
            try await PassStore.lock("orders", grace: .zero, on: second)
        }
        let pid = try await Self.process(first)
        #expect(error?.kind == .failed)
        for part in ["projection orders", "tidemark replay at night", "server process \(pid)", " UTC"] {
            #expect(error?.description.contains(part) == true, "\(part): \(error?.description ?? "")")
        }
        // Another projection has another lock, and a process can take its own lock again.
        try await PassStore.lock("customers", grace: .zero, on: second)
        try await PassStore.lock("orders", grace: .zero, on: first)
    }

    @Test func theLockEndsWithItsConnectionWhichIsWaitedFor() async throws {
        let first = try await Self.connect("first")
        let second = try await Self.connect("second")
        try await PassStore.lock("orders", grace: .zero, on: first)
        let pid = try await Self.process(second)
        let watcher = try await TestDatabase.current.connect()
        async let taken: Void = PassStore.lock("orders", grace: .seconds(60), on: second)
        // It has asked, and was refused or is about to be.
        let last = "select query like '%advisory%' from pg_stat_activity where pid = \(pid)"
        while try await watcher.value(last) != "t" { await Task.yield() }
        await first.close()
        try await taken
        #expect(try await Self.holders(on: watcher) == [pid])
    }

    @Test func anotherDatabasesWriterDoesNotStandInTheWay() async throws {
        let other = try await Self.connect("other")
        try await PassStore.lock("orders", grace: .zero, on: other)
        try await TestDatabase.with {
            let own = try await Self.connect("own")
            try await PassStore.lock("orders", grace: .zero, on: own)
            let second = try await Self.connect("second")
            let error = await #expect(throws: StoreError.self) {
                try await PassStore.lock("orders", grace: .zero, on: second)
            }
            #expect(error?.description.contains("by own ") == true, "\(error?.description ?? "")")
            await own.close()
            await second.close()
        }
    }
}
