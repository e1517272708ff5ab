/// What staging noticed about an event that is not part of its content: kept with the event in the timeline, where views
/// turn it into anomalies. Two events with one order key have the union of their remarks, so that it does not matter
/// which of them came first.
package struct Remarks: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A delete that claims to carry the whole row (`replica_identity: full`), every column of which beside the key is
    /// null or its type's default: so PostgreSQL's deletes look under another replica identity.
    package static let doubtfulDelete = Remarks(rawValue: 1 << 0)
    /// A snapshot row that gave way, when it arrived, to a streamed event with a lower LSN.
    package static let snapshotIgnored = Remarks(rawValue: 1 << 1)

    /// What it carried was erased (`tidemark forget`).
    package static let erased = Remarks(rawValue: 1 << 2)

    /// Those about the arrival of an event: what arrives again, and is in the timeline already, adds none.
    package static let ofArrival: Remarks = [.snapshotIgnored]
}

/// What an event's image tells of the state.
@usableFromInline
package enum StateImage: UInt8, Sendable {
    /// The image lacks it: another event says what it is.
    case absent
    /// There is none.
    case null
    case value
}
