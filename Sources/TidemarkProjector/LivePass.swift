import Synchronization
package import TidemarkCore

/// A live pass was stopped, and not everything that was read could be committed in time.
package struct DrainTimeout: Error, CustomStringConvertible {
    package var events: Int

    package var description: String {
        "\(self.events) events that were read could not be committed in time (service: drain_timeout); nothing is lost: the "
            + "next run reads them again, and HTTP clients are told to send theirs again"
    }
}

/// What a pass has whose streams come and go: a host, and how streams are shared with other processes.
struct LivePass: Sendable {
    let host: @Sendable (PumpContext, StreamLevels, @escaping JoinStep) -> any StreamHost
    let share: @Sendable () async throws -> Void
    /// Ends the sessions of lanes, whose tasks are cancelled.
    let abandon: @Sendable () async -> Void
    let rereaders: Rereaders
}

typealias JoinStep = @Sendable (ProgressKey, StreamOffset) async throws -> Void

/// What reads single messages of a pass's streams once more.
final class Rereaders: Sendable {
    private let known = Mutex<[StreamID: @Sendable (StreamOffset, Int64) -> [UInt8]?]>([:])

    subscript(stream: StreamID) -> (@Sendable (StreamOffset, Int64) -> [UInt8]?)? {
        get { self.known.withLock { $0[stream] } }
        set { self.known.withLock { $0[stream] = newValue } }
    }
}

extension Projector where Store: LiveProjectionStore {
    /// Reads streams as they come and go, and shares them with other processes, until ``stop()``. What was read is then
    /// committed, for as long as the settings say.
    /// - Throws: ``DrainTimeout``.
    package func runLive() async throws -> PassOutcome {
        let (store, rereaders) = (self.store, Rereaders())
        return try await self.run(
            live: LivePass(
                host: { LiveHost(store, $0, $1, rereaders, join: $2) },
                share: { try await store.shareStreams() },
                abandon: { await store.endLaneSessions() },
                rereaders: rereaders
            )
        )
    }
}

/// Gives each stream a pump for as long as this process holds its lease.
final class LiveHost<Store: LiveProjectionStore>: StreamHost {
    private enum Ending { case ended, revoked }

    private let store: Store
    private let pump: PumpContext
    private let levels: StreamLevels
    private let rereaders: Rereaders
    private let join: JoinStep

    init(
        _ store: Store,
        _ pump: PumpContext,
        _ levels: StreamLevels,
        _ rereaders: Rereaders,
        join: @escaping JoinStep
    ) {
        self.store = store
        self.pump = pump
        self.levels = levels
        self.rereaders = rereaders
        self.join = join
    }

    func assign(_ stream: Int, _ open: (StreamProgress) throws -> any StreamReader) async throws {
        preconditionFailure("a live source has no streams before it runs")
    }

    func assign(
        _ description: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws {
        guard let stream = try await self.store.enter(description) else { return }
        while true {
            guard let lease = try await self.store.lease(of: stream) else { return }
            let (source, onLease) = (description.settings.name, self.pump.onLease)
            onLease?(source, .taken)
            var change = LeaseChange.givenBack
            defer { onLease?(source, change) }
            do {
                let ending = try await self.read(lease, description, open)
                if ending == .revoked { change = .passedOn }
                try await self.giveBack(lease)
                if ending == .ended { return }
            } catch is CancellationError {
                // The pass ends: lanes go on with what was handed on, and the leases are given back behind that.
                throw CancellationError()
            } catch {
                // Another process, or the next attempt, goes on behind what is committed.
                if error is StreamRevoked { change = .passedOn }
                try await self.drain(stream)
                try await self.giveBack(lease)
                throw error
            }
        }
    }

    private func giveBack(_ lease: StreamLease) async throws {
        let stored = self.levels.all().filter { $0.key.stream == lease.stream }
        self.levels.forget(lease.stream)
        self.rereaders[lease.stream] = nil
        try await self.store.giveBack(lease, stored)
    }

    /// Waits until what was handed on of a stream is committed.
    private func drain(_ stream: StreamID) async throws {
        self.pump.queues.flush()
        for tracker in self.levels.trackers(of: stream) { try await tracker.waitUntilCommitted() }
    }

    /// Reads a stream until it ends, or its lease is revoked and what was handed on is committed. Projections that are
    /// behind catch up meanwhile, each by a reading of its own up to where the others were.
    private func read(
        _ lease: StreamLease,
        _ description: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws -> Ending {
        var (stream, detached) = try await self.store.open(lease.stream, description)
        let furthest = stream.committed.furthest
        var readings: [PassStream] = []
        for var own in detached {
            if own.limit == nil {
                try await self.join(own.key, furthest.offset)
                own.limit = furthest.offset
            }
            stream.joins[own.key.projection] = own.limit
            readings.append(own)
        }
        readings.append(stream)
        return try await withThrowingTaskGroup(of: Ending.self) { group in
            for reading in readings { group.addTask { try await self.read(reading, lease, description, open) } }
            // The lease is that of all of them: with one revoked, whoever has it next goes on with those that are open.
            return try await group.reduce(.ended) { $1 == .revoked ? .revoked : $0 }
        }
    }

    private func read(
        _ stream: PassStream,
        _ lease: StreamLease,
        _ description: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws -> Ending {
        // What cannot be read again goes on behind the lane that is furthest: new messages at offsets that a lane has
        // committed would be taken for old ones.
        let level = description.isRereadable ? stream.committed.level : stream.committed.furthest
        if description.isAtEnd(level) || stream.limit.map({ $0 <= level.offset }) ?? false {
            _ = self.levels.track(stream.key, of: stream.settings.name, from: level, nil)
            return .ended
        }
        let (context, levels, rereaders) = (self.pump, self.levels, self.rereaders)
        let ending = try await withThrowingTaskGroup(of: Ending.self) { group in
            group.addTask {
                let isGone = stream.projection != nil && !description.isRereadable
                let reader: any StreamReader = isGone ? NothingLeft(level) : try await open(level)
                rereaders[stream.id] = reader.rereader
                let pump = StreamPump(
                    context,
                    stream,
                    reader: reader,
                    tracker: levels.track(
                        stream.key,
                        of: stream.settings.name,
                        from: level,
                        stream.projection == nil ? reader.acknowledger : nil
                    ),
                    hasUnknownBeginning: description.tellsUnits && level.offset == .start,
                    readBefore: 0
                )
                try await pump.run()
                return .ended
            }
            group.addTask {
                try await lease.revocation.wait()
                return .revoked
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { return Ending.ended }
            if first == .revoked {
                group.cancelAll()
                // The pump drops what it has not handed on; the stream may also have ended meanwhile.
                while let next = await group.nextResult() { if case .success(.ended) = next { return .ended } }
            }
            return first
        }
        // The end of a reading is stored once everything before it is committed. The others of the stream go on.
        self.pump.queues.flush()
        try await levels.tracker(of: stream.key)?.waitUntilCommitted()
        return ending
    }
}

/// A reading of what cannot be read again: it ends where it begins.
private final class NothingLeft: StreamReader {
    let progress: StreamProgress
    let isIdle = false
    let bytesRead: Int64 = 0
    let blockBytes = 0

    init(_ progress: StreamProgress) { self.progress = progress }

    func next() async throws -> MessageBlock? { nil }
}
