import Foundation
import Testing
import TidemarkCore
import TidemarkSources
import TidemarkTesting

/// Numbered lines are written to a file that is rotated in every way, while the process that follows it is killed,
/// started and has its streams taken away: each line arrives once, in the order of its stream.
@Suite(.timeLimit(.minutes(10)))
struct FollowPropertyTests {
    private static let rounds = 12

    @Test(arguments: [true, false])
    func `each line arrives once and in order, however the file is rotated`(usesNotification: Bool) async throws {
        let generator = SeededGenerator.forTest("each line arrives once and in order")
        for round in 0..<Self.rounds {
            var random = generator.fork(round)
            let note = "seed \(generator.seed), round \(round)"
            try await FollowBench.with(
                "app.log*",
                usesNotification: usesNotification,
                timing: {
                    $0.closeAfter = .milliseconds(20)
                    $0.memberGrace = .milliseconds(1)
                }
            ) { bench in
                var writer = RotatingWriter(bench, random.fork(1))
                bench.start()
                for _ in 0..<40 {
                    try await writer.step()
                    if random.chance(15) { await bench.restart() }
                    if random.chance(5) { await bench.kill() }
                    if random.chance(20) { await Self.run(bench) }
                    if random.chance(5) { bench.revoke() }
                }
                try writer.endLine()
                await Self.run(bench)
                await Self.check(bench, writer.written, note + "\n" + writer.history.joined(separator: "\n"))
            }
        }
    }

    private static func run(_ bench: FollowBench) async {
        if !bench.isRunning { bench.start() }
    }

    private static func check(_ bench: FollowBench, _ count: Int, _ note: String) async {
        let state = await bench.streams.wait { state in
            let numbers = state.texts.compactMap(Self.number)
            return Set(numbers).count == count || numbers.count > count
        }
        let numbers = state.texts.compactMap(Self.number)
        let streams = state.streams.map { stream in
            let numbers = stream.texts.compactMap(Self.number)
            return
                "\(stream.id.rawValue) \(stream.file) \(stream.incarnation) \(numbers.first ?? -1)...\(numbers.last ?? -1)"
        }
        let note = ([note] + streams).joined(separator: "\n")
        #expect(numbers.count == count && Set(numbers) == Set(0..<count), "\(note)")
        for stream in state.streams {
            let numbers = stream.texts.compactMap(Self.number)
            #expect(numbers == numbers.sorted(), "\(note): \(stream.name) \(stream.incarnation)")
            #expect(stream.lines.map(\.offset) == stream.lines.map(\.offset).sorted(), "\(note): \(stream.name)")
        }
    }

    private static func number(_ text: String) -> Int? {
        text.split(separator: ":").first.flatMap { Int($0) }
    }
}

/// Writes numbered lines, and rotates the file that it writes.
private struct RotatingWriter {
    private let bench: FollowBench
    private var random: SeededGenerator
    private(set) var written = 0
    /// What has been done, for the message of a failure.
    private(set) var history: [String] = []
    private var hasHalf = false
    /// The first line of the file.
    private var first = 0
    private var names = 0

    init(_ bench: FollowBench, _ random: SeededGenerator) {
        self.bench = bench
        self.random = random
    }

    mutating func step() async throws {
        switch Int.random(in: 0..<100, using: &self.random) {
        case ..<55: try self.write()
        case ..<65: try self.rename()
        case ..<75: try self.copyAndCut()
        case ..<85: try self.compress()
        case ..<92: try await self.replace()
        default: try await self.removeLast()
        }
    }

    /// Ends a line of which half is written.
    mutating func endLine() throws {
        guard self.hasHalf else { return }
        try self.bench.append(" end\n", to: "app.log")
        self.hasHalf = false
    }

    private mutating func write() throws {
        try self.endLine()
        var text = ""
        if (try? self.bench.read("app.log").isEmpty) ?? true { self.first = self.written }
        if !self.exists("app.log"), self.random.chance(70) { text += "all files begin with this line\n" }
        let length = self.random.pick([1, 40, 3000])
        for _ in 0..<Int.random(in: 1...30, using: &self.random) {
            text +=
                "\(self.written):" + String(repeating: "x", count: length) + self.random.pick(["\n", "\r\n", "\n\n"])
            self.written += 1
        }
        if self.random.chance(30) {
            text += "\(self.written):half"
            self.written += 1
            self.hasHalf = true
        }
        self.history.append("write up to \(self.written), \(text.utf8.count) bytes")
        // In parts, between which the reader may look.
        let bytes = Array(text.utf8)
        let middle = Int.random(in: 0...bytes.count, using: &self.random)
        try self.bench.append(Array(bytes[..<middle]), to: "app.log")
        try self.bench.append(Array(bytes[middle...]), to: "app.log")
    }

    private func exists(_ name: String) -> Bool { access(self.bench.path(name), F_OK) == 0 }

    /// A new name for what is rotated. The paths may not lead to it where the file is known already.
    private mutating func free(_ suffix: String = "") -> String {
        self.names += 1
        let first = self.first
        let isKnown = self.bench.streams.now.texts.contains { $0.hasPrefix("\(first):") }
        return (isKnown && self.random.chance(50) ? "old." : "app.log.") + "\(self.names)" + suffix
    }

    private mutating func rename() throws {
        guard self.exists("app.log") else { return }
        let name = self.free()
        self.history.append("rename to \(name)")
        try self.bench.move("app.log", to: name)
        // Whoever writes has it open still.
        if self.hasHalf { try self.bench.append(" end\n", to: name) }
        self.hasHalf = false
    }

    private mutating func copyAndCut() throws {
        guard self.exists("app.log") else { return }
        try self.endLine()
        let name = self.free()
        self.history.append("copy to \(name) and cut")
        try self.bench.copy("app.log", to: name)
        try self.bench.cut("app.log")
    }

    /// Compresses one of the rotated files, or the one that is written.
    private mutating func compress() throws {
        try self.endLine()
        let names = try FileManager.default.contentsOfDirectory(atPath: self.bench.folder).filter {
            !$0.hasSuffix(".gz")
        }
        guard let name = names.sorted().randomElement(using: &self.random) else { return }
        let other = name == "app.log" ? self.free(".gz") : name + ".gz"
        self.history.append("compress \(name) to \(other)")
        try self.bench.compress(name, to: other)
    }

    /// What is lost with a file has to be read before.
    private func isRead() async {
        if !self.bench.isRunning { self.bench.start() }
        let count = self.written
        await self.bench.streams.wait { $0.texts.count { $0.contains(":") } >= count }
    }

    private mutating func replace() async throws {
        guard self.exists("app.log") else { return }
        try self.endLine()
        await self.isRead()
        self.history.append("replace")
        self.first = self.written
        try self.bench.append("all files begin with this line\n\(self.written):\n", to: "tmp")
        self.written += 1
        try self.bench.move("tmp", to: "app.log")
    }

    private mutating func removeLast() async throws {
        try self.endLine()
        let names = try FileManager.default.contentsOfDirectory(atPath: self.bench.folder)
        guard let name = names.sorted().randomElement(using: &self.random) else { return }
        await self.isRead()
        self.history.append("remove \(name)")
        try self.bench.remove(name)
    }
}
