import LibPQ
import TidemarkCore

/// Builds the rows of a statement as array parameters, one array for each column.
struct ArrayParameters {
    private var arrays: [BinaryArray]
    private let arrayOIDs: [UInt32]

    /// - Parameter lastBytes: bytes to reserve for the last column, where it is large.
    init(_ elementOIDs: [UInt32], rows: Int, lastBytes: Int = 0) {
        self.arrays = elementOIDs.map { BinaryArray(elementOID: $0, expectedCount: rows) }
        if lastBytes > 0, let last = elementOIDs.last {
            self.arrays[elementOIDs.count - 1] = BinaryArray(
                elementOID: last,
                expectedCount: rows,
                expectedBytes: lastBytes
            )
        }
        self.arrayOIDs = elementOIDs.map { OID.array(of: $0) ?? OID.textArray }
    }

    /// Appends length-prefixed fields to consecutive columns, from `column` on.
    /// - Returns: the column after the last one.
    mutating func append(fields: ArraySlice<UInt8>, from column: Int) -> Int {
        fields.withUnsafeBytes { self.append(fields: $0, from: column) }
    }

    /// - Parameter bytes: the bytes that the range refers to.
    mutating func append(fields range: ByteRange, of bytes: UnsafeRawBufferPointer, from column: Int) -> Int {
        self.append(fields: UnsafeRawBufferPointer(rebasing: bytes[range.range]), from: column)
    }

    private mutating func append(fields bytes: UnsafeRawBufferPointer, from column: Int) -> Int {
        var column = column
        var start = 0
        while start < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
            start += self.arrays[column].append(firstLengthPrefixed: rest)
            column += 1
        }
        return column
    }

    mutating func append(_ range: ByteRange, of bytes: UnsafeRawBufferPointer, to column: Int) {
        self.arrays[column].append(UnsafeRawBufferPointer(rebasing: bytes[range.range]))
    }

    mutating func append(orNull range: ByteRange?, of bytes: UnsafeRawBufferPointer, to column: Int) {
        if let range { self.append(range, of: bytes, to: column) } else { self.arrays[column].appendNull() }
    }

    mutating func appendNulls(_ columns: Range<Int>) {
        for column in columns { self.arrays[column].appendNull() }
    }

    mutating func append(_ bytes: ArraySlice<UInt8>, to column: Int) { self.arrays[column].append(bytes) }
    mutating func append(_ text: String, to column: Int) { self.arrays[column].append(text) }
    mutating func append(_ value: Bool, to column: Int) { self.arrays[column].append(value) }
    mutating func append(_ value: Int32, to column: Int) { self.arrays[column].append(value) }
    mutating func append(_ value: Int64, to column: Int) { self.arrays[column].append(value) }

    mutating func append(orNull bytes: ArraySlice<UInt8>?, to column: Int) {
        if let bytes { self.arrays[column].append(bytes) } else { self.arrays[column].appendNull() }
    }

    mutating func append(orNull value: Int32?, to column: Int) {
        if let value { self.arrays[column].append(value) } else { self.arrays[column].appendNull() }
    }

    mutating func append(orNull value: Int64?, to column: Int) {
        if let value { self.arrays[column].append(value) } else { self.arrays[column].appendNull() }
    }

    /// Microseconds since 1970, as PostgreSQL counts them: from 2000 on.
    mutating func append(timestamp microseconds: Int64?, to column: Int) {
        guard let microseconds else { return self.arrays[column].appendNull() }
        let epoch = CalendarText.postgresEpochDays * CalendarText.microsecondsPerDay
        self.arrays[column].append(microseconds - epoch)
    }

    var parameters: [Parameter] {
        mutating get { self.arrays.indices.map { self.arrays[$0].parameter(arrayOID: self.arrayOIDs[$0]) } }
    }
}

extension ColumnType {
    /// The type's object identifier in `pg_type`; varying characters travel as text.
    var oid: UInt32 {
        switch self {
        case .bigint: OID.int8
        case .integer: OID.int4
        case .smallint: OID.int2
        case .numeric: OID.numeric
        case .text, .varchar: OID.text
        case .boolean: OID.bool
        case .timestamptz: OID.timestamptz
        case .timestamp: OID.timestamp
        case .date: OID.date
        case .time: OID.time
        case .doublePrecision: OID.float8
        case .real: OID.float4
        case .uuid: OID.uuid
        case .jsonb: OID.jsonb
        case .bytea: OID.bytea
        }
    }
}
