import Synchronization
import Testing
import TidemarkCore

/// Streams, levels and leases in memory, as processes share them: what hosts read is kept in order.
final class MemoryDatabase: Sendable {
    struct Stream: Sendable {
        var name: String
        var incarnation: String
        var level = StreamProgress.start
        var isHeld = false
        var texts: [String] = []
        var headers: [[String: String]] = []
        var defects: [String] = []
        var head: UInt64?
        var blocks: [(messages: Int, end: StreamProgress)] = []
    }

    private let state = Mutex<[Stream]>([])
    private let changed = Wakeup()

    var streams: [Stream] { self.state.withLock { $0 } }

    var known: [KnownStream] {
        self.streams.enumerated().map { index, stream in
            KnownStream(
                id: StreamID(rawValue: Int64(index)),
                name: stream.name,
                incarnation: stream.incarnation,
                hint: nil,
                reached: stream.level.offset.major,
                resume: stream.level.resume
            )
        }
    }

    /// The last incarnation of a stream.
    subscript(name: String) -> Stream? { self.streams.last { $0.name == name } }

    var texts: [String] { self.streams.flatMap(\.texts) }

    func enter(_ description: StreamDescription) -> Int? {
        switch description.identify(self.known) {
        case .known(let stream): return Int(stream.id.rawValue)
        case .gone: return nil
        case .new(let incarnation):
            return self.state.withLock { streams in
                streams.append(Stream(name: description.name.name, incarnation: incarnation))
                return streams.count - 1
            }
        }
    }

    func update<R: Sendable>(_ index: Int, _ change: (inout Stream) -> R) -> R {
        defer { self.changed.signal() }
        return self.state.withLock { change(&$0[index]) }
    }

    func seek(_ name: String, to offset: UInt64) {
        guard let index = self.streams.lastIndex(where: { $0.name == name }) else { return }
        self.update(index) { $0.level = StreamProgress(offset: StreamOffset(major: offset)) }
    }

    func lease(_ index: Int) async throws {
        while true {
            let count = self.changed.count
            try Task.checkCancellation()
            let isTaken = self.state.withLock { streams in
                if streams[index].isHeld { return false }
                streams[index].isHeld = true
                return true
            }
            if isTaken { return }
            await self.changed.wait(since: count)
        }
    }

    /// Waits until something holds of what was read; for half a minute at most.
    func wait(_ what: Comment, for condition: @Sendable ([Stream]) -> Bool) async throws {
        try await waitUntil(what, on: self.changed) { condition(self.streams) }
    }
}

/// Waits until something holds, looking again at each signal; for half a minute at most.
func waitUntil(_ what: Comment, on wakeup: Wakeup, until condition: @Sendable () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
        let count = wakeup.count
        if try await condition() { return }
        guard .now < deadline else {
            Issue.record("not so within 30 s: \(what)")
            return
        }
        await wakeup.wait(atMost: .milliseconds(100), since: count)
    }
}

/// Reads what a source assigns, and commits it at once.
struct MemoryHost: StreamHost {
    let database: MemoryDatabase

    func assign(_ stream: Int, _ open: (StreamProgress) throws -> any StreamReader) async throws {
        Issue.record("a live source has no streams before it runs")
    }

    func assign(
        _ description: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws {
        guard let index = self.database.enter(description) else { return }
        try await self.database.lease(index)
        defer { self.database.update(index) { $0.isHeld = false } }
        let reader = try await open(self.database.streams[index].level)
        while let block = try await reader.next() {
            let head = reader.head
            self.database.update(index) { stream in
                #expect(block.start.offset == stream.level.offset)
                for message in block.messages {
                    stream.texts.append(String(decoding: block.bytes[message.range], as: UTF8.self))
                    let headers = block.headers[message.headers].map { header in
                        (
                            String(decoding: block.bytes[header.name.range], as: UTF8.self),
                            String(decoding: block.bytes[(header.value ?? header.name).range], as: UTF8.self)
                        )
                    }
                    stream.headers.append(Dictionary(headers) { $1 })
                    if let defect = block.defects[message.offset] { stream.defects.append(defect) }
                }
                stream.level = block.end
                if !block.messages.isEmpty { stream.blocks.append((block.messages.count, block.end)) }
                stream.head = head
            }
            try await reader.acknowledger?.acknowledge(block.end)
        }
    }
}
