extension DeadLetter {
    /// What a message is known by among dead letters.
    /// - Parameter oversizedLength: the whole length of a message of which `message` is only the beginning that was
    ///   kept.
    /// - Parameter record: its key and headers take part, since two messages without a value differ by them alone; its
    ///   offset does not, so that a message which was sent twice is one letter.
    package static func digest(
        of message: ArraySlice<UInt8>,
        _ record: StoredRecord? = nil,
        oversizedLength: Int64?
    ) -> [UInt8] {
        var digest = DigestContext()
        digest.update(message)
        if var record, record.key != nil || !record.headers.isEmpty {
            (record.offset, record.partition) = (0, 0)
            digest.update(record.bytes)
        }
        if let oversizedLength { digest.update("\(oversizedLength)".utf8) }
        return digest.finish()
    }

    /// Whether `raw` is the message as it came, all of it: not cut, and not the image of a row that the database
    /// refused.
    package static func isComplete(raw: [UInt8], _ record: StoredRecord? = nil, digest: [UInt8]) -> Bool {
        Self.digest(of: raw[...], record, oversizedLength: nil) == digest
            || Self.digest(of: raw[...], record, oversizedLength: Int64(raw.count)) == digest
    }
}
