import Foundation
import Testing
import TidemarkCore
import TidemarkSources

/// Which stream a file is when files are moved, copied, cut, compressed and deleted.
@Suite(.timeLimit(.minutes(5)))
struct RotationTests {
    /// Longer than the token, and in parts than the prefix.
    private static func lines(_ name: String, _ count: Int = 40) -> [String] {
        (0..<count).map { "{\"of\":\"\(name)\",\"n\":\($0)}" }
    }

    private static func text(_ lines: [String]) -> String { lines.map { $0 + "\n" }.joined() }

    @Test(arguments: ["app.log.1", "old"])
    func `a file that is renamed is read on, by whatever name`(name: String) async throws {
        try await FollowBench.with("app.log*") { bench in
            try bench.append("one\n", to: "app.log")
            bench.start()
            await bench.expect("one")
            try bench.move("app.log", to: name)
            try bench.append("other\n", to: "app.log")
            try bench.append("two\n", to: name)
            let state = await bench.expect("one", "two", "other")
            #expect(state.streams.map(\.texts) == [["one", "two"], ["other"]])
        }
    }

    @Test(arguments: ["app.log.1", "old"])
    func `the rest of a file that is renamed while nothing runs is read`(name: String) async throws {
        try await FollowBench.with("app.log*") { bench in
            try bench.append("one\n", to: "app.log")
            bench.start()
            await bench.expect("one")
            await bench.kill()
            try bench.append("two\n", to: "app.log")
            try bench.move("app.log", to: name)
            try bench.append("one\nother\n", to: "app.log")
            bench.start()
            let state = await bench.streams.wait { $0.texts.count == 4 }
            #expect(state.streams.map(\.texts) == [["one", "two"], ["one", "other"]])
            #expect(state.streams.map(\.file) == [name, "app.log"])
        }
    }

    @Test func `a file that has left the paths ends once it is quiet, with its last line`() async throws {
        try await FollowBench.with("app.log", timing: { $0.rotationGrace = .milliseconds(100) }) { bench in
            try bench.append("one\ntwo", to: "app.log")
            bench.start()
            await bench.expect("one")
            try bench.move("app.log", to: "old")
            let state = await bench.streams.wait { $0.streams.first?.level.isAtEnd == true }
            #expect(state.texts == ["one", "two"])
            await bench.streams.wait { $0.follow.files == 0 }
            // What is written later is read all the same.
            try bench.append(" and\nthree\n", to: "old")
            let last = await bench.streams.wait { $0.texts.count == 4 }
            #expect(last.texts == ["one", "two", " and", "three"] && last.streams.count == 1)
        }
    }

    @Test(arguments: [true, false])
    func `a file that is deleted or replaced ends with its last line`(isReplaced: Bool) async throws {
        try await FollowBench.with("app.log") { bench in
            try bench.append("one\ntwo", to: "app.log")
            bench.start()
            await bench.expect("one")
            if isReplaced {
                try bench.append("x\n", to: "tmp")
                try bench.move("tmp", to: "app.log")
                let state = await bench.streams.wait { $0.texts.count == 3 }
                #expect(state.streams.map(\.texts) == [["one", "two"], ["x"]])
            } else {
                try bench.remove("app.log")
                let state = await bench.expect("one", "two")
                #expect(state.streams.count == 1)
            }
            await bench.streams.wait { $0.streams[0].level.isAtEnd }
        }
    }

    @Test(arguments: ["app.log.1", "copy"], [true, false])
    func `a copy continues the stream of a file that is cut`(name: String, isRunning: Bool) async throws {
        try await FollowBench.with("app.log*") { bench in
            let (old, new) = (Self.lines("a"), Self.lines("b", 90))
            try bench.append(Self.text(Array(old[..<20])), to: "app.log")
            bench.start()
            await bench.streams.wait { $0.texts.count == 20 }
            if !isRunning { await bench.kill() }
            try bench.append(Self.text(Array(old[20...])), to: "app.log")
            try bench.copy("app.log", to: name)
            try bench.cut("app.log")
            try bench.append(Self.text(new), to: "app.log")
            if !isRunning { bench.start() }
            let state = await bench.streams.wait { $0.texts.count == old.count + new.count }
            #expect(state.streams.map(\.texts) == [old, new])
        }
    }

    /// The file is longer again when it is looked at.
    @Test func `a file that is cut and written anew is another stream, however long it is`() async throws {
        try await FollowBench.with("app.log", timing: { $0.copyGrace = .milliseconds(1) }) { bench in
            let (old, new) = (Self.lines("a"), Self.lines("b", 90))
            try bench.append("head\n" + Self.text(old), to: "app.log")
            bench.start()
            await bench.streams.wait { $0.texts.count == 41 }
            await bench.kill()
            try bench.cut("app.log")
            try bench.append("head\n" + Self.text(new), to: "app.log")
            bench.start()
            let state = await bench.streams.wait { $0.texts.count == 132 }
            #expect(state.streams.map(\.texts) == [["head"] + old, ["head"] + new])
            // In place, while it is followed.
            try bench.cut("app.log")
            let third = Self.lines("c", 130)
            try bench.append("head\n" + Self.text(third), to: "app.log")
            let last = await bench.streams.wait { $0.texts.count == 132 + 131 }
            #expect(last.streams.map(\.texts) == [["head"] + old, ["head"] + new, ["head"] + third])
            #expect(Set(last.streams.map(\.incarnation)).count == 3)
        }
    }

    @Test func `a file that is replaced by a shorter one is another stream`() async throws {
        try await FollowBench.with("app.log", timing: { $0.copyGrace = .milliseconds(1) }) { bench in
            try bench.append("one\ntwo\nthree\n", to: "app.log")
            bench.start()
            await bench.expect("one", "two", "three")
            try bench.cut("app.log", to: 4)
            let state = await bench.streams.wait { $0.texts.count == 4 }
            #expect(state.streams.map(\.texts) == [["one", "two", "three"], ["one"]])
        }
    }

    @Test func `a cut within a line that has not ended is no other stream`() async throws {
        try await FollowBench.with("app.log") { bench in
            try bench.append("one\ntwo", to: "app.log")
            bench.start()
            await bench.expect("one")
            try bench.cut("app.log", to: 5)
            try bench.append("en\n", to: "app.log")
            let state = await bench.expect("one", "ten")
            #expect(state.streams.count == 1)
        }
    }

    @Test(arguments: [true, false])
    func `a file that is compressed is the same stream`(isRunning: Bool) async throws {
        try await FollowBench.with("app.log*", timing: { $0.memberGrace = .milliseconds(1) }) { bench in
            let all = Self.lines("a", 5000)
            try bench.append(Self.text(Array(all[..<4000])), to: "app.log")
            bench.start()
            await bench.streams.wait { $0.texts.count == 4000 }
            if !isRunning { await bench.kill() }
            try bench.move("app.log", to: "app.log.1")
            try bench.append(Self.text(Array(all[4000...])), to: "app.log.1")
            try bench.compress("app.log.1", to: "app.log.1.gz")
            try bench.append("next\n", to: "app.log")
            if !isRunning { bench.start() }
            await bench.streams.wait { $0.texts.count == 5001 && $0.streams[0].level.isAtEnd }
            let state = await bench.streams.wait { $0.stream("app.log.1.gz") != nil }
            #expect(state.streams.map(\.texts) == [all, ["next"]])
            await bench.restart()
            try bench.append("last\n", to: "app.log")
            let last = await bench.streams.wait { $0.texts.count == 5002 }
            #expect(last.streams.map(\.texts) == [all, ["next", "last"]])
        }
    }

    @Test func `a compressed file that is being written waits`() async throws {
        try await FollowBench.with("*.gz") { bench in
            let all = Self.lines("a", 20000)
            let bytes = gzip(Array(Self.text(all).utf8))
            bench.start()
            try bench.append(Array(bytes[..<5]), to: "app.gz")
            await bench.streams.wait { $0.follow.waiting == nil }
            try bench.append(Array(bytes[5..<(bytes.count / 2)]), to: "app.gz")
            await bench.streams.wait { $0.texts.count > 100 }
            #expect(bench.streams.now.streams[0].level.isAtEnd == false)
            try bench.append(Array(bytes[(bytes.count / 2)...]), to: "app.gz")
            let state = await bench.streams.wait { $0.texts.count == all.count }
            #expect(state.streams[0].texts == all && state.follow.failing.isEmpty)
        }
    }

    @Test func `several rotations while nothing runs`() async throws {
        try await FollowBench.with("app.log*") { bench in
            try bench.append("a1\n", to: "app.log")
            bench.start()
            await bench.expect("a1")
            await bench.kill()
            try bench.append("a2\n", to: "app.log")
            try bench.move("app.log", to: "app.log.1")
            try bench.append("b1\nb2\n", to: "app.log")
            try bench.compress("app.log.1", to: "app.log.2.gz")
            try bench.copy("app.log", to: "app.log.1")
            try bench.cut("app.log")
            try bench.append("c1\n", to: "app.log")
            bench.start()
            let state = await bench.streams.wait { $0.texts.count == 5 }
            let texts = Dictionary(uniqueKeysWithValues: state.streams.map { ($0.file, $0.texts) })
            #expect(texts == ["app.log.2.gz": ["a1", "a2"], "app.log.1": ["b1", "b2"], "app.log": ["c1"]])
        }
    }

    @Test func `a short file that grows is one stream, known by more and more of it`() async throws {
        try await FollowBench.with("app.log") { bench in
            bench.start()
            var all: [String] = []
            for count in [1, 20, 500, 3000] {
                let lines = Self.lines("\(count)", count)
                try bench.append(Self.text(lines), to: "app.log")
                all += lines
                let expected = all
                await bench.streams.wait { $0.texts.count == expected.count }
                await bench.restart()
                let size = min(65536, Self.text(all).utf8.count)
                await bench.streams.wait { $0.streams[0].incarnation.hasPrefix("sha256:\(size):") }
            }
            #expect(bench.streams.now.streams.map(\.texts) == [all])
        }
    }

    @Test func `files that begin alike are streams of their own`() async throws {
        try await FollowBench.with("*.log") { bench in
            bench.start()
            for name in ["a.log", "b.log"] {
                try bench.append("head\n", to: name)
                try bench.append("of \(name)\n", to: name)
                await bench.streams.wait { $0.texts.contains("of \(name)") }
            }
            await bench.kill()
            for (name, other) in [("a.log", "c.log"), ("b.log", "a.log"), ("c.log", "b.log")] {
                try bench.move(name, to: other)
            }
            try bench.append("more\n", to: "a.log")
            bench.start()
            let state = await bench.streams.wait { $0.texts.count == 5 && $0.stream("b.log") != nil }
            #expect(state.stream("a.log")?.texts == ["head", "of b.log", "more"])
            #expect(state.stream("b.log")?.texts == ["head", "of a.log"])
        }
    }

    @Test func `a copy beside its original is a stream of its own after a while`() async throws {
        try await FollowBench.with("*.log", timing: { $0.copyGrace = .milliseconds(200) }) { bench in
            try bench.append("one\ntwo\n", to: "a.log")
            bench.start()
            await bench.expect("one", "two")
            try bench.copy("a.log", to: "b.log")
            await bench.expect("one", "two", "one", "two")
            try bench.append("a\n", to: "a.log")
            try bench.append("b\n", to: "b.log")
            let state = await bench.streams.wait { $0.texts.count == 6 }
            #expect(state.streams.map(\.texts) == [["one", "two", "a"], ["one", "two", "b"]])
        }
    }

    @Test func `another process takes over the streams of one that was killed`() async throws {
        try await FollowBench.with("app.log*") { bench in
            try bench.append("one\n", to: "app.log")
            bench.start()
            await bench.expect("one")
            // The second one waits for the leases of the first.
            let second = MemoryHost(bench.streams)
            let source = bench.source()
            let task = Task { try await source.run(second) }
            await bench.streams.wait { $0.assignments == 2 }
            try bench.move("app.log", to: "old")
            try bench.append("two\n", to: "old")
            try bench.append("next\n", to: "app.log")
            await bench.streams.wait { $0.texts.count == 3 }
            await bench.kill()
            try bench.append("three\n", to: "old")
            try bench.append("last\n", to: "app.log")
            let state = await bench.streams.wait { $0.texts.count == 5 }
            #expect(state.streams.map(\.texts) == [["one", "two", "three"], ["next", "last"]])
            second.kill()
            task.cancel()
            _ = await task.result
        }
    }

    enum Rotation: CaseIterable {
        case rename, copyTruncate, compress
    }

    @Test(arguments: Rotation.allCases, [true, false])
    func `a file that another process has entered is its stream, though it is rotated meanwhile`(
        rotation: Rotation,
        isEnteredBefore: Bool
    ) async throws {
        try await FollowBench.with("app.log*") { bench in
            try bench.append("one\n", to: "app.log")
            let (arrived, rotated) = (Gate(), Gate())
            let second = MemoryHost(
                bench.streams,
                willEnter: {
                    arrived.open()
                    try? await rotated.wait()
                }
            )
            let source = bench.source()
            let task = Task { try await source.run(second) }
            // The second one has found the file, and has not entered it.
            try await arrived.wait()
            if isEnteredBefore {
                bench.start()
                await bench.expect("one")
            }
            switch rotation {
            case .rename: try bench.move("app.log", to: "app.log.1")
            case .copyTruncate:
                try bench.copy("app.log", to: "app.log.1")
                try bench.cut("app.log")
            case .compress:
                try bench.move("app.log", to: "app.log.1")
                try bench.compress("app.log.1", to: "app.log.1.gz")
            }
            try bench.append("next\n", to: "app.log")
            if !isEnteredBefore { bench.start() }
            await bench.streams.wait { $0.texts.count >= 2 }
            rotated.open()
            await bench.streams.wait { $0.assignments >= 4 }
            await bench.kill()
            if rotation != .compress { try bench.append("two\n", to: "app.log.1") }
            try bench.append("last\n", to: "app.log")
            let old = rotation == .compress ? ["one"] : ["one", "two"]
            let state = await bench.streams.wait { $0.texts.count >= old.count + 2 }
            #expect(Set(state.streams.map(\.texts)) == [old, ["next", "last"]])
            #expect(state.streams.count == 2)
            second.kill()
            task.cancel()
            _ = await task.result
        }
    }

    @Test func `a compressed file is the stream of its original, which was entered a moment ago`() async throws {
        try await FollowBench.with("app.log*") { bench in
            try bench.append("one\n", to: "app.log")
            bench.start()
            await bench.expect("one")
            try bench.move("app.log", to: "app.log.1")
            try bench.compress("app.log.1", to: "app.log.1.gz")
            try bench.append("next\n", to: "app.log")
            await bench.expect("one", "next")
            // The second one asked for the known streams before there were any.
            let second = MemoryHost(bench.streams)
            let source = bench.source(known: { [] })
            let task = Task { try await source.run(second) }
            let state = await bench.streams.wait { $0.assignments >= 4 }
            #expect(state.streams.map(\.texts) == [["one"], ["next"]])
            second.kill()
            task.cancel()
            _ = await task.result
        }
    }
}
