import Testing
import TidemarkCore
import TidemarkTesting

private func days(_ text: String) -> Int64? { CalendarText.parseDate(Array(text.utf8).span) }

private func time(_ text: String) -> Int64? { CalendarText.parseTime(Array(text.utf8).span) }

private func infinity(_ text: String) -> Int64? { CalendarText.parseInfinity(Array(text.utf8).span) }

private func isZeroDate(_ text: String) -> Bool { CalendarText.isZeroDate(Array(text.utf8).span) }

/// Microseconds since 1970.
private func clock(_ text: String) -> Int64? { CalendarText.parseTimestamp(Array(text.utf8).span)?.microseconds }

/// Microseconds since 2000.
private func reading(_ text: String) -> (microseconds: Int64, hasZone: Bool)? {
    CalendarText.parsePostgresTimestamp(Array(text.utf8).span)
}

private func written(_ body: (inout [UInt8]) -> Void) -> String {
    var output: [UInt8] = []
    body(&output)
    return String(decoding: output, as: UTF8.self)
}

private func date(_ days: Int64) -> String { written { CalendarText.appendDate(days: days, to: &$0) } }

private func timestamp(_ text: String) -> String? {
    reading(text).map { reading in
        written { CalendarText.appendTimestamp(postgres: reading.microseconds, hasZone: reading.hasZone, to: &$0) }
    }
}

@Suite struct CalendarTests {
    // MARK: Days

    @Test(
        arguments: [
            (1970, 1, 1, 0), (1969, 12, 31, -1), (2000, 1, 1, CalendarText.postgresEpochDays), (2000, 2, 29, 11_016),
            (2000, 3, 1, 11_017), (1900, 3, 1, -25_508), (1, 1, 1, -719_162), (0, 12, 31, -719_163),
            (9999, 12, 31, 2_932_896),
        ] as [(Int, Int, Int, Int64)]
    )
    func `days are counted from 1970`(_ year: Int, _ month: Int, _ day: Int, _ days: Int64) {
        #expect(CalendarText.days(year: year, month: month, day: day) == days)
    }

    @Test(arguments: [
        (2026, 2, 29), (1900, 2, 29), (2100, 2, 29), (2024, 2, 30), (2026, 4, 31), (2026, 0, 1), (2026, 13, 1),
        (2026, 1, 0),
        (2026, 1, 32),
    ])
    func `a day that the calendar does not have is none`(_ year: Int, _ month: Int, _ day: Int) {
        #expect(CalendarText.days(year: year, month: month, day: day) == nil)
    }

    /// Every day of 800 years about the years 0 and 2000: two whole cycles of leap years.
    @Test(arguments: [-400, 1800])
    func `the next day follows each day`(_ firstYear: Int) throws {
        var days = try #require(CalendarText.days(year: firstYear, month: 1, day: 1))
        for year in firstYear..<firstYear + 400 {
            let isLeap = year.isMultiple(of: 4) && !year.isMultiple(of: 100) || year.isMultiple(of: 400)
            let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            for (month, length) in lengths.enumerated() {
                for day in 1...length {
                    let isSame = CalendarText.date(days: days) == (year, month + 1, day)
                    guard isSame, CalendarText.days(year: year, month: month + 1, day: day) == days else {
                        Issue.record("\(year)-\(month + 1)-\(day) is not day \(days)")
                        return
                    }
                    days += 1
                }
            }
        }
    }

    @Test func `a date that was written is read as the same day`() throws {
        var random = SeededGenerator.forTest("dates")
        for _ in 0..<2000 {
            let day = Int64.random(in: CalendarText.dateDaysRange, using: &random)
            let text = date(day)
            #expect(days(text) == day, "\(text) seed \(random.seed)")
        }
    }

    // MARK: PostgreSQL's limits

    @Test func `dates reach from 4714 BC to 5874897`() {
        #expect(date(CalendarText.dateDaysRange.lowerBound) == "4714-11-24 BC")
        #expect(date(CalendarText.dateDaysRange.upperBound - 1) == "5874897-12-31")
        for (text, isDate) in [
            ("4714-11-24 BC", true), ("4714-11-23 BC", false), ("-4713-11-24", true), ("-4713-11-23", false),
            ("5874897-12-31", true), ("5874898-01-01", false),
        ] {
            #expect((days(text) != nil) == isDate, "\(text)")
        }
    }

    @Test(
        arguments: [
            ("4714-11-24 00:00:00 BC", "4714-11-24T00:00:00 BC"), ("4714-11-23 23:59:59.999999 BC", nil),
            ("294276-12-31 23:59:59.999999", "294276-12-31T23:59:59.999999"), ("294277-01-01 00:00:00", nil),
            ("294276-12-31T24:00:00", nil),
            // The zone decides about the last and the first day.
            ("294277-01-01 00:59:59+01", "294276-12-31T23:59:59+00:00"), ("294277-01-01 01:00:00+01", nil),
            ("4714-11-23 23:00:00-01 BC", "4714-11-24T00:00:00+00:00 BC"), ("4714-11-24 00:59:59+01 BC", nil),
            ("999999-01-01 00:00:00", nil), ("9999999-01-01 00:00:00", nil),
        ] as [(String, String?)]
    )
    func `timestamps reach from 4714 BC to 294276`(_ text: String, _ expected: String?) {
        #expect(timestamp(text) == expected)
    }

    @Test func `a clock counts from 1970 to the end of 64 bits`() {
        #expect(clock("1970-01-01T00:00:00Z") == 0)
        #expect(clock("294247-01-10T04:00:54.775806Z") == Int64.max - 1)
        #expect(clock("294247-01-10T04:00:54.775807Z") == nil, "that is infinity")
        #expect(clock("294276-12-31T00:00:00Z") == nil)
    }

    @Test func `infinity is written as PostgreSQL writes it`() {
        #expect(date(.max) == "infinity" && date(.min) == "-infinity")
        for (count, expected) in [(Int64.max, "infinity"), (.min, "-infinity")] {
            #expect(written { CalendarText.appendTimestamp(postgres: count, hasZone: true, to: &$0) } == expected)
            #expect(infinity(expected) == count)
            #expect(!CalendarText.isFinite(count))
        }
        for text in ["Infinity", "+infinity", "infinity ", "inf", ""] {
            #expect(infinity(text) == nil)
        }
    }

    // MARK: Times of day

    @Test(
        arguments: [
            ("00:00", 0), ("00:00:00", 0), ("09:30", 34_200_000_000), ("09:30:15.5", 34_215_500_000),
            ("09:30:15.000001", 34_215_000_001), ("09:30:15.123456000", 34_215_123_456),
            ("23:59:59.999999", 86_399_999_999),
            ("24:00", 86_400_000_000), ("24:00:00", 86_400_000_000), ("24:00:00.000000", 86_400_000_000),
            ("09:30:15Z", 34_215_000_000),
        ] as [(String, Int64)]
    )
    func `a time of day is microseconds since midnight`(_ text: String, _ microseconds: Int64) {
        #expect(time(text) == microseconds)
    }

    /// A leap second has no place in microseconds since an epoch: it is refused, and never becomes the next minute.
    @Test(arguments: [
        "23:59:60", "09:30:60", "09:60:00", "24:00:01", "24:00:00.000001", "24:01", "25:00", "9:30", "09:3", "09",
        "09:30:15.",
        "09:30:15.1234567", "09:30:15 ", "-01:00", "09:30:15+01", "",
    ])
    func `what is no time of day is refused`(_ text: String) {
        #expect(time(text) == nil)
        #expect(reading("2016-12-31 \(text)x") == nil)
    }

    @Test func `a leap second is no timestamp, and 24:00 is the next day`() {
        #expect(timestamp("2016-12-31T23:59:60Z") == nil)
        #expect(timestamp("2016-12-31T24:00:00Z") == "2017-01-01T00:00:00+00:00")
        #expect(timestamp("2016-12-31 24:00:01") == nil)
        #expect(timestamp("2024-02-28 24:00") == "2024-02-29T00:00:00")
    }

    @Test(
        arguments: [
            (0, "00:00:00"), (1, "00:00:00.000001"), (100_000, "00:00:00.1"), (34_215_120_000, "09:30:15.12"),
            (86_399_999_999, "23:59:59.999999"), (86_400_000_000, "24:00:00"),
        ] as [(Int64, String)]
    )
    func `a time of day is written without the zeros at its end`(_ microseconds: Int64, _ expected: String) {
        #expect(written { CalendarText.appendTime(microseconds: microseconds, to: &$0) } == expected)
    }

    // MARK: Zones

    @Test(
        arguments: [
            ("2026-03-01T09:30:15Z", "2026-03-01T09:30:15+00:00"), ("2026-03-01 09:30:15", "2026-03-01T09:30:15"),
            ("2026-03-01T09:30:15+08", "2026-03-01T01:30:15+00:00"),
            ("2026-03-01T09:30:15+0530", "2026-03-01T04:00:15+00:00"),
            ("2026-03-01T09:30:15-05:30", "2026-03-01T15:00:15+00:00"),
            ("1900-01-01T00:00:00+00:19:32", "1899-12-31T23:40:28+00:00"),
            ("2026-03-01 00:00:00 +01:00", "2026-02-28T23:00:00+00:00"),
            ("2026-12-31T23:00:00-15:59:59", "2027-01-01T14:59:59+00:00"),
            ("2026-03-01", "2026-03-01T00:00:00"), ("2026-03-01T09:30", "2026-03-01T09:30:00"),
            ("2026-03-01T09:30:15+16", nil), ("2026-03-01T09:30:15+8", nil), ("2026-03-01T09:30:15+08:60", nil),
            ("2026-03-01T09:30:15+08:00:60", nil), ("2026-03-01T09:30:15 UTC", nil), ("2026-03-01T09:30:15z", nil),
            ("2026-03-01T09:30:15+08:00x", nil), ("2026-03-01t09:30:15", nil), ("2026-3-1", "2026-03-01T00:00:00"),
            ("26-03-01", nil), ("20260301T093015Z", nil),
        ] as [(String, String?)]
    )
    func `a timestamp names its zone or is of the clock on the wall`(_ text: String, _ expected: String?) {
        #expect(timestamp(text) == expected)
    }

    @Test func `the years before our era are counted by an era or by a sign`() {
        for text in ["44-03-15 BC", "0044-03-15 BC", "-0043-03-15"] {
            #expect(days(text).map(date) == "0044-03-15 BC", "\(text)")
        }
        #expect(days("44-03-15 AD").map(date) == "0044-03-15")
        #expect(days("0000-03-15").map(date) == "0001-03-15 BC")
        for text in [
            "44-03-15", "-0000-03-15", "-0044-03-15 BC", "0-01-01 BC", "0000-01-01 AD", "44-03-15 bc", "44-03-15BC",
        ] {
            #expect(days(text) == nil, "\(text)")
        }
    }

    @Test func `a zero date of MySQL's is told from other nonsense`() {
        for text in ["0000-00-00", "2026-00-01", "2026-03-00", "0000-00-00 00:00:00"] {
            #expect(isZeroDate(text), "\(text)")
            #expect(reading(text) == nil)
        }
        for text in ["2026-03-01", "2026-02-30", "", "2026-0-0", "x"] {
            #expect(!isZeroDate(text), "\(text)")
        }
    }

    @Test func `the clock on the wall is an instant by the zone of its source`() {
        let noon = 12 * 3600 * CalendarText.microsecondsPerSecond
        #expect(ZoneRule.utc.instant(ofLocal: noon) == noon)
        #expect(ZoneRule.fixed(seconds: 8 * 3600).instant(ofLocal: noon) == noon / 3)
        // Half past one in the winter, half past three in the summer of 1970-03-29.
        let named = ZoneRule.named { $0 < 87 * 86_400 + 7200 ? 3600 : 7200 }
        let day = 87 * CalendarText.microsecondsPerDay
        let hour = 3600 * CalendarText.microsecondsPerSecond
        #expect(named.instant(ofLocal: day + hour) == day)
        #expect(named.instant(ofLocal: day + 3 * hour) == day + hour)
        #expect(named.instant(ofLocal: day + 2 * hour - 1) == day + hour - 1, "the second that has not ended")
    }

    @Test func `an instant that PostgreSQL does not hold is none`() {
        let range = CalendarText.postgresRange
        let east = ZoneRule.fixed(seconds: 3600)
        let west = ZoneRule.fixed(seconds: -3600)
        let hour = 3600 * CalendarText.microsecondsPerSecond
        #expect(east.postgresInstant(ofLocal: range.lowerBound) == nil)
        #expect(east.postgresInstant(ofLocal: range.lowerBound + hour) == range.lowerBound)
        #expect(west.postgresInstant(ofLocal: range.upperBound - 1) == nil)
        #expect(west.postgresInstant(ofLocal: range.upperBound - 1 - hour) == range.upperBound - 1)
        #expect(east.instant(ofLocal: .min) == .min && west.instant(ofLocal: .max) == .max, "no overflow")
    }

    @Test func `an instant before 1970 falls on its own day`() {
        #expect((-1 as Int64).dividedRoundingDown(by: 86_400) == -1)
        #expect((-86_400 as Int64).dividedRoundingDown(by: 86_400) == -1)
        #expect((-86_401 as Int64).dividedRoundingDown(by: 86_400) == -2)
        #expect((86_399 as Int64).dividedRoundingDown(by: 86_400) == 0)
        #expect(
            written { CalendarText.appendTimestamp(microseconds: -1, hasZone: true, to: &$0) }
                == "1969-12-31T23:59:59.999999+00:00"
        )
    }

    @Test func `a timestamp that was written is read as the same instant`() throws {
        var random = SeededGenerator.forTest("timestamps")
        for _ in 0..<2000 {
            let instant = Int64.random(in: CalendarText.postgresRange, using: &random)
            let text = written { CalendarText.appendTimestamp(postgres: instant, hasZone: true, to: &$0) }
            let again = try #require(reading(text), "\(text)")
            #expect(again.microseconds == instant && again.hasZone, "\(text) seed \(random.seed)")
        }
    }
}
