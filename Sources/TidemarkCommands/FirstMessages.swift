import TidemarkCore

/// What a replay into an empty read model would do with each of the first messages of some files.
struct FirstMessages {
    private struct Line {
        /// What it is.
        var what = ""
        /// What would be done with it, by each projection that takes it.
        var outcomes: [String] = []
        var isControl = false
    }

    private struct Stream {
        var id: StreamID
        var name: String
        var lines: [Int64: Line] = [:]
    }

    /// The order keys that a projection has seen of an entity.
    private struct Seen {
        var greatest: [UInt8] = []
        var all: Set<[UInt8]> = []
    }

    static let messagesMax: Int64 = 10
    private static let streamsMax = 3

    private let plans: [ProjectionPlan]
    private var streams: [Stream] = []
    private var seen: [[KeyHash: Seen]]

    init(_ plans: [ProjectionPlan]) {
        self.plans = plans
        self.seen = Array(repeating: [:], count: plans.count)
    }

    mutating func count(_ message: DecodedMessage, ordinal: Int64, of stream: PassStream) {
        self.change(stream.id, stream.name, ordinal) { line in
            line.isControl = message.isControl
            if message.isControl {
                line.what = "no change of a row"
            } else if message.failure != nil {
                line.what = "no event"
            } else if let event = message.events.first {
                let more = message.events.count - 1
                line.what = "\(event.operation) \(message.text(event.table))"
                if more > 0 { line.what += " and \(more) more row\(more == 1 ? "" : "s")" }
            }
        }
    }

    mutating func count(_ batch: LaneBatch) {
        for item in batch.items {
            let (event, segment) = (batch[item], batch.segments[Int(item.segment)])
            let ordinal = segment.start.ordinal + Int64(event.ordinal)
            guard let outcome = self.outcome(of: item, batch) else { continue }
            self.change(segment.stream, segment.name, ordinal) { $0.outcomes.append(outcome) }
        }
    }

    private mutating func outcome(of item: ItemReference, _ batch: LaneBatch) -> String? {
        let event = batch[item]
        switch event.kind {
        case .seen: return nil
        case .truncate: return "\(self.plans[Int(event.projection)].name): a truncate, noted"
        case .deadLetter:
            let letter = batch.segments[Int(item.segment)].deadLetters[event.deadLetter]
            let reason = letter.rejection.reason.rawValue
            return "\(letter.projection.map { "\($0): " } ?? "")a dead letter, \(reason)"
        case .change:
            let projection = Int(event.projection)
            let plan = self.plans[projection]
            let verdict = self.verdict(event, Array(batch.bytes(event.orderKey, of: item)), projection)
            let key = KeyText(plan, batch.bytes(event.key, of: item)).json
            let sequence = String(decoding: batch.bytes(event.sequence, of: item), as: UTF8.self)
            return "\(plan.name) \(key) at \(sequence): \(verdict)"
        }
    }

    /// By what came before it.
    private mutating func verdict(_ event: EncodedChange, _ orderKey: [UInt8], _ projection: Int) -> String {
        var seen = self.seen[projection][event.keyHash] ?? Seen()
        defer { self.seen[projection][event.keyHash] = seen }
        guard seen.all.insert(orderKey).inserted else { return "duplicate" }
        guard seen.greatest.lexicographicallyPrecedes(orderKey) else { return "late" }
        seen.greatest = orderKey
        return "applied"
    }

    private mutating func change(_ id: StreamID, _ name: String, _ ordinal: Int64, _ body: (inout Line) -> Void) {
        guard ordinal <= Self.messagesMax else { return }
        if let index = self.streams.firstIndex(where: { $0.id == id }) {
            return body(&self.streams[index].lines[ordinal, default: Line()])
        }
        guard self.streams.count < Self.streamsMax else { return }
        var stream = Stream(id: id, name: name)
        body(&stream.lines[ordinal, default: Line()])
        self.streams.append(stream)
    }

    /// For a person: a line for each message, and one for each projection that takes it.
    var lines: [String] {
        self.streams.flatMap { stream in
            ["\(stream.name), its first messages:"]
                + stream.lines.sorted { $0.key < $1.key }.flatMap { ordinal, line in
                    let number = "\(ordinal)"
                    let head = String(repeating: " ", count: max(0, 4 - number.count)) + number
                    let outcomes =
                        line.outcomes.isEmpty
                        ? [line.isControl ? "nothing to apply" : "taken by no projection"] : line.outcomes
                    guard outcomes.count > 1 else { return ["\(head)  \(line.what) → \(outcomes[0])"] }
                    return ["\(head)  \(line.what)"] + outcomes.map { "      → \($0)" }
                }
        }
    }
}
