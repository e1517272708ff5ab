extension ChangeEncoder {
    /// What the changeEncoder is told about the message beside the message itself.
    package struct Origin: Sendable {
        package var settings: SourceSettings
        /// The source's index in the list of this run.
        package var sourceIndex: Int
        /// What the database knows the source by, as `$received` compares it.
        package var sourceID: Int64
        package var stream: StreamID
        package var offset: StreamOffset
        /// As in ``EncodedChange/ordinal``.
        package var ordinal: UInt32 = 0
        /// Parts of the sequence that need not be looked for in the message.
        package var knownSequence: KnownSequence?
        /// What was noticed about the event when it was first encoded, of one that comes from a timeline.
        package var remarks: Remarks = []
        /// The dead letter that the message is, when it is tried again.
        package var retried: RetriedLetter?

        package init(
            settings: SourceSettings,
            sourceIndex: Int,
            sourceID: Int64 = 0,
            stream: StreamID,
            offset: StreamOffset
        ) {
            self.settings = settings
            self.sourceIndex = sourceIndex
            self.sourceID = sourceID
            self.stream = stream
            self.offset = offset
        }

        /// Where `$received` says that the event was read.
        var received: (stream: StreamID, offset: StreamOffset) {
            guard let reading = self.retried?.reading else { return (self.stream, self.offset) }
            var offset = reading.offset
            offset.row = self.offset.row
            return (reading.stream, offset)
        }
    }
}
