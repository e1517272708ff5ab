/// Values of Avro's JSON form, whose bytes are strings of characters up to U+00FF, as its texts are too.
extension Field {
    /// Columns that cannot hold bytes hold texts.
    func resolved(for column: ColumnPlan) -> Field {
        guard self.kind == .textOrBytes, !column.type.mayHoldBytes || column.encoding == .utf8 else { return self }
        var field = self
        field.kind = .string
        return field
    }
}

extension ColumnType {
    fileprivate var mayHoldBytes: Bool {
        switch self {
        case .bigint, .integer, .smallint, .numeric, .doublePrecision, .real, .bytea: true
        case .text, .varchar, .boolean, .timestamptz, .timestamp, .date, .time, .uuid, .jsonb: false
        }
    }
}

extension ValueEncoder {
    /// Reads bytes that stand for a number into `decimal`: a decimal, or bits where the column or the message says so.
    mutating func parse(bytes field: Field, _ value: Span<UInt8>, _ column: ColumnPlan) -> Bool {
        guard Self.holdsBytes(field, column), let scale = Self.scale(field, column),
            var raw = BinaryText.decode(value, as: .latin1)
        else { return false }
        let isBits = column.encoding == .bitsBase64 || field.encoding == .bitsBase64
        if isBits { raw.reverse() }
        return self.decimal.parse(bigEndian: raw, isSigned: !isBits, scale: isBits ? 0 : scale)
    }

    /// Whether the configuration or the message's schema says that the value is the bytes of a number. A union that names
    /// bytes does not: it leaves open how many of the digits are behind the point.
    private static func holdsBytes(_ field: Field, _ column: ColumnPlan) -> Bool {
        switch (field.kind, column.encoding, field.encoding) {
        case (_, .base64, _), (_, .decimalBase64, _), (_, .bitsBase64, _): true
        case (.bytes, _, .decimalBase64), (.bytes, _, .bitsBase64): true
        case (_, .none, .base64), (_, .none, .decimalBase64), (_, .none, .bitsBase64): true
        default: false
        }
    }

    /// How many of the number's digits are decimals: the message's schema says so, or the column's type.
    private static func scale(_ field: Field, _ column: ColumnPlan) -> Int? {
        if field.encoding == .decimalBase64 { return Int(field.scale) }
        return switch column.type {
        case .numeric(.some, let scale): scale
        case .bigint, .integer, .smallint: 0
        default: column.encoding == .bitsBase64 ? 0 : nil
        }
    }

    static func misfit(_ field: Field, _ column: ColumnPlan, expected: String) -> Misfit {
        switch field.kind {
        case .textOrBytes where !Self.holdsBytes(field, column):
            Misfit(
                expected: expected
                    + "; this may be the bytes of a decimal or a text, as nothing in Avro's JSON form of a "
                    + "column that is never null tells: `encoding: decimal_base64` or `encoding: utf8` does"
            )
        case .bytes where !Self.holdsBytes(field, column):
            Misfit(
                expected: expected
                    + "; these are bytes, and nothing in Avro's JSON form tells how many digits of a decimal in bytes "
                    + "are behind the point: `encoding: decimal_base64` takes the scale of the column's numeric(p,s)"
            )
        case .bytes, .textOrBytes:
            Self.scale(field, column) == nil
                ? Misfit(expected: expected + "; decimals in bytes have the scale of their column: numeric(p,s)")
                : Misfit(expected: expected)
        // It is a number in JSON's grammar, so its size is what does not fit.
        case .number: Misfit(expected: expected + " " + Decimal.bounds)
        default: Misfit(expected: expected)
        }
    }

    /// How the bytes of a `bytea` column are written.
    static func encoding(ofBytes field: Field, _ column: ColumnPlan) throws(Misfit) -> ValueEncoding {
        switch field.kind {
        case .bytes: return .latin1
        case .string: return column.encoding != .none ? column.encoding : field.encoding
        case .textOrBytes:
            if column.encoding != .none { return column.encoding }
            if field.encoding == .base64 { return .latin1 }
            throw Misfit(
                expected:
                    "bytes; nothing in Avro's JSON form of a column that is never null tells whether they are bytes "
                    + "or a text that stands for them: `encoding: latin1`, base64, base64_url, hex or utf8 does"
            )
        default: throw Misfit(expected: "a string")
        }
    }
}
