import AsyncHTTPClient
import Foundation
import LibPQ
import NIOCore
import NIOHTTP1
import Testing
import TidemarkTesting

/// `/metrics` of a running service beside what its tables hold.
@Suite("metrics", .freshDatabase, .timeLimit(.minutes(10)))
struct MetricsTests {
    private static let configuration = """
        lanes: 2
        server: { listen: "127.0.0.1:0" }
        service: { lease_ttl: 2s }
        sources:
          - { name: logs, type: files, paths: ["logs/*.ndjson"], follow: true }
          - { name: push, type: http }
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            state: status
            columns: { id: bigint, status: text, version: integer }
            milestones: { shipped: { state: shipped, notify: [warehouse] } }
          - name: lean
            from: [shop.orders]
            key: id
            sequence: version
            timeline: false
            columns: { id: bigint, version: integer }
        notifiers:
          warehouse: { type: log }

        """

    /// A running service, and its page.
    private final class Service {
        let process: TidemarkProcess
        let address: String

        init(_ place: Workplace, _ arguments: String...) async throws {
            let process = try TidemarkProcess(
                ["run", "--log-format", "json"] + arguments,
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder
            )
            var address = ""
            try await wait("the service listens", atMost: .seconds(60)) {
                let log = try process.errorSoFar()
                guard log.contains("source push: running"),
                    let match = log.firstMatch(of: #/"address":"(http[^"]*)"/#)
                else { return process.isOver }
                address = String(match.1)
                return true
            }
            (self.process, self.address) = (process, address)
        }

        /// The values by series, as they are written.
        func metrics() async throws -> [String: Double] {
            let response = try await HTTPClient.shared.execute(
                HTTPClientRequest(url: self.address + "/metrics"),
                timeout: .seconds(30)
            )
            #expect(response.status.code == 200)
            #expect(response.headers.first(name: "content-type") == "text/plain; version=0.0.4; charset=utf-8")
            let date = response.headers.first(name: "date") ?? ""
            let (days, months) = ("Mon|Tue|Wed|Thu|Fri|Sat|Sun", "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec")
            let form = try Regex("(\(days)), \\d{2} (\(months)) 20\\d{2} \\d{2}:\\d{2}:\\d{2} GMT")
            #expect(try form.wholeMatch(in: date) != nil, "\(date)")
            let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
            var values: [String: Double] = [:]
            for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                let parts = line.split(separator: " ")
                #expect(parts.count == 2 && values[String(parts[0])] == nil, "\(line)")
                values[String(parts[0])] = Double(parts[1])
            }
            return values
        }

        /// Until the page has these values.
        func until(_ expected: [String: Double]) async throws {
            var last: [String: Double] = [:]
            do {
                try await wait("\(expected)", atMost: .seconds(60)) {
                    last = try await self.metrics()
                    return expected.allSatisfy { last[$0.key] == $0.value }
                }
            } catch {
                for (name, value) in expected where last[name] != value {
                    Issue.record("\(name): \(last[name].map { "\($0)" } ?? "missing"), and not \(value)")
                }
                throw error
            }
        }

        func stop() async throws {
            self.process.send(SIGTERM)
            let result = try await self.process.result()
            #expect(result.status == 0, "\(result.error)")
        }
    }

    private static func events(_ projection: String, _ verdict: String) -> String {
        #"tidemark_events_total{projection="\#(projection)",verdict="\#(verdict)"}"#
    }

    @Test func countsWhatItsTablesCount() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let service = try await Service(place)
            // Versions out of order in several batches, repeats, a row of no projection, and two that cannot be read.
            try place.append("logs/a.ndjson", [FollowedShop.line(1, 2, "shipped"), FollowedShop.line(2, 1)])
            try await connection.until("orders", has: [1, 2])
            try place.append(
                "logs/a.ndjson",
                [
                    FollowedShop.line(1, 1), FollowedShop.line(1, 1), FollowedShop.line(2, 2, "shipped"), "{",
                    #"{"table":"shop.orders","op":"update","after":{"version":1}}"#,
                    #"{"table":"shop.others","op":"update","after":{"id":1}}"#,
                ]
            )
            try await service.until([
                #"tidemark_messages_total{source="logs"}"#: 8,
                #"tidemark_dead_letters_total{source="logs",reason="malformed_json"}"#: 1,
                #"tidemark_dead_letters_total{source="logs",reason="key_missing"}"#: 2,
                Self.events("orders", "applied"): 3, Self.events("orders", "late"): 1,
                Self.events("orders", "duplicate"): 1,
                // Without a timeline a late event cannot be told from its repeat.
                Self.events("lean", "applied"): 3, Self.events("lean", "late"): 2, Self.events("lean", "duplicate"): 0,
                #"tidemark_events_total{projection="",verdict="filtered"}"#: 1,
                #"tidemark_milestones_total{projection="orders",milestone="shipped"}"#: 2,
                #"tidemark_deliveries_total{notifier="warehouse",result="delivered"}"#: 2,
                #"tidemark_delivery_seconds_count{notifier="warehouse",result="delivered"}"#: 2,
                #"tidemark_deliveries_open{notifier="warehouse"}"#: 0,
                #"tidemark_delivery_oldest_seconds{notifier="warehouse"}"#: 0,
                #"tidemark_notifier_state{notifier="warehouse"}"#: 0,
                #"tidemark_leases{source="logs"}"#: 1, #"tidemark_leases{source="push"}"#: 1,
                #"tidemark_source_state{source="logs",state="running"}"#: 1,
                #"tidemark_source_state{source="logs",state="paused"}"#: 0,
                #"tidemark_source_lag_bytes{source="logs"}"#: 0,
                #"tidemark_source_lag_seconds{source="logs"}"#: 0,
                #"tidemark_end_to_end_seconds_count{source="logs"}"#: 10,
                "tidemark_lane_queue_bytes": 0, "tidemark_memory_budget_used_bytes": 0,
            ])
            for (verdict, column) in [("applied", "applied"), ("late", "late"), ("duplicate", "duplicate")] {
                for projection in ["orders", "lean"] {
                    let stored = try await connection.number(
                        "select sum(\(column)) from tidemark.counters where projection = '\(projection)'"
                    )
                    #expect(try await service.metrics()[Self.events(projection, verdict)] == Double(stored))
                }
            }
            let values = try await service.metrics()
            let bytes = try Data(contentsOf: place.folder.appendingPathComponent("logs/a.ndjson")).count
            #expect(values[#"tidemark_bytes_total{source="logs"}"#] == Double(bytes))
            #expect(values["tidemark_commit_seconds_count"] == values["tidemark_batch_events_count"])
            #expect(values["tidemark_memory_budget_bytes"] ?? 0 > 1_000_000)
            #expect(values.keys.contains { $0.hasPrefix("tidemark_build_info{version=") })
            let lookups = ["hit", "miss"].map { values[#"tidemark_cache_lookups_total{result="\#($0)"}"#] ?? 0 }
            #expect(lookups[0] > 0, "\(lookups)")
            try await service.stop()
        }
    }

    /// What cannot be committed is behind, and for how long; who does not deliver shows what is open.
    @Test func showsWhatWaits() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let service = try await Service(place, "--no-deliver")
            try place.append("logs/a.ndjson", [FollowedShop.line(1, 1, "shipped")])
            try await connection.until("orders", has: [1])
            try await service.until([
                #"tidemark_deliveries_open{notifier="warehouse"}"#: 1,
                #"tidemark_source_lag_bytes{source="logs"}"#: 0,
            ])
            #expect(try await service.metrics()[#"tidemark_delivery_oldest_seconds{notifier="warehouse"}"#] ?? 0 > 0)
            try await connection.execute("begin; lock table tidemark_internal.orders_entities in access exclusive mode")
            let line = FollowedShop.line(2)
            try place.append("logs/a.ndjson", [line])
            try await service.until([#"tidemark_source_lag_bytes{source="logs"}"#: Double(line.utf8.count + 1)])
            #expect(try await service.metrics()[#"tidemark_source_lag_seconds{source="logs"}"#] ?? 0 > 0)
            try await connection.execute("commit")
            try await service.until([
                #"tidemark_source_lag_bytes{source="logs"}"#: 0, #"tidemark_source_lag_seconds{source="logs"}"#: 0,
            ])
            try await place.succeed("pause", "logs")
            try await service.until([
                #"tidemark_source_state{source="logs",state="running"}"#: 0,
                #"tidemark_source_state{source="logs",state="paused"}"#: 1,
                #"tidemark_leases{source="logs"}"#: 0,
            ])
            try await service.stop()
        }
    }
}
