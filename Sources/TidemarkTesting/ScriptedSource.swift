import Synchronization
package import TidemarkCore

/// A source in memory, for tests: streams of messages, in blocks of chosen sizes, read one after the other or all at
/// once. It can be told to wait, and keeps what was acknowledged.
package struct ScriptedSource: Source {
    package struct Stream: Sendable {
        package var name: String
        package var messages: [String]
        /// How many messages a block has, by turns.
        package var blockSizes: [Int]

        package init(_ name: String, _ messages: [String], blockSizes: [Int] = [10]) {
            self.name = name
            self.messages = messages
            self.blockSizes = blockSizes
        }
    }

    private let scripts: [Stream]
    private let isParallel: Bool
    private let acknowledged = Acknowledged()
    /// Called before each block, with the stream's index: it may wait, and must heed cancellation.
    private let willRead: @Sendable (Int) async throws -> Void

    /// - Parameter isParallel: all streams are assigned at once, each in a task of its own.
    package init(
        _ scripts: [Stream],
        isParallel: Bool = false,
        willRead: @escaping @Sendable (Int) async throws -> Void = { _ in }
    ) {
        self.scripts = scripts
        self.isParallel = isParallel
        self.willRead = willRead
    }

    package var streams: [StreamDescription] {
        self.scripts.map { script in
            StreamDescription(
                name: StreamName(source: "scripted", name: script.name, incarnation: "1"),
                label: script.name,
                settings: SourceSettings(name: "scripted")
            )
        }
    }

    /// The levels that were acknowledged, by stream, in order.
    package var levels: [[StreamProgress]] { self.scripts.indices.map { self.acknowledged.levels(of: $0) } }

    package func beginning(of stream: Int) -> MessageBlock? { nil }

    package func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? {
        Array(self.scripts[stream].messages[Int(offset.major)].utf8)
    }

    package func run(_ host: some StreamHost) async throws {
        guard self.isParallel else {
            for index in self.scripts.indices { try await self.assign(index, to: host) }
            return
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in self.scripts.indices { group.addTask { try await self.assign(index, to: host) } }
            try await group.waitForAll()
        }
    }

    private func assign(_ index: Int, to host: some StreamHost) async throws {
        let acknowledged = self.acknowledged
        try await host.assign(index) { level in
            ScriptedReader(self.scripts[index], from: level, acknowledged.of(index)) { try await self.willRead(index) }
        }
    }
}

/// A message's offset is its index.
private final class ScriptedReader: StreamReader {
    private let script: ScriptedSource.Stream
    private var next: Int
    private var blocks = 0
    private let willRead: @Sendable () async throws -> Void
    let acknowledger: (any StreamAcknowledger)?
    let blockBytes = 1000

    init(
        _ script: ScriptedSource.Stream,
        from level: StreamProgress,
        _ acknowledger: any StreamAcknowledger,
        willRead: @escaping @Sendable () async throws -> Void
    ) {
        self.script = script
        self.next = Int(level.offset.major)
        self.acknowledger = acknowledger
        self.willRead = willRead
    }

    let isIdle = false
    var progress: StreamProgress { Self.progress(self.next) }
    var bytesRead: Int64 { Int64(self.next) }

    private static func progress(_ index: Int) -> StreamProgress {
        StreamProgress(offset: StreamOffset(major: UInt64(index)), ordinal: Int64(index + 1))
    }

    func next() async throws -> MessageBlock? {
        try Task.checkCancellation()
        try await self.willRead()
        let size = self.script.blockSizes[self.blocks % self.script.blockSizes.count]
        let indices = self.next..<min(self.next + size, self.script.messages.count)
        guard !indices.isEmpty else { return nil }
        self.blocks += 1
        var bytes: [UInt8] = []
        let messages = indices.map { index in
            let start = bytes.count
            bytes += self.script.messages[index].utf8
            return MessageBlock.Message(
                payload: ByteRange(start: start, end: bytes.count),
                offset: StreamOffset(major: UInt64(index)),
                ordinal: Int64(index + 1),
                length: Int64(bytes.count - start)
            )
        }
        bytes += [UInt8](repeating: 0, count: MessageBlock.padding)
        self.next = indices.upperBound
        return MessageBlock(
            bytes: bytes,
            messages: messages,
            start: Self.progress(indices.lowerBound),
            end: self.progress
        )
    }
}

private final class Acknowledged: Sendable {
    private let levels = Mutex<[Int: [StreamProgress]]>([:])

    func levels(of stream: Int) -> [StreamProgress] { self.levels.withLock { $0[stream] ?? [] } }

    func of(_ stream: Int) -> any StreamAcknowledger { Acknowledger(all: self, stream: stream) }

    private struct Acknowledger: StreamAcknowledger {
        let all: Acknowledged
        let stream: Int

        func acknowledge(_ level: StreamProgress) async throws {
            self.all.levels.withLock { $0[self.stream, default: []].append(level) }
        }

        var isRefused: Bool { false }
    }
}
