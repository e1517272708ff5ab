import TidemarkCore

/// An input that may grow: where it ends now, its last line waits for its end.
extension LineReader {
    /// What is read as the end is only where the input ends now. `false` once nothing will be written any more.
    var isOpenEnded: Bool {
        get { self.stream.isOpenEnded }
        set { self.stream.isOpenEnded = newValue }
    }

    /// The input may end here: a compressed one is behind the end of a member.
    var isWhole: Bool { self.stream.isWhole }

    /// Nothing will be written any more, and nothing more is read: the last line is delivered as it is.
    func finish() { self.isDrained = true }

    /// Resumes at a level, and compares the bytes before it with what its token says. Before the first block only.
    /// - Throws: `.changed` where the input is shorter, or has other content before the level.
    func resume(at level: StreamProgress) throws(InputError) {
        precondition(self.isAtStart && self.buffer.isEmpty, "lines have been read already")
        let offset = Int64(clamping: level.offset.major)
        guard offset > 0 else { return }
        // All of the content before it, where that is known by a digest.
        let count = offset <= Int64(FilePrefix.bytesMax) ? Int(offset) : ByteTail.bytesMax
        let bytes = try self.stream.bytes(before: offset, count: count, of: self.file)
        let token = ResumeToken(bytes: level.resume).flatMap { $0.offset == level.offset.major ? $0 : nil }
        if let token, !token.fits(tail: bytes[...]) || (count == offset && token.beginning?.fits(bytes) == false) {
            throw InputError(.changed, path: self.file.path, detail: "has other content before byte \(offset)")
        }
        self.trail = ContentTrail(bytes, before: offset, token)
        self.offset = offset
        self.lineNumber = level.ordinal
        self.isAtStart = false
        self.owesLineEnd = bytes.last != 0x0A && bytes != [0xEF, 0xBB, 0xBF]
    }

    /// The last line though its end has not come, if it is one whole JSON object or array: a writer that ends with it, or
    /// writes line ends before lines, has nothing to add.
    func takeWholeValue() -> MessageBlock? {
        guard !self.isAtEnd, !self.isOversized, self.passMark(), JSONOutline.isWhole(self.buffer) else { return nil }
        let last = self.buffer.withUnsafeBufferPointer { self.line($0, 0..<$0.count) }
        guard let last else { return nil }
        self.lineNumber += 1
        self.owesLineEnd = true
        return self.detach([last], count: self.buffer.count)
    }

    /// Gives memory back that an input at its end has no use for.
    func releaseMemory() {
        if self.buffer.isEmpty { self.buffer = [] }
        self.spare = []
    }
}

extension ByteStream {
    /// Goes on at `offset` of the content, and gives the last bytes before it; only before the first read.
    mutating func bytes(before offset: Int64, count: Int, of file: InputFile) throws(InputError) -> [UInt8] {
        let wanted = Int(min(offset, Int64(count)))
        try self.skip(to: offset - Int64(wanted))
        var bytes: [UInt8] = []
        let part = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, wanted), alignment: 1)
        defer { part.deallocate() }
        while bytes.count < wanted {
            let rest = UnsafeMutableRawBufferPointer(rebasing: part[..<(wanted - bytes.count)])
            let read = try self.read(into: rest)
            guard read > 0 else {
                throw InputError(.changed, path: file.path, detail: "ends before byte \(offset) of its content")
            }
            bytes.append(contentsOf: rest[..<read])
        }
        return bytes
    }
}

/// Where JSON text ends, by its brackets and strings alone.
enum JSONOutline {
    /// Whether a text is one object or array from its first bracket to the one that closes it, blanks around it aside.
    static func isWhole(_ text: [UInt8]) -> Bool {
        var depth = 0
        var isInString = false
        var isEscaped = false
        var isClosed = false
        for byte in text {
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                }
                continue
            }
            switch byte {
            case 0x20, 0x09, 0x0D: continue
            case _ where isClosed: return false
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                isClosed = depth == 0
                if depth < 0 { return false }
            case _ where depth == 0: return false
            case UInt8(ascii: "\""): isInString = true
            default: break
            }
        }
        return isClosed
    }
}
