import Foundation
import LibPQ
import Synchronization
import Testing
import TidemarkStore

/// A database of its own for a test, with Tidemark's schema. Without a server the test fails.
struct TestDatabase: Sendable {
    static let variable = "TIDEMARK_TEST_DATABASE_URL"

    let options: ConnectionOptions
    let connection: Connection

    static func with(_ body: (TestDatabase) async throws -> Void) async throws {
        let server = try #require(
            ProcessInfo.processInfo.environment[Self.variable],
            "\(Self.variable) names no PostgreSQL server"
        )
        let name = "notifier_test_" + UUIDText.random().replacing("-", with: "")
        let admin = try await Connection.connect(ConnectionOptions(server))
        try await admin.execute("create database \(name)")
        let options = ConnectionOptions(Self.conninfo(server, database: name))
        let outcome: Result<Void, any Error>
        do {
            let connection = try await Connection.connect(options)
            _ = try await Migrator.migrate(connection)
            outcome = .success(try await body(TestDatabase(options: options, connection: connection)))
            await connection.close()
        } catch {
            outcome = .failure(error)
        }
        try await admin.execute("drop database \(name) with (force)")
        try outcome.get()
    }

    /// The same server's other database. A keyword behind wins.
    private static func conninfo(_ server: String, database: String) -> String {
        guard server.contains("://") else { return server + " dbname=\(database)" }
        return server + (server.contains("?") ? "&" : "?") + "dbname=\(database)"
    }

    /// Puts deliveries into the outbox, in this order.
    func insert(
        _ deliveries: [(key: Int, milestone: String)],
        notifier: String = "warehouse",
        status: String = "due",
        projection: String = "orders"
    ) async throws {
        for (key, milestone) in deliveries {
            _ = try await self.connection.query(
                """
                insert into tidemark_internal.deliveries
                    (id, projection, key, milestone, notifier, status, next_attempt_at, body)
                values (gen_random_uuid(), $1::text, jsonb_build_array($2::bigint), $3::text, $4::text, $5::text,
                    case when $5::text <> 'muted' then now() end, '{"type":"test"}')
                """,
                [.text(projection), .int64(Int64(key)), .text(milestone), .text(notifier), .text(status)]
            )
        }
    }

    func claim(
        _ limit: Int = 100,
        notifier: String = "warehouse",
        lease: Duration = .seconds(60)
    ) async throws -> [ClaimedDelivery] {
        let request = ClaimRequest(notifier: notifier, limit: limit, lease: lease)
        return try await DeliveryStore.claim([request], token: UUIDText.random(), on: self.connection).deliveries
    }

    func record(_ claimed: [ClaimedDelivery], _ outcome: DeliveryRecord.Outcome) async throws -> Set<Int64> {
        try await DeliveryStore.record(
            claimed.map { DeliveryRecord(seq: $0.seq, token: $0.token, outcome: outcome, error: "why") },
            on: self.connection
        )
    }

    /// What has become of the deliveries, in the order of the outbox.
    func rows() async throws -> [DeliveryRow] {
        try await DeliveryStore.list(DeliveryFilter(limit: 1_000_000), on: self.connection).reversed()
    }

    func untried(_ projections: [String] = ["orders"]) async throws -> Int {
        try await DeliveryStore.countUntried(projections: projections, on: self.connection)
    }

    /// Lets time pass as far as deliveries are concerned.
    func passTime(_ interval: String = "1 hour") async throws {
        try await self.connection.execute(
            "update tidemark_internal.deliveries set next_attempt_at = next_attempt_at - interval '\(interval)'"
        )
    }
}

extension ClaimedDelivery {
    /// `7 shipped`.
    var label: String { "\(self.keyJSON.filter(\.isNumber)) \(self.milestone)" }
}
