import TidemarkCore

/// The beginning of a file, by which it is known again wherever it stands: SHA-256 of its first bytes as they decompress.
/// How many are digested is kept with the digest, so that a short file that grows stays the same file.
package struct FilePrefix: Sendable {
    /// At most so many bytes are digested.
    package static let bytesMax = 64 * 1024

    let bytes: [UInt8]
    /// As earlier versions knew it, by what stands on disk.
    package let earlierIncarnation: String
    private let isCompressed: Bool

    /// Reads the beginning of a regular file.
    /// - Throws: what reading throws; of a damaged gzip file the prefix is what comes before the damage.
    package init(of file: InputFile) throws(InputError) {
        self.init(
            of: file,
            ByteStream(
                try RawInput(file, standardInput: 0, interrupt: Interrupt()),
                readBytes: Self.bytesMax,
                readsLines: false
            )
        )
    }

    /// Reads the beginning of an open file.
    init(of file: InputFile, _ opened: OpenFile) {
        self.init(of: file, ByteStream(RawInput(file, growing: opened), readBytes: Self.bytesMax, readsLines: false))
    }

    private init(of file: InputFile, _ content: consuming ByteStream) {
        var bytes: [UInt8] = []
        let part = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bytesMax, alignment: 1)
        defer { part.deallocate() }
        while bytes.count < Self.bytesMax {
            let rest = UnsafeMutableRawBufferPointer(rebasing: part[..<(Self.bytesMax - bytes.count)])
            guard let count = try? content.read(into: rest), count > 0 else { break }
            bytes.append(contentsOf: rest[..<count])
        }
        self.bytes = bytes
        self.isCompressed = file.isCompressed
        self.earlierIncarnation = "stored:\(min(file.size, Int64(InputFile.digestedBytes))):\(file.digest)"
    }

    /// What a stream of this file is entered with.
    package var incarnation: String { Self.incarnation(self.bytes[...]) }

    /// The same of its first line alone. Processes that find a file while it grows enter it alike by this.
    var firstLineIncarnation: String {
        Self.incarnation(self.bytes[..<(self.bytes.firstIndex(of: 0x0A).map { $0 + 1 } ?? self.bytes.count)])
    }

    private static func incarnation(_ bytes: ArraySlice<UInt8>) -> String { "sha256:\(bytes.count):\(digest(bytes))" }

    /// How many bytes an incarnation is of.
    static func count(of incarnation: String) -> Int {
        let parts = incarnation.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count >= 3 ? Int(parts[1]) ?? 0 : 0
    }

    /// What a stream of this incarnation, which fits, is known by from now on: by more bytes where there are more.
    /// - Parameter limit: how far it has been read.
    func extending(_ incarnation: String, upTo limit: UInt64) -> String {
        Self.extending(incarnation, to: Self.incarnation(self.bytes.prefix(Int(clamping: limit))))
    }

    static func extending(_ incarnation: String, to longer: String) -> String {
        guard Self.count(of: longer) > Self.count(of: incarnation) else { return incarnation }
        // What tells it from others that began alike stays.
        let parts = longer.split(separator: ":").prefix(3) + incarnation.split(separator: ":").dropFirst(3)
        return parts.joined(separator: ":")
    }

    /// Whether a file that was entered with this incarnation begins as this one does. Nothing is known of one that had
    /// no bytes.
    package func fits(_ incarnation: String) -> Bool {
        let parts = incarnation.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count >= 3, let count = Int(parts[1]), count > 0 else { return false }
        switch parts[0] {
        case "stored" where self.isCompressed: return incarnation == self.earlierIncarnation
        case "sha256", "stored": return count <= self.bytes.count && Self.digest(self.bytes[..<count]) == parts[2]
        default: return false
        }
    }

    private static func digest(_ bytes: ArraySlice<UInt8>) -> String {
        BinaryText.hex(DigestContext.sha256(bytes))
    }
}
