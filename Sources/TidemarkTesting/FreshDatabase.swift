import FoundationEssentials
import Subprocess
package import Testing

/// A database of one test's own.
package struct TestDatabase: Sendable {
    /// A libpq URI, or keywords and values where ``variable`` holds those.
    package let url: String
    package let name: String

    /// Names a server on which this role may create databases.
    package static let variable = "TIDEMARK_TEST_DATABASE_URL"

    @TaskLocal private static var bound: TestDatabase?

    /// The database of the test that is running. Only under the trait `.freshDatabase`.
    package static var current: TestDatabase {
        guard let bound = Self.bound else {
            preconditionFailure("this test has no database: give it, or its suite, the trait .freshDatabase")
        }
        return bound
    }

    /// Makes a database, runs `body` with it as ``current``, and drops it afterwards, also when `body` throws.
    package static func with<R>(_ body: () async throws -> R) async throws -> R {
        guard let server = ProcessInfo.processInfo.environment[Self.variable], !server.isEmpty else {
            throw TestDatabaseError(
                "\(Self.variable) is not set: run `make test`, or `scripts/test-server.sh start` and what it prints"
            )
        }
        let name = "tidemark_test_" + String(UInt64.random(in: .min ... .max), radix: 36)
        try await Self.execute("CREATE DATABASE \(name) TEMPLATE template0", on: server)
        let database = TestDatabase(url: Self.url(of: name, on: server), name: name)
        let result: Result<R, any Error>
        do { result = .success(try await Self.$bound.withValue(database, operation: body)) } catch {
            result = .failure(error)
        }
        // Not in this task: that one may have been cancelled by a time limit, and the database has to go all the same.
        let dropping = Task.detached { try await Self.execute("DROP DATABASE \(name) WITH (FORCE)", on: server) }
        try await dropping.value
        return try result.get()
    }

    /// `server` with another database.
    static func url(of name: String, on server: String) -> String {
        // Of keywords that are given twice, libpq takes the last.
        guard let scheme = server.firstRange(of: "://") else { return server + " dbname=\(name)" }
        let query = server.firstIndex(of: "?") ?? server.endIndex
        let path = server[scheme.upperBound..<query].firstIndex(of: "/") ?? query
        let parameters = server[query...].dropFirst().split(separator: "&").filter { !$0.hasPrefix("dbname=") }
        return server[..<path] + "/" + name + (parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&"))
    }

    private static func execute(_ sql: String, on server: String) async throws {
        let result = try await Subprocess.run(
            .name("psql"),
            arguments: ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, server],
            output: .discarded,
            error: .string(limit: 1 << 16)
        )
        guard result.terminationStatus.isSuccess else {
            throw TestDatabaseError("psql cannot run \"\(sql)\" on \(Self.variable): \(result.standardError)")
        }
    }
}

package struct TestDatabaseError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Gives each test, and each case of a test with arguments, a database of its own. See ``TestDatabase/current``.
package struct FreshDatabaseTrait: SuiteTrait, TestTrait, TestScoping {
    package var isRecursive: Bool { true }

    @concurrent package func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        try await TestDatabase.with(function)
    }
}

extension Trait where Self == FreshDatabaseTrait {
    package static var freshDatabase: Self { Self() }
}
