/// Rows as PostgreSQL's binary COPY takes them.
extension Output {
    static let copyHeader = Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [UInt8](repeating: 0, count: 8)
    static let copyTrailer: [UInt8] = [0xFF, 0xFF]
    /// 2000-01-01 00:00:00 UTC, where PostgreSQL's timestamps begin.
    private static let epoch = 946_684_800

    mutating func appendTuple(_ row: Row) {
        self.append(bigEndian: Int16(9))
        self.appendField(Int64(row.id))
        self.append(bigEndian: Int32(10))
        self.append("c-")
        self.append(decimal: row.customer, width: 8)
        self.appendField(row.status)
        self.appendNumeric(cents: row.cents)
        self.appendField(row.currency)
        self.appendField(row.city)
        self.appendField(row.note)
        self.appendField(Int64(row.updatedAt - Self.epoch) * 1_000_000)
        self.appendField(Int64(row.version))
    }

    /// How many bytes ``appendTuple(_:)`` appends.
    static func tupleSize(_ row: Row) -> Int {
        let texts = [row.status, row.currency, row.city, row.note].reduce(10) { $0 + $1.utf8CodeUnitCount }
        return 2 + 9 * 4 + 3 * 8 + texts + Self.numericSize
    }

    private mutating func appendField(_ number: Int64) {
        self.append(bigEndian: Int32(8))
        self.append(bigEndian: number)
    }

    private mutating func appendField(_ text: StaticString) {
        self.append(bigEndian: Int32(text.utf8CodeUnitCount))
        self.append(text)
    }

    private static let numericSize = 14

    /// A numeric of three digits of base 10,000, two before the point and one after it. The server strips the zeros.
    private mutating func appendNumeric(cents: Int) {
        self.append(bigEndian: Int32(Self.numericSize))
        self.append(bigEndian: Int16(3))  // digits
        self.append(bigEndian: Int16(1))  // weight of the first
        self.append(bigEndian: Int16(0))  // sign
        self.append(bigEndian: Int16(2))  // decimal places shown
        self.append(bigEndian: Int16(cents / 1_000_000))
        self.append(bigEndian: Int16(cents / 100 % 10_000))
        self.append(bigEndian: Int16(cents % 100 * 100))
    }
}
