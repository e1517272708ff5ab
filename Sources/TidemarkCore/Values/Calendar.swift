/// Dates and times as PostgreSQL counts them, in the proleptic Gregorian calendar, without a clock or a locale.
package enum CalendarText {
    package static let microsecondsPerSecond: Int64 = 1_000_000
    package static let microsecondsPerDay: Int64 = 86_400_000_000
    /// PostgreSQL's binary dates count from 2000-01-01.
    package static let postgresEpochDays: Int64 = 10_957
    /// The same in microseconds: how far PostgreSQL's count is behind one that begins in 1970.
    package static let postgresEpoch = Self.postgresEpochDays * Self.microsecondsPerDay
    /// Instants in microseconds since 1970, such as producers' clocks: from 4713 BC, as PostgreSQL's, to 294247 AD, the
    /// last year that 64-bit microseconds reach.
    package static let timestampRange: Range<Int64> = -210_866_803_200_000_000 ..< .max
    /// PostgreSQL's timestamps in its own count, microseconds since 2000-01-01: 4713 BC to the end of 294276.
    package static let postgresRange: Range<Int64> = -211_813_488_000_000_000..<9_223_371_331_200_000_000
    /// PostgreSQL's dates in days since 1970-01-01: 4713 BC to the end of 5874897.
    package static let dateDaysRange: Range<Int64> = -2_440_588..<2_145_042_906

    /// PostgreSQL's `infinity` and `-infinity`, of timestamps and of dates: outside of both ranges.
    package static let infinity = Int64.max
    package static let negativeInfinity = Int64.min

    package static func isFinite(_ count: Int64) -> Bool {
        count != Self.infinity && count != Self.negativeInfinity
    }

    /// Days since 1970-01-01 of a date; `nil` when there is no such date.
    package static func days(year: Int, month: Int, day: Int) -> Int64? {
        guard (1...12).contains(month), day >= 1, day <= Self.length(ofMonth: month, year: year) else { return nil }
        // H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras last 400 years.
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return Int64(era * 146_097 + dayOfEra - 719_468)
    }

    private static func length(ofMonth month: Int, year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    package static func date(days: Int64) -> (year: Int, month: Int, day: Int) {
        let shifted = Int(days) + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    // MARK: Reading

    /// As PostgreSQL writes them, and nobody else.
    package static func parseInfinity(_ text: Span<UInt8>) -> Int64? {
        guard text.count == 8 || text.count == 9 else { return nil }
        switch String(decoding: text) {
        case "infinity": return Self.infinity
        case "-infinity": return Self.negativeInfinity
        default: return nil
        }
    }

    private static func appendInfinity(_ count: Int64, to output: inout [UInt8]) -> Bool {
        guard !Self.isFinite(count) else { return false }
        output.append(contentsOf: (count == Self.infinity ? "infinity" : "-infinity").utf8)
        return true
    }

    /// A cursor over ASCII text that reads fixed shapes and remembers nothing else.
    private struct Scanner {
        var index = 0

        mutating func digits(_ text: Span<UInt8>, _ range: ClosedRange<Int>) -> Int? {
            var value = 0
            var count = 0
            while self.index < text.count, count < range.upperBound, text[self.index] &- 0x30 < 10 {
                value = value * 10 + Int(text[self.index] &- 0x30)
                self.index += 1
                count += 1
            }
            return count >= range.lowerBound ? value : nil
        }

        mutating func take(_ text: Span<UInt8>, _ byte: UInt8) -> Bool {
            guard self.index < text.count, text[self.index] == byte else { return false }
            self.index += 1
            return true
        }

        func isAtEnd(_ text: Span<UInt8>) -> Bool { self.index == text.count }
    }

    /// How a text counts its years: as ISO 8601 does, with a year 0 and years below it, or as PostgreSQL does, by an era
    /// behind everything else.
    private enum Era {
        case none, before, common
    }

    /// The era, and how many bytes stand before it.
    private static func era(_ text: Span<UInt8>) -> (era: Era, count: Int) {
        let count = text.count - 3
        guard count > 0, text[count] == UInt8(ascii: " ") else { return (.none, text.count) }
        switch (text[count + 1], text[count + 2]) {
        case (UInt8(ascii: "B"), UInt8(ascii: "C")): return (.before, count)
        case (UInt8(ascii: "A"), UInt8(ascii: "D")): return (.common, count)
        default: return (.none, text.count)
        }
    }

    /// Days since 1970-01-01 of `2026-03-01`, with an optional zone mark that a date has no use for (`2026-03-01Z`).
    package static func parseDate(_ text: Span<UInt8>) -> Int64? {
        let (era, count) = Self.era(text)
        let text = text.extracting(first: count)
        var scanner = Scanner()
        guard let days = Self.date(text, &scanner, era) else { return nil }
        _ = scanner.take(text, UInt8(ascii: "Z"))
        guard scanner.isAtEnd(text), Self.dateDaysRange.contains(days) else { return nil }
        return days
    }

    /// Years have four to seven digits, and a sign where ISO 8601 writes one (`-0043` is 44 BC, `0000` is 1 BC). Only with
    /// an era they may have fewer: `44-03-15` alone could be 2044.
    private static func date(_ text: Span<UInt8>, _ scanner: inout Scanner, _ era: Era) -> Int64? {
        let isNegative = scanner.take(text, UInt8(ascii: "-"))
        let isSigned = isNegative || scanner.take(text, UInt8(ascii: "+"))
        guard let digits = scanner.digits(text, (era == .none ? 4 : 1)...7), scanner.take(text, UInt8(ascii: "-")),
            let month = scanner.digits(text, 1...2), scanner.take(text, UInt8(ascii: "-")),
            let day = scanner.digits(text, 1...2), digits > 0 || !isNegative
        else { return nil }
        if era == .none { return Self.days(year: isNegative ? -digits : digits, month: month, day: day) }
        guard !isSigned, digits > 0 else { return nil }
        return Self.days(year: era == .before ? 1 - digits : digits, month: month, day: day)
    }

    /// Whether the text is a date of MySQL's whose month or day is zero.
    package static func isZeroDate(_ text: Span<UInt8>) -> Bool {
        var scanner = Scanner()
        guard scanner.digits(text, 4...4) != nil, scanner.take(text, UInt8(ascii: "-")),
            let month = scanner.digits(text, 2...2), scanner.take(text, UInt8(ascii: "-")),
            let day = scanner.digits(text, 2...2)
        else { return false }
        return month == 0 || day == 0
    }

    /// Microseconds since midnight of `09:30:15.123456`; 24:00:00 is the last there is.
    package static func parseTime(_ text: Span<UInt8>) -> Int64? {
        var scanner = Scanner()
        guard let time = Self.time(text, &scanner) else { return nil }
        _ = scanner.take(text, UInt8(ascii: "Z"))
        return scanner.isAtEnd(text) ? time : nil
    }

    private static func time(_ text: Span<UInt8>, _ scanner: inout Scanner) -> Int64? {
        guard let hour = scanner.digits(text, 2...2), hour <= 24, scanner.take(text, UInt8(ascii: ":")),
            let minute = scanner.digits(text, 2...2), minute < 60
        else { return nil }
        var second = 0
        var fraction: Int64 = 0
        if scanner.take(text, UInt8(ascii: ":")) {
            guard let value = scanner.digits(text, 2...2), value < 60 else { return nil }
            second = value
            if scanner.take(text, UInt8(ascii: ".")) {
                guard let value = Self.microseconds(text, &scanner) else { return nil }
                fraction = value
            }
        }
        let seconds = Int64(hour * 3600 + minute * 60 + second)
        let total = seconds * Self.microsecondsPerSecond + fraction
        return total <= Self.microsecondsPerDay ? total : nil
    }

    /// The digits after the point; more than six are accepted only when they are zeros, since nothing is rounded.
    private static func microseconds(_ text: Span<UInt8>, _ scanner: inout Scanner) -> Int64? {
        var value: Int64 = 0
        var count = 0
        while scanner.index < text.count, text[scanner.index] &- 0x30 < 10 {
            let digit = Int64(text[scanner.index] &- 0x30)
            if count < 6 {
                value = value * 10 + digit
            } else if digit != 0 {
                return nil
            }
            count += 1
            scanner.index += 1
        }
        guard count > 0 else { return nil }
        for _ in min(count, 6)..<6 { value *= 10 }
        return value
    }

    /// Microseconds since 1970-01-01 of `2026-03-01T09:30:15.123+08:00` or `2026-03-01 09:30:15`.
    /// - Returns: the reading, and whether the text named its zone; without one it is wall-clock time.
    package static func parseTimestamp(_ text: Span<UInt8>) -> (microseconds: Int64, hasZone: Bool)? {
        guard let (postgres, hasZone) = Self.parsePostgresTimestamp(text) else { return nil }
        let (microseconds, isTooLarge) = postgres.addingReportingOverflow(Self.postgresEpoch)
        guard !isTooLarge, Self.timestampRange.contains(microseconds) else { return nil }
        return (microseconds, hasZone)
    }

    /// The same in PostgreSQL's count, which reaches further: microseconds since 2000-01-01.
    package static func parsePostgresTimestamp(_ text: Span<UInt8>) -> (microseconds: Int64, hasZone: Bool)? {
        let (era, count) = Self.era(text)
        let text = text.extracting(first: count)
        var scanner = Scanner()
        guard let days = Self.date(text, &scanner, era) else { return nil }
        var time: Int64 = 0
        if scanner.take(text, UInt8(ascii: "T")) || scanner.take(text, UInt8(ascii: " ")) {
            guard let value = Self.time(text, &scanner) else { return nil }
            time = value
        }
        _ = scanner.take(text, UInt8(ascii: " "))
        var offsetSeconds: Int64?
        if !scanner.isAtEnd(text) {
            guard let value = Self.offset(text, &scanner), scanner.isAtEnd(text) else { return nil }
            offsetSeconds = value
        }
        // A day more on either side, for the zone to bring back; nothing of this overflows.
        let day = days - Self.postgresEpochDays
        guard (-2_451_546...106_751_984).contains(day) else { return nil }
        let micros =
            day * Self.microsecondsPerDay + time - (offsetSeconds ?? 0) * Self.microsecondsPerSecond
        guard Self.postgresRange.contains(micros) else { return nil }
        return (micros, offsetSeconds != nil)
    }

    /// Seconds east of UTC of `Z`, `+08`, `+0800`, `+08:00` or `+00:19:32`, to the hours that PostgreSQL takes.
    private static func offset(_ text: Span<UInt8>, _ scanner: inout Scanner) -> Int64? {
        if scanner.take(text, UInt8(ascii: "Z")) { return 0 }
        let isWest = scanner.take(text, UInt8(ascii: "-"))
        guard isWest || scanner.take(text, UInt8(ascii: "+")), let hours = scanner.digits(text, 2...2), hours <= 15
        else {
            return nil
        }
        var (minutes, seconds) = (0, 0)
        if scanner.take(text, UInt8(ascii: ":")) || !scanner.isAtEnd(text) {
            guard let value = scanner.digits(text, 2...2), value < 60 else { return nil }
            minutes = value
        }
        if scanner.take(text, UInt8(ascii: ":")) {
            guard let value = scanner.digits(text, 2...2), value < 60 else { return nil }
            seconds = value
        }
        return Int64(hours * 3600 + minutes * 60 + seconds) * (isWest ? -1 : 1)
    }

    // MARK: Writing

    package static func appendDate(days: Int64, to output: inout [UInt8]) {
        if Self.appendInfinity(days, to: &output) { return }
        Self.appendDay(days, to: &output)
        if Self.date(days: days).year <= 0 { output.append(contentsOf: " BC".utf8) }
    }

    /// The date without the mark for years before our era, which PostgreSQL puts behind everything else.
    private static func appendDay(_ days: Int64, to output: inout [UInt8]) {
        let (year, month, day) = Self.date(days: days)
        Self.appendPadded(year > 0 ? year : 1 - year, width: 4, to: &output)
        output.append(UInt8(ascii: "-"))
        Self.appendPadded(month, width: 2, to: &output)
        output.append(UInt8(ascii: "-"))
        Self.appendPadded(day, width: 2, to: &output)
    }

    package static func appendTime(microseconds: Int64, to output: inout [UInt8]) {
        let seconds = Int(microseconds / Self.microsecondsPerSecond)
        Self.appendPadded(seconds / 3600, width: 2, to: &output)
        output.append(UInt8(ascii: ":"))
        Self.appendPadded(seconds / 60 % 60, width: 2, to: &output)
        output.append(UInt8(ascii: ":"))
        Self.appendPadded(seconds % 60, width: 2, to: &output)
        var fraction = Int(microseconds % Self.microsecondsPerSecond)
        guard fraction > 0 else { return }
        var width = 6
        while fraction % 10 == 0 {
            fraction /= 10
            width -= 1
        }
        output.append(UInt8(ascii: "."))
        Self.appendPadded(fraction, width: width, to: &output)
    }

    /// An instant in microseconds since 1970, as ``appendTimestamp(postgres:hasZone:to:)`` writes it.
    package static func appendTimestamp(microseconds: Int64, hasZone: Bool, to output: inout [UInt8]) {
        let postgres = Self.isFinite(microseconds) ? microseconds - Self.postgresEpoch : microseconds
        Self.appendTimestamp(postgres: postgres, hasZone: hasZone, to: &output)
    }

    /// `2026-03-01T09:30:15.12`, the form in which PostgreSQL puts a timestamp into JSON, and `+00:00` behind it
    /// for one with a zone.
    /// - Parameter microseconds: since 2000-01-01.
    package static func appendTimestamp(postgres microseconds: Int64, hasZone: Bool, to output: inout [UInt8]) {
        if Self.appendInfinity(microseconds, to: &output) { return }
        let postgresDays = microseconds.dividedRoundingDown(by: Self.microsecondsPerDay)
        let time = microseconds &- postgresDays &* Self.microsecondsPerDay
        let days = postgresDays + Self.postgresEpochDays
        Self.appendDay(days, to: &output)
        output.append(UInt8(ascii: "T"))
        Self.appendTime(microseconds: time, to: &output)
        if hasZone { output.append(contentsOf: "+00:00".utf8) }
        if Self.date(days: days).year <= 0 { output.append(contentsOf: " BC".utf8) }
    }

    private static func appendPadded(_ value: Int, width: Int, to output: inout [UInt8]) {
        var divisor = 1
        for _ in 1..<width { divisor *= 10 }
        if value >= divisor * 10 {
            output.append(contentsOf: String(value).utf8)
            return
        }
        while divisor > 0 {
            output.append(UInt8(value / divisor % 10) + 0x30)
            divisor /= 10
        }
    }
}

extension Int64 {
    /// Division that rounds towards negative infinity, so that instants before 1970 fall on the right day.
    package func dividedRoundingDown(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = self.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
