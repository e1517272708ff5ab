package import TidemarkCore
import TidemarkDecoding

/// Finds what messages say of themselves and the configuration does not: the kind of position that `$position` compares,
/// and the units in which numbers count dates and timestamps.
///
/// Both are decided by counting, so that they do not depend on which file is named first, and are stored with the
/// projection before anything is routed by them. A kind is the one that most positions are of; a unit the one that
/// nearly all unambiguous numbers are of (``UnitTally``).
package struct ReadingDetector {
    /// What is known: declared, stored by earlier runs, or found.
    package private(set) var known: DetectedReadings
    private var positions: [String: [Position.Kind: Int]] = [:]
    /// In the order of `plans`, the columns whose unit is not known.
    private var columns: [[Column]]
    private let plans: [ProjectionPlan]
    /// Whether the projection compares positions.
    private let isByPosition: [Bool]
    /// By table, the plans that take it.
    private var takers: [String: [Int]] = [:]
    private var message = DecodedMessage()

    /// Numbers are counted in so many bytes at the beginning of an input: what one read of a file brings.
    package static let beginningBytes: Int64 = 256 << 10

    private struct Column {
        let plan: ColumnPlan
        var tally: UnitTally
    }

    /// - Parameter known: what earlier runs have stored.
    package init(_ plans: [ProjectionPlan], known: DetectedReadings = DetectedReadings()) {
        self.plans = plans
        self.known = known
        self.isByPosition = plans.map { $0.definition.sequence.contains(.position) }
        self.columns = plans.map { plan in
            let units = known.units[plan.name] ?? [:]
            return plan.columnsOfUnknownUnit.filter { units[$0.name] == nil }
                .map { Column(plan: $0, tally: UnitTally($0.type)) }
        }
        for plan in plans {
            if let declared = plan.definition.positionKind { self.known.positionKinds[plan.name] = declared }
        }
    }

    /// Whether a kind of position is still to be found: every message is counted until then.
    package var isKindOpen: Bool {
        zip(self.plans, self.isByPosition).contains { $1 && self.known.positionKinds[$0.name] == nil }
    }

    /// Whether a unit is still to be found: numbers at the beginning of an input are counted.
    package var isUnitOpen: Bool { self.columns.contains { !$0.isEmpty } }

    /// Whether a block is at the beginning of its stream, so that its numbers are counted.
    package static func isBeginning(_ block: MessageBlock) -> Bool {
        block.messages.first.map { $0.offset.major < UInt64(Self.beginningBytes) } ?? false
    }

    // MARK: Counting

    /// Counts what the first messages of a source's streams carry, of those that can be read ahead.
    package mutating func count(beginningsOf source: some Source) {
        for (index, stream) in source.streams.enumerated() where self.isKindOpen || self.isUnitOpen {
            if let block = source.beginning(of: index) { self.count(block, stream.settings, isBeginning: true) }
        }
    }

    /// - Parameter isBeginning: numbers are counted too.
    package mutating func count(_ block: MessageBlock, _ settings: SourceSettings, isBeginning: Bool) {
        guard self.isKindOpen || isBeginning && self.mayHoldNumbers(block) else { return }
        var decoder = MessageDecoder(settings: settings)
        var message = DecodedMessage()
        swap(&message, &self.message)
        for line in block.messages where !line.isOversized {
            decoder.decode(line, of: block, into: &message)
            for event in message.events { self.count(event, of: message, isBeginning: isBeginning) }
        }
        swap(&message, &self.message)
    }

    package mutating func count(_ event: ChangeEvent, of message: DecodedMessage, isBeginning: Bool) {
        for index in self.takers(of: event, message) {
            let name = self.plans[index].name
            if let kind = event.position?.kind, self.isByPosition[index], self.known.positionKinds[name] == nil {
                self.positions[name, default: [:]][kind, default: 0] += 1
            }
            guard isBeginning, !self.columns[index].isEmpty, let row = event.after ?? event.before else { continue }
            for place in self.columns[index].indices { self.count(place, of: index, row, of: message) }
        }
    }

    /// A number that the message's schema gives a unit needs none from its column.
    private mutating func count(_ place: Int, of index: Int, _ row: Range<Int>, of message: DecodedMessage) {
        let source = self.columns[index][place].plan.source
        for field in row.lazy.map({ message.fields[$0] }) where message.has(source, at: field.name) {
            guard field.kind == .number, !field.encoding.isTimeUnit else { continue }
            self.columns[index][place].tally.count(message.bytes.span.extracting(field.value.range))
        }
    }

    private mutating func takers(of event: ChangeEvent, _ message: DecodedMessage) -> [Int] {
        let table = String(decoding: message.fullTable(of: event), as: UTF8.self)
        if let known = self.takers[table] { return known }
        let found = self.plans.indices.filter { self.plans[$0].takes(event, of: message) }
        // Table names come from outside.
        if self.takers.count >= 1000 { self.takers.removeAll() }
        self.takers[table] = found
        return found
    }

    /// Whether one of the columns stands before a number somewhere in the block: in most logs times are texts, and
    /// decoding the beginnings of many small files twice would be felt. A name that JSON writes with an escape is missed.
    private func mayHoldNumbers(_ block: MessageBlock) -> Bool {
        let names = Set(self.columns.joined().map { $0.plan.source + [UInt8(ascii: "\"")] })
        return block.bytes.withUnsafeBytes { bytes in
            var rest = bytes[...]
            while let quote = rest.firstIndex(of: UInt8(ascii: "\"")) {
                rest = rest[(quote + 1)...]
                for name in names where rest.starts(with: name) && Self.beginsWithNumber(rest.dropFirst(name.count)) {
                    return true
                }
            }
            return false
        }
    }

    /// Behind a member's name.
    private static func beginsWithNumber(_ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard let first = bytes.first(where: { ![0x20, 0x09, UInt8(ascii: ":")].contains($0) }) else { return false }
        return first == UInt8(ascii: "-") || first &- UInt8(ascii: "0") < 10
    }

    // MARK: Deciding

    /// Decides what the counts tell.
    /// - Returns: what is known now and was not before.
    package mutating func decide() -> DetectedReadings {
        var found = DetectedReadings()
        for (name, counts) in self.positions {
            let most = counts.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }
            if let most { found.positionKinds[name] = most.key }
        }
        self.positions = [:]
        for index in self.columns.indices {
            for column in self.columns[index] {
                guard let unit = column.tally.unit else { continue }
                found.units[self.plans[index].name, default: [:]][column.plan.name] = unit
            }
            self.columns[index].removeAll { $0.tally.unit != nil }
        }
        self.known.add(found)
        return found
    }

    // MARK: Reporting

    /// How many positions of each kind were counted for a projection that takes one kind only, the most frequent first.
    package func mixture(of projection: String) -> [(kind: Position.Kind, count: Int)] {
        let counts = self.positions[projection] ?? [:]
        guard counts.count > 1 else { return [] }
        return counts.map { ($0.key, $0.value) }.sorted { ($0.1, $0.0.rawValue) > ($1.1, $1.0.rawValue) }
    }

    /// Columns of a projection that hold numbers whose unit neither a schema nor the configuration says.
    package func numbers(of projection: String) -> [(column: ColumnPlan, tally: UnitTally)] {
        guard let index = self.plans.firstIndex(where: { $0.name == projection }) else { return [] }
        return self.columns[index].filter { !$0.tally.isEmpty }.map { ($0.plan, $0.tally) }
    }
}
