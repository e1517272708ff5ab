import LibPQ
import Logging
import Testing
import TidemarkCore
import TidemarkStore
import TidemarkTesting

/// One row change, as a decoded message has it.
struct Change {
    var table = "shop.orders"
    var operation: Operation
    var fields: [(name: String, value: String, kind: Field.Kind)]
    /// Microseconds since 1970.
    var eventTime: Int64?
    /// Set: the message becomes a dead letter instead.
    var rejection: Rejection?

    init(_ fields: [(name: String, value: String, kind: Field.Kind)], _ operation: Operation = .update) {
        self.operation = operation
        self.fields = fields
    }

    /// Of the projection `orders`.
    static func order(_ id: Int, _ version: Int, _ status: String? = "paid", at eventTime: Int64? = nil) -> Change {
        var change = Change(
            [("id", "\(id)", .number), ("version", "\(version)", .number)]
                + (status.map { [("status", $0, .string)] } ?? []),
            status == nil ? .delete : .update
        )
        change.eventTime = eventTime
        return change
    }

    static func deadLetter(_ reason: Rejection.Reason = .malformedJSON) -> Change {
        var change = Change([], .insert)
        change.rejection = Rejection(reason, "not a change event")
        return change
    }
}

/// A block of one stream: changes at consecutive offsets.
struct Block {
    var stream: StreamID
    /// The offset of the first.
    var start: UInt64
    var changes: [Change]

    init(_ stream: StreamID, from start: UInt64, _ changes: [Change]) {
        self.stream = stream
        self.start = start
        self.changes = changes
    }
}

extension LaneBatch {
    /// What a router and a queue make of blocks, with one lane.
    init(_ blocks: [Block], of plans: [ProjectionPlan]) throws {
        self.init()
        for block in blocks {
            self.beginSegment(try Self.segment(block, plans))
            let segment = self.segments.count - 1
            for index in self.segments[segment].items.indices {
                self.append(ItemReference(segment: segment, index: index))
            }
            self.endSegment()
        }
    }

    private static func segment(_ block: Block, _ plans: [ProjectionPlan]) throws -> LaneSegment {
        func progress(_ count: Int) -> StreamProgress {
            let ordinal = Int64(block.start) + Int64(count)
            return StreamProgress(offset: StreamOffset(major: UInt64(ordinal)), ordinal: ordinal + 1)
        }
        var segments = [LaneSegment(stream: block.stream, start: progress(0), end: progress(block.changes.count))]
        segments[0].name = "log \(block.stream.rawValue)"
        for (index, change) in block.changes.enumerated() {
            let offset = progress(index).offset
            segments[0].pendingTally.messages += 1
            if let rejection = change.rejection {
                let raw = Array("broken \(block.stream.rawValue) \(offset.major)".utf8)
                let letter = DeadLetter(
                    projection: nil,
                    source: "test",
                    position: "\(segments[0].name):\(offset.major + 1)",
                    rejection: rejection,
                    row: 0,
                    raw: raw,
                    digest: DeadLetter.digest(of: raw[...], oversizedLength: nil),
                    reading: .init(stream: block.stream, offset: offset, ordinal: Int64(offset.major) + 1),
                    isWhole: true
                )
                segments[0].append(deadLetter: letter, at: offset, ordinal: UInt32(index))
                continue
            }
            for (number, plan) in plans.enumerated() where plan.definition.from.contains(change.table) {
                var encoder = ChangeEncoder(plan: plan, index: number)
                var origin = ChangeEncoder.Origin(
                    settings: SourceSettings(name: "test"),
                    sourceIndex: 0,
                    stream: block.stream,
                    offset: offset
                )
                origin.ordinal = UInt32(index)
                let (message, event) = Self.message(change)
                let outcome = encoder.encode(event, of: message, from: origin, into: &segments)
                try #require(outcome == .encoded, "\(change): \(outcome)")
            }
        }
        return segments[0]
    }

    private static func message(_ change: Change) -> (DecodedMessage, ChangeEvent) {
        var message = DecodedMessage()
        func append(_ text: String) -> ByteRange {
            let start = message.bytes.count
            message.bytes.append(contentsOf: text.utf8)
            return ByteRange(start: start, end: message.bytes.count)
        }
        for field in change.fields {
            let (name, value) = (append(field.name), append(field.value))
            message.fields.append(Field(name: name, value: value, kind: field.kind))
        }
        var event = ChangeEvent(table: append(change.table), operation: change.operation)
        if change.operation == .delete {
            event.before = 0..<change.fields.count
        } else {
            event.after = 0..<change.fields.count
        }
        event.eventTime = change.eventTime
        // A parser may look ahead.
        message.bytes += [UInt8](repeating: 0, count: MessageBlock.padding)
        return (message, event)
    }
}

/// A migrated database with projections, streams and a pass over them.
struct StoreBench {
    let plans: [ProjectionPlan]
    let connection: Connection
    let streams: [StreamID]
    let pass: PassState
    let logger = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

    init(_ definitions: [ProjectionDefinition] = [.orders], streams count: Int = 1) async throws {
        self.plans = definitions.map { ProjectionPlan($0) }
        self.connection = try await Self.migrated()
        _ = try await ProjectionRegistry.prepare(self.plans, on: self.connection)
        var streams: [StreamID] = []
        for number in 0..<count { streams.append(try await Self.stream("log \(number)", on: self.connection)) }
        self.streams = streams
        self.pass = try await PassStore.begin(
            streams: streams.map { StreamEntry(id: $0, isResumable: true) },
            projections: self.plans.map(\.name),
            lanes: 1,
            on: self.connection
        )
    }

    /// A connection to the test's database, with Tidemark's schema.
    static func migrated() async throws -> Connection {
        let connection = try await TestDatabase.current.connect()
        _ = try await Migrator.migrate(connection)
        return connection
    }

    /// Enters a stream that its incarnation tells from others of its name.
    static func stream(_ name: String, on connection: Connection) async throws -> StreamID {
        let description = StreamDescription(
            name: StreamName(source: "test", name: name, incarnation: "prefix of \(name)"),
            label: name,
            settings: SourceSettings(name: "test")
        )
        return try await StreamStore.entered(description, sourceID: nil, on: connection)
    }

    func lane(
        _ number: Int = 0,
        of lanes: Int = 1,
        through options: ConnectionOptions? = nil,
        progress: [StreamID: StreamProgress] = [:],
        empty: EmptyRelations = EmptyRelations(),
        wait: Duration? = .zero,
        process: ProcessSession? = nil,
        closing: (@Sendable (LaneBatch) -> [Statement])? = nil
    ) throws -> LaneStore {
        var settings = LaneStore.Settings(
            options: options ?? ConnectionOptions(TestDatabase.current.url),
            pass: self.pass.id,
            lane: number,
            lanes: lanes,
            progress: LaneProgress(
                Dictionary(uniqueKeysWithValues: progress.map { (ProgressKey(stream: $0), [number: $1]) })
            ),
            sources: ["test"],
            isMuted: false,
            cacheBytes: 1 << 20,
            empty: empty,
            databaseWait: wait,
            process: process
        )
        settings.closing = closing
        return try LaneStore(settings: settings, plans: self.plans, logger: self.logger)
    }

    func batch(_ blocks: Block...) throws -> LaneBatch { try LaneBatch(blocks, of: self.plans) }

    /// The pass's stored offsets, as "stream:lanes/lane=major", in order.
    func progress() async throws -> [String] {
        try await self.connection.rows(
            """
            select stream_id || ':' || lanes || '/' || lane || '=' || tidemark_internal.offset_major("offset")
            from tidemark_internal.progress where pass_id = \(self.pass.id) order by stream_id, lanes, lane
            """
        ).map { $0[0] }
    }

    /// Messages, applied, late, duplicate, dead letters, entities, as counted.
    func counts() async throws -> [String] {
        try await self.connection.rows(
            """
            select sum(messages), sum(applied), sum(late), sum(duplicate), sum(dead_letters), sum(entities)
            from tidemark_internal.counters where pass_id = \(self.pass.id)
            """
        )[0]
    }
}

/// Most tests have projections that are read together.
extension Dictionary where Key == ProgressKey {
    subscript(stream: StreamID) -> Value? { self[ProgressKey(stream: stream)] }
}

extension PassStore {
    static func save(
        levels: [(stream: StreamID, level: StreamProgress)],
        of pass: Int64,
        on connection: Connection
    ) async throws {
        try await Self.save(
            levels: levels.map { ("", StoredLevel(ProgressKey(stream: $0.stream), $0.level)) },
            of: pass,
            on: connection
        )
    }
}

extension StreamStore {
    /// Enters a stream whose content is there.
    static func entered(
        _ stream: StreamDescription,
        sourceID: Int64?,
        on connection: Connection
    ) async throws -> StreamID {
        try #require(try await self.enter(stream, sourceID: sourceID, on: connection))
    }
}
