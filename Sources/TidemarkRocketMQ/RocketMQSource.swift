package import Logging
import RocketMQCodec
import Synchronization
package import TidemarkCore

/// Reads topics of RocketMQ as a member of a consumer group: a stream for each queue that falls to it.
///
/// Progress is in the database, in the transactions of the rows, and wins over the group's offsets at the broker. A queue is
/// read once this process has the stream's lease, because the broker gives a queue to whoever asks.
package struct RocketMQSource: Source {
    private let settings: RocketMQSourceSettings
    private let known: @Sendable () async throws -> [KnownStream]
    private let endFormer: @Sendable (_ stream: StreamName) async throws -> Void
    private let state: @Sendable (State) -> Void
    private let logger: Logger

    /// How the source is, for people.
    package enum State: Sendable {
        case running
        case waiting(reason: String)
    }

    /// - Parameters:
    ///   - known: the source's streams that have been read before.
    ///   - endFormer: ends streams of that name that came before it: their messages are gone.
    ///   - state: called when brokers answer, and when one does not.
    package init(
        _ settings: RocketMQSourceSettings,
        known: @escaping @Sendable () async throws -> [KnownStream],
        endFormer: @escaping @Sendable (_ stream: StreamName) async throws -> Void,
        state: @escaping @Sendable (State) -> Void,
        logger: Logger
    ) {
        self.settings = settings
        self.known = known
        self.endFormer = endFormer
        self.state = state
        self.logger = logger
    }

    /// Why no client can be made with the settings; `nil` where one can. Opens no connection.
    package static func problem(with access: RocketMQAccess) -> String? {
        guard let tls = access.tls else { return nil }
        do throws(RocketMQError) {
            _ = try RemotingClient.context(tls)
            return nil
        } catch {
            return error.description
        }
    }

    package var streams: [StreamDescription] { [] }
    package func beginning(of stream: Int) -> MessageBlock? { nil }
    package func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? { nil }

    package func run(_ host: some StreamHost) async throws {
        // A topic of which something was read is begun: queues that come later are read from their beginning.
        let begun = Set(try await self.known().filter { $0.reached > 0 }.map { Self.topic(of: $0.name) })
        let session = try RocketMQSession(self.settings, state: self.state, logger: self.logger)
        let member = GroupMember(session)
        do {
            try await self.follow(member, session, begun, host)
        } catch {
            await member.leave()
            throw error
        }
        await member.leave()
    }

    private func follow(
        _ member: GroupMember,
        _ session: RocketMQSession,
        _ begun: Set<String>,
        _ host: some StreamHost
    ) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await member.run() }
            var queues: [MessageQueueName: SharedQueue] = [:]
            for await event in member.events {
                switch event {
                case .assigned(let wanted):
                    for name in wanted where queues[name] == nil {
                        let queue = SharedQueue(name)
                        queues[name] = queue
                        group.addTask {
                            do {
                                try await self.tend(queue, of: member, session, begun, host)
                            } catch let error as any SourceFailure {
                                // The group would cancel the others, and not this loop.
                                member.fail(error)
                            } catch {
                                member.fail(error)
                                throw error
                            }
                        }
                    }
                    for queue in queues.values { queue.setWanted(wanted.contains(queue.name)) }
                case .failed(let error):
                    if error is any SourceFailure { try await self.release(Array(queues.values)) }
                    throw error
                }
            }
            try Task.checkCancellation()
        }
    }

    /// Has the readings end with what they have read committed, and their leases given back: the pass goes on.
    private func release(_ queues: [SharedQueue]) async throws {
        for queue in queues { queue.setWanted(false) }
        // One that waits for a lease of another process ends only when it has it, which may be never.
        let deadline = ContinuousClock.now + self.settings.drainTimeout
        while queues.contains(where: \.isHeld), ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// The names of topics have no `@`.
    private static func topic(of stream: String) -> String {
        String(stream.prefix { $0 != "@" })
    }

    /// Reads a queue whenever it falls to this member.
    private func tend(
        _ queue: SharedQueue,
        of member: GroupMember,
        _ session: RocketMQSession,
        _ begun: Set<String>,
        _ host: some StreamHost
    ) async throws {
        let number = StreamNumber()
        defer { queue.setHeld(false) }
        while true {
            let count = queue.wanted.count
            guard !queue.isRevoked else {
                await queue.wanted.wait(since: count)
                try Task.checkCancellation()
                continue
            }
            queue.setHeld(true)
            do {
                try await self.read(queue, session, number, begun, host)
            } catch let error as RocketMQError
                where error.kind == .lostHistory && self.settings.rocketmq.lostHistory == .earliest
                && self.settings.mayBeginAnew
            {
                self.logger.warning(
                    "\(error); it is read from its beginning (lost_history: earliest)",
                    metadata: ["source": "\(self.settings.source.name)"]
                )
                number.raise()
                continue
            }
            queue.setHeld(false)
            if queue.isRevoked {
                await member.released(queue.name)
            } else {
                // The lease was not to be had: an earlier reading in this process still holds it.
                try await Task.sleep(for: .seconds(1))
            }
        }
    }

    private func read(
        _ queue: SharedQueue,
        _ session: RocketMQSession,
        _ number: StreamNumber,
        _ begun: Set<String>,
        _ host: some StreamHost
    ) async throws {
        let (settings, id, endFormer) = (self.settings, queue.name.description, self.endFormer)
        do {
            try await host.assign(self.description(of: id, number)) { level in
                guard !queue.isRevoked else { throw StreamRevoked() }
                if let incarnation = number.current(of: settings.source.name) {
                    try await endFormer(StreamName(source: settings.source.name, name: id, incarnation: incarnation))
                }
                let beginning = try Self.beginning(queue.name, level, settings, begun, isAnew: number.isAnew)
                return QueueReader(queue, session, from: level, beginning)
            }
        } catch is StreamRevoked {
            // What was read is committed, and the lease given back.
        }
    }

    /// A queue whose history was lost is a new stream, since its offsets begin anew. Queues of one name in two clusters are
    /// two streams: the source is in the incarnation, by which streams are looked up.
    private func description(of name: String, _ number: StreamNumber) -> StreamDescription {
        let prefix = "\(self.settings.source.name) "
        var description = StreamDescription(
            name: StreamName(source: self.settings.source.name, name: name, incarnation: "\(prefix)1"),
            label: name,
            settings: self.settings.source,
            identify: { known in
                let own = known.compactMap { stream in
                    stream.name == name && stream.incarnation.hasPrefix(prefix)
                        ? Int(stream.incarnation.dropFirst(prefix.count)).map { ($0, stream) } : nil
                }.max { $0.0 < $1.0 }
                let wanted = number.raise(to: own?.0 ?? 1)
                if let own, own.0 == wanted { return .known(own.1) }
                return .new(incarnation: "\(prefix)\(wanted)")
            }
        )
        description.tellsUnits = false
        return description
    }

    /// Where a queue is read from, and the message that has to stand before.
    private static func beginning(
        _ queue: MessageQueueName,
        _ level: StreamProgress,
        _ settings: RocketMQSourceSettings,
        _ begun: Set<String>,
        isAnew: Bool
    ) throws(RocketMQError) -> QueuePuller.Beginning {
        guard level.offset == .start else {
            return .at(Int64(clamping: level.offset.major), RocketMQToken(bytes: level.resume))
        }
        guard !isAnew else { return .earliest }
        guard !begun.contains(queue.topic) else {
            guard !settings.mayBeginAnew else { return .earliest }
            throw RocketMQError(
                .operatorNeeded,
                "\(queue) was added to a topic whose entities are ordered by their offsets: those of entities that moved to "
                    + "it begin anew, below what was read of them",
                remedy: "raise epoch of this source, which puts what comes now above what was read, and write "
                    + "added_partitions: earliest"
            )
        }
        switch settings.rocketmq.start {
        case .earliest: return .earliest
        case .latest: return .latest
        case .fail:
            throw RocketMQError(
                .operatorNeeded,
                "\(queue) was not read before, and start: fail begins nothing",
                remedy: "write start: earliest, or start: latest"
            )
        }
    }
}

/// Which of the streams of a queue is read: the first one is 1, and each loss of history begins the next.
private final class StreamNumber: Sendable {
    private let state = Mutex((value: 1, isAnew: false))

    /// History was lost.
    func raise() { self.state.withLock { $0 = ($0.value + 1, true) } }

    /// History was lost since the source began.
    var isAnew: Bool { self.state.withLock { $0.isAnew } }

    /// - Returns: the incarnation that is read, where others came before it.
    func current(of source: String) -> String? {
        let number = self.state.withLock { $0.value }
        return number > 1 ? "\(source) \(number)" : nil
    }

    /// - Returns: the greater one.
    func raise(to least: Int) -> Int {
        self.state.withLock { state in
            state.value = max(state.value, least)
            return state.value
        }
    }
}
