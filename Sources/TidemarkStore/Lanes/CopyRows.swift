import LibPQ
import TidemarkCore

/// Rows of a timeline in the making, field by field.
protocol TimelineRows {
    mutating func beginRow()
    /// Fields that have their lengths before them.
    mutating func append(fields range: ByteRange, of bytes: UnsafeRawBufferPointer)
    mutating func append(orNull range: ByteRange?, of bytes: UnsafeRawBufferPointer)
    mutating func append(_ bytes: ArraySlice<UInt8>)
    mutating func append(_ value: Bool)
    mutating func append(letter: String)
    mutating func append(orNull number: Int32?)
    /// Microseconds since 1970.
    mutating func append(timestamp microseconds: Int64?)
    mutating func appendNulls(_ count: Int)
    /// The names of columns that an event lacks; `nil` for a complete one.
    mutating func append(missing names: [[UInt8]]?, hasNull: Bool)
    /// The last field.
    mutating func append(remarks: Int16?)
}

extension TimelineRows {
    mutating func append(_ range: ByteRange, of bytes: UnsafeRawBufferPointer) {
        self.append(orNull: range, of: bytes)
    }
}

/// Rows as array parameters, for a statement.
struct TimelineArrays: TimelineRows {
    private var rows: ArrayParameters
    private var missing: BinaryArray
    private var remarks: BinaryArray
    private let hasPartial: Bool
    private let hasRemarks: Bool
    /// The column of the next field.
    private var column = 0

    /// - Parameter elementOIDs: of the fields but the last two.
    init(_ elementOIDs: [UInt32], rows count: Int, lastBytes: Int, hasPartial: Bool, hasRemarks: Bool) {
        self.rows = ArrayParameters(elementOIDs, rows: count, lastBytes: lastBytes)
        self.missing = BinaryArray(elementOID: OID.text, expectedCount: hasPartial ? count : 0)
        self.remarks = BinaryArray(elementOID: OID.int2, expectedCount: hasRemarks ? count : 0)
        (self.hasPartial, self.hasRemarks) = (hasPartial, hasRemarks)
    }

    private mutating func next() -> Int {
        self.column += 1
        return self.column - 1
    }

    mutating func beginRow() { self.column = 0 }

    mutating func append(fields range: ByteRange, of bytes: UnsafeRawBufferPointer) {
        self.column = self.rows.append(fields: range, of: bytes, from: self.column)
    }

    mutating func append(orNull range: ByteRange?, of bytes: UnsafeRawBufferPointer) {
        self.rows.append(orNull: range, of: bytes, to: self.next())
    }

    mutating func append(_ bytes: ArraySlice<UInt8>) { self.rows.append(bytes, to: self.next()) }
    mutating func append(_ value: Bool) { self.rows.append(value, to: self.next()) }
    mutating func append(letter: String) { self.rows.append(letter, to: self.next()) }
    mutating func append(orNull number: Int32?) { self.rows.append(orNull: number, to: self.next()) }
    mutating func append(timestamp microseconds: Int64?) { self.rows.append(timestamp: microseconds, to: self.next()) }

    mutating func appendNulls(_ count: Int) {
        self.rows.appendNulls(self.column..<self.column + count)
        self.column += count
    }

    /// As the text of an array: an array of arrays has rows of one length.
    mutating func append(missing names: [[UInt8]]?, hasNull: Bool) {
        guard self.hasPartial else { return }
        if let names {
            self.missing.append(SQLText.arrayLiteral(names, hasNull: hasNull))
        } else {
            self.missing.appendNull()
        }
    }

    mutating func append(remarks: Int16?) {
        if self.hasRemarks { self.remarks.append(remarks ?? 0) }
    }

    consuming func finished() -> [Parameter] {
        self.rows.parameters + [
            self.hasPartial ? self.missing.parameter(arrayOID: OID.textArray) : .null,
            self.hasRemarks ? self.remarks.parameter(arrayOID: OID.int2Array) : .null,
        ]
    }
}

/// Rows in the binary format of COPY: a header, then for each row the number of its fields and each field behind its length
/// (-1 for NULL), and an end. Fields of events have that form already.
///
/// Source: PostgreSQL's documentation of COPY, "Binary Format".
struct CopyRows: TimelineRows {
    private var buffer: [UInt8]
    private let fieldCount: Int16
    /// How many fields stand behind the last one of each row that are true.
    private let trueCount: Int

    private static let header: [UInt8] = [
        0x50, 0x47, 0x43, 0x4f, 0x50, 0x59, 0x0a, 0xff, 0x0d, 0x0a, 0x00, 0, 0, 0, 0, 0, 0, 0, 0,
    ]
    private static let end: [UInt8] = [0xff, 0xff]

    init(fieldCount: Int, trueCount: Int, expectedBytes: Int) {
        (self.fieldCount, self.trueCount) = (Int16(fieldCount), trueCount)
        self.buffer = []
        self.buffer.reserveCapacity(Self.header.count + Self.end.count + expectedBytes)
        self.buffer += Self.header
    }

    mutating func beginRow() { self.append(bigEndian: self.fieldCount) }

    mutating func append(fields range: ByteRange, of bytes: UnsafeRawBufferPointer) {
        self.buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[range.range]))
    }

    mutating func append(orNull range: ByteRange?, of bytes: UnsafeRawBufferPointer) {
        guard let range else { return self.appendNulls(1) }
        self.append(UnsafeRawBufferPointer(rebasing: bytes[range.range]))
    }

    mutating func append(_ bytes: ArraySlice<UInt8>) { bytes.withUnsafeBytes { self.append($0) } }
    mutating func append(_ value: Bool) { self.append(number: UInt8(value ? 1 : 0)) }

    mutating func append(letter: String) {
        var letter = letter
        letter.withUTF8 { self.append(UnsafeRawBufferPointer($0)) }
    }

    mutating func append(orNull number: Int32?) {
        if let number { self.append(number: number) } else { self.appendNulls(1) }
    }

    mutating func append(timestamp microseconds: Int64?) {
        guard let microseconds else { return self.appendNulls(1) }
        // PostgreSQL counts from 2000 on.
        self.append(number: microseconds - CalendarText.postgresEpochDays * CalendarText.microsecondsPerDay)
    }

    mutating func appendNulls(_ count: Int) {
        for _ in 0..<count { self.append(bigEndian: Int32(-1)) }
    }

    mutating func append(missing names: [[UInt8]]?, hasNull: Bool) {
        guard let names else { return self.appendNulls(1) }
        var array = BinaryArray(elementOID: OID.text, expectedCount: names.count)
        if hasNull { array.appendNull() }
        for name in names { array.append(name[...]) }
        self.append(array.bytes()[...])
    }

    mutating func append(remarks: Int16?) {
        if let remarks { self.append(number: remarks) } else { self.appendNulls(1) }
        for _ in 0..<self.trueCount { self.append(true) }
    }

    consuming func finished() -> [UInt8] {
        self.buffer += Self.end
        return self.buffer
    }

    /// Length and value in one go: a row is a dozen of these.
    private mutating func append(_ bytes: UnsafeRawBufferPointer) {
        self.buffer.append(addingCapacity: 4 + bytes.count) { output in
            output.withUnsafeMutableBufferPointer { memory, written in
                let memory = UnsafeMutableRawBufferPointer(memory)
                memory.storeBytes(of: Int32(truncatingIfNeeded: bytes.count).bigEndian, as: Int32.self)
                UnsafeMutableRawBufferPointer(rebasing: memory[4...]).copyMemory(from: bytes)
                written = 4 + bytes.count
            }
        }
    }

    @inline(__always)
    private mutating func append<Number: FixedWidthInteger & BitwiseCopyable>(number value: Number) {
        withUnsafeBytes(of: value.bigEndian) { self.append($0) }
    }

    private mutating func append(bigEndian value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { self.buffer.append(contentsOf: $0) }
    }
}
