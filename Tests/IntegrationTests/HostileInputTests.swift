import Foundation
import LibPQ
import Testing
import TidemarkTesting

/// Lines that become far more than they are, and outputs that cannot be written.
@Suite(.freshDatabase, .timeLimit(.minutes(10)))
struct HostileInputTests {
    private static let configuration = """
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: numeric, amount: numeric }
          - name: raw
            from: [shop.raw]
            key: id
            sequence: version

        """

    private static func highWaterMark(_ arguments: [String], in place: Workplace) async throws -> (
        megabytes: Int, result: TidemarkProcess.Result
    ) {
        let process = try TidemarkProcess(
            arguments,
            environment: ["DATABASE_URL": place.database.url],
            directory: place.folder
        )
        var peak = 0
        try await wait("the end", atMost: .seconds(300)) {
            let status = try? String(contentsOfFile: "/proc/\(process.identifier)/status", encoding: .utf8)
            let line = status?.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
            peak = max(peak, line?.split(separator: " ").dropLast().last.flatMap { Int($0) } ?? 0)
            return process.isOver
        }
        return (peak * 1024 / 1_000_000, try await process.result())
    }

    /// `1e131071` is eight bytes and a number of 131,072 digits.
    @Test func exponentsDoNotMultiplyALine() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            func row(_ table: String, _ fields: String) -> String {
                #"{"table":"shop.\#(table)","op":"insert","after":{\#(fields)}}"#
            }
            let list = Array(repeating: "1e131071", count: 20_000).joined(separator: ",")
            var lines = [
                row("raw", #""id":"a","version":1,"x":[\#(list)]"#), row("raw", #""id":"b","version":1,"x":1e-16383"#),
                row("raw", #""id":"c","version":1,"x":[1e308,5e-324,1.5e-10]"#),
                row("orders", #""id":1,"version":1e131071"#),
                row("orders", #""id":2,"version":1e300,"amount":1e308"#),
            ]
            lines += (10..<1000).map { row("orders", #""id":\#($0),"version":1,"amount":1e131071"#) }
            let log = try place.write("log.ndjson", lines: lines)
            let (peak, result) = try await Self.highWaterMark(["replay", "--json", log.path], in: place)
            #expect(result.status == 0, "\(result.error)")
            #expect(peak > 5 && peak < 200, "\(peak) MB")
            let summary = try result.json()
            #expect(summary["dead_letters"] as? Int == 993 && summary["applied"] as? Int == 2, "\(result.output)")
            #expect(try await connection.number("select count(*) from raw") == 1)
        }
    }

    /// The letters of one message share its bytes, in memory and in the database, and each can be tried again.
    @Test func badRowsDoNotMultiplyAMessage() async throws {
        try await withWorkplace(Self.configuration) { place, connection in
            let padding = String(repeating: "p", count: 900_000)
            let rows = Array(repeating: #"{"id":"x"}"#, count: 2_000).joined(separator: ",")
            let message =
                #"{"data":[\#(rows)],"database":"shop","table":"orders","type":"INSERT","es":1,"ts":1,"isDdl":false,"#
                + #""pkNames":["id"],"sql":"\#(padding)","id":1}"#
            let log = try place.write("log.ndjson", lines: [message])
            let (peak, result) = try await Self.highWaterMark(["replay", "--json", log.path], in: place)
            #expect(result.status == 0, "\(result.error)")
            #expect(peak > 5 && peak < 250, "\(peak) MB")
            #expect(try await connection.number("select count(*) from tidemark.dead_letters") == 2_000)
            let stored = "select sum(length(raw)) from tidemark_internal.dead_letter_messages"
            #expect(try await connection.number(stored) == message.utf8.count)
            let whole = "select count(*) from tidemark.dead_letters where length(raw) > 900000"
            #expect(try await connection.number(whole) == 2_000)
            let last = try await connection.value("select max(id)::text from tidemark.dead_letters")
            let retried = try await place.run("deadletters", "retry", last)
            #expect(retried.status == 65 && retried.output.contains("1 refused again"), "\(retried.output)")
            // With the last letter its message goes.
            try await place.succeed("deadletters", "drop", "--all", "--yes")
            #expect(try await connection.number("select count(*) from tidemark_internal.dead_letter_messages") == 0)
        }
    }

    /// A command whose output cannot be written ends with 1; a service whose log cannot be written goes on.
    @Test func outputsThatCannotBeWritten() async throws {
        try await withWorkplace(
            Self.configuration
                + "server: { listen: none }\nsources: [{ name: f, type: files, paths: [\"l/*\"], follow: true }]\n"
        ) { place, connection in
            try FileManager.default.createDirectory(
                at: place.folder.appendingPathComponent("l"),
                withIntermediateDirectories: false
            )
            let row = #"{"table":"shop.orders","op":"insert","after":{"id":1,"version":1}}"#
            let log = try place.write("l/a.ndjson", lines: [row])
            let executable = try #require(TidemarkProcess.executable).path
            func shell(_ command: String) async throws -> (status: Int32, error: String) {
                let process = Process()
                process.executableURL = URL(fileURLWithPath: "/bin/sh")
                process.arguments = ["-c", "'\(executable)' \(command)"]
                process.environment = ProcessInfo.processInfo.environment.merging(["DATABASE_URL": place.database.url])
                { $1 }
                process.currentDirectoryURL = place.folder
                let pipe = Pipe()
                process.standardError = pipe
                try process.run()
                let error = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
                process.waitUntilExit()
                return (process.terminationStatus, error)
            }
            for command in ["replay --no-deliver \(log.path)", "status", "check", "show orders 1", "deadletters list"] {
                let ended = try await shell("\(command) >/dev/full")
                #expect(ended.status == 1, "\(command): \(ended)")
                #expect(
                    ended.error.contains("cannot write to standard output: No space left on device"),
                    "\(ended.error)"
                )
                #expect(try await shell("\(command) 2>/dev/full >/dev/null").status == 0, "\(command)")
            }
            #expect(try await connection.number("select count(*) from orders") == 1)
            // The service writes to a log that is full from the beginning.
            let service = Process()
            service.executableURL = URL(fileURLWithPath: "/bin/sh")
            service.arguments = ["-c", "exec '\(executable)' run --no-deliver 2>/dev/full"]
            service.environment = ProcessInfo.processInfo.environment.merging(["DATABASE_URL": place.database.url]) {
                $1
            }
            service.currentDirectoryURL = place.folder
            try service.run()
            _ = try place.write("l/b.ndjson", lines: [row.replacing("\"id\":1", with: "\"id\":2")])
            try await connection.until("select count(*)::text from orders", is: "2", within: .seconds(60))
            service.terminate()
            service.waitUntilExit()
            #expect(service.terminationStatus == 0)
        }
    }
}
