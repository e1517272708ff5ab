import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// A signal while a query runs: the command ends with its exit code, and the server stops working for it.
@Suite("signals", .freshDatabase, .timeLimit(.minutes(5)))
struct SignalTests {
    private static let configuration = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: bigint, version: bigint, status: text }

        """

    private static let lines = (1...9).map {
        #"{"table":"shop.orders","op":"update","after":{"id":\#($0),"version":2,"status":"paid"}}"#
    }

    /// Each command waits for a lock that the test holds to the end.
    @Test(arguments: [
        "verify orders", "verify orders --against log.ndjson", "status", "show orders 1", "deadletters list",
        "deliveries list", "prune --older-than 1d", "prune --older-than 1d --dry-run", "rebuild orders --no-deliver",
    ])
    func theQueryEndsWithTheCommand(_ command: String) async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            _ = try await place.replay(try place.write("log.ndjson", lines: Self.lines))
            let holder = try await place.database.connect("holder")
            for (signal, status) in [(SIGINT, Int32(130)), (SIGTERM, 143)] {
                try await holder.execute(
                    """
                    begin; lock table tidemark_internal.orders_entities, tidemark_internal.orders_events,
                        tidemark_internal.deliveries, tidemark_internal.dead_letters in access exclusive mode
                    """
                )
                let process = try TidemarkProcess(
                    command.split(separator: " ").map(String.init),
                    environment: ["DATABASE_URL": place.database.url],
                    directory: place.folder
                )
                let sessions = """
                    select count(*)::text from pg_stat_activity
                    where datname = current_database() and application_name like 'tidemark %'
                    """
                try await wait("a query of \(command)", atMost: .seconds(20)) {
                    try await connection.number(sessions + " and wait_event_type = 'Lock'") > 0
                }
                process.send(signal)
                let ended = ContinuousClock.now
                let result = try await process.result()
                #expect(result.status == status, "\(result.error)")
                #expect(ContinuousClock.now - ended < .seconds(10))
                try await connection.until(sessions, is: "0", within: .seconds(5))
                try await holder.execute("rollback")
            }
            await holder.close()
            // What was interrupted is done by the next one.
            let again = try await place.run(command.split(separator: " ").map(String.init))
            #expect(again.status == 0, "\(again.error)")
            let scratch = "select count(*) from pg_namespace where nspname like 'tidemark_verify%'"
            #expect(try await connection.number(scratch) == 0)
        }
    }
}
