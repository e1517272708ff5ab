extension DeadLetter {
    /// What a message is known by among dead letters.
    /// - Parameter oversizedLength: the whole length of a message of which `message` is only the beginning that was
    ///   kept.
    package static func digest(of message: ArraySlice<UInt8>, oversizedLength: Int64?) -> [UInt8] {
        var digest = DigestContext()
        digest.update(message)
        if let oversizedLength { digest.update("\(oversizedLength)".utf8) }
        return digest.finish()
    }

    /// Whether `raw` is the message as it came, all of it: not cut, and not the image of a row that the database
    /// refused.
    package static func isComplete(raw: [UInt8], digest: [UInt8]) -> Bool {
        Self.digest(of: raw[...], oversizedLength: nil) == digest
            || Self.digest(of: raw[...], oversizedLength: Int64(raw.count)) == digest
    }
}
