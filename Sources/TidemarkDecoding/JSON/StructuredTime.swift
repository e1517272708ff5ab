internal import TidemarkCore

/// A date, a time or a span as an object of its parts, as Debezium writes it with `time.precision.mode=structured`:
/// `{"year":2026,"month":3,"day":1,"hour":9,"minute":30,"second":15,"nanos":0,"offsetSeconds":0,"specialValue":null}`.
struct StructuredTime {
    private enum Part: String {
        case year, month, day, hour, minute, second, nanos, picoseconds, offsetSeconds
        case years, months, days, hours, minutes, seconds
    }

    private var parts: [Part: Int64] = [:]
    private var infinity: String?

    private subscript(part: Part) -> Int64? { self.parts[part] }

    /// - Returns: `nil` for any other object: one whose first member is no part, or in which something else stands.
    init?(_ object: Int, in document: borrowing JSONDocument, of bytes: [UInt8]) {
        let count = document.childCount(object)
        guard count >= 3, Self.begins(with: document.range(object + 1), of: bytes) else { return nil }
        var name = object + 1
        for _ in 0..<count {
            let (text, value) = (document.range(name), name + 1)
            name = document.next(value)
            guard document.kind(value) != .null else { continue }
            if let part = Part(rawValue: String(decoding: bytes[text.range], as: UTF8.self)) {
                guard document.kind(value) == .number, let number = document.integer(value, of: bytes),
                    number.magnitude <= 1 << 53
                else { return nil }
                self.parts[part] = number
            } else if bytes.matches(text, "specialValue") {
                guard let special = document.string(value) else { return nil }
                self.infinity =
                    switch true {
                    case bytes.matches(special, "POSITIVE_INFINITY"): "infinity"
                    case bytes.matches(special, "NEGATIVE_INFINITY"): "-infinity"
                    default: nil
                    }
                guard self.infinity != nil else { return nil }
            } else {
                guard bytes.matches(text, "precision") || bytes.matches(text, "zoneId") else { return nil }
            }
        }
    }

    private static func begins(with name: ByteRange, of bytes: [UInt8]) -> Bool {
        bytes.matches(name, "year") || bytes.matches(name, "hour") || bytes.matches(name, "years")
    }

    /// The text that other modes and producers write for it: `2026-03-01`, `09:30:15.5`, `2026-03-01T09:30:15+08:00`,
    /// `infinity`; of a span without years, months and days `-838:59:59`. `nil` for any other span.
    var text: String? {
        if let infinity { return infinity }
        if self[.hours] != nil || self[.years] != nil { return self.span }
        var text = ""
        if let year = self[.year], let month = self[.month], let day = self[.day] {
            let sign = year < 0 ? "-" : ""
            text = "\(sign)\(Self.padded(year, 4))-\(Self.padded(month, 2))-\(Self.padded(day, 2))"
        }
        guard let hour = self[.hour], let minute = self[.minute], let second = self[.second] else {
            return text.isEmpty ? nil : text
        }
        if !text.isEmpty { text += "T" }
        text += "\(Self.padded(hour, 2)):\(Self.padded(minute, 2)):\(Self.padded(second, 2))\(self.fraction)"
        if let offset = self[.offsetSeconds] {
            text += offset < 0 ? "-" : "+"
            text += "\(Self.padded(offset / 3600, 2)):\(Self.padded(offset / 60 % 60, 2))"
            if offset % 60 != 0 { text += ":\(Self.padded(offset % 60, 2))" }
        }
        return text
    }

    private var span: String? {
        guard [.years, .months, .days].allSatisfy({ (self[$0] ?? 0) == 0 }) else { return nil }
        let clock = [Part.hours, .minutes, .seconds].map { self[$0] ?? 0 }
        let isNegative = clock.contains { $0 < 0 } || (self[.nanos] ?? self[.picoseconds] ?? 0) < 0
        return (isNegative ? "-" : "") + clock.map { Self.padded($0, 2) }.joined(separator: ":") + self.fraction
    }

    private var fraction: String {
        var digits =
            if let picoseconds = self[.picoseconds] { Self.padded(picoseconds, 12) } else {
                Self.padded(self[.nanos] ?? 0, 9)
            }
        while digits.hasSuffix("0") { digits.removeLast() }
        return digits.isEmpty ? "" : "." + digits
    }

    /// The digits of a number without its sign.
    private static func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number.magnitude)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
