package import TidemarkCore

/// Finds offsets in a file that is a known stream's: lines, and how many of them lie between two offsets.
package struct FileSeeker {
    package enum Target {
        case end
        case offset(UInt64)
        /// The first message of which this is true.
        case first((UnsafeRawBufferPointer) -> Bool)
    }

    /// An offset at which no message begins.
    package struct NotALine: Error {
        /// Where the nearest ones begin; `nil` where there is none.
        package var before: UInt64?
        package var behind: UInt64?
    }

    private let file: FoundFile
    private let messageBytesMax: Int

    /// - Parameters:
    ///   - incarnation: the stream's.
    ///   - level: how far the stream is read.
    /// - Returns: `nil` where there is no such file, or it has other content than was read of the stream.
    package init?(_ path: String, incarnation: String, level: StreamProgress, messageBytesMax: Int) {
        guard let status = try? FileStatus(of: path), status.kind == .regular,
            let file = try? FoundFile(FolderListing.Found(path: path, status: status), isNamed: true),
            file.fits(prefix: incarnation, level, isSure: false)
        else { return nil }
        self.file = file
        self.messageBytesMax = messageBytesMax
    }

    /// Where a target is; where no message is the first, the end of the last whole line.
    /// - Parameter level: from here on the file is read where the target cannot be before.
    /// - Throws: ``NotALine``, `InputError`.
    package func find(_ target: Target, from level: StreamProgress) throws -> StreamProgress {
        var start = StreamProgress.start
        switch target {
        case .end: start = level
        case .offset(let offset):
            if offset == 0 { return start }
            if level.offset.major <= offset { start = level }
        case .first: break
        }
        var before = start.offset.major
        let reader = try self.reader(from: start)
        while let block = try self.next(reader) {
            for message in block.messages {
                switch target {
                case .end: break
                case .offset(let offset):
                    let found = message.offset.major
                    if found == offset { return try self.progress(at: message) }
                    if found > offset { throw NotALine(before: before, behind: found) }
                    before = found
                case .first(let isMeant):
                    guard !message.isOversized, message.payload != nil else { continue }
                    let isFound = block.bytes.withUnsafeBytes {
                        isMeant(UnsafeRawBufferPointer(rebasing: $0[message.range]))
                    }
                    if isFound { return try self.progress(at: message) }
                }
            }
            reader.reuse(block)
        }
        if case .offset(let offset) = target, offset != reader.progress.offset.major {
            let end = reader.progress.offset.major
            throw end > offset ? NotALine(before: before, behind: end) : NotALine(before: end, behind: nil)
        }
        return reader.progress
    }

    /// How many messages begin at or behind one offset, and before another.
    package func count(from level: StreamProgress, to end: StreamOffset) throws -> Int64 {
        guard level.offset < end else { return 0 }
        let reader = try self.reader(from: level)
        var count: Int64 = 0
        while let block = try self.next(reader) {
            let isWhole = block.end.offset <= end
            count += Int64(isWhole ? block.messages.count : block.messages.count { $0.offset < end })
            if !isWhole { break }
            reader.reuse(block)
        }
        return count
    }

    /// The place of a message, with what tells the content before it from other content.
    private func progress(at message: MessageBlock.Message) throws -> StreamProgress {
        let reader = try self.reader(from: StreamProgress(offset: message.offset, ordinal: message.ordinal))
        var progress = reader.progress
        let beginning = self.file.prefix.bytes.prefix(Int(clamping: message.offset.major))
        if !beginning.isEmpty {
            let tail = reader.trail?.tail.bytes ?? []
            progress.resume = ResumeToken(of: tail, at: message.offset.major, .init(of: beginning)).bytes
        }
        return progress
    }

    private func reader(from level: StreamProgress) throws(InputError) -> LineReader {
        let reader = LineReader(
            growing: self.file.opened,
            self.file.location.input(size: self.file.status.size),
            messageBytesMax: self.messageBytesMax
        )
        try reader.resume(at: level)
        return reader
    }

    /// The next whole lines; the last line of a compressed file is whole without a line end.
    private func next(_ reader: LineReader) throws(InputError) -> MessageBlock? {
        if let block = try reader.nextBlock() { return block }
        guard self.file.location.isCompressed, reader.isOpenEnded else { return nil }
        reader.isOpenEnded = false
        return try reader.nextBlock()
    }
}
