import Foundation
import TidemarkTesting

/// One change as Debezium writes it for PostgreSQL, with everything that makes rows partial or places strange: columns
/// that are absent or unavailable, snapshots with and without a place in the log, key changes, truncates, epochs.
struct FinerEvent: Sendable, Hashable {
    enum Change: Sendable { case insert, update, delete, snapshot, incremental, truncate }

    enum Cell: Sendable, Hashable {
        case value(String?)
        case unavailable
    }

    /// `a` is read with epoch 1, `b` with epoch 2, `c` with epoch 3 and `absent: null`.
    var source: String
    var change: Change
    var table: String
    var id = 0
    var oldID: Int?
    var version = 0
    /// Columns that are not there are absent.
    var cells: [String: Cell] = [:]
    var lsn: UInt64 = 0
    /// Of a snapshot row: the last commit before it, where its connector knows one.
    var lastCommit: UInt64?
    /// Milliseconds.
    var time: Int64 = 0

    static let columns = ["status", "a", "b", "kind", "doc"]

    private func row(_ id: Int, isWhole: Bool) -> String {
        var members = ["\"id\":\(id)"]
        if isWhole {
            members.append("\"version\":\(self.version)")
            for name in Self.columns {
                switch self.cells[name] {
                case nil: break
                case .unavailable: members.append("\"\(name)\":\"__debezium_unavailable_value\"")
                case .value(nil): members.append("\"\(name)\":null")
                case .value(let text?): members.append("\"\(name)\":" + (name == "a" ? text : PlainEvent.quoted(text)))
                }
            }
        }
        return "{\(members.joined(separator: ","))}"
    }

    var line: String {
        let letter =
            switch self.change {
            case .insert: "c"
            case .update: "u"
            case .delete: "d"
            case .snapshot, .incremental: "r"
            case .truncate: "t"
            }
        let snapshot =
            self.change == .snapshot ? "\"last\"" : self.change == .incremental ? "\"incremental\"" : "\"false\""
        let lsn = self.change == .incremental ? "null" : "\(self.lsn)"
        let commit = self.lastCommit.map { "\\\"\($0)\\\"" } ?? "null"
        let sequence = self.change == .snapshot ? ",\"sequence\":\"[\(commit),\\\"\(self.lsn)\\\"]\"" : ""
        let source =
            "{\"connector\":\"postgresql\",\"schema\":\"shop\",\"table\":\"\(self.table)\",\"ts_ms\":\(self.time),"
            + "\"snapshot\":\(snapshot),\"lsn\":\(lsn)\(sequence)}"
        var members = ["\"op\":\"\(letter)\"", "\"source\":\(source)"]
        switch self.change {
        case .truncate: break
        case .delete: members.append("\"before\":" + self.row(self.id, isWhole: true))
        default:
            if let oldID { members.append("\"before\":" + self.row(oldID, isWhole: false)) }
            members.append("\"after\":" + self.row(self.id, isWhole: true))
        }
        return "{\(members.joined(separator: ","))}"
    }
}

/// Makes the history of three rows. No two events of a row share a place unless one of them is a delete: which of two
/// different ones counts is then settled by a digest, and the model knows no digests.
struct FinerHistoryGenerator {
    private var generator: SeededGenerator
    private let number: Int
    private var versions: [Int: Int] = [:]
    private var hadIncremental: Set<Int> = []
    private var lsn: UInt64 = 1000
    private var clock: Int64 = 1_772_323_200_000
    private var lastTruncate: FinerEvent?

    /// The events of so many histories, each with entities of its own.
    static func histories(_ count: Int, _ generator: SeededGenerator) -> [FinerEvent] {
        (0..<count).flatMap { number in
            var maker = FinerHistoryGenerator(number: number, generator.fork(number))
            return maker.events()
        }
    }

    init(number: Int, _ generator: SeededGenerator) {
        self.number = number
        self.generator = generator
    }

    private static let states = ["created", "paid", "shipped", "delivered", "returned", "cancelled", "lost"]

    mutating func events() -> [FinerEvent] {
        (0..<Int.random(in: 6...16, using: &self.generator)).flatMap { _ in self.statement() }
    }

    /// One event, or an update that moves the keys of two rows at one place: the second row takes the key of the first.
    private mutating func statement() -> [FinerEvent] {
        let event = self.event()
        guard let old = event.oldID, self.generator.chance(40) else { return [event] }
        let others = (0..<3).map { self.number * 4 + $0 }.filter { $0 != event.id && $0 != old }
        var next = event
        (next.id, next.oldID) = (old, self.generator.pick(others))
        self.number(&next)
        self.fill(&next)
        return [event, next]
    }

    private mutating func event() -> FinerEvent {
        let id = self.number * 4 + Int.random(in: 0..<3, using: &self.generator)
        let shard = self.generator.chance(90) ? id % 2 : (id + 1) % 2
        var event = FinerEvent(
            source: self.generator.chance(60) ? "a" : self.generator.chance(50) ? "b" : "c",
            change: .update,
            table: "orders_\(self.number)_\(shard)",
            id: id
        )
        self.lsn += UInt64.random(in: 1...50, using: &self.generator)
        event.lsn = self.lsn
        self.clock += Int64.random(in: 0...2, using: &self.generator) * 500
        event.time = self.clock - (self.generator.chance(10) ? 3000 : 0)
        switch Int.random(in: 0..<100, using: &self.generator) {
        case ..<15: event.change = .insert
        case ..<62: event.change = .update
        case ..<72:
            event.change = .snapshot
            if self.generator.chance(50) {
                event.lastCommit = event.lsn - UInt64.random(in: 1...200, using: &self.generator)
            }
        case ..<78:
            event.change = self.hadIncremental.insert(id).inserted ? .incremental : .update
        case ..<94: event.change = .delete
        default:
            event.change = .truncate
            // One that is told again, or one of another epoch whose position reads alike.
            if let last = self.lastTruncate, self.generator.chance(60) {
                (event.lsn, event.table) = (last.lsn, last.table)
                event.source = self.generator.chance(50) ? "a" : "b"
            }
            self.lastTruncate = event
            return event
        }
        self.count(&event)
        self.fill(&event)
        return event
    }

    private mutating func fill(_ event: inout FinerEvent) {
        event.cells = [:]
        for name in FinerEvent.columns {
            let draw = Int.random(in: 0..<100, using: &self.generator)
            if draw < 12 { continue }
            event.cells[name] = draw < 24 ? .unavailable : .value(draw < 32 ? nil : self.value(of: name))
        }
    }

    private mutating func count(_ event: inout FinerEvent) {
        if event.change == .update, self.generator.chance(12) {
            let other = self.number * 4 + Int.random(in: 0..<3, using: &self.generator)
            if other != event.id { event.oldID = other }
        }
        self.number(&event)
    }

    private mutating func number(_ event: inout FinerEvent) {
        let last = max(self.versions[event.id] ?? 0, event.oldID.flatMap { self.versions[$0] } ?? 0)
        event.version = last + (self.generator.chance(75) ? 1 : Int.random(in: 2...4, using: &self.generator))
        for id in [event.id, event.oldID ?? event.id] { self.versions[id] = event.version }
    }

    private mutating func value(of name: String) -> String {
        switch name {
        case "status": self.generator.pick(Self.states)
        case "a": "\(Int.random(in: -9...99, using: &self.generator))"
        case "kind": self.generator.pick(["x", "y", "z"])
        case "doc": self.generator.pick(FinerModel.documents.keys.sorted())
        default: self.generator.pick(["plain", "ünïcödé 🧺", "\"quoted\", {braces}", "", "null"])
        }
    }
}
