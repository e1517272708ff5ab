/// Values by type. `nil` is SQL NULL. They read binary results; a column of another type is a `.protocolViolation`, never
/// a misread number.
extension QueryResult {
    /// An `int8`, `int4`, `int2` or `oid`.
    package func int64(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
        try self.value(row, column, "an integer") { oid, bytes in
            switch (oid, bytes.count) {
            case (OID.int8, 8): Int64(Self.bigEndian(bytes, as: Int64.self))
            case (OID.int4, 4): Int64(Self.bigEndian(bytes, as: Int32.self))
            case (OID.int2, 2): Int64(Self.bigEndian(bytes, as: Int16.self))
            case (OID.oid, 4): Int64(Self.bigEndian(bytes, as: UInt32.self))
            default: nil
            }
        }
    }

    /// An `int4` or `int2`.
    package func int32(_ row: Int, _ column: Int) throws(PostgresError) -> Int32? {
        try self.value(row, column, "an int4") { oid, bytes in
            switch (oid, bytes.count) {
            case (OID.int4, 4): Self.bigEndian(bytes, as: Int32.self)
            case (OID.int2, 2): Int32(Self.bigEndian(bytes, as: Int16.self))
            default: nil
            }
        }
    }

    package func int16(_ row: Int, _ column: Int) throws(PostgresError) -> Int16? {
        try self.value(row, column, "an int2") { oid, bytes in
            oid == OID.int2 && bytes.count == 2 ? Self.bigEndian(bytes, as: Int16.self) : nil
        }
    }

    package func bool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool? {
        try self.value(row, column, "a boolean") { oid, bytes in
            oid == OID.bool && bytes.count == 1 ? bytes[0] != 0 : nil
        }
    }

    /// A `float8` or `float4`.
    package func double(_ row: Int, _ column: Int) throws(PostgresError) -> Double? {
        try self.value(row, column, "a floating-point number") { oid, bytes in
            switch (oid, bytes.count) {
            case (OID.float8, 8): Double(bitPattern: Self.bigEndian(bytes, as: UInt64.self))
            case (OID.float4, 4): Double(Float(bitPattern: Self.bigEndian(bytes, as: UInt32.self)))
            default: nil
            }
        }
    }

    /// A text of any kind, an enum, `json` or `jsonb`; with the text format, any type as the server writes it.
    package func text(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
        try self.value(row, column, "a text", takesTextFormat: true) { oid, bytes in
            switch oid {
            case _ where self.columnFormat(column) == .text:
                String(decoding: bytes, as: UTF8.self)
            case OID.jsonb:
                // Its binary format is a version number and the text.
                bytes.first == 1 ? String(decoding: bytes.dropFirst(), as: UTF8.self) : nil
            case let oid where Self.binaryOnly.contains(oid):
                nil
            default:
                String(decoding: bytes, as: UTF8.self)
            }
        }
    }

    /// A cell's bytes as they came: the value of a `bytea`, any other type's binary form.
    package func bytes(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8]? {
        try self.value(row, column, "bytes in binary format") { _, bytes in
            Array(bytes)
        }
    }

    /// A `uuid` in its usual form: lower case, with hyphens.
    package func uuid(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
        try self.value(row, column, "a uuid") { oid, bytes in
            oid == OID.uuid && bytes.count == 16 ? Self.uuidText(bytes) : nil
        }
    }

    /// A `timestamptz` or `timestamp` in microseconds since 1970-01-01 00:00 (UTC). `infinity` and `-infinity` are
    /// `Int64.max` and `Int64.min`.
    package func timestamp(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
        try self.value(row, column, "a timestamp in binary format") { oid, bytes in
            guard oid == OID.timestamptz || oid == OID.timestamp, bytes.count == 8 else { return nil }
            let micros = Self.bigEndian(bytes, as: Int64.self)
            let (sum, overflow) = micros.addingReportingOverflow(Self.epochMicroseconds)
            if micros == .max || micros == .min { return micros }
            return overflow ? nil : sum
        }
    }

    /// 2000-01-01, from which the server counts, in microseconds since 1970.
    private static let epochMicroseconds: Int64 = 946_684_800_000_000

    /// Types whose binary form is not text, so that reading them as one would give rubbish.
    private static let binaryOnly = Set(OID.arrays.values).union([
        OID.bool, OID.bytea, OID.int8, OID.int2, OID.int4, OID.oid, OID.float4, OID.float8, OID.date, OID.time,
        OID.timestamp, OID.timestamptz, OID.numeric, OID.uuid,
    ])

    private func value<T>(
        _ row: Int,
        _ column: Int,
        _ expected: String,
        takesTextFormat: Bool = false,
        _ decode: (UInt32, UnsafeRawBufferPointer) -> T?
    ) throws(PostgresError) -> T? {
        try self.withCell(row, column) { (bytes) throws(PostgresError) -> T? in
            guard let bytes else { return nil }
            let oid = self.columnOID(column)
            guard takesTextFormat || self.columnFormat(column) == .binary, let value = decode(oid, bytes) else {
                let name = self.columnName(column)
                throw PostgresError(.protocolViolation, "column \(name) (type \(oid)) is not \(expected)")
            }
            return value
        }
    }

    private static func bigEndian<T: FixedWidthInteger & BitwiseCopyable>(
        _ bytes: UnsafeRawBufferPointer,
        as type: T.Type
    ) -> T {
        T(bigEndian: bytes.loadUnaligned(as: T.self))
    }

    private static func uuidText(_ bytes: UnsafeRawBufferPointer) -> String {
        let digits: StaticString = "0123456789abcdef"
        return String(unsafeUninitializedCapacity: 36) { output in
            var at = 0
            for (index, byte) in bytes.enumerated() {
                if index == 4 || index == 6 || index == 8 || index == 10 {
                    output[at] = UInt8(ascii: "-")
                    at += 1
                }
                output[at] = digits.utf8Start[Int(byte >> 4)]
                output[at + 1] = digits.utf8Start[Int(byte & 15)]
                at += 2
            }
            return at
        }
    }
}
