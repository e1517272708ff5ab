/// One input, as it was found before anything was read from it.
///
/// Path, size and digest are how a checkpoint knows a file again; device and inode only make sure that the file that
/// is opened is the file that was found.
package struct InputFile: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// A file of known size: read up to that size, and able to go on at any offset.
        case regular
        /// A pipe or a device, by path: whatever it brings, until it ends.
        case stream
        case standardInput
    }

    package struct Identity: Sendable, Hashable {
        package var device: UInt64
        package var inode: UInt64

        package init(device: UInt64, inode: UInt64) {
            self.device = device
            self.inode = inode
        }
    }

    /// How many bytes at the beginning of a file the digest covers.
    package static let digestedBytes = 64 * 1024

    package var path: String
    /// The path from the root, without `.`, `..` and doubled slashes. Symbolic links stay as they are.
    package var absolutePath: String
    package var kind: Kind
    /// Bytes on disk when the file was found; 0 for what is not a regular file.
    package var size: Int64 = 0
    /// SHA-256, in hexadecimal, of the first 64 KiB on disk; empty for what is not a regular file.
    package var digest = ""
    /// As what it begins. What is not a regular file shows that only once it is read, and has none here.
    package var compression: Compression?
    package var identity = Identity(device: 0, inode: 0)

    package var isCompressed: Bool { self.compression != nil }
    package var isStandardInput: Bool { self.kind == .standardInput }
    /// A second reading, now or by a later run, brings the same bytes.
    package var isReadAgain: Bool { self.kind == .regular }

    package static let standardInput = InputFile(path: "-", absolutePath: "-", kind: .standardInput)
}

/// The compressions that are read.
package enum Compression: Sendable, Hashable, CaseIterable {
    case gzip, zstd

    /// What the first bytes are, as far as there are any: a file that was cut within the bytes by which a compression is
    /// known is still compressed, and cut short.
    init?(head: [UInt8]) {
        guard let found = Self.allCases.first(where: { $0.begins(head) }) else { return nil }
        self = found
    }

    /// What an empty file of this name is going to be.
    init?(path: String) {
        guard let found = Self.allCases.first(where: { path.hasSuffix($0.suffix) }) else { return nil }
        self = found
    }

    private var magic: [UInt8] {
        switch self {
        case .gzip: [0x1F, 0x8B]
        case .zstd: [0x28, 0xB5, 0x2F, 0xFD]
        }
    }

    private var suffix: String {
        switch self {
        case .gzip: ".gz"
        case .zstd: ".zst"
        }
    }

    private func begins(_ head: [UInt8]) -> Bool {
        if !head.isEmpty, head.prefix(self.magic.count).elementsEqual(self.magic.prefix(head.count)) { return true }
        // A frame that is skipped, such as the index of pzstd.
        return self == .zstd && head.count >= 4 && head[0] & 0xF0 == 0x50
            && head[1..<4].elementsEqual([0x2A, 0x4D, 0x18])
    }
}
