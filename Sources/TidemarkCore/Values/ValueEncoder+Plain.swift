/// The values that nearly every row is made of, written straight to where they go.
extension ValueEncoder {
    /// Encodes `field` (neither null nor unavailable) at the end of `binary`, behind its length, and of `text`.
    /// - Throws: what does not fit; then what stands behind the former ends means nothing.
    package mutating func append(
        _ field: Field,
        of bytes: Span<UInt8>,
        as column: ColumnPlan,
        in context: Context,
        binary: inout ByteSink,
        text: inout ByteSink
    ) throws(Misfit) {
        let value = bytes.extracting(field.value.range)
        guard !Self.appendPlain(field, value, column, context, &binary, &text) else { return }
        try self.encode(field, of: bytes, as: column, in: context)
        binary.append(self.binary)
        text.append(self.text)
    }

    /// - Returns: `false`, with nothing written, for a value that takes more than a look.
    @inline(__always)
    private static func appendPlain(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan,
        _ context: Context,
        _ binary: inout ByteSink,
        _ text: inout ByteSink
    ) -> Bool {
        switch column.type {
        case .bigint, .integer, .smallint:
            guard let integer = Self.plainNumber(field, value, column)?.integer,
                column.type.integerRange.contains(integer)
            else { return false }
            text.append(value)
            Self.append(integer, column.type, to: &binary)
        case .numeric(let precision, let scale):
            guard let number = Self.plainNumber(field, value, column),
                let fitting = precision.map({ number.fitting(precision: $0, scale: scale) }) ?? number
            else { return false }
            fitting.appendText(to: &text)
            let start = binary.count
            binary.appendBigEndian(0 as UInt32)
            fitting.appendPostgresBinary(to: &binary)
            binary.storeLength(at: start)
        case .text:
            guard field.kind == .string, !value.hasZero else { return false }
            text.append(value)
            binary.appendBigEndian(UInt32(truncatingIfNeeded: value.count))
            binary.append(value)
        case .timestamptz, .timestamp:
            guard field.kind == .string, var micros = CalendarText.plainTimestamp(value) else { return false }
            if column.type == .timestamptz { micros = context.zone.instant(ofLocal: micros) }
            guard CalendarText.appendPlain(microseconds: micros, hasZone: column.type == .timestamptz, to: &text) else {
                return false
            }
            binary.appendBigEndian(8 as UInt32)
            binary.appendBigEndian(micros - CalendarText.postgresEpochDays * CalendarText.microsecondsPerDay)
        default:
            return false
        }
        return true
    }

    /// A number that stands there as it is: in no encoding, in its shortest form.
    static func plainNumber(_ field: Field, _ value: Span<UInt8>, _ column: ColumnPlan) -> PlainNumber? {
        switch field.kind {
        case .number: break
        case .string where column.encoding == .none && field.encoding == .none: break
        default: return nil
        }
        return column.isUnsigned ? nil : PlainNumber(value)
    }

    private static func append(_ integer: Int64, _ type: ColumnType, to binary: inout ByteSink) {
        switch type {
        case .bigint:
            binary.appendBigEndian(8 as UInt32)
            binary.appendBigEndian(integer)
        case .integer:
            binary.appendBigEndian(4 as UInt32)
            binary.appendBigEndian(Int32(truncatingIfNeeded: integer))
        default:
            binary.appendBigEndian(2 as UInt32)
            binary.appendBigEndian(Int16(truncatingIfNeeded: integer))
        }
    }
}

extension CalendarText {
    /// Microseconds since 1970-01-01 of `2026-03-01 09:30:15` or `2026-03-01T09:30:15`; `nil` for any other form.
    fileprivate static func plainTimestamp(_ text: Span<UInt8>) -> Int64? {
        guard text.count == 19, text[4] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-"),
            text[10] == UInt8(ascii: " ") || text[10] == UInt8(ascii: "T"),
            text[13] == UInt8(ascii: ":"), text[16] == UInt8(ascii: ":")
        else { return nil }
        var wrong: UInt8 = 0
        @inline(__always)
        func twoDigits(_ index: Int) -> Int {
            let (high, low) = (text[index] &- 0x30, text[index + 1] &- 0x30)
            wrong |= (high > 9 ? 1 : 0) | (low > 9 ? 1 : 0)
            return Int(high) * 10 + Int(low)
        }
        let year = twoDigits(0) * 100 + twoDigits(2)
        let (month, day) = (twoDigits(5), twoDigits(8))
        let (hour, minute, second) = (twoDigits(11), twoDigits(14), twoDigits(17))
        guard wrong == 0, year > 0, hour < 24, minute < 60, second < 60,
            let days = Self.days(year: year, month: month, day: day)
        else { return nil }
        return days * Self.microsecondsPerDay + Int64(hour * 3600 + minute * 60 + second) * Self.microsecondsPerSecond
    }

    /// Appends what ``appendTimestamp(microseconds:hasZone:to:)`` does for a whole second of our era.
    fileprivate static func appendPlain(microseconds: Int64, hasZone: Bool, to output: inout ByteSink) -> Bool {
        let days = microseconds.dividedRoundingDown(by: Self.microsecondsPerDay)
        let time = microseconds &- days &* Self.microsecondsPerDay
        let (year, month, day) = Self.date(days: days)
        guard (1...9999).contains(year), time % Self.microsecondsPerSecond == 0 else { return false }
        let seconds = Int(time / Self.microsecondsPerSecond)
        @inline(__always)
        func append(_ number: Int, _ mark: UInt8?) {
            output.append(UInt8(truncatingIfNeeded: number / 10) &+ 0x30)
            output.append(UInt8(truncatingIfNeeded: number % 10) &+ 0x30)
            if let mark { output.append(mark) }
        }
        append(year / 100, nil)
        append(year % 100, UInt8(ascii: "-"))
        append(month, UInt8(ascii: "-"))
        append(day, UInt8(ascii: "T"))
        append(seconds / 3600, UInt8(ascii: ":"))
        append(seconds / 60 % 60, UInt8(ascii: ":"))
        append(seconds % 60, nil)
        if hasZone { output.append("+00:00") }
        return true
    }
}
