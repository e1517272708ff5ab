import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// A role whose settings are not the ones that the statements depend on.
@Suite(.freshDatabase, .timeLimit(.minutes(5)))
struct RoleSettingTests {
    private static let yaml = """
        sources:
          - { name: logs, type: files, paths: ["*.ndjson"], follow: true }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: bigint, version: bigint, status: text, at: timestamptz, photo: { type: bytea, encoding: hex }, price: real }
            milestones: { shipped: { state: shipped } }
        notifiers:
          log: { type: log }
        """

    private static let line =
        #"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1,"status":"shipped","#
        + #""at":"2026-03-01T09:30:00Z","price":0.1}}"#

    private static func run(_ arguments: [String], _ place: Workplace, on url: String) async throws
        -> TidemarkProcess.Result
    {
        try await TidemarkProcess.run(arguments, environment: ["DATABASE_URL": url], directory: place.folder)
    }

    /// What a role may have set otherwise.
    private static let settings = [
        "search_path = nowhere", "statement_timeout = 30", "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        "idle_session_timeout = 100", "standard_conforming_strings = off", "transform_null_equals = on",
        "array_nulls = off", "quote_all_identifiers = on", "default_transaction_isolation = serializable",
        "default_transaction_read_only = on", "default_transaction_deferrable = on", "bytea_output = escape",
        "datestyle = 'German'", "intervalstyle = sql_standard", "extra_float_digits = -15", "timezone = 'Asia/Tokyo'",
        "client_encoding = 'LATIN1'", "session_replication_role = replica",
    ]

    @Test
    func aRoleMayHaveEverySettingOtherwise() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let role = "odd_\(UInt32.random(in: .min ... .max))"
            let version = try await connection.number("select current_setting('server_version_num')::integer")
            try await connection.execute("create role \(role) login superuser")
            for setting in Self.settings + (version >= 170_000 ? ["transaction_timeout = 30"] : []) {
                try await connection.execute("alter role \(role) set \(setting)")
            }
            let url = place.database.url.replacing("tidemark@", with: "\(role)@")
            let rows = (2...40).map {
                #"{"table":"shop.orders","op":"insert","after":{"id":\#($0),"version":1,"status":"it's \\ Ünïcode","#
                    + #""at":"2026-03-01T09:30:00Z","price":0.1,"photo":"00ff"}}"#
            }
            try place.write("log.ndjson", lines: [Self.line] + rows)
            let replay = try await Self.run(["replay", "--no-deliver", "log.ndjson"], place, on: url)
            #expect(replay.status == 0, "\(replay.error)")
            #expect(try await connection.number("select count(*) from tidemark.dead_letters") == 0)
            #expect(try await connection.number("select count(*) from orders where photo = '\\x00ff'") == 39)
            #expect(try await connection.value("select status from orders where id = 2") == #"it's \ Ünïcode"#)
            #expect(
                try await connection.value("select to_char(at at time zone 'UTC', 'HH24:MI') from orders where id = 1")
                    == "09:30"
            )
            #expect(try await connection.number("select count(*) from orders_milestones") == 1)
            for arguments in [["status"], ["show", "orders", "2"], ["verify", "orders"], ["rebuild", "orders"]] {
                let result = try await Self.run(arguments, place, on: url)
                #expect(result.status == 0, "\(arguments): \(result.error)\(result.output)")
            }
            let service = try TidemarkProcess(
                ["run", "--no-deliver", "--log-format", "text"],
                environment: ["DATABASE_URL": url],
                directory: place.folder
            )
            try place.append("more.ndjson", [Self.line.replacing(#""id":1"#, with: #""id":99"#)])
            do { try await connection.until("select status from orders where id = 99", is: "shipped") } catch {
                Issue.record("\(error)\n\(try service.errorSoFar())")
            }
            service.send(SIGTERM)
            let served = try await service.result()
            #expect(served.status == 0, "\(served.error)")
            try await connection.execute("drop owned by \(role) cascade; drop role \(role)")
        }
    }
}
