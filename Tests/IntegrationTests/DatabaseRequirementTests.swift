import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Databases in which the read model cannot be kept, and ways to one over which it cannot be written.
@Suite(.freshDatabase, .timeLimit(.minutes(5)))
struct DatabaseRequirementTests {
    private static let yaml = """
        sources:
          - { name: logs, type: files, paths: ["*.ndjson"], follow: true }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: bigint, version: bigint, status: text }
            milestones: { shipped: { state: shipped } }
        notifiers:
          log: { type: log }
        """

    private static let line =
        #"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1,"status":"shipped"}}"#

    private static func run(_ arguments: [String], _ place: Workplace, on url: String) async throws
        -> TidemarkProcess.Result
    {
        try await TidemarkProcess.run(arguments, environment: ["DATABASE_URL": url], directory: place.folder)
    }

    @Test(arguments: ["LATIN1", "EUC_JP", "SQL_ASCII"])
    func anotherEncodingThanUTF8IsRefused(_ encoding: String) async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let name = place.database.name + "_other"
            try await connection.execute(
                "create database \(name) encoding '\(encoding)' lc_collate 'C' lc_ctype 'C' template template0"
            )
            let url = place.database.url.replacing(place.database.name, with: name)
            try place.write("log.ndjson", lines: [Self.line])
            for arguments in [
                ["replay", "log.ndjson"], ["run"], ["migrate"], ["rebuild", "orders", "log.ndjson"], ["deliver"],
                ["status"], ["verify", "orders", "--shuffle", "2", "log.ndjson"],
            ] {
                let result = try await Self.run(arguments, place, on: url)
                #expect(result.status == 78, "\(arguments): \(result.error)\(result.output)")
                #expect(
                    result.error.contains(name) && result.error.contains("encoding \(encoding)")
                        && result.error.contains("encoding UTF8"),
                    "\(arguments): \(result.error)"
                )
            }
            try await connection.execute("drop database \(name)")
        }
    }

    @Test
    func aPoolerInTransactionModeIsRefused() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let pooler = try TransactionPooler(to: ServerAddress(conninfo: place.database.url), .transaction)
            defer { pooler.close() }
            let url = pooler.address.replacing(in: place.database.url)
            try place.write("log.ndjson", lines: [Self.line])
            for arguments in [["replay", "log.ndjson"], ["run"], ["migrate"], ["status"]] {
                let result = try await Self.run(arguments, place, on: url)
                #expect(result.status == 78, "\(arguments): \(result.error)\(result.output)")
                #expect(result.error.contains("pool_mode = session"), "\(arguments): \(result.error)")
            }
            #expect(try await connection.value("select to_regnamespace('tidemark_internal')") == "∅")
        }
    }

    @Test
    func aPoolerInSessionModeIsNotRefused() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let pooler = try TransactionPooler(to: ServerAddress(conninfo: place.database.url), .session)
            defer { pooler.close() }
            try place.write("log.ndjson", lines: [Self.line])
            let url = pooler.address.replacing(in: place.database.url)
            let result = try await Self.run(["migrate"], place, on: url)
            #expect(result.status == 0, "\(result.error)")
        }
    }
}
