/// Numbers: whole, decimal and binary ones.
extension ValueEncoder {
    /// Reads whatever stands for a number into `decimal`.
    mutating func number(_ field: Field, _ value: Span<UInt8>, _ column: ColumnPlan) -> Bool {
        let encoding = column.encoding == .none ? field.encoding : column.encoding
        self.decimal.boundZeros(forTextOf: value.count)
        switch field.kind {
        case .true, .false:
            let digit: [UInt8] = [field.kind == .true ? 0x31 : 0x30]
            return self.decimal.parse(digit.span)
        case .number:
            guard self.decimal.parse(value) else { return false }
        case .string:
            if encoding == .decimalBase64 || encoding == .base64 || encoding == .bitsBase64 {
                guard var raw = BinaryText.base64(value, isURLSafe: false) else { return false }
                if encoding == .bitsBase64 { raw.reverse() }
                var scale = Int(field.scale)
                if field.encoding == .none, case .numeric(_, let declared) = column.type { scale = declared }
                guard self.decimal.parse(bigEndian: raw, isSigned: encoding != .bitsBase64, scale: scale) else {
                    return false
                }
            } else {
                guard self.decimal.parse(value) else { return false }
            }
        case .json:
            guard let (scale, unscaled) = VariableScaleDecimal.parse(value),
                self.decimal.parse(bigEndian: unscaled, isSigned: true, scale: scale)
            else { return false }
        case .bytes, .textOrBytes:
            guard self.parse(bytes: field, value, column) else { return false }
        case .null, .unavailable:
            return false
        }
        if column.isUnsigned { self.decimal.addTwoToThe64() }
        return true
    }

    mutating func integer(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan
    ) throws(Misfit) {
        let range = column.type.integerRange
        guard self.number(field, value, column) else { throw Self.misfit(field, column, expected: "a whole number") }
        guard let integer = self.decimal.int64, range.contains(integer) else {
            throw Misfit(expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        self.decimal.normalize()
        self.decimal.appendText(to: &self.text)
        switch column.type {
        case .bigint: self.binary.appendBigEndian(integer)
        case .integer: self.binary.appendBigEndian(Int32(truncatingIfNeeded: integer))
        default: self.binary.appendBigEndian(Int16(truncatingIfNeeded: integer))
        }
    }

    mutating func numeric(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan,
        _ precision: Int?,
        _ scale: Int
    ) throws(Misfit) {
        if let special = self.special(field, value, column) {
            guard precision == nil || special == .notANumber else {
                throw Misfit(expected: "a finite number; only numeric without precision and scale holds infinities")
            }
            self.text.append(contentsOf: special.name.utf8)
            special.appendPostgresBinary(to: &self.binary)
            return
        }
        guard self.number(field, value, column) else { throw Self.misfit(field, column, expected: "a number") }
        if let precision { try self.fit(precision, scale) }
        if precision == nil, column.isKey { self.decimal.normalize() }
        self.decimal.appendText(to: &self.text)
        self.decimal.appendPostgresBinary(to: &self.binary)
    }

    /// Brings `decimal` to the scale.
    mutating func fit(_ precision: Int, _ scale: Int) throws(Misfit) {
        guard !self.decimal.fit(precision: precision, scale: scale) else { return }
        if scale < 0 {
            throw Misfit(expected: "a multiple of 10^\(-scale) below 10^\(precision - scale)")
        }
        if scale > precision {
            throw Misfit(
                expected: "a number below 10^-\(scale - precision) with at most \(scale) digits after the decimal point"
            )
        }
        throw Misfit(expected: "at most \(precision - scale) digits before the decimal point and \(scale) after it")
    }

    /// What the value says where it is no number. Text in an encoding is never taken for one: `NaN` is base64, too.
    func special(_ field: Field, _ value: Span<UInt8>, _ column: ColumnPlan) -> SpecialNumber? {
        guard field.kind == .string, column.encoding == .none, field.encoding == .none else { return nil }
        return SpecialNumber(value)
    }

    // MARK: Binary floating point

    mutating func floatingPoint(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan
    ) throws(Misfit) {
        let isReal = column.type == .real
        if let special = self.special(field, value, column) {
            self.text.append(contentsOf: special.name.utf8)
            return self.appendBinary(special.double, isReal: isReal)
        }
        guard self.number(field, value, column) else { throw Self.misfit(field, column, expected: "a number") }
        if self.decimal.isZero {
            // An encoding may make a zero of no bytes.
            let isNegative = !value.isEmpty && value[0] == UInt8(ascii: "-")
            self.text.append(contentsOf: (isNegative ? "-0" : "0").utf8)
            return self.appendBinary(isNegative ? -0.0 : 0, isReal: isReal)
        }
        self.decimal.normalize()
        self.scratch.removeAll(keepingCapacity: true)
        self.decimal.appendText(to: &self.scratch)
        let literal = String(decoding: self.scratch, as: UTF8.self)
        guard isReal else {
            guard let double = Double(literal), double.isFinite, double != 0 else {
                throw Misfit(expected: "a number that double precision can hold")
            }
            guard self.holds(double, "\(double)", significantDigits: 17, literal) else {
                throw self.rounding("double precision", significantDigits: 17)
            }
            Self.appendShortest("\(double)", to: &self.text)
            return self.appendBinary(double, isReal: false)
        }
        guard let float = Float(literal), float.isFinite, float != 0 else {
            throw Misfit(expected: "a number that real can hold")
        }
        guard self.holds(Double(float), "\(float)", significantDigits: 9, literal) || self.isWidened(float, literal)
        else {
            throw self.rounding("real", significantDigits: 9)
        }
        Self.appendShortest("\(float)", to: &self.text)
        self.appendBinary(Double(float), isReal: true)
    }

    private mutating func appendBinary(_ double: Double, isReal: Bool) {
        if isReal {
            self.binary.appendBigEndian(Float(double).bitPattern)
        } else {
            self.binary.appendBigEndian(double.bitPattern)
        }
    }

    private func rounding(_ type: String, significantDigits count: Int) -> Misfit {
        self.decimal.significantDigits > count
            ? Misfit(expected: "at most \(count) significant digits, or exactly what \(type) holds")
            : Misfit(expected: "a number that \(type) can hold")
    }

    /// Whether `nearest`, the number of the type that is nearest to `decimal`, stands for it: it is the same number, or
    /// prints as it, or `decimal` is a fraction with no more digits than such numbers are printed with.
    ///
    /// A whole number has to be the same or to print the same: 2^53+1 is none of `double precision`.
    private func holds(
        _ nearest: Double,
        _ shortest: String,
        significantDigits count: Int,
        _ literal: String
    ) -> Bool {
        if self.decimal.significantDigits <= count, self.decimal.scale > 0 || Self.isExact(nearest, literal) {
            return true
        }
        var other = Decimal()
        if other.parse(Array(shortest.utf8).span) {
            other.normalize()
            if other == self.decimal { return true }
        }
        guard self.decimal.significantDigits > count else { return false }
        other.set(exactly: nearest)
        return other == self.decimal
    }

    /// Whether `decimal` is a `real` as something printed it that holds doubles: 5.610000133514404 for 5.61.
    private func isWidened(_ float: Float, _ literal: String) -> Bool {
        guard let double = Double(literal), double == Double(float) else { return false }
        return self.holds(double, "\(double)", significantDigits: 17, literal)
    }

    /// A whole number must survive unless it was itself printed from a floating-point number (1e+300).
    static func isExact(_ double: Double, _ literal: String) -> Bool {
        guard abs(double) < 1e18 else { return true }
        return String(Int64(double)) == literal
    }

    static func appendShortest(_ description: String, to output: inout [UInt8]) {
        output.append(contentsOf: (description.hasSuffix(".0") ? String(description.dropLast(2)) : description).utf8)
    }
}

/// What `numeric`, `real` and `double precision` hold beside numbers.
enum SpecialNumber {
    case notANumber, infinity, negativeInfinity

    /// Reads the names that PostgreSQL takes, in any case, and those that Debezium writes.
    init?(_ text: Span<UInt8>) {
        guard (3...17).contains(text.count), text[text.count - 1] &- 0x30 >= 10 else { return nil }
        switch String(decoding: text).lowercased() {
        case "nan": self = .notANumber
        case "infinity", "+infinity", "inf", "+inf", "positive_infinity": self = .infinity
        case "-infinity", "-inf", "negative_infinity": self = .negativeInfinity
        default: return nil
        }
    }

    /// As PostgreSQL writes it.
    var name: String {
        switch self {
        case .notANumber: "NaN"
        case .infinity: "Infinity"
        case .negativeInfinity: "-Infinity"
        }
    }

    var double: Double {
        switch self {
        case .notANumber: .nan
        case .infinity: .infinity
        case .negativeInfinity: -.infinity
        }
    }

    /// Appends the binary form of `numeric`: no digits, and a sign that says which.
    func appendPostgresBinary(to output: inout [UInt8]) {
        let sign: UInt16 =
            switch self {
            case .notANumber: 0xC000
            case .infinity: 0xD000
            case .negativeInfinity: 0xF000
            }
        for part in [0, 0, sign, 0] { output.appendBigEndian(part) }
    }
}

extension ColumnType {
    package var integerRange: ClosedRange<Int64> {
        switch self {
        case .integer: Int64(Int32.min)...Int64(Int32.max)
        case .smallint: Int64(Int16.min)...Int64(Int16.max)
        default: .min ... .max
        }
    }
}
