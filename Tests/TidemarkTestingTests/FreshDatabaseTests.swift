import Subprocess
import Synchronization
import Testing

@testable import TidemarkTesting

/// Each of these leaves the same table behind: in one database, all but the first would fail.
@Suite(.freshDatabase, .timeLimit(.minutes(15)))
struct FreshDatabaseTests {
    private static let seen = Mutex<Set<String>>([])

    @Test(arguments: 1...3)
    func eachCaseHasADatabaseOfItsOwn(_ number: Int) async throws {
        let database = TestDatabase.current
        #expect(Self.seen.withLock { $0.insert(database.name).inserted })
        #expect(try await psql("create table t as select \(number) as x; select current_database()") == database.name)
        #expect(try await psql("select x from t") == "\(number)")
    }

    @Test func itIsGoneAfterwards() async throws {
        let url = try await TestDatabase.with { TestDatabase.current.url }
        await #expect(throws: PSQLFailure.self) { try await psql("select 1", url: url) }
        #expect(TestDatabase.current.url != url)
    }

    @Test func itIsGoneAlsoWhenTheTestFails() async throws {
        struct Failed: Error {}
        let url = Mutex("")
        await #expect(throws: Failed.self) {
            try await TestDatabase.with {
                url.withLock { $0 = TestDatabase.current.url }
                throw Failed()
            }
        }
        await #expect(throws: PSQLFailure.self) { try await psql("select 1", url: url.withLock { $0 }) }
    }
}

@Test(arguments: [
    ("postgresql://u:p@h:5/postgres?host=/a/b&x=1", "postgresql://u:p@h:5/new?host=/a/b&x=1"),
    ("postgresql:///?host=/a/b&dbname=old", "postgresql:///new?host=/a/b"),
    ("postgres://h", "postgres://h/new"),
    ("host=/a/b dbname=old", "host=/a/b dbname=old dbname=new"),
])
func anotherDatabaseOfTheSameServer(_ server: String, _ expected: String) {
    #expect(TestDatabase.url(of: "new", on: server) == expected)
}

private struct PSQLFailure: Error {
    let message: String
}

private func psql(_ sql: String, url: String = TestDatabase.current.url) async throws -> String {
    let result = try await Subprocess.run(
        .name("psql"),
        arguments: ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, url],
        output: .string(limit: 1 << 16),
        error: .string(limit: 1 << 16)
    )
    guard result.terminationStatus.isSuccess else { throw PSQLFailure(message: result.standardError) }
    return result.standardOutput.split(separator: "\n").last.map(String.init) ?? ""
}
