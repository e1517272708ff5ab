import Synchronization
import TidemarkConfiguration
import TidemarkCore
import TidemarkDecoding
import TidemarkStore

/// What of a source was written to a topic.
package struct PublicationCounts: Sendable, Hashable {
    package var messages = 0
    package var records = 0
    /// Heartbeats, DDL and the like, which are not published.
    package var control = 0
    /// Rows of tables that are not published.
    package var filtered = 0
    /// Messages that are no event, or have no key: written as they came, without one.
    package var unkeyed = 0
}

/// Writes the streams of a source to a topic. A stream's level is stored once the brokers have what is before it: what was
/// sent and not stored is sent again.
final class PublishHost: StreamHost {
    private let descriptions: [StreamDescription]
    private let publication: Publication
    /// `nil` where nothing is kept.
    private let store: PublicationStore?
    private let send: @Sendable ([OutgoingRecord]) async throws -> Void
    private let total = Mutex(PublicationCounts())

    init(
        _ publication: Publication,
        _ descriptions: [StreamDescription],
        _ store: PublicationStore?,
        send: @escaping @Sendable ([OutgoingRecord]) async throws -> Void
    ) {
        self.publication = publication
        self.descriptions = descriptions
        self.store = store
        self.send = send
    }

    var counts: PublicationCounts { self.total.withLock { $0 } }

    func assign(_ index: Int, _ open: (StreamProgress) throws -> any StreamReader) async throws {
        let description = self.descriptions[index]
        guard let (stream, level) = try await self.level(of: description) else { return }
        try await self.publish(try open(level), description, stream)
    }

    func assign(
        _ stream: StreamDescription,
        _ open: @escaping @Sendable (StreamProgress) async throws -> any StreamReader
    ) async throws {
        guard let (entered, level) = try await self.level(of: stream) else { return }
        try await self.publish(try await open(level), stream, entered)
    }

    /// - Returns: `nil` for a stream that is published to its end; a stream of `nil` where its level is not kept.
    private func level(of stream: StreamDescription) async throws -> (StreamID?, StreamProgress)? {
        guard stream.isResumable, let store else { return (nil, .start) }
        let published = try await store.published()
        switch stream.identify(published.map(\.stream)) {
        case .gone: return nil
        case .new(let incarnation):
            var name = stream.name
            name.incarnation = incarnation
            return (try await store.enter(name, hint: stream.hint), .start)
        case .known(let known):
            let level = published.first { $0.stream.id == known.id }?.level ?? .start
            guard !stream.isAtEnd(level) else { return nil }
            try await store.update(known, name: stream.name.name, hint: stream.hint)
            return (known.id, level)
        }
    }

    private func publish(_ reader: any StreamReader, _ stream: StreamDescription, _ id: StreamID?) async throws {
        var encoder = PublicationEncoder(self.publication, stream.settings)
        while let block = try await reader.next() {
            var counts = PublicationCounts()
            var records: [OutgoingRecord] = []
            var entities: [Int: [UInt8]] = [:]
            for message in block.messages {
                let encoded = encoder.encode(message, of: block)
                counts.messages += 1
                counts.control += encoded.isControl ? 1 : 0
                counts.unkeyed += encoded.isUnreadable ? 1 : 0
                counts.filtered += encoded.filtered
                for (index, entity) in encoded.entities { entities[records.count + index] = entity }
                records += encoded.records
            }
            if self.publication.configuration.stampsSequence { try await self.stamp(&records, entities) }
            counts.records = records.count
            try await self.send(records)
            if let id { try await self.store?.save(block.end, of: id) }
            try await reader.acknowledger?.acknowledge(block.end)
            let added = counts
            self.total.withLock { $0.add(added) }
            reader.recycle(block)
        }
        guard let id, reader.progress.isAtEnd else { return }
        try await self.store?.save(reader.progress, of: id)
    }

    /// Gives each record of an entity a number above those that its records had before.
    private func stamp(_ records: inout [OutgoingRecord], _ entities: [Int: [UInt8]]) async throws {
        guard !entities.isEmpty, let store else { return }
        var counts: [[UInt8]: Int64] = [:]
        for entity in entities.values { counts[entity, default: 0] += 1 }
        var next = try await store.numbers(counts).reduce(into: [:]) { numbers, last in
            numbers[last.key] = last.value - (counts[last.key] ?? 0)
        }
        for index in records.indices {
            guard let entity = entities[index] else { continue }
            let number = (next[entity] ?? 0) + 1
            next[entity] = number
            records[index].headers.removeAll { $0.name == Publication.sequenceHeader }
            records[index].headers.append((name: Publication.sequenceHeader, value: Array("\(number)".utf8)))
        }
    }
}

extension PublicationCounts {
    fileprivate mutating func add(_ other: PublicationCounts) {
        self.messages += other.messages
        self.records += other.records
        self.control += other.control
        self.filtered += other.filtered
        self.unkeyed += other.unkeyed
    }
}
