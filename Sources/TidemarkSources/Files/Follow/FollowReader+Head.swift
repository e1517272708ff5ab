extension FollowReader {
    /// Where the file ends now; unknown of a compressed one, whose content is longer than the file.
    var head: UInt64? {
        guard case .at(let location) = self.file.withState({ $0.place }), !location.isCompressed else { return nil }
        return self.file.openStatus.map { UInt64(clamping: $0.size) }
    }
}
