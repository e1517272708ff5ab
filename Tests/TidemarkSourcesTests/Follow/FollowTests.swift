import Foundation
import Testing
import TidemarkCore
import TidemarkSources

/// How followed files are read: growth, lines, new files, and what cannot be read.
@Suite(.timeLimit(.minutes(5)))
struct FollowTests {
    @Test(arguments: [true, false])
    func `what is written to a file arrives`(usesNotification: Bool) async throws {
        try await FollowBench.with("app.log", usesNotification: usesNotification) { bench in
            try bench.append("one\n", to: "app.log")
            bench.start()
            await bench.expect("one")
            try bench.append("two\nthree\n", to: "app.log")
            let state = await bench.expect("one", "two", "three")
            #expect(state.streams[0].lines.map(\.offset) == [0, 4, 8])
            #expect(state.streams[0].lines.map(\.number) == [1, 2, 3])
            #expect(state.streams.count == 1 && state.assignments == 1)
        }
    }

    @Test func `half a line waits for its end, also across restarts`() async throws {
        try await FollowBench.with("app.log") { bench in
            try bench.append("one\ntw", to: "app.log")
            bench.start()
            await bench.expect("one")
            try bench.append("o\r", to: "app.log")
            await bench.restart()
            try bench.append("\nthree\n\n  \nfo", to: "app.log")
            let state = await bench.expect("one", "two", "three")
            #expect(state.streams[0].level.offset.major == 19)
            await bench.restart()
            try bench.append("ur\n", to: "app.log")
            let last = await bench.expect("one", "two", "three", "four")
            #expect(last.streams[0].lines == linesExpected(of: try bench.read("app.log")))
        }
    }

    @Test func `a whole JSON value without a line end is delivered once the file is quiet`() async throws {
        try await FollowBench.with("app.log", timing: { $0.lineGrace = .milliseconds(1) }) { bench in
            try bench.append("{\"a\":\"}\\\"\"}", to: "app.log")
            bench.start()
            await bench.expect("{\"a\":\"}\\\"\"}")
            // Its line end is none of its own, also where it is read by another process.
            await bench.restart()
            try bench.append("\r\n[1,[2]] \n{\"b\":1}\n{\"c\":[}", to: "app.log")
            var state = await bench.expect("{\"a\":\"}\\\"\"}", "[1,[2]] ", "{\"b\":1}")
            #expect(state.streams[0].lines.map(\.number) == [1, 2, 3])
            try bench.append("]}\n", to: "app.log")
            state = await bench.streams.wait { $0.texts.count == 4 }
            #expect(state.streams[0].lines == linesExpected(of: try bench.read("app.log")))
        }
    }

    @Test func `lines, offsets and numbers are those of a replay`() async throws {
        let content =
            Array("\u{FEFF}\n{\"a\":1}\r\n\n \t\n".utf8) + [UInt8](repeating: 0x78, count: 3_000_000)
            + Array("\nshort\n   \n".utf8) + [UInt8](repeating: 0x20, count: 2_000_000) + Array("\nend\n".utf8)
        try await FollowBench.with("app.log", messageBytesMax: 1000) { bench in
            bench.start()
            var start = 0
            for end in [1, 2, 3, 9, 20, 1_000_000, 2_500_000, 3_000_010, 3_000_020, content.count] {
                try bench.append(Array(content[start..<end]), to: "app.log")
                start = end
                if end == 3_000_010 { await bench.restart() }
            }
            let expected = linesExpected(of: content, messageBytesMax: 1000)
            let state = await bench.streams.wait { $0.texts.last == "end" }
            #expect(state.streams[0].lines == expected)
        }
    }

    @Test func `new files of a folder and of a pattern are found, hidden ones are not`() async throws {
        try await FollowBench.with("in", "logs/*/app-?.log") { bench in
            bench.start()
            let waiting = await bench.streams.wait { $0.follow.waiting != nil }
            #expect(waiting.follow.waiting?.contains(bench.path("in")) == true)
            for name in ["in/a", "in/.hidden", "logs/x/app-1.log", "logs/x/other.log"] {
                let url = URL(filePath: bench.path(name))
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(),
                    withIntermediateDirectories: true
                )
                try bench.append(name + "\n", to: name)
            }
            await bench.streams.wait { Set($0.texts) == ["in/a", "logs/x/app-1.log"] }
            try bench.append("b\n", to: "in/b")
            let state = await bench.streams.wait { $0.texts.contains("b") && $0.follow.files == 3 }
            #expect(state.texts.count == 3 && state.follow.waiting == nil)
        }
    }

    @Test func `a file that is named by a link is read once, and its changes are heard where it is`() async throws {
        try await FollowBench.with("*.log", "current") { bench in
            try FileManager.default.createDirectory(atPath: bench.path("real"), withIntermediateDirectories: true)
            try bench.append("one\n", to: "real/data")
            for link in ["a.log", "current"] {
                try FileManager.default.createSymbolicLink(
                    atPath: bench.path(link),
                    withDestinationPath: bench.path("real/data")
                )
            }
            bench.start()
            await bench.expect("one")
            try bench.append("two\n", to: "real/data")
            let state = await bench.expect("one", "two")
            #expect(state.assignments == 1)
        }
    }

    @Test func `what cannot be read is told with a remedy, and others go on`() async throws {
        try await FollowBench.with("*") { bench in
            try bench.append("a\n", to: "a")
            let loop = bench.path("z")
            try bench.append(Array(gzip("x\ny\n".utf8).dropLast(3)) + [9, 9, 9], to: "b.gz")
            try FileManager.default.createSymbolicLink(atPath: loop, withDestinationPath: loop)
            bench.start()
            let state = await bench.streams.wait { !$0.follow.failing.isEmpty && Set($0.texts) == ["a", "x", "y"] }
            #expect(state.follow.failing.map(\.file) == [bench.path("b.gz")])
            #expect(state.follow.failing.allSatisfy { !$0.reason.isEmpty && !$0.remedy.isEmpty })
            try bench.append("aa\n", to: "a")
            await bench.streams.wait { $0.texts.contains("aa") }
            // Replaced by an undamaged one, it is read on.
            try bench.append(gzip("x\ny\nz\n".utf8), to: "tmp-")
            try bench.move("tmp-", to: "b.gz")
            let last = await bench.streams.wait { $0.follow.failing.isEmpty && $0.texts.contains("z") }
            #expect(last.texts.sorted() == ["a", "aa", "x", "y", "z"])
        }
    }

    @Test func `a file that is no lines is told with a remedy, and others go on`() async throws {
        try await FollowBench.with("*", timing: { $0.copyGrace = .milliseconds(1) }) { bench in
            try bench.append("a\n", to: "a")
            try bench.append("BZh91AY&SY", to: "b.bz2")
            try bench.append("x\n".utf16.flatMap { [UInt8($0), 0] }, to: "c")
            try bench.append("[\n{\"a\":1},\n{\"a\":2}]\n", to: "d.json")
            bench.start()
            let state = await bench.streams.wait { $0.follow.failing.count == 3 && $0.texts == ["a"] }
            let failing = state.follow.failing.sorted { $0.file < $1.file }
            for (problem, said) in zip(failing, ["bzip2 -d", "iconv -f UTF-16LE", "jq -c '.[]'"]) {
                #expect(problem.reason.contains(said) && problem.remedy.contains("tried again by itself"))
            }
            try bench.append("aa\n", to: "a")
            await bench.streams.wait { $0.texts == ["a", "aa"] }
            // Replaced by lines, it is read.
            try bench.append("y\n", to: "tmp-")
            try bench.move("tmp-", to: "b.bz2")
            await bench.streams.wait { $0.follow.failing.count == 2 && $0.texts.contains("y") }
        }
    }

    @Test func `zstd is followed as gzip is`() async throws {
        try await FollowBench.with("*", timing: { $0.copyGrace = .milliseconds(1) }) { bench in
            // A frame of one block that is not compressed.
            let frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x20, 4, 0x21, 0, 0] + Array("x\ny\n".utf8)
            try bench.append(Array(frame[..<11]), to: "a.zst")
            bench.start()
            try bench.append(Array(frame[11...]), to: "a.zst")
            let state = await bench.streams.wait { $0.texts == ["x", "y"] }
            #expect(state.follow.failing.isEmpty)
        }
    }

    @Test func `zstd that needs a large window is told with a remedy, and others go on`() async throws {
        try await FollowBench.with("*", timing: { $0.copyGrace = .milliseconds(1) }) { bench in
            let block: [UInt8] = [0x11, 0, 0] + Array("x\n".utf8)
            let windows = { (bits: UInt8) in [0x28, 0xB5, 0x2F, 0xFD, 0, (bits - 10) << 3] + block }
            try bench.append(windows(28), to: "wide.zst")
            // The largest that is taken. Each such file is done, and its window given back, before the next is read.
            for number in 0..<4 { try bench.append(windows(27), to: "\(number).zst") }
            try bench.append("a\n", to: "a")
            bench.start()
            let state = await bench.streams.wait { $0.texts.count == 5 && !$0.follow.failing.isEmpty }
            #expect(state.texts.sorted() == ["a", "x", "x", "x", "x"])
            let problem = try #require(state.follow.failing.first)
            #expect(problem.file == bench.path("wide.zst") && problem.reason.contains("zstd -d --long=31"))
            #expect(state.follow.failing.count == 1)
        }
    }

    @Test func `a compressed file without content is told once it is quiet`() async throws {
        try await FollowBench.with("*", timing: { $0.copyGrace = .milliseconds(1) }) { bench in
            try bench.append(gzip([]), to: "empty.gz")
            try bench.append(Array(gzip("x\n".utf8)[..<5]), to: "cut.gz")
            bench.start()
            let state = await bench.streams.wait { !$0.follow.failing.isEmpty }
            #expect(state.follow.failing.map(\.file) == [bench.path("cut.gz")])
            try bench.append(Array(gzip("x\n".utf8)[5...]), to: "cut.gz")
            await bench.streams.wait { $0.follow.failing.isEmpty && $0.texts == ["x"] }
        }
    }

    @Test func `a file without read rights fails until it has them`() async throws {
        // The superuser reads everything.
        guard getuid() != 0 else { return }
        try await FollowBench.with("*") { bench in
            try bench.append("a\n", to: "a")
            try bench.append("b\n", to: "b")
            try #require(chmod(bench.path("b"), 0) == 0)
            bench.start()
            let state = await bench.streams.wait { !$0.follow.failing.isEmpty && $0.texts == ["a"] }
            #expect(state.follow.failing.map(\.file) == [bench.path("b")])
            try #require(chmod(bench.path("b"), 0o644) == 0)
            await bench.streams.wait { $0.follow.failing.isEmpty && $0.texts == ["a", "b"] }
        }
    }

    @Test func `a quiet file is closed, and opened again when it is written`() async throws {
        try await FollowBench.with("*.log", timing: { $0.closeAfter = .milliseconds(1) }) { bench in
            for number in 0..<20 { try bench.append("\(number)\n", to: "\(number).log") }
            bench.start()
            await bench.streams.wait { $0.texts.count == 20 }
            while try Self.openFiles(in: bench.folder) > 0 { await Task.yield() }
            for number in 0..<20 { try bench.append("again\n", to: "\(number).log") }
            let state = await bench.streams.wait { $0.texts.count == 40 }
            #expect(state.streams.allSatisfy { $0.lines.count == 2 } && state.assignments == 20)
        }
    }

    /// After a SIGHUP each source starts again in the same process.
    @Test func `a source that ends leaves no file open`() async throws {
        try await FollowBench.with("*.log") { bench in
            for number in 0..<20 { try bench.append("\(number)\n", to: "\(number).log") }
            for _ in 0..<3 {
                bench.start()
                await bench.streams.wait { $0.texts.count == 20 }
                while try Self.openFiles(in: bench.folder) == 0 { await Task.yield() }
                await bench.kill()
                #expect(try Self.openFiles(in: bench.folder) == 0)
            }
        }
    }

    private static func openFiles(in folder: String) throws -> Int {
        #if os(Linux)
            let links = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
            return links.count {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + $0))?
                    .hasPrefix(folder + "/") == true
            }
        #else
            return 0
        #endif
    }

    @Test func `a revoked stream is opened again at its level`() async throws {
        try await FollowBench.with("app.log") { bench in
            try bench.append("one\n", to: "app.log")
            bench.start()
            await bench.expect("one")
            bench.revoke()
            try bench.append("two\n", to: "app.log")
            await bench.expect("one", "two")
        }
    }

    @Test func `a message is read again while and after its stream is read`() async throws {
        try await FollowBench.with("app.log") { bench in
            try bench.append("one\n\ntwo\nthree", to: "app.log")
            let source = bench.source()
            let reader = RereadHost()
            let task = Task { try await source.run(reader) }
            let reread = await reader.rereader()
            for _ in 0..<2 {
                #expect(reread(StreamOffset(major: 0), 1) == Array("one".utf8))
                #expect(reread(StreamOffset(major: 5), 3) == Array("two".utf8))
                #expect(reread(StreamOffset(major: 9), 4) == Array("three".utf8))
                #expect(reread(StreamOffset(major: 4), 2) == nil)
                task.cancel()
                _ = await task.result
            }
        }
    }
}

/// Reads the first block of the first stream, and gives what reads it again.
private final class RereadHost: StreamHost {
    private let found = AsyncStream<@Sendable (StreamOffset, Int64) -> [UInt8]?>.makeStream()

    func rereader() async -> @Sendable (StreamOffset, Int64) -> [UInt8]? {
        for await rereader in self.found.stream { return rereader }
        return { _, _ in nil }
    }

    func assign(_ stream: Int, _ open: (StreamProgress) throws -> any StreamReader) async throws {}

    func assign(
        _ stream: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws {
        let reader = try await open(.start)
        _ = try await reader.next()
        #expect(reader.isIdle)
        if let rereader = reader.rereader { self.found.continuation.yield(rereader) }
        _ = try await reader.next()
    }
}
