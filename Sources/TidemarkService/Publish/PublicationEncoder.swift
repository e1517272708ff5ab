import TidemarkConfiguration
package import TidemarkCore
import TidemarkDecoding

/// Turns messages into records for a topic, keyed by entity. Pure, but for its buffers.
///
/// | message | original | tidemark |
/// |---|---|---|
/// | an event | the message | a line |
/// | events of several entities, an update that changes the key | the message, once for each entity | a line for each event; an update that changes the key under both keys |
/// | a truncate | the message, without a key | a line without a key |
/// | control messages | nothing | nothing |
/// | what is no event, or has no key | the message, without a key | the same |
///
/// With numbers for each entity, messages of several entities become lines in either form, and an update that changes the
/// key a delete and an insert: each record has the number of one entity.
package struct PublicationEncoder: ~Copyable {
    /// What one message came to.
    package struct Encoded: Sendable {
        package var records: [OutgoingRecord] = []
        /// By the index of a record, the entity whose events are counted.
        package var entities: [Int: [UInt8]] = [:]
        package var isControl = false
        package var isUnreadable = false
        /// Rows of tables that are not published.
        package var filtered = 0

        fileprivate mutating func append(_ value: [UInt8]?, of entity: [UInt8]?, table: [UInt8]? = nil) {
            if let entity { self.entities[self.records.count] = entity }
            var record = OutgoingRecord(key: entity.map { KafkaTarget.recordKey(of: $0[...]) }, value: value)
            record.tag = table
            self.records.append(record)
        }
    }

    /// An event of a table that is published.
    private struct Keyed {
        var event: ChangeEvent
        /// `nil` for a truncate.
        var key: [UInt8]?
        /// Where the event changes the key.
        var oldKey: [UInt8]?
    }

    private let settings: SourceSettings
    private let plans: [ProjectionPlan]
    private let encoders: EncoderTable
    private let form: PublicationForm
    private let numbersEntities: Bool
    private var decoder: MessageDecoder
    private var message = DecodedMessage()
    private var lines: PublicationLine

    package init(_ publication: Publication, _ settings: SourceSettings) {
        let plans = publication.keys.map { ProjectionPlan($0) }
        self.settings = settings
        self.plans = plans
        self.form = publication.configuration.form
        self.numbersEntities = publication.configuration.stampsSequence
        self.encoders = EncoderTable(count: plans.count) { ChangeEncoder(plan: plans[$0], index: $0) }
        let headers = Set(plans.flatMap(\.headerNames)).sorted { $0.lexicographicallyPrecedes($1) }
        self.decoder = MessageDecoder(settings: settings, headers: headers)
        self.lines = PublicationLine(settings)
    }

    package mutating func encode(_ source: MessageBlock.Message, of block: MessageBlock) -> Encoded {
        var message = DecodedMessage()
        swap(&message, &self.message)
        defer { self.message = message }
        var encoded = Encoded()
        if !source.isOversized {
            self.decoder.decode(source, of: block, into: &message)
            if message.isControl {
                encoded.isControl = true
                return encoded
            }
        }
        let (value, headers) = self.original(source, block)
        let isBroken = source.isOversized || message.failure != nil || !message.rowFailures.isEmpty
        if !isBroken, let events = self.keyed(message, &encoded.filtered) {
            self.append(events, message, value, to: &encoded)
        } else {
            encoded.filtered = 0
            encoded.isUnreadable = true
            encoded.append(value, of: nil)
        }
        for index in encoded.records.indices { encoded.records[index].headers = headers }
        return encoded
    }

    /// The message as a broker has it, of a dump's line the one that it holds, with its headers.
    private func original(
        _ source: MessageBlock.Message,
        _ block: MessageBlock
    ) -> ([UInt8]?, [(name: String, value: [UInt8]?)]) {
        func headers(_ record: StoredRecord?) -> [(name: String, value: [UInt8]?)] {
            (record?.headers ?? []).map { (String(decoding: $0.name, as: UTF8.self), $0.value) }
        }
        if !source.isOversized, let dumped = self.decoder.dumpedMessage {
            return (dumped.value, headers(dumped.record))
        }
        let record = block.withRecord(of: source) { _, record in
            record.map { StoredRecord($0, isTombstone: source.payload == nil) }
        }
        return (source.payload.map { Array(block.bytes[$0.range]) }, headers(record))
    }

    /// - Returns: `nil` where an event has no key.
    private func keyed(_ message: DecodedMessage, _ filtered: inout Int) -> [Keyed]? {
        var keyed: [Keyed] = []
        for event in message.events {
            guard let index = self.plans.firstIndex(where: { $0.takes(event, of: message) }) else {
                filtered += 1
                continue
            }
            guard event.operation != .truncate else {
                keyed.append(Keyed(event: event))
                continue
            }
            switch self.encoders[index].pointee.publishedKeys(of: event, message, self.settings) {
            case .none: return nil
            case .kept: filtered += 1
            case .keys(let new, let old): keyed.append(Keyed(event: event, key: new, oldKey: old))
            }
        }
        return keyed
    }

    private mutating func append(
        _ events: [Keyed],
        _ message: DecodedMessage,
        _ value: [UInt8]?,
        to encoded: inout Encoded
    ) {
        var entities: [[UInt8]?] = []
        for event in events {
            for key in [event.key, event.oldKey] where key != nil || event.key == nil {
                if !entities.contains(key) { entities.append(key) }
            }
        }
        let isOfOne = entities.count <= 1
        if self.form == .original, isOfOne || !self.numbersEntities {
            let table = events.first.map { Array(message.bytes[$0.event.table.range]) }
            for entity in entities { encoded.append(value, of: entity, table: table) }
            return
        }
        for keyed in events {
            let (event, plan) = (keyed.event, self.plans.first { $0.takes(keyed.event, of: message) })
            let table = Array(message.bytes[event.table.range])
            guard let key = keyed.key, let plan else {
                encoded.append(self.lines.line(event, message, event.operation), of: nil, table: table)
                continue
            }
            guard let oldKey = keyed.oldKey else {
                encoded.append(self.lines.line(event, message, plan), of: key, table: table)
                continue
            }
            if self.numbersEntities {
                encoded.append(self.lines.deleteOfOldKey(event, message, plan), of: oldKey, table: table)
                encoded.append(self.lines.insertOfNewKey(event, message), of: key, table: table)
            } else {
                let line = self.lines.line(event, message, plan)
                encoded.append(line, of: oldKey, table: table)
                encoded.append(line, of: key, table: table)
            }
        }
    }
}
