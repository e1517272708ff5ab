import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Files whose names are not UTF-8, which no path of a `String` leads to: they are refused by name.
@Suite("names of files that are not UTF-8", .freshDatabase, .timeLimit(.minutes(5)))
struct FileNameTests {
    /// Writes `before`, a byte that is not UTF-8, and `after` as the name of a file.
    private func write(_ before: String, _ after: String, _ lines: [String], in folder: URL) throws {
        let name = Array((folder.path + "/" + before).utf8) + [0xE9] + Array(after.utf8) + [0]
        let file = try #require(fopen(name.map { CChar(bitPattern: $0) }, "w"))
        defer { fclose(file) }
        fputs(lines.map { $0 + "\n" }.joined(), file)
    }

    @Test
    func foldersAndPatternsNameThem() async throws {
        let yaml = """
            projections: [{ name: orders, from: shop.orders, key: id, sequence: version }]
            sources: [{ name: logs, type: files, paths: [logs] }]
            """
        try await withWorkplace(yaml) { place, connection in
            try place.append("logs/a.ndjson", [FollowedShop.line(1)])
            let logs = place.folder.appendingPathComponent("logs")
            try self.write("caf", ".ndjson", [FollowedShop.line(2)], in: logs)
            for command in ["replay --no-deliver", "replay --no-deliver --dry-run", "check"] {
                for paths in [["logs"], ["logs/*"], ["logs/*.ndjson"], ["**/*.ndjson"], []] {
                    let result = try await place.run(command.split(separator: " ").map(String.init) + paths)
                    #expect(result.status == 66, "\(command) \(paths): \(result)")
                    let said = #"logs/caf\xe9.ndjson: its name is not UTF-8; rename it"#
                    #expect(result.error.contains(said), "\(command) \(paths): \(result.error)")
                }
            }
            #expect(try await connection.value("select to_regclass('orders')") == "∅")
            // What a pattern or a folder leaves out is not refused.
            try place.append("logs/b.json", [FollowedShop.line(3)])
            try self.write(".caf", ".ndjson", [], in: place.folder)
            try await place.succeed("replay", "--no-deliver", "logs/a*", "logs/*.json")
            #expect(try await connection.value("select count(*) from orders") == "2")
        }
    }

    @Test
    func checkRefusesThoseOfAFollowedSource() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, _ in
            try place.append("logs/a.ndjson", [FollowedShop.line(1)])
            try self.write("caf", ".ndjson", [], in: place.folder.appendingPathComponent("logs"))
            #expect(try await place.fail(66, "check").contains(#"caf\xe9.ndjson: its name is not UTF-8"#))
        }
    }

    @Test
    func aServiceReadsTheOthersAndFailsByName() async throws {
        try await withWorkplace(FollowedShop.configuration) { place, connection in
            try place.append("logs/a.ndjson", [FollowedShop.line(1)])
            try place.append("others/b.ndjson", [FollowedShop.line(2)])
            let logs = place.folder.appendingPathComponent("logs")
            try self.write("caf", ".ndjson", [FollowedShop.line(3)], in: logs)
            try await place.withService {
                try await connection.until("parts", has: [1, 2])
                let check = "from tidemark.checks where name = 'source logs'"
                try await connection.until("select status \(check)", is: "failed")
                let said = try await connection.value("select reason || ' → ' || remedy \(check)")
                #expect(said.hasSuffix(#"/logs/caf\xe9.ndjson: its name is not UTF-8 → rename it"#), "\(said)")
                #expect(try await place.succeed("status").output.contains(#"caf\xe9.ndjson"#))
                // The others are still followed, and it goes on once it has another name.
                try place.append("logs/a.ndjson", [FollowedShop.line(4)])
                try await connection.until("parts", has: [1, 2, 4])
                let name = Array((logs.path + "/caf").utf8) + [0xE9] + Array(".ndjson".utf8) + [0]
                let path = logs.appendingPathComponent("cafe.ndjson").path
                #expect(rename(name.map { CChar(bitPattern: $0) }, path) == 0)
                try await connection.until("parts", has: [1, 2, 3, 4])
                try await connection.until("select count(*)::text \(check)", is: "0")
            }
        }
    }
}
