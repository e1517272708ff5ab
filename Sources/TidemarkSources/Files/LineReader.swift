import PlatformC
package import TidemarkCore

/// Reads one input as blocks of whole lines. Its calls block, and it is for one thread; only its ``Interrupt`` is for
/// others.
///
/// A line ends with LF or CRLF, or with the input. Lines of nothing but blanks are passed over, and counted in offsets
/// and numbers; so is a UTF-8 byte order mark at the very beginning. What one read of a pipe brings is delivered at
/// once. Memory is bounded by a small multiple of `messageBytesMax`, whatever the input.
package final class LineReader {
    /// A line too long to be buffered, whose end has not come. The buffer begins with those of its bytes that are kept.
    private struct Oversized {
        var length: Int64 = 0
        var endsInReturn = false
        var isBlank = true
        var trail: ContentTrail?
    }

    package let file: InputFile
    private let messageBytesMax: Int
    /// How much is read at a time, and so about the size of a block.
    package static let readBytes = 256 * 1024
    private let oversizedBytesKept: Int
    private let readBytes: Int
    var stream: ByteStream
    /// Begins with a line that has not been delivered.
    var buffer: [UInt8] = []
    /// A block's memory that is to be used again.
    var spare: [UInt8] = []
    /// Bytes at the start of the buffer that hold no line end.
    private var scanned = 0
    private var oversized: Oversized?
    var isAtStart = true
    var isDrained = false
    /// What was delivered or passed over; `nil` where there is no need to know an input again by it.
    var trail: ContentTrail?
    /// The last line was delivered before its end had come: what is left of it is no line of its own.
    var owesLineEnd = false
    /// Where the next line to be delivered begins in the decompressed input.
    package internal(set) var offset: Int64 = 0
    /// The number of that line.
    package internal(set) var lineNumber: Int64 = 1
    /// Everything has been delivered.
    package private(set) var isAtEnd = false

    /// - Parameters:
    ///   - messageBytesMax: the longest line to be delivered whole.
    ///   - oversizedBytesKept: how much is kept of a longer one.
    ///   - readBytes: how much is read at a time.
    ///   - standardInput: what to read when `file` is standard input; it is not closed.
    /// - Throws: `.missing`, `.unreadable`, or `.changed` when the path no longer leads to the file that was found.
    package init(
        _ file: InputFile,
        messageBytesMax: Int,
        interrupt: Interrupt,
        oversizedBytesKept: Int = 1 << 20,
        readBytes: Int = LineReader.readBytes,
        standardInput: Int32 = STDIN_FILENO
    ) throws(InputError) {
        precondition(messageBytesMax > 0 && messageBytesMax < 1 << 31, "a block counts its bytes in 32 bits")
        self.file = file
        self.messageBytesMax = messageBytesMax
        self.oversizedBytesKept = oversizedBytesKept
        self.readBytes = readBytes
        self.stream = ByteStream(
            try RawInput(file, standardInput: standardInput, interrupt: interrupt),
            readBytes: self.readBytes,
            readsLines: true
        )
    }

    /// Reads a regular file that may grow: its end is not the end of the stream until it is said to be, see
    /// ``isOpenEnded``.
    init(
        growing opened: OpenFile,
        _ file: InputFile,
        messageBytesMax: Int,
        oversizedBytesKept: Int = 1 << 20,
        readBytes: Int = LineReader.readBytes
    ) {
        precondition(messageBytesMax > 0 && messageBytesMax < 1 << 31, "a block counts its bytes in 32 bits")
        self.file = file
        self.messageBytesMax = messageBytesMax
        self.oversizedBytesKept = oversizedBytesKept
        self.readBytes = readBytes
        self.stream = ByteStream(RawInput(file, growing: opened), readBytes: readBytes, readsLines: true)
        self.trail = ContentTrail()
    }

    /// Bytes taken so far from the disk or the pipe, compressed as they are there: compares with ``InputFile/size``.
    package var rawOffset: Int64 { self.stream.rawOffset }

    /// The next block may be long in coming: a pipe has brought nothing more.
    package var wouldWait: Bool { !self.isDrained && self.stream.wouldWait }

    /// Resumes at a line's offset, as stored progress has it. Before the first block only.
    /// - Parameter lineNumber: the number of the line that begins there.
    /// - Complexity: one system call in a plain file; a compressed one is inflated up to there.
    package func skip(toOffset offset: Int64, lineNumber: Int64) throws(InputError) {
        precondition(self.isAtStart && self.buffer.isEmpty, "lines have been read already")
        guard offset > 0 else { return }
        try self.stream.skip(to: offset)
        self.offset = offset
        self.lineNumber = lineNumber
        self.isAtStart = false
    }

    /// The next lines, at least one; `nil` at the end, and where an input that may grow ends now.
    /// - Throws: `.interrupted`, `.readFailed`, `.changed`, and for gzip `.truncated` and `.corrupt`, all of them after
    ///   the whole lines that come before.
    package func nextBlock() throws(InputError) -> MessageBlock? {
        while !self.isAtEnd {
            if let block = self.takeBlock() { return block }
            if self.isDrained {
                self.isAtEnd = true
                return self.takeLastLine()
            }
            guard try self.fill() || self.isDrained else { return nil }
        }
        return nil
    }

    /// Takes a block back whose lines nobody needs any more: large ones are new memory from the kernel each time.
    /// Those of one large line are given back to the system, since most lines after it are small.
    package func reuse(_ block: consuming MessageBlock) {
        guard block.bytes.count <= 4 * self.readBytes else { return }
        self.spare = block.bytes
    }

    /// - Returns: whether there was anything.
    private func fill() throws(InputError) -> Bool {
        let before = self.buffer.count
        try self.buffer.append(addingCapacity: self.readBytes + MessageBlock.padding) { output throws(InputError) in
            try output.withUnsafeMutableBufferPointer { memory, count throws(InputError) in
                let room = UnsafeMutableRawBufferPointer(
                    UnsafeMutableBufferPointer(rebasing: memory[..<self.readBytes])
                )
                count = try self.stream.read(into: room)
            }
        }
        let isAnything = self.buffer.count > before
        self.isDrained = !isAnything && !self.stream.isOpenEnded
        return isAnything
    }

    /// The lines whose ends are in the buffer; `nil` when more must be read.
    private func takeBlock() -> MessageBlock? {
        guard self.passMark() else { return nil }
        if self.oversized != nil {
            if let block = self.takeOversized() { return block }
            if self.oversized != nil { return nil }
        }
        let (lines, count) = self.scan()
        if !lines.isEmpty { return self.detach(lines, count: count) }
        self.drop(count)
        // One more than the longest line may yet be its CR. What is kept must not depend on how the bytes came.
        if self.buffer.count > max(self.messageBytesMax + 1, self.oversizedBytesKept) { self.beginOversized() }
        return nil
    }

    /// Passes over a byte order mark; false when it takes more bytes to see whether there is one.
    func passMark() -> Bool {
        guard self.isAtStart else { return true }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        if self.buffer.count < mark.count, !self.isDrained, mark.starts(with: self.buffer) { return false }
        self.isAtStart = false
        if self.buffer.starts(with: mark) { self.drop(mark.count) }
        return true
    }

    /// Finds the lines in the buffer, and how many bytes they take with those that are blank.
    private func scan() -> (lines: [MessageBlock.Message], count: Int) {
        var lines: [MessageBlock.Message] = []
        var start = 0
        self.buffer.withUnsafeBufferPointer { bytes in
            while let end = Self.lineEnd(in: bytes, from: max(start, self.scanned)) {
                let line = self.line(bytes, start..<end)
                if let line { lines.append(line) }
                if line != nil || !self.owesLineEnd { self.lineNumber += 1 }
                self.owesLineEnd = false
                start = end + 1
            }
        }
        self.scanned = self.buffer.count
        return (lines, start)
    }

    private static func lineEnd(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + start, 0x0A, bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }

    /// The line in `range` of the buffer, which ends before its LF; `nil` when it is blank.
    func line(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> MessageBlock.Message? {
        var first = range.lowerBound
        while first < range.upperBound, Self.isBlank(bytes[first]) { first += 1 }
        guard first < range.upperBound else { return nil }
        let length = range.count - (bytes[range.upperBound - 1] == 0x0D ? 1 : 0)
        let isOversized = length > self.messageBytesMax
        let kept = isOversized ? min(length, self.oversizedBytesKept) : length
        return MessageBlock.Message(
            payload: ByteRange(start: range.lowerBound, end: range.lowerBound + kept),
            offset: StreamOffset(major: UInt64(self.offset + Int64(range.lowerBound))),
            ordinal: self.lineNumber,
            length: Int64(length),
            isOversized: isOversized
        )
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0D
    }

    /// Takes `count` bytes off the start of the buffer.
    private func drop(_ count: Int) {
        guard count > 0 else { return }
        self.pass(count)
        self.buffer.removeSubrange(..<count)
        self.scanned = max(0, self.scanned - count)
        self.offset += Int64(count)
    }

    private func pass(_ count: Int) {
        guard self.trail != nil else { return }
        self.buffer.withUnsafeBytes { self.trail?.append(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    /// Moves the first `count` bytes of the buffer into a block.
    func detach(_ lines: [MessageBlock.Message], count: Int) -> MessageBlock {
        var bytes: [UInt8] = []
        if count <= self.buffer.capacity / 4 {
            // A block must not hold far more memory than its lines: whoever keeps a thousand of one line each would
            // keep a thousand buffers.
            bytes.reserveCapacity(count + MessageBlock.padding)
            bytes.append(contentsOf: self.buffer[..<count])
            self.drop(count)
        } else {
            self.pass(count)
            swap(&bytes, &self.spare)
            bytes.removeAll(keepingCapacity: true)
            bytes.reserveCapacity(self.buffer.count - count + self.readBytes + MessageBlock.padding)
            bytes.append(contentsOf: self.buffer[count...])
            swap(&bytes, &self.buffer)
            self.scanned = self.buffer.count
            self.offset += Int64(count)
        }
        bytes.append(contentsOf: repeatElement(0, count: MessageBlock.padding))
        return self.block(bytes, lines)
    }

    private func block(_ bytes: [UInt8], _ messages: [MessageBlock.Message]) -> MessageBlock {
        MessageBlock(
            bytes: bytes,
            messages: messages,
            start: StreamProgress(offset: messages[0].offset, ordinal: messages[0].ordinal),
            end: self.progress
        )
    }

    /// How far the input has been delivered.
    package var progress: StreamProgress {
        StreamProgress(
            offset: StreamOffset(major: UInt64(self.offset)),
            ordinal: self.lineNumber,
            resume: self.offset == 0 ? [] : self.trail?.token(at: UInt64(self.offset)).bytes ?? []
        )
    }

    /// Something has been read of a line whose end has not come.
    var hasRest: Bool { !self.buffer.isEmpty || self.oversized != nil }
    var isOversized: Bool { self.oversized != nil }

    // MARK: Lines too long to be buffered

    private func beginOversized() {
        let first = self.buffer[..<self.oversizedBytesKept]
        self.oversized = Oversized(
            length: Int64(first.count),
            isBlank: first.allSatisfy(Self.isBlank),
            trail: self.trail
        )
        first.withUnsafeBytes { self.oversized?.trail?.append($0) }
        self.dropCommitted(upTo: self.buffer.count)
    }

    /// Counts the bytes behind those that are kept, and takes them off the buffer.
    private func dropCommitted(upTo end: Int) {
        let passed = self.buffer[self.oversizedBytesKept..<end]
        guard var line = self.oversized, let last = passed.last else { return }
        line.length += Int64(passed.count)
        passed.withUnsafeBytes { line.trail?.append($0) }
        line.endsInReturn = last == 0x0D
        line.isBlank = line.isBlank && passed.allSatisfy(Self.isBlank)
        self.oversized = line
        self.buffer.removeSubrange(self.oversizedBytesKept..<end)
    }

    /// Passes over what has come of the oversized line, and delivers it if its end is there.
    private func takeOversized() -> MessageBlock? {
        let end = self.buffer.withUnsafeBufferPointer { Self.lineEnd(in: $0, from: self.oversizedBytesKept) }
        self.dropCommitted(upTo: end ?? self.buffer.count)
        return end == nil ? nil : self.endOversized(lineEndCount: 1)
    }

    private func endOversized(lineEndCount: Int) -> MessageBlock? {
        guard var line = self.oversized else { return nil }
        if lineEndCount > 0 { [0x0A as UInt8].withUnsafeBytes { line.trail?.append($0) } }
        self.trail = line.trail
        let entry = MessageBlock.Message(
            payload: ByteRange(start: 0, end: self.oversizedBytesKept),
            offset: StreamOffset(major: UInt64(self.offset)),
            ordinal: self.lineNumber,
            length: line.length - (line.endsInReturn ? 1 : 0),
            isOversized: true
        )
        let bytes = self.buffer[..<self.oversizedBytesKept] + repeatElement(0, count: MessageBlock.padding)
        self.buffer.removeSubrange(..<(self.oversizedBytesKept + lineEndCount))
        self.oversized = nil
        self.scanned = 0
        self.offset += line.length + Int64(lineEndCount)
        if !line.isBlank || !self.owesLineEnd { self.lineNumber += 1 }
        self.owesLineEnd = false
        guard !line.isBlank else { return nil }
        return self.block(Array(bytes), [entry])
    }

    /// What stands behind the last line end, when nothing more will come.
    private func takeLastLine() -> MessageBlock? {
        if self.oversized != nil { return self.endOversized(lineEndCount: 0) }
        guard !self.buffer.isEmpty else { return nil }
        let last = self.buffer.withUnsafeBufferPointer { self.line($0, 0..<$0.count) }
        self.lineNumber += 1
        guard let last else {
            self.drop(self.buffer.count)
            return nil
        }
        return self.detach([last], count: self.buffer.count)
    }
}
