/// What content is, by its first bytes.
enum ContentForm: Equatable {
    /// Messages, one a line.
    case lines
    /// A JSON array of objects, which are the messages.
    case array
    /// It is no text in UTF-8.
    case foreign(ForeignContent)
}

/// Content that is no lines, and what makes lines of it.
struct ForeignContent: Equatable {
    /// As the end of a sentence whose subject is the file.
    var what: String
    var wayOut: String

    static func compressed(_ name: String, _ command: String) -> ForeignContent {
        ForeignContent(
            what: "is compressed with \(name), and only gzip and zstd are read",
            wayOut: "decompress it first, as with `\(command)`"
        )
    }

    static func encoded(_ name: String) -> ForeignContent {
        ForeignContent(
            what: "is text in \(name), and only UTF-8 is read",
            wayOut: "convert it first, as with `iconv -f \(name) -t UTF-8`"
        )
    }

    /// What is compressed is inflated before its form is looked at, so this was compressed twice.
    static func compressedTwice(_ name: String, _ command: String) -> ForeignContent {
        ForeignContent(
            what: "is compressed twice, and inside is \(name) again",
            wayOut: "decompress it once first, as with `\(command)`"
        )
    }

    static let binary = ForeignContent(
        what: "is no text, and only lines of JSON are read",
        wayOut: "convert it to JSON first, or leave it out"
    )
    static let tar = ForeignContent(what: "is a tar archive", wayOut: "unpack it first, as with `tar -x`")
    static let growingArray = ForeignContent(
        what: "is a JSON array, which a followed file cannot be",
        wayOut: "write one message a line, as with `jq -c '.[]'`, or read it with `tidemark replay`"
    )

    func error(_ path: String) -> InputError {
        InputError(.foreign, path: path, detail: "\(self.what); \(self.wayOut)")
    }
}

/// Finds the form of content as its first bytes come.
struct ContentStart {
    /// So many bytes are looked at: whatever begins with more blanks is lines.
    static let bytesMax = 4096

    private static let magic: [(bytes: [UInt8], content: ForeignContent)] = [
        (Array("BZh".utf8), .compressed("bzip2", "bzip2 -d")),
        ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], .compressed("xz", "xz -d")),
        ([0x04, 0x22, 0x4D, 0x18], .compressed("lz4", "lz4 -d")),
        (Array("LZIP".utf8), .compressed("lzip", "lzip -d")),
        ([0x50, 0x4B, 0x03, 0x04], .compressed("zip", "unzip -p")),
        ([0x1F, 0x8B, 0x08], .compressedTwice("gzip", "gzip -d")),
        ([0x28, 0xB5, 0x2F, 0xFD], .compressedTwice("zstd", "zstd -d")),
        ([0xFF, 0x06, 0x00, 0x00, 0x73, 0x4E, 0x61, 0x50, 0x70, 0x59], .compressed("snappy", "snzip -d")),
    ]

    private var head: [UInt8] = []
    private(set) var form: ContentForm?

    /// Takes the next bytes.
    /// - Returns: the form, as soon as it is known.
    mutating func take(_ bytes: UnsafeRawBufferPointer) -> ContentForm? {
        guard self.form == nil else { return self.form }
        self.head.append(contentsOf: bytes.prefix(Self.bytesMax - self.head.count))
        self.form = Self.form(of: self.head) ?? (self.head.count < Self.bytesMax ? nil : .lines)
        if self.form != nil { self.head = [] }
        return self.form
    }

    /// - Returns: `nil` where it takes more bytes to tell.
    static func form(of head: [UInt8]) -> ContentForm? {
        for (bytes, content) in Self.magic {
            if head.starts(with: bytes) { return .foreign(content) }
            if head.count < bytes.count, bytes.starts(with: head) { return nil }
        }
        if head.count >= 262, head[257..<262].elementsEqual("ustar".utf8) { return .foreign(.tar) }
        guard head.count >= 4 || head.count >= 2 && !head.prefix(2).contains(where: { $0 == 0 || $0 >= 0xEF }) else {
            return nil
        }
        if let encoding = Self.wideEncoding(head) { return .foreign(.encoded(encoding)) }
        return Self.form(ofText: head)
    }

    /// UTF-16 and UTF-32, by their byte order mark or the zeros beside ASCII.
    private static func wideEncoding(_ head: [UInt8]) -> String? {
        let first = head.prefix(4)
        if first.elementsEqual([0xFF, 0xFE, 0, 0]) || first.elementsEqual([0, 0, 0xFE, 0xFF]) { return "UTF-32" }
        if head.starts(with: [0xFF, 0xFE]) || head.starts(with: [0xFE, 0xFF]) { return "UTF-16" }
        switch first.map({ $0 == 0 }) {
        case [false, true, true, true]: return "UTF-32LE"
        case [true, true, true, false]: return "UTF-32BE"
        case [false, true, false, true]: return "UTF-16LE"
        case [true, false, true, false]: return "UTF-16BE"
        default: return nil
        }
    }

    private static func form(ofText head: [UInt8]) -> ContentForm? {
        let blanks: [UInt8] = [0x20, 0x09, 0x0A, 0x0D]
        var rest = head[...]
        if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest = rest.dropFirst(3) }
        rest = rest.drop { blanks.contains($0) }
        guard let first = rest.first else { return nil }
        if first == UInt8(ascii: "[") {
            guard let second = rest.dropFirst().first(where: { !blanks.contains($0) }) else { return nil }
            if second == UInt8(ascii: "{") || second == UInt8(ascii: "]") { return .array }
        }
        return Self.isBinary(rest) ? .foreign(.binary) : .lines
    }

    /// Whether more than one byte in 32 is a control character that text does not have, where random bytes have one in
    /// eleven. A log with a broken line is none: a line that begins as a message makes it a log, and NULs, with which a
    /// crash leaves a file, are not counted.
    private static func isBinary(_ content: ArraySlice<UInt8>) -> Bool {
        let controls = content.count {
            $0 == 0x7F || (1..<0x20).contains($0) && !(0x08...0x0D).contains($0) && $0 != 0x1B
        }
        guard controls >= 4, controls * 32 > content.count(where: { $0 != 0 }) else { return false }
        return !content.split(separator: 0x0A).contains { line in
            line.first == UInt8(ascii: "{") && line.dropFirst().first { $0 != 0x20 && $0 != 0x09 } == UInt8(ascii: "\"")
        }
    }
}

/// Makes lines of a JSON array. Bytes are replaced in place, so offsets are those of the content. A comma between elements
/// becomes a line end, and so does the last bracket. The first bracket becomes a blank, and so do line ends within
/// elements. What follows the array is another array, or lines, which are left as they are.
struct ArrayLines {
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    /// The rest of a line behind the array.
    private var isPassing = false

    /// The last bracket has not come.
    var isOpen: Bool { self.depth > 0 }

    /// An element that is an object or an array has not ended.
    var isInElement: Bool { self.depth > 1 || self.isInString }

    mutating func rewrite(_ bytes: UnsafeMutableRawBufferPointer) {
        for index in bytes.indices { bytes[index] = self.next(bytes[index]) }
    }

    private mutating func next(_ byte: UInt8) -> UInt8 {
        if self.depth == 0 { return self.nextOutside(byte) }
        if self.isInString {
            if self.isEscaped {
                self.isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                self.isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                self.isInString = false
            }
            return byte
        }
        switch byte {
        case UInt8(ascii: "\""): self.isInString = true
        case UInt8(ascii: "["), UInt8(ascii: "{"): self.depth += 1
        case UInt8(ascii: "]"), UInt8(ascii: "}"):
            self.depth -= 1
            if self.depth == 0 { return 0x0A }
        case UInt8(ascii: ",") where self.depth == 1: return 0x0A
        case 0x0A, 0x0D: return 0x20
        default: break
        }
        return byte
    }

    private mutating func nextOutside(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0x0A: self.isPassing = false
        case 0x20, 0x09, 0x0D, 0xEF, 0xBB, 0xBF: break
        case UInt8(ascii: "[") where !self.isPassing:
            self.depth = 1
            return 0x20
        default: self.isPassing = true
        }
        return byte
    }
}
