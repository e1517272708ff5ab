/// Dates and times, as text or as a count of units since 1970.
extension ValueEncoder {
    /// A count of units since an epoch as microseconds; `nil` when it is no whole number of them. PostgreSQL's dates end
    /// where 64 bits of microseconds do not reach.
    mutating func epoch(_ encoding: ValueEncoding) -> Int128? {
        let factor: Int64
        switch encoding {
        case .epochSeconds: factor = 1_000_000
        case .epochMilliseconds: factor = 1000
        case .epochMicroseconds, .epochNanoseconds: factor = 1
        case .epochDays: factor = CalendarText.microsecondsPerDay
        default: return nil
        }
        // Fractions of the unit are welcome as long as they end at a microsecond.
        self.decimal.normalize()
        let digits = self.decimal.digits
        guard self.decimal.scale <= 9, digits.count <= 25 else { return nil }
        var fraction: Int64 = 1
        for _ in 0..<self.decimal.scale { fraction *= 10 }
        let divisor = encoding == .epochNanoseconds ? 1000 * fraction : fraction
        var whole: Int64 = 0
        for digit in digits.prefix(18) { whole = whole &* 10 &+ Int64(digit) }
        let (scaled, overflow) = whole.multipliedReportingOverflow(by: factor)
        if digits.count <= 18, !overflow {
            guard divisor == 1 || scaled % divisor == 0 else { return nil }
            return Int128(self.decimal.isNegative ? -(scaled / divisor) : scaled / divisor)
        }
        // 25 digits and a factor of eleven stay below 2^127.
        var large = Int128(whole)
        for digit in digits.dropFirst(18) { large = large * 10 + Int128(digit) }
        // Counts have 64 bits, and the greatest of them says that there is none.
        guard large / Int128(fraction) < Int128(Int64.max) else { return nil }
        let (quotient, remainder) = (large * Int128(factor)).quotientAndRemainder(dividingBy: Int128(divisor))
        guard remainder == 0 else { return nil }
        return self.decimal.isNegative ? -quotient : quotient
    }

    /// What Debezium makes of PostgreSQL's infinite timestamps without a zone: the numbers of the JDBC driver, in the
    /// column's unit, and in nanoseconds, which have no room for those, the greatest and the least.
    private func infinity(_ unit: ValueEncoding) -> Int64? {
        guard self.decimal.digits.count >= 16, let number = self.decimal.int64 else { return nil }
        return switch (unit, number) {
        case (.epochMicroseconds, 9_223_372_036_825_200_000), (.epochMilliseconds, 9_223_372_036_825_200),
            (.epochNanoseconds, .max):
            CalendarText.infinity
        case (.epochMicroseconds, -9_223_372_036_832_400_000), (.epochMilliseconds, -9_223_372_036_832_400),
            (.epochNanoseconds, .min):
            CalendarText.negativeInfinity
        default: nil
        }
    }

    /// The unit that a number counts: what the message's schema says, else the column's, declared or detected. Never
    /// what the number's size suggests.
    private static func unit(_ field: Field, _ column: ColumnPlan) -> ValueEncoding {
        field.encoding.isTimeUnit ? field.encoding : column.encoding
    }

    /// What is expected in place of a number whose unit is not known.
    private static func unknownUnit(_ column: ColumnPlan, _ form: String, example: ValueEncoding) -> Misfit {
        let units = column.type.timeUnits.map(\.rawValue).joined(separator: ", ")
        return Misfit(
            expected: "\(form), or a number whose unit is known: say it with `encoding`, as in "
                + "`\(column.name): { type: \(column.type.sql), encoding: \(example.rawValue) }` (\(units))"
        )
    }

    private static let timestampForm = "a timestamp such as 2026-03-01T09:30:15.123456Z"
    private static let dateForm = "a date such as 2026-03-01"
    private static let timeForm = "a time of day such as 09:30:15.123456"

    /// What is expected in place of a text that is no date: MySQL's zero dates ("0000-00-00", "2026-03-00") have no place
    /// in any calendar, so they never become null or another day by themselves.
    private static func misfit(_ value: Span<UInt8>, expected: String) -> Misfit {
        guard CalendarText.isZeroDate(value) else { return Misfit(expected: expected) }
        return Misfit(
            expected: expected + ", where this is a zero date: keep the column as text, or let the source write null "
                + "(Maxwell's output_null_zerodates)"
        )
    }

    /// - Returns: PostgreSQL's count, microseconds since 2000-01-01, or one of its infinities.
    package mutating func timestamp(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan,
        _ zone: ZoneRule
    ) throws(Misfit) -> Int64 {
        guard field.kind == .number || field.kind == .string else {
            throw Self.misfit(value, expected: Self.timestampForm)
        }
        if field.kind == .string {
            if let reading = CalendarText.parsePostgresTimestamp(value) {
                return try self.instant(reading, column, zone)
            }
            if let infinity = CalendarText.parseInfinity(value) { return infinity }
        }
        let unit = Self.unit(field, column)
        guard self.decimal.parse(alone: value) else { throw Self.misfit(value, expected: Self.timestampForm) }
        guard unit.isTimeUnit else {
            throw Self.unknownUnit(column, Self.timestampForm, example: .epochMilliseconds)
        }
        if let infinity = self.infinity(unit) { return infinity }
        guard let micros = self.epoch(unit) else {
            throw Misfit(expected: "an \(unit.rawValue) timestamp that ends at a microsecond")
        }
        guard let postgres = Int64(exactly: micros - Int128(CalendarText.postgresEpoch)),
            CalendarText.postgresRange.contains(postgres)
        else { throw Misfit(expected: "an \(unit.rawValue) timestamp from 4714 BC to the year 294276") }
        return try self.instant((postgres, !field.isWallClock), column, zone)
    }

    /// A zone-less time is wall-clock time: of the source's zone where the column has one, as it stands where not.
    /// - Parameter reading: in PostgreSQL's count, as the result is.
    func instant(
        _ reading: (microseconds: Int64, hasZone: Bool),
        _ column: ColumnPlan,
        _ zone: ZoneRule
    ) throws(Misfit) -> Int64 {
        guard !reading.hasZone, column.type == .timestamptz else { return reading.microseconds }
        guard let instant = zone.postgresInstant(ofLocal: reading.microseconds) else {
            throw Misfit(expected: "a timestamp that is between 4713 BC and 294276 in UTC")
        }
        return instant
    }

    mutating func date(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan
    ) throws(Misfit) -> Int64 {
        switch field.kind {
        case .string:
            if let days = CalendarText.parseDate(value) { return days }
            // A timestamp at midnight says the same.
            if let reading = CalendarText.parsePostgresTimestamp(value),
                reading.microseconds % CalendarText.microsecondsPerDay == 0
            {
                return reading.microseconds / CalendarText.microsecondsPerDay + CalendarText.postgresEpochDays
            }
            if let infinity = CalendarText.parseInfinity(value) { return infinity }
            throw Self.misfit(value, expected: Self.dateForm)
        case .number:
            guard self.decimal.parse(alone: value) else { throw Self.misfit(value, expected: Self.dateForm) }
            let unit = Self.unit(field, column)
            guard unit.isTimeUnit else { throw Self.unknownUnit(column, Self.dateForm, example: .epochDays) }
            guard let micros = self.epoch(unit), let days = Self.days(micros), CalendarText.dateDaysRange.contains(days)
            else { throw Self.misfit(value, expected: Self.dateForm) }
            return days
        default: throw Self.misfit(value, expected: Self.dateForm)
        }
    }

    /// `nil` for what is no whole number of days.
    private static func days(_ microseconds: Int128) -> Int64? {
        if let microseconds = Int64(exactly: microseconds) {
            let (days, rest) = microseconds.quotientAndRemainder(dividingBy: CalendarText.microsecondsPerDay)
            return rest == 0 ? days : nil
        }
        let (days, rest) = microseconds.quotientAndRemainder(dividingBy: Int128(CalendarText.microsecondsPerDay))
        return rest == 0 ? Int64(exactly: days) : nil
    }

    mutating func time(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan
    ) throws(Misfit) -> Int64 {
        let misfit = Misfit(expected: Self.timeForm)
        switch field.kind {
        case .string:
            guard let micros = CalendarText.parseTime(value) else { throw misfit }
            return micros
        case .number:
            guard self.decimal.parse(alone: value) else { throw misfit }
            let unit = Self.unit(field, column)
            guard unit.isTimeUnit else { throw Self.unknownUnit(column, Self.timeForm, example: .epochMicroseconds) }
            guard let count = self.epoch(unit), let micros = Int64(exactly: count),
                (0...CalendarText.microsecondsPerDay).contains(micros)
            else { throw misfit }
            return micros
        default: throw misfit
        }
    }
}
