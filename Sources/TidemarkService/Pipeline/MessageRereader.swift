import TidemarkCore
import TidemarkIngest

/// Reads a message once more, for the rare row that the database refuses when its message has long been let go. Only
/// files can be gone back in; a pipe's messages are gone.
struct MessageRereader: Sendable {
    private let files: [StreamID: InputFile]
    private let messageBytesMax: Int

    /// - Parameter files: by the streams that they are.
    init(_ files: [StreamID: InputFile], messageBytesMax: Int) {
        self.files = files.filter { $0.value.kind == .regular }
        self.messageBytesMax = messageBytesMax
    }

    /// The message at an offset, if it is still there.
    func message(of stream: StreamID, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? {
        guard let input = self.files[stream] else { return nil }
        do throws(InputError) {
            let reader = try LineReader(input, messageBytesMax: self.messageBytesMax, interrupt: Interrupt())
            try reader.skip(toOffset: Int64(clamping: offset.major), lineNumber: ordinal)
            guard let block = try reader.nextBlock(), let first = block.messages.first,
                first.offset.major == offset.major
            else { return nil }
            return Array(block.bytes[first.range])
        } catch {
            return nil
        }
    }
}
