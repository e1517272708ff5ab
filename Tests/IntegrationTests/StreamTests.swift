import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Which file is which stream, and what a resumed replay reads of it.
@Suite(.freshDatabase, .timeLimit(.minutes(5)))
struct StreamTests {
    private static let yaml = """
        lanes: 2
        projections:
          - { name: orders, from: [shop.orders], key: id, sequence: version, state: status }
        """

    private static func line(_ id: Int, _ version: Int = 1) -> String {
        #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"version":\#(version),"status":"paid"}}"#
    }

    /// A log that `--strict` stops in the middle of.
    private static let lines = (1...20).map { line($0) } + ["broken"] + (21...40).map { line($0) }

    private func stop(_ place: Workplace, _ log: URL, lanes: Int = 2) async throws {
        let result = try await place.run(["replay", "--strict", "--no-deliver", "--lanes", "\(lanes)", log.path])
        try #require(result.status == 65, "\(result.error)")
    }

    private func resume(_ place: Workplace, _ log: URL, lanes: Int = 2) async throws -> [String: Any] {
        let result = try await place.run(["replay", "--json", "--no-deliver", "--lanes", "\(lanes)", log.path])
        try #require(result.status == 0, "\(result.error)")
        return try result.json()
    }

    @Test func aFileThatHasGrownIsReadOn() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await self.stop(place, log)
            try place.write("log.ndjson", lines: Self.lines + (41...60).map { Self.line($0) })
            let summary = try await self.resume(place, log)
            #expect(summary["resumed"] as? Bool == true)
            #expect(summary["messages"] as? Int == 61)
            #expect(summary["applied"] as? Int == 60)
            #expect(try await connection.number("select count(*) from tidemark.streams") == 1)
        }
    }

    /// The replay goes on for another file's sake. What the first one has got behind its end is not committed by its level.
    @Test(arguments: [2, 3])
    func aFileThatHasGrownBehindItsEndIsReadOn(_ lanes: Int) async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let first = (101...130).map { Self.line($0) }
            let logs = [
                try place.write("first.ndjson", lines: first), try place.write("second.ndjson", lines: Self.lines),
            ]
            let stopped = try await place.run(["replay", "--strict", "--no-deliver"] + logs.map(\.path))
            try #require(stopped.status == 65, "\(stopped.error)")
            try place.write("first.ndjson", lines: first + (131...150).map { Self.line($0) })
            let result = try await place.run(
                ["replay", "--json", "--no-deliver", "--lanes", "\(lanes)"] + logs.map(\.path)
            )
            try #require(result.status == 0, "\(result.error)")
            let summary = try result.json()
            #expect(summary["resumed"] as? Bool == true)
            #expect(summary["messages"] as? Int == 91)
            #expect(summary["applied"] as? Int == 90)
            #expect(summary["duplicate"] as? Int == 0)
            #expect(try await connection.number("select count(*) from orders") == 90)
        }
    }

    @Test func aFileThatWasMovedIsTheSameStream() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await self.stop(place, log)
            let moved = place.folder.appendingPathComponent("log.1.ndjson")
            try FileManager.default.moveItem(at: log, to: moved)
            let summary = try await self.resume(place, moved)
            #expect(summary["resumed"] as? Bool == true)
            #expect(summary["messages"] as? Int == 41)
            #expect(try await connection.value("select name from tidemark.streams") == moved.path)
        }
    }

    @Test func aCopyIsAStreamOfItsOwn() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await self.stop(place, log)
            let copy = place.folder.appendingPathComponent("copy.ndjson")
            try FileManager.default.copyItem(at: log, to: copy)
            let summary = try await self.resume(place, copy)
            #expect(summary["resumed"] as? Bool == false)
            #expect(summary["messages"] as? Int == 41)
            #expect(try await connection.number("select count(*) from tidemark.streams") == 2)
        }
    }

    @Test func anotherFileOfTheSameNameIsAnotherStream() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await self.stop(place, log)
            try place.write("log.ndjson", lines: (101...130).map { Self.line($0) })
            let summary = try await self.resume(place, log)
            #expect(summary["resumed"] as? Bool == false)
            #expect(summary["messages"] as? Int == 30)
            #expect(try await connection.number("select count(*) from tidemark.streams") == 2)
        }
    }

    @Test(arguments: [(1, 4), (4, 1), (3, 2), (2, 5)])
    func lanesMayChangeBetweenTheRunsOfAReplay(_ before: Int, _ after: Int) async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let log = try place.write("log.ndjson", lines: Self.lines)
            try await self.stop(place, log, lanes: before)
            // As if the process had been killed before it stored the level: what tells is each lane's own row.
            try await connection.execute(
                """
                update tidemark_internal.leases
                set "offset" = tidemark_internal.stream_offset(0, 0, 0), message_ordinal = 1
                """
            )
            let summary = try await self.resume(place, log, lanes: after)
            #expect(summary["resumed"] as? Bool == true)
            for (member, count) in [
                ("messages", 41), ("applied", 40), ("dead_letters", 1), ("duplicate", 0), ("entities", 40),
            ] {
                #expect(summary[member] as? Int == count, "\(member)")
            }
        }
    }

    @Test func passesThatEndedLongAgoAreRemovedUnlessATruncateNamesThem() async throws {
        try await withWorkplace(Self.yaml) { place, connection in
            let truncate = #"{"table":"shop.orders","op":"truncate","position":[42]}"#
            let logs = [
                try place.write("old.ndjson", lines: [Self.line(1)]),
                try place.write("truncated.ndjson", lines: [truncate, Self.line(2)]),
            ]
            for log in logs { _ = try await self.resume(place, log) }
            try await self.stop(place, try place.write("unfinished.ndjson", lines: Self.lines))
            try await connection.execute(
                """
                update tidemark_internal.passes
                set started_at = now() - interval '40 days', finished_at = finished_at - interval '31 days'
                """
            )
            _ = try await self.resume(place, try place.write("new.ndjson", lines: [Self.line(3)]))
            let passes = try await connection.rows(
                "select string_agg(distinct p.stream, ' ') from tidemark.progress as p group by p.pass order by p.pass"
            ).map { $0[0].split(separator: "/").last.map(String.init) }
            #expect(passes == ["truncated.ndjson", "unfinished.ndjson", "new.ndjson"])
            #expect(try await connection.number("select count(distinct replay) from tidemark.counters") == 3)
            #expect(try await connection.number("select count(*) from tidemark.streams") == 4)
            #expect(try await connection.number("select count(*) from orders") == 20)
        }
    }
}
