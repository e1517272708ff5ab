package import Logging
import PlatformC
import Synchronization
package import TidemarkCore

/// Reads topics of Kafka as a member of a consumer group: a stream for each partition that the group gives.
///
/// Progress is in the database, in the transactions of the rows, and wins over the group's committed offsets. A partition
/// is read once this process has the stream's lease, because a stale assignment must not write.
package struct KafkaSource: Source {
    private let settings: KafkaSourceSettings
    private let known: @Sendable () async throws -> [KnownStream]
    private let endFormer: @Sendable (_ stream: StreamName) async throws -> Void
    private let state: @Sendable (_ waitingFor: String?) -> Void
    private let logger: Logger
    /// Warnings that were logged, of partitions.
    private let told = Told()
    private let blocks = BlockMemoryPool(bytesMost: 2 * KafkaReader.blockBytesMost)

    private final class Told: Sendable {
        private let texts = Mutex<Set<String>>([])

        func withLock<R: Sendable>(_ body: (inout Set<String>) -> R) -> R { self.texts.withLock { body(&$0) } }
    }

    /// - Parameters:
    ///   - known: the source's streams that have been read before.
    ///   - endFormer: ends streams of that name that came before it: their messages are gone.
    ///   - state: called with `nil` when a broker answers, and with the reason when none does, or before the group has
    ///     said which partitions to read.
    package init(
        _ settings: KafkaSourceSettings,
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

    /// Why no client can be made with the settings; `nil` where one can. Makes a client and destroys it, in a few
    /// milliseconds; it may open a connection to a broker and joins no group.
    package static func problem(with settings: KafkaSettings) -> String? {
        for pattern in settings.topics where pattern.hasPrefix("^") {
            var expression = regex_t()
            let code = regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB)
            guard code == 0 else {
                var text = [CChar](repeating: 0, count: 200)
                regerror(code, &expression, &text, text.count)
                let reason = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                return "topic \(pattern) is no regular expression of POSIX: \(reason)"
            }
            regfree(&expression)
        }
        do throws(BrokerError) {
            _ = try KafkaHandle.make(settings, nil)
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
        let member = try KafkaMember(self.settings, logger: self.logger)
        // The state of a member before it says nothing of this one.
        self.state("the group has given no partition yet")
        try member.start()
        do {
            try await self.follow(member, begun, host)
        } catch {
            await member.leave()
            throw error
        }
        await member.leave()
    }

    private func follow(_ member: KafkaMember, _ begun: BegunTopics, _ host: some StreamHost) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            var live: [KafkaPartition] = []
            var begun = begun
            for await event in member.events {
                switch event {
                case .assigned(let partitions):
                    live.removeAll { $0.released.isOpen }
                    live += partitions
                    do {
                        try await self.note(live, of: member, in: &begun)
                    } catch {
                        // None of them has a reader that would release it.
                        for partition in partitions { partition.released.open() }
                        try await Self.release(live)
                        throw error
                    }
                    let seen = begun
                    for partition in partitions {
                        group.addTask {
                            do {
                                try await self.read(partition, of: member, seen, host)
                            } catch let error as any SourceFailure {
                                // The group would cancel the others, and not this loop.
                                member.fail(error)
                            } catch {
                                member.fail(error)
                                throw error
                            }
                        }
                    }
                case .failed(let error):
                    if error is any SourceFailure { try await Self.release(live) }
                    throw error
                case .reachable(true, _): self.state(nil)
                case .reachable(false, let reason): self.state(reason ?? "no broker answers")
                }
            }
            try Task.checkCancellation()
        }
    }

    /// Looks which partitions the topics have now.
    /// - Throws: ``BrokerError`` for partitions that were added where entities are ordered by offsets.
    private func note(_ live: [KafkaPartition], of member: KafkaMember, in begun: inout BegunTopics) async throws {
        let topics = Set(live.map(\.id.topic))
        guard !topics.isEmpty else { return }
        guard let found = await member.partitions(of: topics) else {
            guard self.settings.mayBeginAnew else {
                throw BrokerError(.retryable, "no broker says which partitions the topics have")
            }
            return
        }
        var added: [String] = []
        for (topic, partitions) in found.sorted(by: { $0.key < $1.key }) {
            added += begun.added(partitions.map(\.name), to: topic)
        }
        if !added.isEmpty, !self.settings.mayBeginAnew { throw BegunTopics.refusal(of: added) }
    }

    /// Has the readings end with what they have read committed, and their leases given back: the pass goes on, and the group
    /// may give the partitions to others.
    private static func release(_ partitions: [KafkaPartition]) async throws {
        for partition in partitions { partition.revoke() }
        for partition in partitions { try await partition.released.wait() }
    }

    private static func topic(of stream: String) -> String {
        String(stream.prefix(upTo: stream.lastIndex(of: "[") ?? stream.endIndex))
    }

    private func read(
        _ partition: KafkaPartition,
        of member: KafkaMember,
        _ begun: BegunTopics,
        _ host: some StreamHost
    ) async throws {
        defer { partition.released.open() }
        let (settings, logger, id, endFormer) = (self.settings, self.logger, partition.id.name, self.endFormer)
        let contact = { @Sendable in member.noteContact() }
        let (told, blocks) = (self.told, self.blocks)
        let gap = { @Sendable (what: String) in
            // Each try of a source that has failed would say it again.
            guard told.withLock({ $0.insert("\(id): \(what)").inserted }) else { return }
            logger.warning("\(id): \(what)", metadata: ["source": "\(settings.source.name)"])
        }
        let stream = BrokerStream(id, of: settings.source)
        while true {
            do {
                try await host.assign(stream.description) { level in
                    if let successor = stream.successor { try await endFormer(successor) }
                    let (offset, token) = try Self.beginning(partition, level, settings, begun)
                    // A projection that catches up reads beside the others, and not from the same queue.
                    let own = try partition.take(settings)
                    do {
                        try await own.start(at: offset)
                    } catch {
                        own.giveBack()
                        throw error
                    }
                    return KafkaReader(
                        own,
                        from: level,
                        expecting: token,
                        settings,
                        in: blocks,
                        onContact: contact,
                        onGap: gap
                    )
                }
                // A partition has no end. The lease was not to be had: an earlier reading in this process still holds it.
                guard !partition.isRevoked else { return }
                try await Task.sleep(for: .seconds(1))
            } catch is StreamRevoked {
                // What was read is committed, and the lease given back.
                return
            } catch let error as BrokerError
                where error.kind == .lostHistory && settings.kafka.lostHistory == .earliest && settings.mayBeginAnew
            {
                logger.warning(
                    "\(error); it is read from its beginning (lost_history: earliest)",
                    metadata: ["source": "\(settings.source.name)"]
                )
                stream.beginAnew()
                try await partition.restart(at: KafkaPartition.beginning)
            }
        }
    }

    /// Where a partition is read from, and the message that has to stand before.
    private static func beginning(
        _ partition: KafkaPartition,
        _ level: StreamProgress,
        _ settings: KafkaSourceSettings,
        _ begun: BegunTopics
    ) throws(BrokerError) -> (Int64, KafkaToken?) {
        guard level.isUnbegun else {
            let token = KafkaToken(bytes: level.resume)
            return (token?.offset ?? Int64(clamping: level.offset.major), token)
        }
        guard !begun.isFromBeginning(partition.id.name, of: partition.id.topic) else {
            return (KafkaPartition.beginning, nil)
        }
        switch settings.kafka.start {
        case .earliest: return (KafkaPartition.beginning, nil)
        case .latest: return (KafkaPartition.end, nil)
        case .fail:
            throw BrokerError(
                .operatorNeeded,
                "\(partition.id.name) was not read before, and start: fail begins nothing",
                remedy: "write start: earliest, or start: latest"
            )
        }
    }
}
