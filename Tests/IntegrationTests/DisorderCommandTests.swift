import Foundation
import Testing
import TidemarkTesting

/// `tidemark disorder` as it stands in a bug report: a seed and options that anybody can run again.
@Suite(.timeLimit(.minutes(5)))
struct DisorderCommandTests {
    private static let lines = (1...300).map { id in
        #"{"table":"shop.orders","op":"insert","after":{"id":\#(id)},"ts":"2026-03-01T09:30:15Z"}"#
    }

    private func run(_ arguments: String..., input: Data? = nil) async throws -> TidemarkProcess.Result {
        try await TidemarkProcess.run(["disorder"] + arguments, input: input)
    }

    private static func sorted(_ output: String) -> [String] { output.split(separator: "\n").map(String.init).sorted() }

    @Test
    func theSeedIsPrintedAndRepeatsTheRunByteForByte() async throws {
        let input = Data(Self.lines.joined(separator: "\r\n").utf8)
        let options = ["--window", "20", "--repeat", "10", "--drop", "3", "--resend", "50", "--batch", "20"]
        let first = try await TidemarkProcess.run(["disorder"] + options + ["--skew", "2min", "-"], input: input)
        try #require(first.status == 0, "\(first.error)")
        let line = try #require(first.error.split(separator: "\n").first { $0.contains("--seed ") })
        let seed = try #require(line.split(separator: " ").last.map(String.init))
        let again = try await TidemarkProcess.run(
            ["disorder", "--seed", seed] + options + ["--skew", "2min", "-"],
            input: input
        )
        #expect(again.output == first.output)
        #expect(again.error == first.error)
        #expect(again.error.contains("clock shifted on"))
    }

    @Test
    func filesGzipAndStandardInputAreReadAndWrittenToAFileOrToStandardOutput() async throws {
        try await withFolder { folder in
            let plain = folder.appendingPathComponent("a.ndjson")
            let half = Self.lines.prefix(100).joined(separator: "\n")
            try Data(half.utf8).write(to: plain)
            let gzip = try TidemarkProcess.gzip(plain)
            let rest = Data(Self.lines.dropFirst(100).joined(separator: "\n").utf8)
            let output = folder.appendingPathComponent("out.ndjson")
            let result = try await self.run(
                "--shuffle",
                "--seed",
                "5",
                "--output",
                output.path,
                gzip.path,
                "-",
                input: rest
            )
            #expect(result.status == 0 && result.output.isEmpty, "\(result.error)")
            let written = try String(contentsOf: output, encoding: .utf8)
            #expect(Self.sorted(written) == Self.lines.sorted())
            #expect(written.hasSuffix("\n"))
            // What is there is written into.
            let link = folder.appendingPathComponent("link")
            try FileManager.default.createSymbolicLink(at: link, withDestinationURL: output)
            let linked = try await self.run("--shuffle", "--seed", "6", "--output", link.path, gzip.path)
            #expect(linked.status == 0, "\(linked.error)")
            #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link.path) == output.path)
            #expect(Self.sorted(try String(contentsOf: output, encoding: .utf8)) == Self.lines.prefix(100).sorted())
            let shown = try await self.run("--shuffle", "--seed", "5", gzip.path, "-", input: rest)
            #expect(shown.output == written)
        }
    }

    @Test
    func aLogIsNeverOverwrittenWhileItIsRead() async throws {
        try await withFolder { folder in
            let log = folder.appendingPathComponent("a.ndjson")
            let link = folder.appendingPathComponent("b.ndjson")
            try Data(Self.lines.joined(separator: "\n").utf8).write(to: log)
            try FileManager.default.linkItem(at: log, to: link)
            let result = try await self.run("--window", "5", "--output", link.path, log.path)
            #expect(result.status == 1 && result.error.contains("one of the inputs"), "\(result.error)")
            #expect(try String(contentsOf: log, encoding: .utf8) == Self.lines.joined(separator: "\n"))
        }
    }

    @Test(arguments: [
        ["--window", "-1", "-"], ["--window", "5", "--shuffle", "-"], ["--repeat", "101", "-"], ["--drop", "x", "-"],
        ["--skew", "500ms", "-"], ["--skew", "0s", "-"], ["--per", "key", "-"], ["--key", "id", "-"], ["-", "-"], [],
    ])
    func optionsThatMeanNothingAreRefused(_ arguments: [String]) async throws {
        let result = try await TidemarkProcess.run(["disorder"] + arguments)
        #expect(result.status == 64, "\(arguments) \(result.error)")
        #expect(result.output.isEmpty)
    }

    @Test
    func aMissingFileIsExit66AndOneCutShortIsExit65() async throws {
        let missing = try await self.run("--window", "5", "none.ndjson")
        #expect(missing.status == 66, "\(missing.error)")
        try await withFolder { folder in
            let plain = folder.appendingPathComponent("a.ndjson")
            try Data(Self.lines.joined(separator: "\n").utf8).write(to: plain)
            let gzip = try TidemarkProcess.gzip(plain)
            try Data(contentsOf: gzip).dropLast(20).write(to: gzip)
            let cut = try await self.run("--window", "5", gzip.path)
            #expect(cut.status == 65, "\(cut.error)")
        }
    }
}

extension TidemarkProcess {
    /// Compresses a file as `gzip` does, beside it.
    static func gzip(_ file: URL) throws -> URL {
        let compressed = file.appendingPathExtension("gz")
        _ = FileManager.default.createFile(atPath: compressed.path, contents: nil)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["gzip", "-c", file.path]
        process.standardOutput = try FileHandle(forWritingTo: compressed)
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return compressed
    }
}
