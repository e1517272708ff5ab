internal import TidemarkCore

extension MessageDecoder {
    /// Replaces a time that is an object of its parts by its text.
    func writeStructuredTime(_ node: Int, _ field: inout Field, to bytes: inout [UInt8]) {
        guard field.kind == .json, self.document.kind(node) == .object,
            let text = StructuredTime(node, in: self.document, of: bytes)?.text
        else { return }
        let start = bytes.count
        bytes.append(contentsOf: text.utf8)
        field.value = ByteRange(start: start, end: bytes.count)
        field.kind = .string
    }
}

extension Field {
    /// Gives a time's text the zone that its type has, and no other.
    mutating func apply(_ zone: SchemaHints.Zone, _ bytes: inout [UInt8]) {
        guard self.kind == .string, let last = bytes[self.value.range].last else { return }
        let isMarked = last == UInt8(ascii: "Z")
        switch zone {
        case .asWritten: break
        case .none:
            guard isMarked else { return }
            self.value = ByteRange(start: Int(self.value.start), end: self.value.range.upperBound - 1)
        case .utc:
            guard !isMarked,
                let reading = CalendarText.parseTimestamp(bytes.span.extracting(self.value.range)), !reading.hasZone
            else { return }
            let start = bytes.count
            bytes.appendCopy(of: self.value)
            bytes.append(UInt8(ascii: "Z"))
            self.value = ByteRange(start: start, end: bytes.count)
        }
    }
}
