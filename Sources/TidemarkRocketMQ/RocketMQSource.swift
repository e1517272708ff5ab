package import Logging
import RocketMQCodec
import Synchronization
package import TidemarkCore

/// Reads topics of RocketMQ as a member of a consumer group: a stream for each queue that falls to it.
///
/// Progress is in the database, in the transactions of the rows, and wins over the group's offsets at the broker. A queue is
/// read only with the stream's lease, because the broker lets any client read any queue.
package struct RocketMQSource: Source {
    private let settings: RocketMQSourceSettings
    private let known: @Sendable () async throws -> [KnownStream]
    private let endFormer: @Sendable (_ stream: StreamName) async throws -> Void
    private let state: @Sendable (_ waitingFor: String?) -> Void
    private let logger: Logger

    /// - Parameters:
    ///   - known: the source's streams that have been read before.
    ///   - endFormer: ends streams of that name that came before it: their messages are gone.
    ///   - state: called with `nil` when brokers answer, and with the reason when one does not.
    package init(
        _ settings: RocketMQSourceSettings,
        known: @escaping @Sendable () async throws -> [KnownStream],
        endFormer: @escaping @Sendable (_ stream: StreamName) async throws -> Void,
        state: @escaping @Sendable (_ waitingFor: String?) -> Void,
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
        do throws(BrokerError) {
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
        let begun = BegunTopics(try await self.known(), topic: Self.topic)
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
        _ begun: BegunTopics,
        _ host: some StreamHost
    ) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await member.run() }
            var begun = begun
            var queues: [MessageQueueName: SharedQueue] = [:]
            let released = Wakeup()
            for await event in member.events {
                switch event {
                case .assigned(let wanted, let all):
                    do throws(BrokerError) {
                        try self.note(all, in: &begun)
                    } catch {
                        await self.release(Array(queues.values), released)
                        throw error
                    }
                    let seen = begun
                    for name in wanted where queues[name] == nil {
                        let queue = SharedQueue(name, released)
                        queues[name] = queue
                        group.addTask {
                            do {
                                try await self.tend(queue, of: member, session, seen, host)
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
                    if error is any SourceFailure { await self.release(Array(queues.values), released) }
                    throw error
                }
            }
            try Task.checkCancellation()
        }
    }

    /// - Throws: for queues that were added where entities are ordered by offsets.
    private func note(_ queues: Set<MessageQueueName>, in begun: inout BegunTopics) throws(BrokerError) {
        var added: [String] = []
        for (topic, queues) in Dictionary(grouping: queues, by: \.topic).sorted(by: { $0.key < $1.key }) {
            added += begun.added(queues.map(\.description), to: topic)
        }
        if !added.isEmpty, !self.settings.mayBeginAnew { throw BegunTopics.refusal(of: added) }
    }

    /// Has the readings end with what they have read committed, and their leases given back: the pass goes on.
    private func release(_ queues: [SharedQueue], _ released: Wakeup) async {
        for queue in queues { queue.setWanted(false) }
        // One that waits for a lease of another process ends only when it has it, which may be never.
        let deadline = ContinuousClock.now + self.settings.drainTimeout
        while !Task.isCancelled {
            let count = released.count
            let left = deadline - .now
            guard queues.contains(where: \.isHeld), left > .zero else { return }
            await released.wait(atMost: left, since: count)
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
        _ begun: BegunTopics,
        _ host: some StreamHost
    ) async throws {
        let stream = BrokerStream(queue.name.description, of: self.settings.source)
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
                try await self.read(queue, session, stream, begun, host)
            } catch let error as BrokerError
                where error.kind == .lostHistory && self.settings.rocketmq.lostHistory == .earliest
                && self.settings.mayBeginAnew
            {
                self.logger.warning(
                    "\(error); it is read from its beginning (lost_history: earliest)",
                    metadata: ["source": "\(self.settings.source.name)"]
                )
                stream.beginAnew()
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
        _ stream: BrokerStream,
        _ begun: BegunTopics,
        _ host: some StreamHost
    ) async throws {
        let (settings, endFormer) = (self.settings, self.endFormer)
        do {
            try await host.assign(stream.description) { level in
                guard !queue.isRevoked else { throw StreamRevoked() }
                if let successor = stream.successor { try await endFormer(successor) }
                let beginning = try Self.beginning(queue.name, level, settings, begun, isAnew: stream.isAnew)
                return QueueReader(queue, session, from: level, beginning)
            }
        } catch is StreamRevoked {
            // What was read is committed, and the lease given back.
        }
    }

    /// Where a queue is read from, and the message that has to stand before.
    private static func beginning(
        _ queue: MessageQueueName,
        _ level: StreamProgress,
        _ settings: RocketMQSourceSettings,
        _ begun: BegunTopics,
        isAnew: Bool
    ) throws(BrokerError) -> QueuePuller.Beginning {
        guard level.isUnbegun else {
            return .at(Int64(clamping: level.offset.major), RocketMQToken(bytes: level.resume))
        }
        guard !isAnew else { return .earliest }
        guard !begun.isFromBeginning(queue.description, of: queue.topic) else { return .earliest }
        switch settings.rocketmq.start {
        case .earliest: return .earliest
        case .latest: return .latest
        case .fail:
            throw BrokerError(
                .operatorNeeded,
                "\(queue) was not read before, and start: fail begins nothing",
                remedy: "write start: earliest, or start: latest"
            )
        }
    }
}
