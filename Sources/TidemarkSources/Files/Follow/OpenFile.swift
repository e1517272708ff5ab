/// An open regular file that several readers share: each reads at its own offset.
final class OpenFile: Sendable {
    private let descriptor: Descriptor

    init(opening path: String) throws(SystemError) {
        self.descriptor = try Descriptor(opening: path)
    }

    var number: Int32 { self.descriptor.number }

    func status() throws(SystemError) -> FileStatus { try self.descriptor.status() }

    func readAt(_ offset: Int64, into memory: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        try self.descriptor.readAt(offset, into: memory)
    }

    /// The bytes in `range`, or as many of them as there are.
    func bytes(in range: Range<Int64>) throws(SystemError) -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: range.count) { memory, filled throws(SystemError) in
            while filled < range.count {
                let rest = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: memory[filled...]))
                let count = try self.descriptor.readAt(range.lowerBound + Int64(filled), into: rest)
                if count == 0 { break }
                filled += count
            }
        }
    }

    /// The file as an input that is read from this descriptor.
    func input(at path: String) throws(SystemError) -> InputFile {
        let status = try self.status()
        guard status.kind == .regular else { throw .notRegular() }
        let head = try self.bytes(in: 0..<min(max(0, status.size), Int64(InputFile.digestedBytes)))
        return InputFile(regular: path, head: head, status)
    }
}

/// Reads a file that may grow, from a descriptor that others read too.
///
/// After each read the bytes before it are compared with those that were read there: what was taken from a file that was
/// cut and written anew meanwhile is not handed on. To compare after reading leaves no moment between the two.
struct GrowingInput {
    private let opened: OpenFile
    /// Where the file ends now is not its end.
    var isOpenEnded = true
    /// The last bytes before the offset.
    private var tail = ByteTail()
    /// The size and time of writing at which the bytes before the offset were last compared.
    private var compared: (size: Int64, modified: Int64)?

    init(_ opened: OpenFile) { self.opened = opened }

    /// - Returns: how many bytes were read, 0 where the file ends now; `nil` where it has other content than it had.
    mutating func read(into memory: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemError) -> Int? {
        let count = try self.opened.readAt(offset, into: memory)
        if count == 0 {
            let status = try self.opened.status()
            guard status.size >= offset else { return nil }
            if let compared, compared == (status.size, status.modified) { return 0 }
            guard try self.isUnchanged(before: offset) else { return nil }
            self.compared = (status.size, status.modified)
            return 0
        }
        guard try self.isUnchanged(before: offset) else { return nil }
        self.tail.append(UnsafeRawBufferPointer(rebasing: memory[..<count]))
        return count
    }

    private func isUnchanged(before offset: Int64) throws(SystemError) -> Bool {
        let bytes = self.tail.bytes
        guard !bytes.isEmpty else { return true }
        return try self.opened.bytes(in: (offset - Int64(bytes.count))..<offset) == bytes
    }
}
