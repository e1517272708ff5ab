import Foundation
import Synchronization
import Testing
import TidemarkCore
import TidemarkSources

/// A folder of followed files, and the process that follows them.
final class FollowBench: Sendable {
    let folder: String
    let streams = MemoryStreams()
    private let paths: [String]
    private let usesNotification: Bool
    private let timing: FollowTiming
    private let messageBytesMax: Int
    private let running = Mutex<(task: Task<Void, any Error>, host: MemoryHost)?>(nil)

    /// - Parameter paths: within the folder.
    private init(
        _ folder: String,
        _ paths: [String],
        usesNotification: Bool,
        messageBytesMax: Int,
        _ timing: FollowTiming
    ) {
        self.folder = folder
        self.paths = paths.map { folder + "/" + $0 }
        self.usesNotification = usesNotification
        self.messageBytesMax = messageBytesMax
        self.timing = timing
    }

    /// Short waits where something is waited for, and long ones where something must not have come to pass before.
    static var timing: FollowTiming {
        var timing = FollowTiming()
        timing.list = .milliseconds(40)
        timing.known = .milliseconds(40)
        timing.rotationGrace = .seconds(600)
        timing.copyGrace = .seconds(600)
        timing.lineGrace = .seconds(600)
        timing.retry = .milliseconds(10)
        timing.retryMax = .milliseconds(40)
        return timing
    }

    static func with(
        _ paths: String...,
        usesNotification: Bool = true,
        messageBytesMax: Int = 1 << 20,
        timing change: (inout FollowTiming) -> Void = { _ in },
        _ body: (FollowBench) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/tidemark-follow-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var timing = Self.timing
        change(&timing)
        let bench = FollowBench(
            folder,
            paths,
            usesNotification: usesNotification,
            messageBytesMax: messageBytesMax,
            timing
        )
        do {
            try await body(bench)
        } catch {
            await bench.kill()
            throw error
        }
        await bench.kill()
    }

    // MARK: The process

    /// Another process over the same streams.
    func source(known: (@Sendable () async throws -> [KnownStream])? = nil) -> FollowSource {
        let streams = self.streams
        return FollowSource(
            name: "files",
            paths: self.paths,
            settings: SourceSettings(name: "files"),
            messageBytesMax: self.messageBytesMax,
            known: known ?? { streams.known },
            state: { follow in streams.update { $0.follow = follow } },
            pollInterval: .milliseconds(20),
            usesNotification: self.usesNotification,
            timing: self.timing
        )
    }

    @discardableResult
    func start(willCommit: @escaping @Sendable (MessageBlock) -> Void = { _ in }) -> MemoryHost {
        let host = MemoryHost(self.streams, willCommit: willCommit)
        let source = self.source()
        let task = Task { try await source.run(host) }
        self.running.withLock { $0 = (task, host) }
        return host
    }

    var isRunning: Bool { self.running.withLock { $0 != nil } }

    func revoke() { self.running.withLock { $0?.host.revoke() } }

    /// Nothing is committed once this begins.
    func kill() async {
        let running = self.running.withLock { running in
            defer { running = nil }
            return running
        }
        guard let running else { return }
        running.host.kill()
        running.task.cancel()
        let result = await running.task.result
        #expect(throws: CancellationError.self) { try result.get() }
    }

    func restart() async {
        await self.kill()
        self.start()
    }

    /// Waits until these are all lines, in the order of the streams.
    @discardableResult
    func expect(_ texts: String..., sourceLocation: SourceLocation = #_sourceLocation) async -> MemoryStreams.State {
        let state = await self.streams.wait { $0.texts.count >= texts.count }
        #expect(state.texts == texts, sourceLocation: sourceLocation)
        return state
    }

    // MARK: Files

    func path(_ name: String) -> String { self.folder + "/" + name }

    func append(_ text: String, to name: String) throws { try self.append(Array(text.utf8), to: name) }

    func append(_ bytes: [UInt8], to name: String) throws {
        let number = open(self.path(name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        try #require(number >= 0)
        defer { close(number) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { write(number, $0.baseAddress! + written, $0.count - written) }
            try #require(count > 0)
            written += count
        }
    }

    func move(_ name: String, to other: String) throws {
        try #require(rename(self.path(name), self.path(other)) == 0)
    }

    func remove(_ name: String) throws { try #require(unlink(self.path(name)) == 0) }
    func cut(_ name: String, to size: Int = 0) throws { try #require(truncate(self.path(name), off_t(size)) == 0) }

    func read(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(filePath: self.path(name))))
    }

    /// As `cp` does.
    func copy(_ name: String, to other: String) throws { try self.append(self.read(name), to: other) }

    /// As `gzip` does: the other file is removed once this one is whole.
    func compress(_ name: String, to other: String) throws {
        try self.append(gzip(self.read(name)), to: other)
        try self.remove(name)
    }
}
