/// A kept column as the quick path sees it: nothing that is retained.
struct PlainColumn: Sendable {
    let mark: NameMark
    let type: PlainType
    let slot: Int32
    /// The column's place in the key, where it is encoded already; negative for a column that is not part of it.
    fileprivate let keyPart: Int32
    fileprivate let isInDigest: Bool
    fileprivate let isBareInJSON: Bool

    init(_ kept: ProjectionPlan.KeptColumn) {
        self.mark = kept.column.mark
        self.type = kept.isShown ? kept.column.plain : .other
        self.slot = Int32(kept.column.slot)
        self.keyPart = kept.keyPart.map { Int32($0) } ?? -1
        self.isInDigest = kept.isInDigest
        self.isBareInJSON = kept.column.type.isBareInJSON
    }

    /// A column of the key or of the sequence.
    init(_ column: ColumnPlan) {
        self.mark = column.mark
        self.type = column.plain
        self.slot = Int32(column.slot)
        self.keyPart = -1
        self.isInDigest = false
        self.isBareInJSON = false
    }
}

/// Rows as nearly all of them are: each column where it stood in the row before, with a value that takes no more than a
/// look. What this writes is what ``EventStager/encodeKept(_:_:_:_:_:)`` does.
extension EventStager {
    /// Takes kept columns from `first` on.
    /// - Parameter isUTC: times that name no zone are UTC.
    /// - Returns: the first column that it has not taken, with nothing written for it.
    mutating func encodePlain(from first: Int, _ message: DecodedMessage, _ row: Range<Int>, isUTC: Bool) -> Int {
        let isVerbatim = message.isVerbatim
        return message.bytes.withUnsafeBytes { bytes in
            message.fields.withUnsafeBufferPointer { fields in
                let fields = UnsafeBufferPointer(rebasing: fields[row])
                var index = first
                while index < self.plainColumns.count,
                    self.encodePlain(at: index, bytes, fields, isUTC: isUTC, isVerbatim: isVerbatim)
                {
                    index &+= 1
                }
                return index
            }
        }
    }

    @inline(__always)
    private mutating func encodePlain(
        at index: Int,
        _ bytes: UnsafeRawBufferPointer,
        _ fields: UnsafeBufferPointer<Field>,
        isUTC: Bool,
        isVerbatim: Bool
    ) -> Bool {
        let column = self.plainColumns[index]
        guard column.keyPart < 0 else {
            self.keepPlainKey(index, self.keyParts[Int(column.keyPart)])
            return true
        }
        guard let field = self.plainField(column, fields, bytes) else { return false }
        guard field.kind != .null else {
            self.encodePlainNull(index)
            return true
        }
        let start = self.digestInput.count
        self.digestInput.append(ContentMark.value)
        let isTaken = ValueEncoder.appendPlain(
            field,
            of: bytes,
            column.type,
            isUTC: isUTC,
            isVerbatim: isVerbatim,
            &self.values,
            &self.digestInput
        )
        guard isTaken else {
            self.digestInput.truncate(to: start)
            return false
        }
        let text = self.digestInput.storeCount(at: start, base: ContentMark.value)
        self.carried.append(1)
        if self.writesImage {
            self.appendPlainImage(index, text, isBare: column.isBareInJSON, isVerbatim: isVerbatim)
        }
        if !column.isInDigest { self.digestInput.truncate(to: start) }
        return true
    }

    /// A key column was encoded already.
    @inline(__always)
    private mutating func keepPlainKey(_ index: Int, _ place: Range<Int>) {
        if self.plainColumns[index].isInDigest {
            let start = self.digestInput.count
            self.digestInput.append(ContentMark.value)
            self.digestInput.append(self.key, place)
            _ = self.digestInput.storeCount(at: start, base: ContentMark.value)
        }
        guard self.writesImage, let kept = self.plan.keptColumns?[index] else { return }
        self.keepKeyImage(kept, place)
    }

    private mutating func encodePlainNull(_ index: Int) {
        self.carried.append(1)
        if self.plainColumns[index].isInDigest { self.digestInput.append(ContentMark.null) }
        self.values.appendBigEndian(-1 as Int32)
        guard self.writesImage, let kept = self.plan.keptColumns?[index] else { return }
        self.appendImageName(kept)
        self.image.append("null")
    }

    /// - Parameter text: where in the digest's input the value's canonical text stands.
    private mutating func appendPlainImage(_ index: Int, _ text: Range<Int>, isBare: Bool, isVerbatim: Bool) {
        guard let kept = self.plan.keptColumns?[index] else { return }
        self.appendImageName(kept)
        if isBare {
            self.image.append(self.digestInput, text)
        } else if isVerbatim {
            self.image.append(UInt8(ascii: "\""))
            self.image.append(self.digestInput, text)
            self.image.append(UInt8(ascii: "\""))
        } else {
            self.digestInput.withSpan(text) { self.image.appendJSONString($0) }
        }
    }
}
