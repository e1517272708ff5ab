/// Keys and versions as nearly all of them are: columns that stand where they stood in the row before, with values that
/// take no more than a look. What this writes is what the longer ways of ``ChangeEncoder`` do.
extension ChangeEncoder {
    /// Writes the key, when all of it is plain.
    /// - Returns: `false`, with the buffers in any state, for a key that takes the longer way.
    mutating func buildFastPathKey(_ message: DecodedMessage, _ image: Range<Int>, isUTC: Bool) -> Bool {
        let isVerbatim = message.isVerbatim
        return message.bytes.withUnsafeBytes { bytes in
            message.fields.storage.withUnsafeBufferPointer { fields in
                let fields = UnsafeBufferPointer(rebasing: fields[image])
                for index in self.fastPathKey.indices {
                    let column = self.fastPathKey[index]
                    guard let field = self.fastPathField(column, fields, bytes), field.kind != .null else {
                        return false
                    }
                    if index > 0 { self.key.append(0) }
                    let start = self.key.count
                    let room = ByteWriter.valueBytesMax(Int(field.value.count))
                    let isTaken = ByteBuffer.write(room, &self.keyFields, &self.key) { binary, text in
                        ValueEncoder.appendPlain(
                            field,
                            of: bytes,
                            column.type,
                            isUTC: isUTC,
                            isVerbatim: isVerbatim,
                            &binary,
                            &text
                        )
                    }
                    guard isTaken else { return false }
                    self.keyParts.append(start..<self.key.count)
                }
                return true
            }
        }
    }

    /// Writes the order key's sequence, when it is one whole number.
    /// - Returns: `false`, with nothing written, for a sequence that takes the longer way.
    mutating func buildFastPathSequence(_ message: DecodedMessage, _ image: Range<Int>) -> Bool {
        guard let column = self.fastPathSequence else { return false }
        return message.bytes.withUnsafeBytes { bytes in
            message.fields.storage.withUnsafeBufferPointer { fields in
                let fields = UnsafeBufferPointer(rebasing: fields[image])
                guard let field = self.fastPathField(column, fields, bytes), column.type.takes(field) else {
                    return false
                }
                guard let value = FastPathText(field.value, of: bytes), let number = FastPathNumber(value),
                    column.type.holds(whole: number)
                else { return false }
                self.order.append(number, value.bytes)
                return true
            }
        }
    }

    /// The column's field, if the quick path knows its type and it is where it was in the last row.
    @inline(__always)
    func fastPathField(
        _ column: FastPathColumn,
        _ fields: UnsafeBufferPointer<Field>,
        _ bytes: UnsafeRawBufferPointer
    ) -> Field? {
        guard column.type.kind != .other else { return nil }
        let hint = self.hints[Int(column.slot)]
        guard hint < fields.count, column.nameKey.matches(fields[hint].name, of: bytes) else { return nil }
        return fields[hint]
    }

    /// Whether the row before the change may have had another key: most updates leave it alone, and the bytes tell
    /// without encoding anything.
    mutating func mayChangeKey(_ message: DecodedMessage, _ before: Range<Int>, _ after: Range<Int>) -> Bool {
        for column in self.plan.keyColumns {
            guard let old = self.find(column, in: before, of: message), old.kind.isValue,
                let new = self.find(column, in: after, of: message)
            else { continue }
            if old.kind != new.kind || message.bytes[old.value.range] != message.bytes[new.value.range] { return true }
        }
        return false
    }
}
