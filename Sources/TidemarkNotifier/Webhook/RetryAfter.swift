internal import TidemarkCore

/// The header `Retry-After` (RFC 9110, 10.2.3): seconds, or a date in one of the three forms that HTTP has had.
enum RetryAfter {
    /// - Parameter now: seconds since 1970.
    /// - Returns: the wait, zero for a date that has passed; `nil` for what is neither.
    static func parse(_ value: String, now: Int64) -> Duration? {
        let text = value.drop { $0 == " " || $0 == "\t" }
        let trimmed = String(text.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
        guard trimmed.utf8.count <= 64 else { return nil }
        if !trimmed.isEmpty, trimmed.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            // More than fits is very long, too.
            return .seconds(min(Int64(trimmed) ?? .max, Self.secondsMax))
        }
        return Self.date(trimmed, now: now).map { .seconds(min(max(0, $0 - now), Self.secondsMax)) }
    }

    private static let secondsMax: Int64 = 10 * 365 * 86_400

    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` or `Sun Nov  6 08:49:37 1994`.
    private static func date(_ text: String, now: Int64) -> Int64? {
        let words = text.split { $0 == " " || $0 == "," || $0 == "-" }.map(String.init)
        switch words.count {
        case 6 where words[5] == "GMT":
            return Self.seconds(day: words[1], month: words[2], year: words[3], time: words[4], now: now)
        case 5:
            return Self.seconds(day: words[2], month: words[1], year: words[4], time: words[3], now: now)
        default:
            return nil
        }
    }

    private static func seconds(day: String, month: String, year: String, time: String, now: Int64) -> Int64? {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false).map { Self.number(String($0), 2...2) }
        guard clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2],
            hour < 24, minute < 60, second <= 60,
            let month = Self.months.firstIndex(of: month), let day = Self.number(day, 1...2),
            var year = Self.number(year, year.utf8.count == 2 ? 2...2 : 4...4)
        else { return nil }
        if year < 100 {
            // Two digits are of this century unless that would be over fifty years ahead.
            let current = CalendarText.date(days: now / 86_400).year
            year += current / 100 * 100
            if year > current + 50 { year -= 100 }
        }
        guard let days = CalendarText.days(year: year, month: month + 1, day: day) else { return nil }
        return days * 86_400 + Int64(hour * 3600 + minute * 60 + second)
    }

    private static func number(_ text: String, _ width: ClosedRange<Int>) -> Int? {
        guard width.contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(text)
    }
}
