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
    /// It begins as gzip does. What is not a regular file shows that only once it is read, and is `false` here.
    package var isCompressed = false
    package var identity = Identity(device: 0, inode: 0)

    package var isStandardInput: Bool { self.kind == .standardInput }
    /// A second reading, now or by a later run, brings the same bytes.
    package var isReadAgain: Bool { self.kind == .regular }

    package static let standardInput = InputFile(path: "-", absolutePath: "-", kind: .standardInput)
}
