/// The content of one input, decompressed where it is gzip.
struct ByteStream: ~Copyable {
    private var raw: RawInput
    private var inflater: Inflater?
    /// A pipe or standard input that has not brought anything yet.
    private var isUnknown: Bool
    private let readBytes: Int

    init(_ raw: consuming RawInput, readBytes: Int) {
        self.inflater = raw.file.isCompressed ? Inflater(inputBytes: readBytes) : nil
        self.isUnknown = raw.file.kind != .regular
        self.readBytes = readBytes
        self.raw = raw
    }

    /// Bytes taken from the disk or the pipe, for showing progress.
    var rawOffset: Int64 { self.raw.offset }

    /// Nothing more has arrived; what an inflater still has may come all the same.
    var wouldWait: Bool { self.raw.wouldWait }

    /// What is read as the end is only where the input ends now.
    var isOpenEnded: Bool {
        get { self.raw.isOpenEnded }
        set { self.raw.isOpenEnded = newValue }
    }

    /// The input may end here: a compressed one is behind the end of a member.
    var isWhole: Bool {
        switch self.inflater {
        case .some(let inflater): inflater.isWhole
        case .none: true
        }
    }

    /// What one read brings, at most `readBytes`; 0 is the end.
    mutating func read(into memory: UnsafeMutableRawBufferPointer) throws(InputError) -> Int {
        if self.inflater != nil { return try self.inflater!.read(into: memory, from: &self.raw) }
        let count = try self.raw.read(into: memory)
        guard self.isUnknown, count > 0 else { return count }
        self.isUnknown = false
        // No line of text begins with this byte; one is enough, and waiting for a second could be waiting for long.
        guard memory[0] == 0x1F else { return count }
        var inflater = Inflater(inputBytes: max(self.readBytes, count))
        inflater.take(UnsafeRawBufferPointer(rebasing: memory[..<count]))
        self.inflater = consume inflater
        return try self.inflater!.read(into: memory, from: &self.raw)
    }

    /// Goes on at `offset` of the content; only before the first read.
    mutating func skip(to offset: Int64) throws(InputError) {
        if self.inflater == nil, !self.isUnknown { return try self.raw.seek(to: offset) }
        var rest = offset
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: self.readBytes, alignment: 16)
        defer { scratch.deallocate() }
        while rest > 0 {
            let part = UnsafeMutableRawBufferPointer(rebasing: scratch[..<Int(min(rest, Int64(self.readBytes)))])
            let count = try self.read(into: part)
            guard count > 0 else {
                throw InputError(
                    .changed,
                    path: self.raw.file.path,
                    detail: "ends after \(offset - rest) bytes of content, before the \(offset) at which to go on"
                )
            }
            rest -= Int64(count)
        }
    }
}
