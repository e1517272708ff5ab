import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Mistakes of operators: each message names the thing, its value and the way out, and nothing traps.
@Suite("operators", .freshDatabase, .timeLimit(.minutes(10)))
struct OperatorTests {
    /// Exit code, what the message holds, and the command.
    private static let mistakes: [(Int32, String, [String])] = [
        (78, "invalid sslmode value: \"bogus\"", ["replay", "--database", "host=127.0.0.1 sslmode=bogus", "a.ndjson"]),
        (78, "service", ["replay", "--database", "service=no_such_service_of_mine", "a.ndjson"]),
        (64, "--database is empty", ["status", "--database", ""]),
        (64, "--older-than", ["prune", "--older-than", "99999999w", "--dry-run"]),
        (
            64, "--older-than-days takes 0 to 365000",
            ["deliveries", "prune", "--older-than-days", "9223372036854775807"]
        ),
        (64, "--until", ["deadletters", "list", "--until", "294276-12-31"]),
        (64, "--since", ["deadletters", "list", "--since", "99999999999w"]),
        (78, "is not a loopback address", ["run", "--listen", "0.0.0.0:0"]),
        (64, "is not host:port", ["run", "--listen", "http://127.0.0.1:8088"]),
    ]

    @Test(arguments: Self.mistakes)
    func aMistakeIsNamed(_ mistake: (status: Int32, text: String, arguments: [String])) async throws {
        let configuration = Shop.projection + "sources: [{ name: logs, type: files, paths: [\"*.ndjson\"] }]\n"
        try await withWorkplace(configuration) { place, _ in
            try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n"))
            let result = try await place.run(mistake.arguments)
            #expect(result.status == mistake.status, "\(result.output)\(result.error)")
            #expect(result.error.contains(mistake.text), "\(result.error)")
        }
    }

    @Test func waitingForEverIsTaken() async throws {
        try await withWorkplace(Shop.projection) { place, _ in
            let log = try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n"))
            try await place.succeed("replay", "--database-wait", "inf", "--deliver-wait", "1e30", log.path)
        }
    }

    /// PostgreSQL drops no view that a view of the operator's is made of. The message names both.
    @Test func whatDependsOnAProjectionIsNamed() async throws {
        try await withWorkplace(Shop.projection) { place, connection in
            let log = try place.write("a.ndjson", CommandLineTests.three.joined(separator: "\n"))
            try await place.succeed("replay", "--no-deliver", log.path)
            try await connection.execute("create view mine as select * from orders")
            let result = try await place.run("drop", "orders", "--yes")
            #expect(result.status == 1, "\(result.error)")
            for part in ["projection orders", "view public.mine", "drop those, repeat this"] {
                #expect(result.error.contains(part), "\(part): \(result.error)")
            }
            #expect(try await connection.number("select count(*) from mine") > 0)
        }
    }

    /// What a log's positions are is declared: a dry run refuses what a replay refuses.
    @Test func aDryRunKnowsTheDeclaredKindOfPosition() async throws {
        let configuration = """
            projections:
              - name: orders
                from: [shop.orders]
                key: id
                sequence: [{ column: $position, type: binlog }]
                columns: { id: bigint }

            """
        try await withWorkplace(configuration) { place, _ in
            let lsn =
                #"{"payload":{"op":"c","after":{"id":1},"source":{"schema":"shop","table":"orders","lsn":24023128}}}"#
            let log = try place.write("a.ndjson", lsn)
            let dry = try await place.run("replay", "--dry-run", "--strict", log.path)
            #expect(dry.status == 65, "\(dry.output)\(dry.error)")
            let real = try await place.run("replay", "--strict", log.path)
            #expect(real.status == 65, "\(real.output)\(real.error)")
        }
    }

    @Test func anEmptyArrayHasNoMessages() async throws {
        try await withWorkplace(Shop.projection) { place, connection in
            let log = try place.write("a.json", "[\n]\n")
            try await place.succeed("replay", "--no-deliver", "--strict", log.path)
            #expect(try await connection.number("select sum(messages) from tidemark.counters") == 0)
        }
    }

    /// Files leave descriptors to connections, timers and health, and those that are not read are named.
    @Test func moreFilesThanDescriptorsEndNoService() async throws {
        let configuration =
            "server: { listen: none }\n"
            + Shop.projection + "sources: [{ name: logs, type: files, paths: [\"in/*\"], follow: true }]\n"
        try await withWorkplace(configuration) { place, _ in
            let logs = place.folder.appendingPathComponent("in")
            try FileManager.default.createDirectory(at: logs, withIntermediateDirectories: true)
            for number in 0..<300 {
                try place.write("in/\(number).ndjson", CommandLineTests.three.joined(separator: "\n"))
            }
            let service = try TidemarkProcess(
                ["run", "--no-deliver"],
                environment: ["DATABASE_URL": place.database.url],
                directory: place.folder,
                openFiles: 150
            )
            try await wait("it says so", atMost: .seconds(60)) {
                if service.isOver { return true }
                return try service.errorSoFar().contains("source logs: failed")
            }
            service.send(SIGTERM)
            let result = try await service.result()
            #expect(result.status == 0, "\(result.error)")
            #expect(result.error.contains("raise the limit of open files"), "\(result.error)")
        }
    }
}
