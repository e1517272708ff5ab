import Foundation

/// A text that is compared by its bytes: Swift's own comparison takes "á" and "a\u{301}" for one.
struct Exact: Hashable, Comparable, CustomStringConvertible, Sendable {
    var bytes: [UInt8]

    init(_ text: String) { self.bytes = Array(text.utf8) }

    var description: String { String(decoding: self.bytes, as: UTF8.self) }

    static func < (left: Exact, right: Exact) -> Bool { left.bytes.lexicographicallyPrecedes(right.bytes) }
}

/// One part of a sequence.
enum Part: Comparable, Hashable {
    case number(Int128)
    /// A position is at least as great as no position, a shorter one less than those that begin with it, and one that
    /// came with a snapshot less than the same one streamed. The delete half of a key change is below the rest of its
    /// position.
    case position([UInt64]?, isStreamed: Bool, isDeleteHalf: Bool = false)

    static func < (left: Part, right: Part) -> Bool {
        switch (left, right) {
        case (.number(let left), .number(let right)): left < right
        case (.position(nil, _, _), .position(let right, _, _)): right != nil
        case (.position, .position(nil, _, _)): false
        case (
            .position(let left?, let leftStreamed, let isLeftHalf),
            .position(let right?, let rightStreamed, let isRightHalf)
        ):
            left == right
                ? (leftStreamed ? 1 : 0, isLeftHalf ? 0 : 1) < (rightStreamed ? 1 : 0, isRightHalf ? 0 : 1)
                : left.lexicographicallyPrecedes(right)
        default: false
        }
    }

    /// The part as the delete half of a key change has it.
    var ofDeleteHalf: Part {
        guard case .position(let numbers, let isStreamed, _) = self else { return self }
        return .position(numbers, isStreamed: isStreamed, isDeleteHalf: true)
    }
}

/// The place of an event in its entity's order, as far as it does not depend on a digest.
struct Rank: Comparable, Hashable {
    var sequence: [Part]
    var isDelete: Bool
    var place: Int

    static func < (left: Rank, right: Rank) -> Bool {
        if left.sequence != right.sequence { return left.sequence.lexicographicallyPrecedes(right.sequence) }
        return (left.isDelete ? 1 : 0, left.place) < (right.isDelete ? 1 : 0, right.place)
    }
}

/// What a projection makes of one event.
struct Fact {
    var key: [Exact]
    var rank: Rank
    /// The kept columns.
    var content: [Exact]
    var state: String?
    /// Of equal events the one with the least of these is shown, nulls last.
    var time: Int64?
    var change: String
    var source: String
    var position: Exact?

    func isShown(before other: Fact) -> Bool {
        if self.time != other.time { return (self.time ?? .max) < (other.time ?? .max) }
        if self.change != other.change { return self.change < other.change }
        if self.source != other.source { return self.source < other.source }
        guard let position, let theirs = other.position else { return self.position != nil }
        return position < theirs
    }
}

/// A projection in the model's words: how it places, keys and keeps an event.
struct Shape: Sendable {
    var name: String
    var key: @Sendable (PlainEvent.Key) -> [Exact]
    /// `nil` where a part is missing.
    var sequence: @Sendable (PlainEvent) -> [Part]?
    var content: @Sendable (PlainEvent) -> [Exact]
    /// A value that does not fit its type.
    var hasMisfit: @Sendable (PlainEvent) -> Bool
    var keyHasMisfit: @Sendable (PlainEvent.Key) -> Bool
    var hasLifecycle = true
    var keepsTimeline = true
    /// The same content in SQL, of an image or of the row.
    var imageSQL: [String]
    var rowSQL: [String]
    var keySQL: [String]

    /// Worked out by hand: the longest path from `created`; shipped, delivered and returned are a cycle.
    static let places = [
        "created": 1, "paid": 2, "cancelled": 2, "shipped": 3, "delivered": 3, "returned": 3, "refunded": 3,
    ]
    static let milestones = [
        "paid": ["paid", "shipped", "delivered", "returned", "refunded"],
        "shipped": ["shipped", "delivered", "returned"],
    ]

    /// Why the event is a dead letter.
    func reason(_ event: PlainEvent) -> String? {
        if event.flaw == .keyIsNull { return "key_missing" }
        if self.keyHasMisfit(event.key) || event.oldKey.map(self.keyHasMisfit) ?? false { return "value_invalid" }
        if self.sequence(event) == nil { return "sequence_missing" }
        return event.change != .delete && self.hasMisfit(event) ? "value_invalid" : nil
    }

    func facts(_ event: PlainEvent) -> [Fact] {
        guard let sequence = self.sequence(event) else { return [] }
        let isDelete = event.change == .delete
        func fact(_ key: PlainEvent.Key, isDelete: Bool, _ change: String, isHalf: Bool = false) -> Fact {
            let state = isDelete ? nil : event.status
            let place = self.hasLifecycle ? state.flatMap { Self.places[$0] } ?? 0 : 0
            return Fact(
                key: self.key(key),
                rank: Rank(
                    sequence: isHalf ? sequence.map(\.ofDeleteHalf) : sequence,
                    isDelete: isDelete,
                    place: place
                ),
                content: isDelete ? [] : self.content(event),
                state: state,
                time: event.time,
                change: change,
                source: event.source,
                position: event.positionText.map(Exact.init)
            )
        }
        if isDelete { return [fact(event.key, isDelete: true, "delete")] }
        guard event.change == .update, let oldKey = event.oldKey, self.key(oldKey) != self.key(event.key) else {
            return [fact(event.key, isDelete: false, event.change.rawValue)]
        }
        return [fact(oldKey, isDelete: true, "delete", isHalf: true), fact(event.key, isDelete: false, "insert")]
    }

    /// The set of events of each entity, in order; those that only a digest can tell apart stand together.
    func timelines(_ events: [PlainEvent]) -> [[Exact]: [Fact]] {
        var timelines: [[Exact]: [Fact]] = [:]
        for event in events where event.flaw != .cutLine && self.reason(event) == nil {
            for fact in self.facts(event) {
                let known = timelines[fact.key] ?? []
                guard let twin = known.firstIndex(where: { $0.rank == fact.rank && $0.content == fact.content }) else {
                    timelines[fact.key] = known + [fact]
                    continue
                }
                if fact.isShown(before: known[twin]) { timelines[fact.key]?[twin] = fact }
            }
        }
        return timelines.mapValues { $0.sorted { $0.rank < $1.rank } }
    }

    /// Sequences at which an entity has several events, none of them a delete.
    func conflicts(_ timelines: [[Exact]: [Fact]]) -> Int {
        guard self.keepsTimeline else { return 0 }
        return timelines.values.reduce(0) { sum, facts in
            let sequences = Dictionary(grouping: facts.filter { !$0.rank.isDelete }, by: \.rank.sequence)
            return sum + sequences.values.count { $0.count > 1 }
        }
    }

    func milestones(_ facts: [Fact]) -> [(milestone: String, states: [String])] {
        guard self.hasLifecycle else { return [] }
        return Self.milestones.sorted { $0.key < $1.key }.compactMap { name, states in
            let implying = facts.filter { $0.state.map(states.contains) ?? false }
            guard let least = implying.first else { return nil }
            // Those that only a digest tells apart may any of them be the least.
            return (name, implying.filter { $0.rank == least.rank }.compactMap(\.state))
        }
    }
}
