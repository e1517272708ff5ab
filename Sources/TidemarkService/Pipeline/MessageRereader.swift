import TidemarkIngest

/// Reads a message once more, for the rare row that the database refuses when its message has long been let go. Only
/// files can be gone back in; a pipe's messages are gone.
struct MessageRereader: Sendable {
    private let files: [Int64: InputFile]
    private let messageBytesMax: Int

    /// - Parameter files: by the number that their checkpoints have.
    init(_ files: [Int64: InputFile], messageBytesMax: Int) {
        self.files = files.filter { $0.value.kind == .regular }
        self.messageBytesMax = messageBytesMax
    }

    /// The message that begins at `offset`, if it is still there.
    func message(of file: Int64, at offset: Int64, line: Int64) -> [UInt8]? {
        guard let input = self.files[file] else { return nil }
        do throws(InputError) {
            let reader = try LineReader(input, messageBytesMax: self.messageBytesMax, interrupt: Interrupt())
            try reader.skip(toOffset: offset, lineNumber: line)
            guard let block = try reader.nextBlock(), let first = block.lines.first, first.offset == offset else {
                return nil
            }
            return Array(block.bytes[first.range])
        } catch {
            return nil
        }
    }
}
