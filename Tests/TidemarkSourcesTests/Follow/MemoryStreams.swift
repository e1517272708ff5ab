import Foundation
import Synchronization
import Testing
import TidemarkCore
import TidemarkSources

/// Streams and what has been committed of them, as a database keeps them while processes come and go.
final class MemoryStreams: Sendable {
    struct Stream: Sendable {
        var id: StreamID
        var name: String
        var incarnation: String
        var hint: String?
        var level = StreamProgress.start
        var lines: [ReadLine] = []
        /// The process that reads it.
        var owner: ObjectIdentifier?

        var texts: [String] { self.lines.map { String(decoding: $0.text, as: UTF8.self) } }
        var file: String { String(self.name.split(separator: "/").last ?? "") }
    }

    struct State: Sendable {
        var streams: [Stream] = []
        /// As the source has told it last.
        var follow = FollowState()
        /// How often a stream was assigned.
        var assignments = 0

        var texts: [String] { self.streams.flatMap(\.texts) }
        func stream(_ file: String) -> Stream? { self.streams.last { $0.file == file } }
    }

    private struct Waiters {
        var state = State()
        var waiting: [(condition: @Sendable (State) -> Bool, continuation: CheckedContinuation<State, Never>)] = []
    }

    private let state = Mutex(Waiters())

    var now: State { self.state.withLock { $0.state } }

    @discardableResult
    func update<Result: Sendable>(_ change: @Sendable (inout State) throws -> Result) rethrows -> Result {
        var met: [CheckedContinuation<State, Never>] = []
        let (result, state) = try self.state.withLock { all in
            let result = try change(&all.state)
            all.waiting.removeAll { waiter in
                guard waiter.condition(all.state) else { return false }
                met.append(waiter.continuation)
                return true
            }
            return (result, all.state)
        }
        for continuation in met { continuation.resume(returning: state) }
        return result
    }

    /// Waits until a condition holds.
    @discardableResult
    func wait(_ condition: @escaping @Sendable (State) -> Bool) async -> State {
        await withCheckedContinuation { continuation in
            let state = self.state.withLock { all -> State? in
                if condition(all.state) { return all.state }
                all.waiting.append((condition, continuation))
                return nil
            }
            if let state { continuation.resume(returning: state) }
        }
    }

    var known: [KnownStream] {
        self.now.streams.map { stream in
            KnownStream(
                id: stream.id,
                name: stream.name,
                incarnation: stream.incarnation,
                hint: stream.hint,
                reached: stream.level.offset.major,
                resume: stream.level.resume
            )
        }
    }

    /// Enters a stream as the database does.
    fileprivate func enter(_ stream: StreamDescription) -> StreamID? {
        let known = self.known.reversed().filter {
            $0.name == stream.name.name || $0.incarnation == stream.name.incarnation || $0.hint == stream.hint
        }
        let identity = stream.identify(Array(known))
        return self.update { state in
            state.assignments += 1
            switch identity {
            case .known(let known):
                let index = state.streams.firstIndex { $0.id == known.id }!
                state.streams[index].name = stream.name.name
                state.streams[index].incarnation = known.incarnation
                state.streams[index].hint = stream.hint
                return known.id
            case .new(let incarnation):
                if let same = state.streams.first(where: {
                    $0.name == stream.name.name && $0.incarnation == incarnation
                }) {
                    return same.id
                }
                let id = StreamID(rawValue: Int64(state.streams.count + 1))
                state.streams.append(
                    Stream(id: id, name: stream.name.name, incarnation: incarnation, hint: stream.hint)
                )
                return id
            case .gone:
                return nil
            }
        }
    }
}

extension MemoryStreams.State {
    fileprivate func index(_ id: StreamID) -> Int { Int(id.rawValue) - 1 }
}

private final class Flag: Sendable {
    private let raised = Mutex(false)
    var isRaised: Bool { self.raised.withLock { $0 } }
    func raise() { self.raised.withLock { $0 = true } }
}

/// One process: commits what its readers bring, block by block, until it is killed.
final class MemoryHost: StreamHost {
    private let streams: MemoryStreams
    private let isAlive = Mutex(true)
    private let revoked = Mutex<Set<StreamID>>([])
    /// Called with each block before it is committed.
    private let willCommit: @Sendable (MessageBlock) -> Void
    /// Called before a stream is entered.
    private let willEnter: @Sendable () async -> Void

    init(
        _ streams: MemoryStreams,
        willCommit: @escaping @Sendable (MessageBlock) -> Void = { _ in },
        willEnter: @escaping @Sendable () async -> Void = {}
    ) {
        self.streams = streams
        self.willCommit = willCommit
        self.willEnter = willEnter
    }

    /// Nothing is committed from here on.
    func kill() {
        self.isAlive.withLock { $0 = false }
        self.streams.update { state in
            for index in state.streams.indices where state.streams[index].owner == ObjectIdentifier(self) {
                state.streams[index].owner = nil
            }
        }
    }

    /// Takes the leases of all streams away: what is read next is dropped, and the stream is opened again.
    func revoke() { self.revoked.withLock { $0 = Set(self.streams.now.streams.map(\.id)) } }

    func assign(_ stream: Int, _ open: (StreamProgress) throws -> any StreamReader) async throws {
        Issue.record("a followed file is assigned when it is found")
    }

    func assign(
        _ stream: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws {
        await self.willEnter()
        guard let id = self.streams.enter(stream) else { return }
        try await self.takeLease(id)
        defer { self.giveBack(id) }
        if stream.isAtEnd(self.level(of: id)) { return }
        while true {
            let reader = try await open(self.level(of: id))
            guard try await self.read(reader, id) else { continue }
            return
        }
    }

    private func level(of id: StreamID) -> StreamProgress {
        let state = self.streams.now
        return state.streams[state.index(id)].level
    }

    private func takeLease(_ id: StreamID) async throws {
        let own = ObjectIdentifier(self)
        while true {
            try Task.checkCancellation()
            let isTaken = self.streams.update { state in
                let index = state.index(id)
                guard state.streams[index].owner == nil else { return false }
                state.streams[index].owner = own
                return true
            }
            if isTaken { return }
            let isCancelled = Flag()
            _ = await withTaskCancellationHandler {
                await self.streams.wait { $0.streams[$0.index(id)].owner == nil || isCancelled.isRaised }
            } onCancel: {
                isCancelled.raise()
                // Conditions are looked at again.
                self.streams.update { _ in }
            }
        }
    }

    private func giveBack(_ id: StreamID) {
        let own = ObjectIdentifier(self)
        self.streams.update { state in
            let index = state.index(id)
            if state.streams[index].owner == own { state.streams[index].owner = nil }
        }
    }

    /// - Returns: `false` when the lease was taken away.
    private func read(_ reader: any StreamReader, _ id: StreamID) async throws -> Bool {
        while true {
            if reader.isIdle { await Task.yield() }
            guard let block = try await reader.next() else { break }
            #expect(block.end == reader.progress)
            if self.revoked.withLock({ $0.remove(id) }) != nil { return false }
            self.willCommit(block)
            let lines = block.messages.map { ReadLine($0, in: block) }
            try self.commit(id, block.end, lines)
            reader.recycle(block)
        }
        var end = reader.progress
        end.isAtEnd = true
        try self.commit(id, end, [])
        return true
    }

    private func commit(_ id: StreamID, _ level: StreamProgress, _ lines: [ReadLine]) throws {
        let own = ObjectIdentifier(self)
        try self.isAlive.withLock { isAlive in
            guard isAlive else { throw CancellationError() }
            self.streams.update { state in
                let index = state.index(id)
                guard state.streams[index].owner == own else { return }
                state.streams[index].level = level
                state.streams[index].lines += lines
            }
        }
    }
}
