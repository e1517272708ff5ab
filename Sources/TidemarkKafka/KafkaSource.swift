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
    private let state: @Sendable (State) -> Void
    private let logger: Logger
    /// Warnings that were logged, of partitions.
    private let told = Told()

    private final class Told: Sendable {
        private let texts = Mutex<Set<String>>([])

        func withLock<R: Sendable>(_ body: (inout Set<String>) -> R) -> R { self.texts.withLock { body(&$0) } }
    }

    /// How the source is, for people.
    package enum State: Sendable {
        case running
        case waiting(reason: String)
    }

    /// - Parameters:
    ///   - known: the source's streams that have been read before.
    ///   - endFormer: ends streams of that name that came before it: their messages are gone.
    ///   - state: called when a broker answers, and when none does.
    package init(
        _ settings: KafkaSourceSettings,
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
        do throws(KafkaError) {
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
        // A topic of which something was read is begun: partitions that come later are read from their beginning.
        let begun = Set(try await self.known().filter { $0.reached > 0 }.map { Self.topic(of: $0.name) })
        let member = try KafkaMember(self.settings, logger: self.logger)
        try member.start()
        do {
            try await self.follow(member, begun, host)
        } catch {
            await member.leave()
            throw error
        }
        await member.leave()
    }

    private func follow(_ member: KafkaMember, _ begun: Set<String>, _ host: some StreamHost) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            var live: [KafkaPartition] = []
            for await event in member.events {
                switch event {
                case .assigned(let partition):
                    live.removeAll { $0.released.isOpen }
                    live.append(partition)
                    group.addTask {
                        do {
                            try await self.read(partition, of: member, begun, host)
                        } catch let error as any SourceFailure {
                            // The group would cancel the others, and not this loop.
                            member.fail(error)
                        } catch {
                            member.fail(error)
                            throw error
                        }
                    }
                case .failed(let error):
                    if error is any SourceFailure { try await Self.release(live) }
                    throw error
                case .reachable(true, _): self.state(.running)
                case .reachable(false, let reason): self.state(.waiting(reason: reason ?? "no broker answers"))
                }
            }
            try Task.checkCancellation()
        }
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
        _ begun: Set<String>,
        _ host: some StreamHost
    ) async throws {
        defer { partition.released.open() }
        let (settings, logger, id, endFormer) = (self.settings, self.logger, partition.id.name, self.endFormer)
        let contact = { @Sendable in member.noteContact() }
        let told = self.told
        let gap = { @Sendable (what: String) in
            // Each try of a source that has failed would say it again.
            guard told.withLock({ $0.insert("\(id): \(what)").inserted }) else { return }
            logger.warning("\(id): \(what)", metadata: ["source": "\(settings.source.name)"])
        }
        let number = StreamNumber()
        while true {
            do {
                try await host.assign(self.description(of: id, number)) { level in
                    if let incarnation = number.current(of: settings.source.name) {
                        try await endFormer(
                            StreamName(source: settings.source.name, name: id, incarnation: incarnation)
                        )
                    }
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
            } catch let error as KafkaError
                where error.kind == .lostHistory && settings.kafka.lostHistory == .earliest && settings.mayBeginAnew
            {
                logger.warning(
                    "\(error); it is read from its beginning (lost_history: earliest)",
                    metadata: ["source": "\(settings.source.name)"]
                )
                number.raise()
                try await partition.restart(at: KafkaPartition.beginning)
            }
        }
    }

    /// A partition whose history was lost is a new stream, since its offsets begin anew. Partitions of one name in two
    /// clusters are two streams: the source is in the incarnation, by which streams are looked up.
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

    /// Where a partition is read from, and the message that has to stand before.
    private static func beginning(
        _ partition: KafkaPartition,
        _ level: StreamProgress,
        _ settings: KafkaSourceSettings,
        _ begun: Set<String>
    ) throws(KafkaError) -> (Int64, KafkaToken?) {
        guard level.offset == .start else {
            let token = KafkaToken(bytes: level.resume)
            return (token?.offset ?? Int64(clamping: level.offset.major), token)
        }
        guard !begun.contains(partition.id.topic) else {
            guard !settings.mayBeginAnew else { return (KafkaPartition.beginning, nil) }
            throw KafkaError(
                .operatorNeeded,
                "\(partition.id.name) was added to a topic whose entities are ordered by their offsets: those of entities "
                    + "that moved to it begin anew, below what was read of them",
                remedy: "raise epoch of this source, which puts what comes now above what was read, and write "
                    + "added_partitions: earliest"
            )
        }
        switch settings.kafka.start {
        case .earliest: return (KafkaPartition.beginning, nil)
        case .latest: return (KafkaPartition.end, nil)
        case .fail:
            throw KafkaError(
                .operatorNeeded,
                "\(partition.id.name) was not read before, and start: fail begins nothing",
                remedy: "write start: earliest, or start: latest"
            )
        }
    }
}

/// Which of the streams of a partition is read: the first one is 1, and each loss of history begins the next.
private final class StreamNumber: Sendable {
    private let value = Mutex(1)

    func raise() { self.value.withLock { $0 += 1 } }

    /// - Returns: the incarnation that is read, where others came before it.
    func current(of source: String) -> String? {
        let number = self.value.withLock { $0 }
        return number > 1 ? "\(source) \(number)" : nil
    }

    /// - Returns: the greater one.
    func raise(to least: Int) -> Int {
        self.value.withLock { value in
            value = max(value, least)
            return value
        }
    }
}
