import TidemarkCore

/// A column's value as a message writes it.
struct TestCell: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    var text: String
    var kind: Field.Kind
    var encoding = ValueEncoding.none
    var scale: Int16 = 0

    init(_ text: String, _ kind: Field.Kind, encoding: ValueEncoding = .none, scale: Int16 = 0) {
        (self.text, self.kind, self.encoding, self.scale) = (text, kind, encoding, scale)
    }

    init(stringLiteral text: String) { self.init(text, .string) }
    init(integerLiteral number: Int) { self.init("\(number)", .number) }

    static let null = TestCell("null", .null)
    static let unavailable = TestCell("__debezium_unavailable_value", .unavailable)
    static func number(_ text: String) -> TestCell { TestCell(text, .number) }
    static func json(_ text: String) -> TestCell { TestCell(text, .json) }
}

typealias TestRow = KeyValuePairs<String, TestCell>

/// A message of one change event, put together by hand.
struct TestEvent {
    var message = DecodedMessage()
    var change: ChangeEvent

    init(
        _ operation: TidemarkCore.Operation,
        before: TestRow? = nil,
        after: TestRow? = nil,
        table: String = "shop.orders",
        position: Position? = nil
    ) {
        self.change = ChangeEvent(table: .empty, operation: operation)
        self.change.table = self.add(table)
        self.change.position = position
        self.change.before = before.map { self.add($0) }
        self.change.after = after.map { self.add($0) }
    }

    /// Appends a text to the message's bytes, with the padding that a parser may look into behind it.
    mutating func add(_ text: String) -> ByteRange {
        if self.message.bytes.count >= MessageBlock.padding { self.message.bytes.removeLast(MessageBlock.padding) }
        let start = self.message.bytes.count
        self.message.bytes += Array(text.utf8)
        let range = ByteRange(start: start, end: self.message.bytes.count)
        self.message.bytes += [UInt8](repeating: 0, count: MessageBlock.padding)
        return range
    }

    private mutating func add(_ row: TestRow) -> Range<Int> {
        let first = self.message.fields.count
        for (name, cell) in row {
            let (name, value) = (self.add(name), self.add(cell.text))
            let field = Field(name: name, value: value, kind: cell.kind, encoding: cell.encoding, scale: cell.scale)
            self.message.fields.append(field)
        }
        return first..<self.message.fields.count
    }

    func with(_ body: (inout TestEvent) -> Void) -> TestEvent {
        var other = self
        body(&other)
        return other
    }
}

/// What an event was encoded to, in forms that tests compare.
struct EncodedView {
    let item: EncodedChange
    let lane: Int
    private let bytes: [UInt8]

    init(_ item: EncodedChange, lane: Int, of segment: LaneSegment) {
        (self.item, self.lane, self.bytes) = (item, lane, segment.bytes)
    }

    func text(_ range: ByteRange) -> String { String(decoding: self.bytes[range.range], as: UTF8.self) }

    var operation: TidemarkCore.Operation { self.item.operation }
    /// Parts are separated by `|`.
    var key: String {
        self.text(self.item.key).split(separator: "\0", omittingEmptySubsequences: false).joined(separator: "|")
    }
    var orderKey: [UInt8] { Array(self.bytes[self.item.orderKey.range]) }
    var sequence: String { self.text(self.item.sequence) }
    var sequenceBytes: [UInt8] { Array(self.orderKey.prefix(Int(self.item.sequenceCount))) }
    var image: String { self.text(self.item.image) }
    var table: String { self.text(self.item.table) }
    var state: String? { self.item.state.map { self.text($0) } }
    var keyFields: [[UInt8]?] { self.fields(self.item.keyFields) }
    var valueFields: [[UInt8]?] { self.fields(self.item.valueFields) }
    var carried: [UInt8] { Array(self.bytes[self.item.carried.range]) }
    var missing: [String] { self.fields(self.item.missing).map { String(decoding: $0 ?? [], as: UTF8.self) } }

    private func fields(_ range: ByteRange) -> [[UInt8]?] {
        var reader = LengthPrefixedReader(self.bytes[range.range])
        var fields: [[UInt8]?] = []
        while !reader.isAtEnd {
            do { fields.append(try reader.next().map { Array($0) }) } catch { return fields }
        }
        return fields
    }
}

/// Encodes events of one projection, as a router does.
final class EncoderBench {
    let plan: ProjectionPlan
    var settings = SourceSettings(name: "test")
    var encoder: ChangeEncoder
    /// All that has been encoded, by lane.
    private(set) var segments: [LaneSegment] = []

    init(_ definition: ProjectionDefinition, lanes: Int = 1, positionKind: Position.Kind? = nil) {
        self.plan = ProjectionPlan(definition)
        self.encoder = ChangeEncoder(plan: self.plan, index: 0, positionKind: positionKind)
        self.segments = Array(
            repeating: LaneSegment(stream: StreamID(rawValue: 1), start: .start, end: .start),
            count: lanes
        )
    }

    /// What has been encoded since this was last called, as a batch of its own.
    func takeBatch() -> LaneBatch {
        var batch = LaneBatch()
        for (number, segment) in self.segments.enumerated() {
            batch.beginSegment(segment)
            for index in segment.items.indices { batch.append(ItemReference(segment: number, index: index)) }
            batch.endSegment()
            self.segments[number] = LaneSegment(stream: segment.stream, start: .start, end: .start)
        }
        return batch
    }

    /// Encodes one event and gives what it was encoded to, in the order in which it was appended.
    func encode(
        _ event: TestEvent,
        at offset: StreamOffset = .start,
        _ change: (inout ChangeEncoder.Origin) -> Void = { _ in }
    ) -> (outcome: ChangeEncoder.Outcome, encoded: [EncodedView]) {
        var origin = ChangeEncoder.Origin(
            settings: self.settings,
            sourceIndex: 0,
            sourceID: 3,
            stream: StreamID(rawValue: 1),
            offset: offset
        )
        change(&origin)
        let counts = self.segments.map(\.items.count)
        let outcome = self.encoder.encode(event.change, of: event.message, from: origin, into: &self.segments)
        var encoded: [EncodedView] = []
        for (lane, segment) in self.segments.enumerated() {
            encoded += segment.items[counts[lane]...].map { EncodedView($0, lane: lane, of: segment) }
        }
        return (outcome, encoded)
    }

    /// The rejection of an event; `nil` for one that is none.
    func rejection(_ event: TestEvent) -> Rejection? {
        if case .rejected(let rejection) = self.encode(event).outcome { rejection } else { nil }
    }
}

extension ProjectionDefinition {
    /// Orders by their version, with a lifecycle and two milestones.
    static func orders(
        key: [String] = ["id"],
        sequence: [SequencePart] = [.column("version", type: nil)],
        declaresColumns: Bool = true
    ) -> ProjectionDefinition {
        var definition = ProjectionDefinition(name: "orders", from: ["shop.orders"], key: key, sequence: sequence)
        if declaresColumns {
            definition.columns = [
                .init(name: "version", type: .bigint), .init(name: "id", type: .bigint),
                .init(name: "status", type: .text), .init(name: "total", type: .numeric(precision: 12, scale: 2)),
            ]
        }
        definition.state = .init(column: "status")
        definition.lifecycle = Lifecycle(
            initial: "created",
            transitions: ["created": ["paid"], "paid": ["shipped"], "shipped": ["delivered"]]
        )
        definition.milestones = ["shipped", "paid"].map { Milestone(name: $0, state: $0) }
        return definition
    }
}
