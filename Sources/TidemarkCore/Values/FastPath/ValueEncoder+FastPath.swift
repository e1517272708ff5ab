/// The values that nearly every row is made of, written straight to where they go.
extension ValueEncoder {
    /// Encodes `field` (neither null nor unavailable) at the end of `binary`, behind its length, and of `text`.
    /// - Throws: what does not fit; then the bytes behind the former ends mean nothing.
    package mutating func append(
        _ field: Field,
        of bytes: Span<UInt8>,
        as column: ColumnPlan,
        in context: Context,
        binary: inout ByteBuffer,
        text: inout ByteBuffer
    ) throws(Misfit) {
        let room = ByteWriter.valueBytesMax(Int(field.value.count))
        let isTaken = bytes.withUnsafeBytes { bytes in
            ByteBuffer.write(room, &binary, &text) { binary, text in
                Self.appendPlain(
                    field,
                    of: bytes,
                    column.plain,
                    isUTC: context.isUTC,
                    isVerbatim: false,
                    &binary,
                    &text
                )
            }
        }
        guard !isTaken else { return }
        try self.encode(field, of: bytes, as: column, in: context)
        binary.append(self.binary)
        text.append(self.text)
    }

    /// - Parameters:
    ///   - bytes: of the field's message.
    ///   - isUTC: times that name no zone are UTC.
    ///   - isVerbatim: strings have no escapes, so no zero bytes either.
    ///   - binary: has room for ``ByteWriter/valueBytesMax(_:)``, as `text` does.
    /// - Returns: `false`, with nothing written, for a value that takes more than a look.
    @inline(__always)
    static func appendPlain(
        _ field: Field,
        of bytes: UnsafeRawBufferPointer,
        _ type: FastPathType,
        isUTC: Bool,
        isVerbatim: Bool,
        _ binary: inout ByteWriter,
        _ text: inout ByteWriter
    ) -> Bool {
        guard let value = FastPathText(field.value, of: bytes) else { return false }
        switch type.kind {
        case .text:
            guard field.kind == .string, field.encoding != .decimalBase64, isVerbatim || !value.bytes.hasZero else {
                return false
            }
            text.append(value)
            binary.appendBigEndian(UInt32(truncatingIfNeeded: value.count))
            binary.append(value)
        case .integer:
            guard type.takes(field), let number = FastPathNumber(value) else { return false }
            guard Self.append(integer: number, type.width, &binary) else { return false }
            text.append(value)
        case .numeric:
            guard type.takes(field), let ends = Self.writeNumeric(value, type, binary, text) else { return false }
            binary.move(to: ends.binary)
            text.move(to: ends.text)
        case .timestamp:
            guard field.kind == .string, isUTC || !type.hasZone,
                let ends = Self.writeTimestamp(value, type, binary, text)
            else { return false }
            binary.move(to: ends.binary)
            text.move(to: ends.text)
        case .other:
            return false
        }
        return true
    }

    @inline(__always)
    private static func append(
        integer number: FastPathNumber,
        _ width: UInt8,
        _ binary: inout ByteWriter
    ) -> Bool {
        guard let integer = number.integer else { return false }
        switch width {
        case 8:
            binary.appendBigEndian(8 as UInt32)
            binary.appendBigEndian(integer)
        case 4:
            guard let integer = Int32(exactly: integer) else { return false }
            binary.appendBigEndian(4 as UInt32)
            binary.appendBigEndian(integer)
        default:
            guard let integer = Int16(exactly: integer) else { return false }
            binary.appendBigEndian(2 as UInt32)
            binary.appendBigEndian(integer)
        }
        return true
    }

    /// Where the two forms of a value end.
    private struct Ends {
        var binary: UnsafeMutableRawPointer
        var text: UnsafeMutableRawPointer
    }

    // Not inlined, as the others are: with these, what goes over a row would be too large for any of it to be.

    /// The shortest form of a number is its canonical text, but for the zeros that a declared scale adds.
    @inline(never)
    private static func writeNumeric(
        _ value: FastPathText,
        _ type: FastPathType,
        _ binary: ByteWriter,
        _ text: ByteWriter
    ) -> Ends? {
        guard let number = FastPathNumber(value) else { return nil }
        var (fitting, binary, text) = (number, binary, text)
        if type.scale >= 0 {
            guard let scaled = number.fitting(precision: Int(type.precision), scale: Int(type.scale)) else {
                return nil
            }
            fitting = scaled
        }
        text.append(value)
        if fitting.scale > number.scale {
            if number.scale == 0 { text.append(UInt8(ascii: ".")) }
            for _ in number.scale..<fitting.scale { text.append(UInt8(ascii: "0")) }
        }
        let start = binary.address
        binary.appendBigEndian(0 as UInt32)
        fitting.appendPostgresBinary(to: &binary)
        binary.storeLength(at: start)
        return Ends(binary: binary.address, text: text.address)
    }

    @inline(never)
    private static func writeTimestamp(
        _ value: FastPathText,
        _ type: FastPathType,
        _ binary: ByteWriter,
        _ text: ByteWriter
    ) -> Ends? {
        guard let time = PlainTimestamp(value) else { return nil }
        var (binary, text) = (binary, text)
        time.append(value, hasZone: type.hasZone, binary: &binary, text: &text)
        return Ends(binary: binary.address, text: text.address)
    }

    /// A number that stands there as it is: in no encoding, in its shortest form.
    static func plainNumber(_ field: Field, _ value: Span<UInt8>, _ column: ColumnPlan) -> FastPathNumber? {
        guard column.plain.takes(field), !column.isUnsigned else { return nil }
        return FastPathNumber(value)
    }
}

extension FastPathType {
    /// Whether the field is a number, or a string that can only be one in digits.
    @inline(__always)
    func takes(_ field: Field) -> Bool {
        field.kind == .number || field.kind == .string && self.takesStrings && field.encoding == .none
    }

    /// Whether the type holds the number, which has no fraction.
    /// - Returns: `false` also for what takes more than a look.
    @inline(__always)
    func holds(whole number: FastPathNumber) -> Bool {
        guard let integer = number.integer else { return false }
        switch self.kind {
        // 18 digits are within 64 bits.
        case .integer: return self.width == 8 || Self.holds(integer, bytes: self.width)
        case .numeric: return self.scale < 0 || self.fits(number)
        case .text, .timestamp, .other: return false
        }
    }

    @inline(never)
    private static func holds(_ integer: Int64, bytes: UInt8) -> Bool {
        bytes == 4 ? Int32(exactly: integer) != nil : Int16(exactly: integer) != nil
    }

    @inline(never)
    private func fits(_ number: FastPathNumber) -> Bool {
        number.fitting(precision: Int(self.precision), scale: Int(self.scale)) != nil
    }
}

/// A time as it nearly always comes: `2026-03-01 09:30:15` or `2026-03-01T09:30:15`, perhaps with up to six digits of a
/// fraction.
struct PlainTimestamp {
    /// Microseconds since 1970-01-01, by the clock on the wall.
    private let local: Int64
    /// How many bytes of the text are its canonical one: without the zeros at a fraction's end.
    private let canonicalCount: Int

    private static let wholeCount = 19
    private static let fractionMax = 6

    /// - Returns: `nil` for any other form.
    @inline(__always)
    init?(_ text: FastPathText) {
        guard
            text.count == Self.wholeCount
                || (Self.wholeCount + 2...Self.wholeCount + 1 + Self.fractionMax) ~= text.count
        else { return nil }
        @inline(__always)
        func byte(_ index: Int) -> UInt8 { text.byte(index) }
        /// Eight bytes that differ from `form` by digits, and, below each, the number that it and the next one make.
        @inline(__always)
        func digits(_ index: Int, _ form: UInt64, separators: UInt64) -> UInt64? {
            let word = text.word(index) ^ form
            let tooLarge = ((word &+ 0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080
            guard tooLarge | (word & separators) == 0 else { return nil }
            return word &* 10 &+ (word &>> 8)
        }
        @inline(__always)
        func pair(_ pairs: UInt64, _ index: UInt64) -> Int { Int(truncatingIfNeeded: (pairs &>> (8 &* index)) & 0xFF) }
        // `0000-00-`, and `00:00:00` behind the day.
        guard let date = digits(0, 0x2D30_302D_3030_3030, separators: 0xFF00_00FF_0000_0000),
            let time = digits(11, 0x3030_3A30_303A_3030, separators: 0x0000_FF00_00FF_0000),
            byte(10) == UInt8(ascii: " ") || byte(10) == UInt8(ascii: "T")
        else { return nil }
        let (tens, ones) = (byte(8) &- 0x30, byte(9) &- 0x30)
        let (hour, minute, second) = (pair(time, 0), pair(time, 3), pair(time, 6))
        let year = pair(date, 0) &* 100 &+ pair(date, 2)
        guard tens < 10, ones < 10, year > 0, hour < 24, minute < 60, second < 60,
            let days = CalendarText.days(year: year, month: pair(date, 5), day: Int(tens &* 10 &+ ones))
        else { return nil }
        var canonicalCount = Self.wholeCount
        var fraction: Int64 = 0
        if text.count > Self.wholeCount {
            guard byte(Self.wholeCount) == UInt8(ascii: ".") else { return nil }
            for index in Self.wholeCount + 1...Self.wholeCount + Self.fractionMax {
                let digit = index < text.count ? byte(index) &- 0x30 : 0
                guard digit < 10 else { return nil }
                fraction = fraction &* 10 &+ Int64(digit)
                if digit > 0 { canonicalCount = index + 1 }
            }
        }
        let seconds = days &* 86_400 &+ Int64(hour &* 3600 &+ minute &* 60 &+ second)
        self.local = seconds &* CalendarText.microsecondsPerSecond &+ fraction
        self.canonicalCount = canonicalCount
    }

    /// - Parameter source: what this was read from.
    @inline(__always)
    func append(_ source: FastPathText, hasZone: Bool, binary: inout ByteWriter, text: inout ByteWriter) {
        let start = text.address
        text.append(UnsafeRawBufferPointer(start: source.start, count: self.canonicalCount))
        start.storeBytes(of: UInt8(ascii: "T"), toByteOffset: 10, as: UInt8.self)
        if hasZone { text.append("+00:00") }
        binary.appendBigEndian(8 as UInt32)
        binary.appendBigEndian(self.local &- CalendarText.postgresEpochDays &* CalendarText.microsecondsPerDay)
    }
}
