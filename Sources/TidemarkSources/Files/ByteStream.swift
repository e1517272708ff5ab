/// The content of one input, decompressed where it is gzip or zstd, and as lines where it is a JSON array.
struct ByteStream: ~Copyable {
    private var raw: RawInput
    private var inflater: Inflater?
    private var zstd: ZstdReader?
    /// A pipe or standard input that has not brought anything yet.
    private var isUnknown: Bool
    private let readBytes: Int
    /// `nil` where content is taken as it is.
    private var start: ContentStart?
    private var array: ArrayLines?

    /// - Parameter readsLines: refuses content that is no lines, and makes lines of a JSON array.
    init(_ raw: consuming RawInput, readBytes: Int, readsLines: Bool) {
        let compression = raw.file.compression
        self.inflater = compression == .gzip ? Inflater(inputBytes: readBytes) : nil
        self.zstd = compression == .zstd ? ZstdReader(inputBytes: readBytes) : nil
        self.isUnknown = raw.file.kind != .regular
        self.readBytes = readBytes
        self.start = readsLines ? ContentStart() : nil
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

    private var isCompressed: Bool { self.inflater != nil || self.zstd != nil }

    /// The input may end here: a compressed one is behind the end of a member.
    var isWhole: Bool {
        switch self.inflater {
        case .some(let inflater): return inflater.isWhole
        case .none: break
        }
        switch self.zstd {
        case .some(let zstd): return zstd.isWhole
        case .none: return true
        }
    }

    /// What one read brings, at most `readBytes`; 0 is the end.
    /// - Throws: `.foreign` where the content begins as no lines do.
    mutating func read(into memory: UnsafeMutableRawBufferPointer) throws(InputError) -> Int {
        let count: Int
        if self.start != nil {
            count = try self.readStart(into: memory)
        } else {
            count = try self.readContent(into: memory)
        }
        guard self.array != nil else { return count }
        self.array?.rewrite(UnsafeMutableRawBufferPointer(rebasing: memory[..<count]))
        guard count == 0, self.array?.isOpen == true, memory.count > 0 else { return count }
        throw InputError(
            .truncated,
            path: self.raw.file.path,
            detail: "the JSON array is cut short: its last bracket is missing"
        )
    }

    /// Reads until the form of the content is known, or the input has no more.
    private mutating func readStart(into memory: UnsafeMutableRawBufferPointer) throws(InputError) -> Int {
        var count = 0
        while count < memory.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: memory[count...])
            let read: Int
            do throws(InputError) {
                read = try self.readContent(into: rest)
            } catch {
                // It is thrown again once the bytes before it have been handed out.
                guard count > 0, error.code != .interrupted else { throw error }
                return count
            }
            let isGrowing = self.raw.isGrowing
            guard read > 0 else {
                if !isGrowing { self.start = nil }
                return count
            }
            let form = self.start?.take(UnsafeRawBufferPointer(rebasing: rest[..<read]))
            count += read
            if let form {
                try self.use(form)
                return count
            }
            if isGrowing { return count }
        }
        return count
    }

    private mutating func use(_ form: ContentForm) throws(InputError) {
        switch form {
        case .lines: break
        case .array where self.raw.isGrowing: throw ForeignContent.growingArray.error(self.raw.file.path)
        case .array: self.array = ArrayLines()
        case .foreign(let content): throw content.error(self.raw.file.path)
        }
        self.start = nil
    }

    /// What one read brings, decompressed.
    private mutating func readContent(into memory: UnsafeMutableRawBufferPointer) throws(InputError) -> Int {
        if self.inflater != nil { return try self.inflater!.read(into: memory, from: &self.raw) }
        if self.zstd != nil { return try self.zstd!.read(into: memory, from: &self.raw) }
        let count = try self.raw.read(into: memory)
        guard self.isUnknown, count > 0 else { return count }
        self.isUnknown = false
        // No line of text begins with a byte of gzip's; one is enough, and waiting for a second could be waiting for long.
        let bytes = UnsafeRawBufferPointer(rebasing: memory[..<count])
        switch Compression(head: Array(bytes.prefix(4))) {
        case .gzip:
            var inflater = Inflater(inputBytes: max(self.readBytes, count))
            inflater.take(bytes)
            self.inflater = consume inflater
            return try self.inflater!.read(into: memory, from: &self.raw)
        case .zstd:
            var zstd = ZstdReader(inputBytes: max(self.readBytes, count))
            zstd.take(bytes)
            self.zstd = consume zstd
            return try self.zstd!.read(into: memory, from: &self.raw)
        case .none: return count
        }
    }

    /// Goes on at `offset` of the content; only before the first read.
    mutating func skip(to offset: Int64) throws(InputError) {
        guard offset > 0 else { return }
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: self.readBytes, alignment: 16)
        defer { scratch.deallocate() }
        if !self.isCompressed, !self.isUnknown {
            // An array's elements are found from its beginning on.
            if self.start != nil, !self.raw.isGrowing { _ = try self.read(into: scratch) }
            self.start = nil
            if self.array == nil { return try self.raw.seek(to: offset) }
            self.array = ArrayLines()
            try self.raw.seek(to: 0)
        }
        var rest = offset
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
