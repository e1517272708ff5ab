import ArgumentParser
import Foundation
import TidemarkCore

/// Parses a time span of options: whole seconds, minutes, hours, days or weeks.
struct TimeSpan: ExpressibleByArgument {
    let seconds: Int

    /// - Parameter text: `90s`, `5min`, `2h`, `7d`, `4w`.
    init?(argument text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int(digits), count <= 1_000_000_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "s": self.seconds = count
        case "m", "min": self.seconds = count * 60
        case "h": self.seconds = count * 3600
        case "d": self.seconds = count * 86_400
        case "w": self.seconds = count * 604_800
        default: return nil
        }
    }
}

/// Parses a moment of options: a timestamp, or an age.
enum Moment {
    /// - Parameter text: `2026-03-01`, `2026-03-01T09:30:15Z`, without a zone in UTC; or `2h`, meaning two hours ago.
    /// - Returns: microseconds since 1970.
    static func microseconds(_ text: String, now: Date = Date()) -> Int64? {
        if let span = TimeSpan(argument: text) {
            return Int64(now.timeIntervalSince1970 * 1_000_000) - Int64(span.seconds) * 1_000_000
        }
        let bytes = Array(text.utf8)
        if let days = CalendarText.parseDate(bytes.span) { return days * CalendarText.microsecondsPerDay }
        return CalendarText.parseTimestamp(bytes.span)?.microseconds
    }
}
