import Foundation
import Testing
import TidemarkCore
import TidemarkDecoding

/// A log under `fixtures/decoders`, and what must come of it, as text: one line for each message, then the order of the
/// events of each key.
///
/// Messages behind a blank line are the next source's. Each message's line reads `number: outcome`, where an outcome is
/// `control`, a reason for a dead letter, or for each row
///
///     update oms.orders @ 42:1288:3:1 | id=7 amount=199.95 note=null doc=? | was status=PAID
///
/// with the declared columns in their types' canonical text, `?` for unavailable, nothing for absent, and `!` with what
/// was expected for a value that does not fit.
struct DecoderFixture {
    var name: String
    var sources: [SourceSettings]
    var columns: [ProjectionDefinition.Column]

    private static let folder: URL = {
        var folder = URL(fileURLWithPath: #filePath)
        while !FileManager.default.fileExists(atPath: folder.appendingPathComponent("Package.swift").path) {
            folder.deleteLastPathComponent()
        }
        return folder.appendingPathComponent("fixtures/decoders")
    }()

    /// The sections of the log, one for each source, and their first lines' numbers.
    private func sections() throws -> [[(number: Int, bytes: [UInt8])]] {
        let data = try Data(contentsOf: Self.folder.appendingPathComponent("\(self.name).ndjson"))
        var sections: [[(number: Int, bytes: [UInt8])]] = [[]]
        for (index, line) in data.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty {
                sections.append([])
            } else {
                sections[sections.count - 1].append((index + 1, Array(line)))
            }
        }
        return sections.filter { !$0.isEmpty }
    }

    func expected() throws -> [String] {
        let text = try String(contentsOf: Self.folder.appendingPathComponent("\(self.name).expected"), encoding: .utf8)
        return text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
    }

    /// What the decoders, the value encoder and the order key make of the log.
    func actual() throws -> [String] {
        var lines: [String] = []
        var order = OrderListing()
        let sections = try self.sections()
        try #require(sections.count == self.sources.count)
        for (section, settings) in zip(sections, self.sources) {
            var decoder = MessageDecoder(settings: settings)
            var message = DecodedMessage()
            for (number, bytes) in section {
                bytes.withUnsafeBytes { decoder.decode($0, into: &message) }
                message.expectConsistent()
                lines += self.outcome(of: message, settings).map { "\(number): \($0)" }
                order.add(message, line: number, settings)
            }
        }
        return lines + order.lines
    }

    func check(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let (actual, expected) = (try self.actual(), try self.expected())
        for index in 0..<max(actual.count, expected.count) {
            let (left, right) = (
                index < actual.count ? actual[index] : "<none>", index < expected.count ? expected[index] : "<none>"
            )
            #expect(left == right, "\(self.name)", sourceLocation: sourceLocation)
        }
    }

    // MARK: Describing

    private func outcome(of message: DecodedMessage, _ settings: SourceSettings) -> [String] {
        if let failure = message.failure { return ["\(failure.reason.rawValue): \(failure.detail)"] }
        if message.isControl { return ["control"] }
        let rows = message.events.map { ($0.row, self.describe($0, of: message, settings)) }
        let failures = message.rowFailures.map { ($0.row, "\($0.rejection.reason.rawValue): \($0.rejection.detail)") }
        return (rows + failures).sorted { $0.0 < $1.0 }.map(\.1)
    }

    private func describe(_ event: ChangeEvent, of message: DecodedMessage, _ settings: SourceSettings) -> String {
        var text = "\(event.operation) \(message.text(event.table)) @ "
        text += event.position.map(\.description) ?? event.positionGap.map { "none (\($0))" } ?? "none"
        for (label, image) in [("", event.after), ("was ", event.before)] {
            guard let image else { continue }
            let columns = self.columns.compactMap { self.describe($0, image, event, message, settings) }
            text += " | " + label + columns.joined(separator: " ")
            if event.beforeTrust == .key { text += " (key only)" }
        }
        return text
    }

    private func describe(
        _ column: ProjectionDefinition.Column,
        _ image: Range<Int>,
        _ event: ChangeEvent,
        _ message: DecodedMessage,
        _ settings: SourceSettings
    ) -> String? {
        guard let field = message.fields[image].first(where: { message.text($0.name) == column.name }) else {
            return nil
        }
        switch field.kind {
        case .null: return "\(column.name)=null"
        case .unavailable: return "\(column.name)=?"
        default: break
        }
        var encoder = ValueEncoder()
        let context = ValueEncoder.Context(zone: settings.zone, writesJSONAsText: event.writesJSONAsText)
        do throws(ValueEncoder.Misfit) {
            try encoder.encode(field, of: message.bytes.span, as: ColumnPlan(column), in: context)
            return "\(column.name)=\(String(decoding: encoder.text, as: UTF8.self))"
        } catch {
            return "\(column.name)!\(error.expected)"
        }
    }
}

/// The events of each key in the order of their order keys: the last one is what the row shows.
struct OrderListing {
    private struct Entry {
        var key: String
        var orderKey: [UInt8]
        var sequence: [UInt8]
        var text: String
    }

    /// A projection takes positions of one kind, and a log may have several.
    private var encoders: [Position.Kind?: Stager] = [:]
    private let plan: ProjectionPlan
    private var entries: [Entry] = []

    private final class Stager {
        var changeEncoder: ChangeEncoder

        init(_ plan: ProjectionPlan) { self.changeEncoder = ChangeEncoder(plan: plan, index: 0) }
    }

    init() {
        var definition = ProjectionDefinition(name: "p", from: ["*"], key: ["id"], sequence: [.position])
        definition.columns = [.init(name: "id", type: .text)]
        self.plan = ProjectionPlan(definition)
    }

    mutating func add(_ message: DecodedMessage, line: Int, _ settings: SourceSettings) {
        for event in message.events where event.operation != .truncate {
            let stream = StreamID(rawValue: 1)
            var segments = [LaneSegment(stream: stream, start: .start, end: .start)]
            let offset = StreamOffset(major: UInt64(line), row: UInt32(event.row))
            let origin = ChangeEncoder.Origin(settings: settings, sourceIndex: 0, stream: stream, offset: offset)
            let number = message.events.count > 1 ? "\(line).\(event.row)" : "\(line)"
            let kind = event.position?.kind
            let box = self.encoders[kind] ?? Stager(self.plan)
            self.encoders[kind] = box
            let outcome = box.changeEncoder.encode(
                event,
                of: message,
                from: origin,
                into: &segments
            )
            if case .rejected(let rejection) = outcome {
                self.entries.append(
                    Entry(key: "", orderKey: [], sequence: [], text: "\(number): \(rejection.detail)")
                )
            }
            for item in segments[0].items where item.kind == .change {
                let orderKey = Array(segments[0].bytes[item.orderKey.range])
                self.entries.append(
                    Entry(
                        key: String(decoding: segments[0].bytes[item.key.range], as: UTF8.self),
                        orderKey: orderKey,
                        sequence: Array(orderKey.prefix(Int(item.sequenceCount))),
                        text: "\(number) \(item.operation)"
                    )
                )
            }
        }
    }

    /// `key 7: 1 insert < 3 update = 4 update < 2 delete`, and `~` between those that only the tie-breakers part.
    var lines: [String] {
        var lines = self.entries.filter { $0.key.isEmpty }.map { "refused \($0.text)" }
        let keys = Dictionary(grouping: self.entries.filter { !$0.key.isEmpty }, by: \.key)
        for (key, entries) in keys.sorted(by: { ($0.key.count, $0.key) < ($1.key.count, $1.key) }) {
            let sorted = entries.enumerated().sorted { left, right in
                left.element.orderKey == right.element.orderKey
                    ? left.offset < right.offset
                    : left.element.orderKey.lexicographicallyPrecedes(right.element.orderKey)
            }.map(\.element)
            var text = "key \(key): \(sorted[0].text)"
            for (left, right) in zip(sorted, sorted.dropFirst()) {
                let sign = left.orderKey == right.orderKey ? "=" : left.sequence == right.sequence ? "~" : "<"
                text += " \(sign) \(right.text)"
            }
            lines.append(text)
        }
        return lines
    }
}
