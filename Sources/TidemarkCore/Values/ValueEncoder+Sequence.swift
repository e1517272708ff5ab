/// A value as a part of the order key.
extension ValueEncoder {
    /// Appends a value to an order key, read as the kind of value that its column's type makes it.
    /// - Throws: what the column's type does not hold: a delete does not write the row, which would be refused otherwise.
    package mutating func appendSequence(
        _ field: Field,
        of bytes: Span<UInt8>,
        as column: ColumnPlan,
        _ kind: SequenceValueKind,
        zone: ZoneRule,
        to order: inout OrderKeyBuilder
    ) throws(Misfit) {
        let field = field.resolved(for: column)
        let value = bytes.extracting(field.value.range)
        switch kind {
        case .number:
            if let plain = Self.plainNumber(field, value, column), column.plain.holds(whole: plain) {
                return order.append(plain, value)
            }
            try self.appendNumber(field, value, column, to: &order)
        case .timestamp:
            order.append(postgresTimestamp: try self.timestamp(field, value, column, zone))
        case .date:
            order.append(days: try self.date(field, value, column))
        case .text:
            guard field.kind == .string || field.kind == .number else { throw Misfit(expected: "a text") }
            guard !value.hasZero else { throw Misfit(expected: "a text without the character U+0000") }
            guard column.type != .text || field.encoding == .decimalBase64 else { return order.append(text: value) }
            self.text.removeAll(keepingCapacity: true)
            self.binary.removeAll(keepingCapacity: true)
            if column.type == .uuid {
                try self.uuid(field, value)
            } else {
                try self.string(field, value, column)
            }
            let text = self.text
            order.append(text: text.span)
        }
    }

    private mutating func appendNumber(
        _ field: Field,
        _ value: Span<UInt8>,
        _ column: ColumnPlan,
        to order: inout OrderKeyBuilder
    ) throws(Misfit) {
        guard field.kind != .true, field.kind != .false else {
            throw Self.misfit(field, column, expected: "a number")
        }
        if let special = self.special(field, value, column), column.type.holdsInfinity {
            guard special != .notANumber else { throw Misfit(expected: "a number, which NaN is not: it has no order") }
            return order.append(infinity: special)
        }
        switch column.type {
        case .real, .doublePrecision:
            self.text.removeAll(keepingCapacity: true)
            self.binary.removeAll(keepingCapacity: true)
            try self.floatingPoint(field, value, column)
            // What is written otherwise and is one number of the type has one order.
            let text = self.text
            guard self.decimal.parse(alone: text.span) else { throw Misfit(expected: "a number") }
        default:
            guard self.number(field, value, column) else { throw Self.misfit(field, column, expected: "a number") }
            try self.check(column.type)
        }
        order.append(number: &self.decimal)
    }

    /// Whether the type holds `decimal`, which may be scaled.
    private mutating func check(_ type: ColumnType) throws(Misfit) {
        switch type {
        case .bigint, .integer, .smallint:
            let range = type.integerRange
            guard let integer = self.decimal.int64, range.contains(integer) else {
                throw Misfit(expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
            }
        case .numeric(let precision?, let scale):
            try self.fit(precision, scale)
        default:
            return
        }
    }
}
