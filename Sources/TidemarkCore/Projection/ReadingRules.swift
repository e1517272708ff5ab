/// The rules by which a message becomes what is stored of it.
///
/// A projection stores the version of the rules that its rows were made by. Another version asks for a rebuild, since
/// the same event read by two versions can end in two order keys, digests or values, and so count as two events.
package enum ReadingRules {
    /// Covers everything stored whose bytes can differ from what is read now: order keys, digests, truncates, and
    /// canonical texts.
    ///
    /// - 1: before versions were stored.
    /// - 2: a column takes part in the digest with one byte for its mark and length.
    /// - 3: the unit of a time belongs to its column; zone-less times go by the source's zone; positions of snapshots,
    ///   `$received` and times are laid out otherwise; JSON null is told from null.
    package static let version = 3

    /// The first version in which the unit of a number that stands for a time belongs to its column; before it the
    /// unit was guessed from each number's size.
    package static let unitsByColumn = 3
    /// The first version in which a number of a zone-less type is read in the source's zone; before it all were UTC.
    package static let zonesByType = 3

    /// The first version in which a number, a text or `$event_time` has the bytes in an order key that it has now.
    /// Positions, `$received` and columns that are times have theirs since ``version``.
    private static let columnPartsSince = 2

    /// Whether sequence parts of a stored order key can be taken over as they stand.
    /// - Parameter holdsRelaidPart: one of the parts has other bytes than in earlier versions.
    package static func keepsSequence(from stored: Int, holdsRelaidPart: Bool) -> Bool {
        stored == Self.version || !holdsRelaidPart && (Self.columnPartsSince...Self.version).contains(stored)
    }
}
