import ArgumentParser
import Foundation
import TidemarkCore

/// Parses a time span of options: whole seconds, minutes, hours, days or weeks.
struct TimeSpan: ExpressibleByArgument {
    let seconds: Int

    /// A thousand years: a moment that long ago is still a timestamp of PostgreSQL.
    static let most = 1000 * 366 * 86_400

    /// - Parameter text: `90s`, `5min`, `2h`, `7d`, `4w`; up to 1000 years.
    init?(argument text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int(digits), count <= 1_000_000_000 else { return nil }
        let unit: Int
        switch text.dropFirst(digits.count) {
        case "s": unit = 1
        case "m", "min": unit = 60
        case "h": unit = 3600
        case "d": unit = 86_400
        case "w": unit = 604_800
        default: return nil
        }
        guard count <= Self.most / unit else { return nil }
        self.seconds = count * unit
    }
}

/// Parses a moment of options: a timestamp, or an age.
enum Moment {
    /// From 1970 to the year 9999, and as far back.
    private static let daysMost: Int64 = 2_932_897

    /// - Parameter text: `2026-03-01`, `2026-03-01T09:30:15Z`, without a zone in UTC; or `2h`, meaning two hours ago.
    /// - Returns: microseconds since 1970; `nil` for what is no moment, or is beyond the year 9999.
    static func microseconds(_ text: String, now: Date = Date()) -> Int64? {
        if let span = TimeSpan(argument: text) {
            return Int64(now.timeIntervalSince1970 * 1_000_000) - Int64(span.seconds) * 1_000_000
        }
        let bytes = Array(text.utf8)
        if let days = CalendarText.parseDate(bytes.span) {
            return abs(days) < Self.daysMost ? days * CalendarText.microsecondsPerDay : nil
        }
        let moment = CalendarText.parseTimestamp(bytes.span)?.microseconds
        return moment.flatMap { abs($0 / CalendarText.microsecondsPerDay) < Self.daysMost ? $0 : nil }
    }
}
