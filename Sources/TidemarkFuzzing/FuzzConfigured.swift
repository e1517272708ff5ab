import TidemarkCore
import TidemarkDecoding

/// What a generated configuration makes of its messages.
package enum FuzzConfigured {
    /// How many events the generated inputs of a seed hold, and how many of them are encoded: without enough of both,
    /// nothing would be checked.
    package static func reach(seed: UInt64, inputs: Int) -> (events: Int, encoded: Int) {
        var reach = (events: 0, encoded: 0)
        for number in 0..<UInt64(inputs) {
            let lines = FuzzMessages.input(seed: seed, number: number).split(separator: UInt8(ascii: "\n"))
            guard let line = lines.first,
                let configuration = FuzzConfiguration(line: String(decoding: line, as: UTF8.self))
            else { continue }
            var check = Check(configuration)
            for line in lines.dropFirst() { _ = check.problem(in: Array(line)) }
            reach.events += check.events
            reach.encoded += check.encoded
        }
        return reach
    }

    /// - Returns: what must not be; `nil` when all is well, or when the input has no configuration.
    static func problem(in input: [UInt8]) -> String? {
        let lines = input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard let first = lines.first,
            let configuration = FuzzConfiguration(line: String(decoding: first, as: UTF8.self))
        else { return nil }
        guard FuzzConfiguration(line: configuration.line)?.line == configuration.line else {
            return "the configuration is written in two ways"
        }
        var check = Check(configuration)
        for line in lines.dropFirst() {
            if let problem = check.problem(in: Array(line)) { return "\(configuration.line): \(problem)" }
        }
        return nil
    }

    /// One configuration's encoders: one that goes from event to event, as a reader's does, and plans for fresh ones.
    private struct Check: ~Copyable {
        private let plan: ProjectionPlan
        private let general: ProjectionPlan
        private let settings: SourceSettings
        private var changeEncoder: ChangeEncoder
        private var decoder: MessageDecoder
        private var message = DecodedMessage()
        private(set) var events = 0
        private(set) var encoded = 0

        init(_ configuration: FuzzConfiguration) {
            self.plan = ProjectionPlan(configuration.definition)
            self.general = ProjectionPlan(configuration.definition, usesQuickPath: false)
            self.settings = configuration.settings
            self.changeEncoder = ChangeEncoder(plan: self.plan, index: 0)
            self.decoder = MessageDecoder(settings: configuration.settings)
        }

        mutating func problem(in line: [UInt8]) -> String? {
            line.withUnsafeBytes { self.decoder.decode($0, into: &self.message) }
            for event in self.message.events where event.operation != .truncate {
                if let problem = self.problem(with: event) { return problem }
                for image in [event.before, event.after].compactMap({ $0 }) {
                    if let problem = self.problem(inValuesOf: image) { return problem }
                }
            }
            return nil
        }

        private mutating func problem(with event: ChangeEvent) -> String? {
            var fresh = ChangeEncoder(plan: self.plan, index: 0)
            var slow = ChangeEncoder(plan: self.general, index: 0)
            let encoded = Self.encode(event, self.message, self.settings, &self.changeEncoder)
            let again = Self.encode(event, self.message, self.settings, &fresh)
            let general = Self.encode(event, self.message, self.settings, &slow)
            self.events += 1
            if encoded.outcome == .encoded { self.encoded += 1 }
            guard encoded == again else { return "depends on the events before it" }
            guard encoded == Self.encode(event, self.message, self.settings, &fresh) else {
                return "encoded twice, in two ways"
            }
            guard encoded.outcome == general.outcome else {
                return "the quick path says \(encoded.outcome), the general one \(general.outcome)"
            }
            guard encoded == general else { return "the quick path writes other bytes than the general one" }
            if case .rejected(let rejection) = encoded.outcome, let problem = FuzzHarness.problem(in: rejection) {
                return problem
            }
            if let problem = encoded.problem { return problem }
            return self.difference(ofDelete: event, from: encoded)
        }

        /// A row's key and sequence are checked alike, whatever becomes of the row.
        private func difference(ofDelete event: ChangeEvent, from encoded: Staged) -> String? {
            guard event.operation == .insert, let after = event.after, encoded.outcome != .filtered else { return nil }
            var delete = event
            (delete.operation, delete.before, delete.after) = (.delete, after, nil)
            var changeEncoder = ChangeEncoder(plan: self.plan, index: 0)
            let deleted = Self.encode(delete, self.message, self.settings, &changeEncoder)
            let isAboutRow: Bool
            if case .rejected(let rejection) = encoded.outcome {
                isAboutRow = rejection.reason == .valueInvalid
            } else {
                isAboutRow = true
            }
            switch deleted.outcome {
            case .rejected:
                return encoded.outcome == .encoded ? "an insert is taken, and the delete of its row refused" : nil
            default:
                return isAboutRow ? nil : "a delete is taken, and the insert of its row refused for key or sequence"
            }
        }

        /// What a value's canonical text is read as again is the value.
        private func problem(inValuesOf image: Range<Int>) -> String? {
            let context = ValueEncoder.Context(zone: self.settings.zone, writesJSONAsText: true)
            let bytes = self.message.bytes
            var encoder = ValueEncoder()
            for kept in self.plan.keptColumns ?? [] {
                let column = kept.column
                for index in image {
                    let field = self.message.fields[index]
                    guard field.kind != .null, field.kind != .unavailable,
                        Array(bytes[field.name.range]) == column.source,
                        (try? encoder.encode(field, of: bytes.span, as: column, in: context)) != nil
                    else { continue }
                    let (text, binary) = (encoder.text, encoder.binary)
                    let encoding: ValueEncoding = column.type == .bytea ? .hex : .none
                    let plain = ColumnPlan(.init(name: column.name, type: column.type, encoding: encoding))
                    let canonical = Field(name: .empty, value: ByteRange(start: 0, end: text.count), kind: .string)
                    let shown = String(decoding: text.prefix(100), as: UTF8.self)
                    guard (try? encoder.encode(canonical, of: text.span, as: plain, in: context)) != nil else {
                        return "\(column.type.sql) does not read its own text \(shown)"
                    }
                    guard encoder.text == text, encoder.binary == binary else {
                        return "\(column.type.sql) reads its own text \(shown) otherwise"
                    }
                }
            }
            return nil
        }

        private static func encode(
            _ event: ChangeEvent,
            _ message: DecodedMessage,
            _ settings: SourceSettings,
            _ changeEncoder: inout ChangeEncoder
        ) -> Staged {
            let offset = StreamOffset(major: 0, row: UInt32(clamping: event.row))
            let stream = StreamID(rawValue: 1)
            let origin = ChangeEncoder.Origin(settings: settings, sourceIndex: 0, stream: stream, offset: offset)
            var segments = Array(repeating: LaneSegment(stream: stream, start: .start, end: .start), count: 3)
            // Which kind of position came first must not matter here.
            changeEncoder.positionKind = nil
            let outcome = changeEncoder.encode(event, of: message, from: origin, into: &segments)
            return Staged(outcome: outcome, segments: segments)
        }
    }

    private struct Staged: Equatable {
        var outcome: ChangeEncoder.Outcome
        var segments: [LaneSegment]

        static func == (left: Staged, right: Staged) -> Bool {
            guard left.outcome == right.outcome, left.segments.count == right.segments.count else { return false }
            for (one, two) in zip(left.segments, right.segments) {
                guard one.bytes.elementsEqual(two.bytes), one.items.count == two.items.count else { return false }
                for (item, other) in zip(one.items, two.items)
                where item.operation != other.operation || item.kind != other.kind || item.isPartial != other.isPartial
                    || item.milestones != other.milestones || item.orderKey != other.orderKey
                    || item.valueFields != other.valueFields
                {
                    return false
                }
            }
            return true
        }

        var problem: String? {
            let items = self.segments.flatMap { segment in segment.items.map { (segment, $0) } }
            switch self.outcome {
            case .rejected: return items.isEmpty ? nil : "rejected and encoded"
            case .filtered: break
            case .encoded where items.isEmpty: return "encoded, and nothing is there"
            case .encoded: break
            }
            return items.lazy.compactMap { FuzzStaging.problem(inImage: $0.1, $0.0) }.first
        }
    }
}
