import Foundation
import TidemarkTesting

/// One change as the generator means it, in plain Swift values. Its ``line`` is what Tidemark reads of it.
struct PlainEvent: Sendable, Hashable {
    enum Change: String, Sendable { case insert, update, delete, snapshot }

    /// What is wrong with a line.
    enum Flaw: Sendable, Hashable {
        case cutLine, keyIsNull, noteHoldsNUL, versionIsText, amountTooLarge, amountWouldBeRounded, dateDoesNotExist
    }

    struct Key: Sendable, Hashable {
        var tenant: String
        /// Wider than bigint, since a line may hold any number.
        var id: Int128
    }

    var source = "a"
    var change = Change.update
    var key: Key
    /// The key that the row had before, when the message says so.
    var oldKey: Key?
    var version: Int128?
    var status: String?
    var cents: Int?
    var note: String?
    /// Microseconds.
    var updatedAt: Int64?
    var position: [UInt64]?
    /// Microseconds.
    var time: Int64?
    var flaw: Flaw?
    /// A delete of which only the key is logged.
    var isKeyOnly = false
    /// Numbers are written as strings, and times with another offset: the same values for whoever knows the types.
    var isSpelledOtherwise = false

    // MARK: As a line

    static func quoted(_ text: String) -> String {
        var output = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            default:
                if scalar.value < 0x20 || scalar.value == 0x7F {
                    output += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
                } else {
                    output.unicodeScalars.append(scalar)
                }
            }
        }
        return output + "\""
    }

    static func money(_ cents: Int) -> String {
        let sign = cents < 0 ? "-" : ""
        let fraction = abs(cents) % 100
        return "\(sign)\(abs(cents) / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }

    static func timestamp(_ microseconds: Int64, offsetHours: Int = 0) -> String {
        var seconds = time_t(microseconds / 1_000_000) + offsetHours * 3600
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let zone = offsetHours == 0 ? "Z" : String(format: "+%02d:00", offsetHours)
        return String(
            format: "%04d-%02d-%02dT%02d:%02d:%02d.%06d",
            Int(parts.tm_year) + 1900,
            Int(parts.tm_mon) + 1,
            Int(parts.tm_mday),
            Int(parts.tm_hour),
            Int(parts.tm_min),
            Int(parts.tm_sec),
            Int(microseconds % 1_000_000)
        ) + zone
    }

    var amountText: String? {
        switch self.flaw {
        case .amountTooLarge: "12345678901.00"
        case .amountWouldBeRounded: "1.005"
        default: self.cents.map(Self.money)
        }
    }

    var versionText: String? {
        self.flaw == .versionIsText ? "x7" : self.version.map { "\($0)\(self.isSpelledOtherwise ? ".0" : "")" }
    }

    var updatedText: String? {
        if self.flaw == .dateDoesNotExist { return "2026-02-30T10:00:00Z" }
        return self.updatedAt.map { Self.timestamp($0, offsetHours: self.isSpelledOtherwise ? 2 : 0) }
    }

    private func row(_ key: Key, isKeyOnly: Bool) -> String {
        func number(_ text: String?) -> String { text.map { self.isSpelledOtherwise ? "\"\($0)\"" : $0 } ?? "null" }
        func text(_ text: String?) -> String { text.map(Self.quoted) ?? "null" }
        var members = [
            ("id", self.flaw == .keyIsNull ? "null" : number("\(key.id)")), ("tenant", Self.quoted(key.tenant)),
        ]
        if !isKeyOnly {
            let version = self.flaw == .versionIsText ? "\"x7\"" : number(self.versionText)
            members += [
                ("status", text(self.status)), ("version", version), ("amount", number(self.amountText)),
                ("note", text(self.note)), ("updated_at", text(self.updatedText)),
            ]
        }
        return "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }

    /// In Tidemark's own format.
    var line: String {
        var members = [("table", "\"shop.orders\""), ("op", "\"\(self.change.rawValue)\"")]
        if self.change == .delete {
            members.append(("before", self.row(self.key, isKeyOnly: self.isKeyOnly)))
        } else {
            if let oldKey { members.append(("before", self.row(oldKey, isKeyOnly: true))) }
            members.append(("after", self.row(self.key, isKeyOnly: false)))
        }
        if let time { members.append(("ts", "\"\(Self.timestamp(time))\"")) }
        if let position { members.append(("position", "[\(position.map(String.init).joined(separator: ","))]")) }
        let line = "{" + members.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
        return self.flaw == .cutLine ? String(line.dropLast(1 + line.count / 3)) : line
    }

    /// As the timeline shows it.
    var positionText: String? { self.position.map { $0.map(String.init).joined(separator: ":") } }
}

/// Makes histories: a few rows each, whose changes take every turn that a log can take.
struct HistoryGenerator {
    private var generator: SeededGenerator
    private let number: Int
    private var keys: [PlainEvent.Key] = []
    private var versions: [PlainEvent.Key: Int128] = [:]
    private var offset: UInt64 = 100
    private var clock: Int64 = 1_772_323_200_000_000

    init(number: Int, _ generator: SeededGenerator) {
        self.generator = generator
        self.number = number
        let bases: [Int128] = [0, 9_007_199_254_740_993, Int128(Int64.max) - 1_000_000, Int128(Int64.min)]
        let base = bases[number % bases.count] + Int128(number * 8)
        let tenants = ["de", "ß\"'\\", "日本", "a\u{301}", "🧺 x"]
        for place in 0..<3 {
            self.keys.append(.init(tenant: "\(tenants[(number + place) % 5])\(number)", id: base + Int128(place)))
        }
        // The same number for another tenant: one row where the number alone is the key.
        self.keys.append(.init(tenant: "other\(number)", id: base))
    }

    private static let states = [
        "created", "paid", "shipped", "delivered", "returned", "refunded", "cancelled", "lost in space",
    ]
    private static let notes = [
        "plain", "\"quoted\" 'too' \\back\\", "new\nline\ttab", "ünïcödé 日本 🧺", "", "null", "{\"json\":[1]}",
        "\u{7F}\u{1}",
        "a\u{301}", "á",
    ]

    mutating func events() -> [PlainEvent] {
        var events: [PlainEvent] = []
        for _ in 0..<Int.random(in: 12...26, using: &self.generator) {
            if let last = events.last, self.generator.chance(18) {
                events.append(self.twin(of: self.generator.chance(50) ? last : self.generator.pick(events)))
            } else {
                events.append(self.event())
            }
        }
        return events
    }

    private mutating func event() -> PlainEvent {
        let key = self.generator.pick(self.keys)
        var event = PlainEvent(key: key)
        event.source = self.generator.pick(["a", "b"])
        let draw = Int.random(in: 0..<100, using: &self.generator)
        event.change = draw < 25 ? .insert : draw < 70 ? .update : draw < 84 ? .snapshot : .delete
        self.place(&event)
        event.status = self.generator.chance(5) ? nil : self.generator.pick(Self.states)
        event.cents = self.generator.chance(10) ? nil : Int.random(in: -500...99_999, using: &self.generator)
        event.note = self.generator.chance(10) ? nil : self.generator.pick(Self.notes)
        event.isSpelledOtherwise = self.generator.chance(25)
        if event.change == .update, self.generator.chance(35) {
            // Most name the key as it was, a few another one.
            event.oldKey = self.generator.chance(50) ? key : self.generator.pick(self.keys)
        }
        if event.change == .delete { event.isKeyOnly = self.generator.chance(30) }
        if self.generator.chance(8) { self.spoil(&event) }
        return event
    }

    /// Gives the event its places in the orders that the projections go by: mostly rising, now and then the same again.
    private mutating func place(_ event: inout PlainEvent) {
        let last = self.versions[event.key] ?? 0
        let version: Int128
        switch Int.random(in: 0..<100, using: &self.generator) {
        case ..<12: version = last
        case ..<16: version = Int128(UInt64.max)
        case ..<20: version = -1
        case ..<30: version = max(0, last - Int128.random(in: 0...3, using: &self.generator))
        default: version = last + 1
        }
        if version != Int128(UInt64.max) { self.versions[event.key] = max(last, version) }
        event.version = self.generator.chance(3) ? nil : version

        self.offset += self.generator.chance(15) ? 0 : UInt64.random(in: 1...900, using: &self.generator)
        event.position = [self.offset % 5 == 0 ? 999_999 : 1_000_000, self.offset]
        if self.generator.chance(20) { event.position?.append(UInt64.random(in: 0...2, using: &self.generator)) }
        if self.generator.chance(3) { event.position = [.max, .max, .max, .max] }
        if self.generator.chance(event.change == .snapshot ? 50 : 4) { event.position = nil }

        // A coarse clock: several events share a tick.
        self.clock += self.generator.chance(40) ? 0 : Int64.random(in: 1...3, using: &self.generator) * 500_000
        event.time = self.generator.chance(5) ? nil : self.clock - (self.generator.chance(10) ? 2_000_001 : 0)
        event.updatedAt = self.generator.chance(5) ? nil : self.clock / 1_000_000 * 1_000_000
    }

    /// The same content again, as it comes by another way or at another time.
    private mutating func twin(of other: PlainEvent) -> PlainEvent {
        var twin = other
        switch Int.random(in: 0..<4, using: &self.generator) {
        case 0: twin.source = twin.source == "a" ? "b" : "a"
        case 1: twin.time = self.generator.chance(20) ? nil : self.clock
        case 2:
            if twin.change != .delete {
                twin.change = self.generator.pick([.insert, .update, .snapshot])
                if twin.change != .update { twin.oldKey = nil }
            }
        default: twin.isSpelledOtherwise.toggle()
        }
        if self.generator.chance(30) { twin.position = twin.position.map { [$0[0], $0.last! &+ 1] } }
        return twin
    }

    private mutating func spoil(_ event: inout PlainEvent) {
        let flaws: [PlainEvent.Flaw] = [
            .cutLine, .keyIsNull, .noteHoldsNUL, .versionIsText, .amountTooLarge, .amountWouldBeRounded,
            .dateDoesNotExist,
        ]
        event.flaw = self.generator.pick(flaws)
        if event.flaw == .noteHoldsNUL { event.note = "before\u{0}after" }
        if event.flaw == .amountTooLarge || event.flaw == .amountWouldBeRounded, event.cents == nil { event.cents = 1 }
        if self.generator.chance(10) {
            // No flaw for whoever takes the key as text.
            event.flaw = nil
            event.note = "2^64"
            event.key = .init(tenant: "big\(self.number)", id: (1 << 64) + Int128(self.number))
            event.oldKey = nil
        }
    }
}
