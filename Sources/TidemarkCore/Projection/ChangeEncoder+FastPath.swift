/// A kept column as the quick path sees it: nothing that is retained.
struct FastPathColumn: Sendable {
    let nameKey: NameKey
    let type: FastPathType
    let slot: Int32
    /// The column's index in the key, where it is encoded already; negative for a column that is not part of it.
    fileprivate let keyPart: Int32
    fileprivate let isInDigest: Bool

    init(_ kept: ProjectionPlan.KeptColumn) {
        self.nameKey = kept.column.nameKey
        self.type = kept.isShown ? kept.column.plain : .other
        self.slot = Int32(kept.column.slot)
        self.keyPart = kept.keyPart.map { Int32($0) } ?? -1
        self.isInDigest = kept.isInDigest
    }

    /// A column of the key or of the sequence.
    init(_ column: ColumnPlan) {
        self.nameKey = column.nameKey
        self.type = column.plain
        self.slot = Int32(column.slot)
        self.keyPart = -1
        self.isInDigest = false
    }
}

/// Rows as nearly all of them are: each column where it stood in the row before, with a value that takes no more than a
/// look. What this writes is what ``ChangeEncoder/encodeKept(_:_:_:_:_:)`` does.
extension ChangeEncoder {
    /// Where the parts of a row are written meanwhile.
    private struct FastPathRow {
        var values: ByteWriter
        var content: ByteWriter
        var carried: ByteWriter
    }

    /// Takes kept columns from `first` on.
    /// - Parameter isUTC: times that name no zone are UTC.
    /// - Returns: the first column that it has not taken, with nothing written for it.
    mutating func encodeFastPath(from first: Int, _ message: DecodedMessage, _ row: Range<Int>, isUTC: Bool) -> Int {
        let isVerbatim = message.isVerbatim
        return message.bytes.withUnsafeBytes { bytes in
            message.fields.storage.withUnsafeBufferPointer { fields in
                let fields = UnsafeBufferPointer(rebasing: fields[row])
                // Enough for all columns, unless several show one field.
                let room = bytes.count + self.key.count + self.fastPathColumns.count * ByteWriter.valueBytesMax(0)
                var row = FastPathRow(
                    values: self.values.writer(reserving: room),
                    content: self.digestInput.writer(reserving: room),
                    carried: self.carried.writer(reserving: self.fastPathColumns.count)
                )
                var index = first
                while index < self.fastPathColumns.count,
                    self.encodeFastPath(at: index, bytes, fields, &row, isUTC: isUTC, isVerbatim: isVerbatim)
                {
                    index &+= 1
                }
                self.values.commit(row.values)
                self.digestInput.commit(row.content)
                self.carried.commit(row.carried)
                return index
            }
        }
    }

    @inline(__always)
    private mutating func encodeFastPath(
        at index: Int,
        _ bytes: UnsafeRawBufferPointer,
        _ fields: UnsafeBufferPointer<Field>,
        _ row: inout FastPathRow,
        isUTC: Bool,
        isVerbatim: Bool
    ) -> Bool {
        let column = self.fastPathColumns[index]
        guard column.keyPart < 0 else {
            self.keepPlainKey(index, self.keyParts[Int(column.keyPart)], &row)
            return true
        }
        guard let field = self.fastPathField(column, fields, bytes) else { return false }
        self.makeRoom(ByteWriter.valueBytesMax(Int(field.value.count)), &row)
        guard field.kind != .null else {
            self.encodePlainNull(index, &row)
            return true
        }
        let start = row.content.address
        row.content.append(ContentTag.value)
        let isTaken = ValueEncoder.appendPlain(
            field,
            of: bytes,
            column.type,
            isUTC: isUTC,
            isVerbatim: isVerbatim,
            &row.values,
            &row.content
        )
        guard isTaken else {
            row.content.move(to: start)
            return false
        }
        _ = row.content.storeCount(at: start, base: ContentTag.value)
        row.carried.append(1)
        if !column.isInDigest { row.content.move(to: start) }
        return true
    }

    @inline(__always)
    private mutating func makeRoom(_ count: Int, _ row: inout FastPathRow) {
        guard !row.values.hasRoom(count) || !row.content.hasRoom(count) else { return }
        row = self.withMoreRoom(count, row)
    }

    /// By value, so that the row needs no address.
    @inline(never)
    private mutating func withMoreRoom(_ count: Int, _ row: FastPathRow) -> FastPathRow {
        var row = row
        self.values.commit(row.values)
        self.digestInput.commit(row.content)
        row.values = self.values.writer(reserving: count)
        row.content = self.digestInput.writer(reserving: count)
        return row
    }

    /// A key column was encoded already.
    @inline(__always)
    private mutating func keepPlainKey(_ index: Int, _ range: Range<Int>, _ row: inout FastPathRow) {
        if self.fastPathColumns[index].isInDigest {
            self.makeRoom(ByteWriter.valueBytesMax(range.count), &row)
            self.key.withSpan(range) { row.content.appendContent($0) }
        }
    }

    @inline(__always)
    private mutating func encodePlainNull(_ index: Int, _ row: inout FastPathRow) {
        row.carried.append(1)
        if self.fastPathColumns[index].isInDigest { row.content.append(ContentTag.null) }
        row.values.appendBigEndian(-1 as Int32)
    }
}
