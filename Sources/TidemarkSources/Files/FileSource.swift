package import TidemarkCore

/// Reads files, pipes and standard input, one after the other, each to the end that it had when it was found.
package struct FileSource: Source {
    private let files: [(file: InputFile, settings: SourceSettings)]
    private let messageBytesMax: Int
    private let messagesMax: Int64
    package let streams: [StreamDescription]

    /// - Parameters:
    ///   - files: in the order in which they are read, each with the settings of its source.
    ///   - messageBytesMax: the longest line that is read whole.
    ///   - messagesMax: a file is read until its blocks have so many lines, for a sample of it.
    package init(
        _ files: [(file: InputFile, settings: SourceSettings)],
        messageBytesMax: Int,
        messagesMax: Int64 = .max
    ) {
        self.files = files
        self.messageBytesMax = messageBytesMax
        self.messagesMax = messagesMax
        self.streams = files.map { Self.description(of: $0.file, $0.settings) }
    }

    package func run(_ host: some StreamHost) async throws {
        for index in self.files.indices {
            try await host.assign(index) { try self.reader(of: index, from: $0) }
        }
    }

    /// A reader of one of `streams`.
    package func reader(of stream: Int, from level: StreamProgress) throws -> any StreamReader {
        try FileReader(
            self.files[stream].file,
            from: level,
            messageBytesMax: self.messageBytesMax,
            messagesMax: self.messagesMax
        )
    }

    /// A pipe has no beginning that could be read twice. Whatever is wrong with a file is found again at its turn.
    package func beginning(of stream: Int) -> MessageBlock? {
        guard self.files[stream].file.kind == .regular else { return nil }
        return try? self.lineReader(stream).nextBlock()
    }

    package func reread(_ stream: Int, at offset: StreamOffset, ordinal: Int64) -> [UInt8]? {
        guard self.files[stream].file.kind == .regular else { return nil }
        do throws(InputError) {
            let reader = try self.lineReader(stream)
            try reader.skip(toOffset: Int64(clamping: offset.major), lineNumber: ordinal)
            guard let block = try reader.nextBlock(), let first = block.messages.first,
                first.offset.major == offset.major
            else { return nil }
            return Array(block.bytes[first.range])
        } catch {
            return nil
        }
    }

    private func lineReader(_ stream: Int) throws(InputError) -> LineReader {
        try LineReader(self.files[stream].file, messageBytesMax: self.messageBytesMax, interrupt: Interrupt())
    }
}

/// Which stream a file is: the one whose stored prefix it begins with, at its device and inode; else the one of that
/// prefix that had its path, or whose file is gone; else it is new. So a file that grows, is moved or is compressed stays
/// the stream that it was.
extension FileSource {
    private static func description(of file: InputFile, _ settings: SourceSettings) -> StreamDescription {
        let name = StreamName(source: settings.name, name: file.absolutePath)
        guard file.isReadAgain, let prefix = try? FilePrefix(of: file) else {
            return StreamDescription(
                name: name,
                label: file.path,
                settings: settings,
                isResumable: file.isReadAgain,
                size: file.isReadAgain ? file.size : nil
            )
        }
        let hint = "\(file.identity.device):\(file.identity.inode)"
        var incarnated = name
        incarnated.incarnation = prefix.incarnation
        return StreamDescription(
            name: incarnated,
            label: file.path,
            settings: settings,
            hint: hint,
            size: file.size,
            // One that has grown is read on.
            isAtEnd: { $0.isAtEnd && (file.isCompressed || Int64(clamping: $0.offset.major) >= file.size) },
            identify: { Self.identity(of: file, prefix, hint: hint, among: $0) }
        )
    }

    private static func identity(
        of file: InputFile,
        _ prefix: FilePrefix,
        hint: String,
        among known: [KnownStream]
    ) -> StreamDescription.Identity {
        let fitting = known.filter { prefix.fits($0.incarnation) }
        let found =
            fitting.first { $0.hint == hint && $0.name == file.absolutePath } ?? fitting.first { $0.hint == hint }
            ?? fitting.first { $0.name == file.absolutePath } ?? fitting.first { !Self.isThere($0.name) }
        guard let found else { return .new(incarnation: prefix.incarnation) }
        // Cut, and begun alike: what was read of the former file says nothing of this one.
        if !file.isCompressed, UInt64(clamping: file.size) < found.reached {
            return .new(incarnation: "\(prefix.incarnation):\(found.id.rawValue)")
        }
        return .known(found)
    }

    private static func isThere(_ path: String) -> Bool {
        (try? InputResolver.resolve([path])) != nil
    }
}

/// Reads one file, pipe or standard input as a stream. Its calls block, so it wants a thread of its own.
final class FileReader: StreamReader {
    private let reader: LineReader
    private let interrupt = Interrupt()
    private let messagesMax: Int64
    let blockBytes = LineReader.readBytes

    /// - Parameter level: where to begin; before the first byte for what is not a regular file.
    init(_ file: InputFile, from level: StreamProgress, messageBytesMax: Int, messagesMax: Int64) throws {
        self.messagesMax = messagesMax
        do throws(InputError) {
            self.reader = try LineReader(file, messageBytesMax: messageBytesMax, interrupt: self.interrupt)
            if level.offset > .start {
                try self.reader.skip(toOffset: Int64(clamping: level.offset.major), lineNumber: level.ordinal)
            }
        } catch {
            throw Self.translated(error)
        }
    }

    var isIdle: Bool { self.reader.wouldWait }
    var progress: StreamProgress { self.reader.progress }
    var bytesRead: Int64 { self.reader.rawOffset }

    func next() async throws -> MessageBlock? {
        let (reader, interrupt) = (self.reader, self.interrupt)
        guard reader.progress.ordinal <= self.messagesMax else { return nil }
        return try await withTaskCancellationHandler {
            try Task.checkCancellation()
            do throws(InputError) { return try reader.nextBlock() } catch { throw Self.translated(error) }
        } onCancel: {
            interrupt.raise()
        }
    }

    func recycle(_ block: consuming MessageBlock) { self.reader.reuse(block) }

    private static func translated(_ error: InputError) -> any Error {
        if error.code == .interrupted { return CancellationError() }
        return error.isBadData ? StreamDataError(error.description) : error
    }
}
