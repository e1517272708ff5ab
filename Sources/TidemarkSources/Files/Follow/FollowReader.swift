import Synchronization
import TidemarkCore

/// Reads a followed file. Where the file ends now it waits for more, until the file ends for good.
final class FollowReader: StreamReader {
    private enum Step {
        case block(MessageBlock)
        /// Nothing is at hand; after the deadline there may be, though nothing has come.
        case wait(until: ContinuousClock.Instant?)
        case end
    }

    let file: FollowedFile
    private let messageBytesMax: Int
    private let timing: FollowTiming
    private let board: FollowBoard
    /// `nil` while the file is closed.
    private var lines: LineReader?
    private var generation = -1
    /// What ``isIdle`` has found.
    private var ahead: Result<MessageBlock, any Error>?
    /// How far blocks have been handed out.
    private var handedOut: StreamProgress
    private var rawOffset: Int64 = 0
    private var lastGrowth = ContinuousClock.now
    let blockBytes = LineReader.readBytes
    private var zstdTurn: ZstdTurn?

    init(
        _ file: FollowedFile,
        from level: StreamProgress,
        messageBytesMax: Int,
        _ timing: FollowTiming,
        _ board: FollowBoard
    ) {
        self.file = file
        self.messageBytesMax = messageBytesMax
        self.timing = timing
        self.board = board
        self.handedOut = level
        self.handedOut.isAtEnd = false
        file.withState { state in
            state.readers += 1
            state.reached = level
        }
    }

    deinit { self.file.withState { $0.readers -= 1 } }

    var progress: StreamProgress {
        if self.ahead == nil, let lines, lines.offset >= self.handedOut.offset.major { return lines.progress }
        return self.handedOut
    }

    var bytesRead: Int64 { self.lines?.rawOffset ?? self.rawOffset }

    /// Reads on to know: what has come may be half a line, for which lanes must not wait.
    var isIdle: Bool {
        if self.ahead != nil { return false }
        do {
            guard case .block(let block) = try self.step() else { return true }
            self.ahead = .success(block)
        } catch {
            self.ahead = .failure(error)
        }
        return false
    }

    func next() async throws -> MessageBlock? {
        while true {
            try Task.checkCancellation()
            // Before the look: what comes behind it ends the wait.
            let count = self.file.wakeup.count
            if let ahead = self.ahead {
                self.ahead = nil
                return self.handOut(try ahead.get())
            }
            switch try self.step() {
            case .block(let block): return self.handOut(block)
            case .end: return nil
            case .wait(let deadline): await self.file.wakeup.wait(until: deadline, since: count)
            }
        }
    }

    func recycle(_ block: consuming MessageBlock) { self.lines?.reuse(block) }

    var rereader: (@Sendable (StreamOffset, Int64) -> [UInt8]?)? {
        { [file = self.file, messageBytesMax = self.messageBytesMax] offset, ordinal in
            file.reread(offset, ordinal, messageBytesMax: messageBytesMax)
        }
    }

    private func handOut(_ block: MessageBlock) -> MessageBlock {
        self.handedOut = block.end
        self.file.reach(block.end)
        self.file.recover(self.board)
        return block
    }
}

// MARK: One look at the file

extension FollowReader {
    private func step() throws -> Step {
        while true {
            // Taken before reading: what is read behind it is all that there will be, if the file is ending.
            let (place, generation, isEnding) = self.file.withState { ($0.place, $0.generation, $0.isEnding) }
            if generation != self.generation {
                self.lines = nil
                self.generation = generation
                self.lastGrowth = .now
            }
            do throws(InputError) {
                switch place {
                case .searching: return .wait(until: nil)
                case .gone:
                    guard let block = try self.finish() else { return .end }
                    return .block(block)
                case .at(let location):
                    if let step = try self.read(location, isEnding: isEnding) { return step }
                }
            } catch {
                guard error.code != .interrupted else { throw CancellationError() }
                // Nothing has been read of what begins as no lines.
                throw error.isBadData && error.code != .foreign ? StreamDataError(error.description) : error
            }
        }
    }

    /// - Returns: `nil` where it is to be tried again.
    private func read(_ location: FollowedFile.Location, isEnding: Bool) throws(InputError) -> Step? {
        if location.compression == .zstd, self.zstdTurn == nil {
            guard let turn = ZstdTurn() else { return .wait(until: .now + ZstdTurn.pause) }
            self.zstdTurn = turn
        }
        do throws(InputError) {
            let lines = if let lines = self.lines { lines } else { try self.open(location) }
            self.lines = lines
            if let block = try lines.nextBlock() {
                if self.handedOut.offset == .start { try self.compareBeginning(location) }
                self.lastGrowth = .now
                return .block(block)
            }
            let step = try self.pause(lines, location, isEnding: isEnding)
            if step != nil { self.zstdTurn = nil }
            return step
        } catch {
            self.zstdTurn = nil
            guard error.code == .changed || error.code == .missing else { throw error }
            let former = self.lines
            // What was handed out may be there all the same: a line was cut whose end had not come.
            self.lines = nil
            if former != nil, self.handedOut.offset > .start, let again = try? self.open(location) {
                self.lines = again
                return nil
            }
            self.lines = former
            self.file.lose(self.generation, at: self.handedOut)
            return nil
        }
    }

    private func open(_ location: FollowedFile.Location) throws(InputError) -> LineReader {
        let opened = try self.file.open(location)
        let lines = LineReader(growing: opened, location.input(size: 0), messageBytesMax: self.messageBytesMax)
        try lines.resume(at: self.handedOut)
        // From here on it has a token.
        self.handedOut = lines.progress
        self.rawOffset = lines.rawOffset
        return lines
    }

    /// There is nothing before the first block by which the file could be known again: it may have been cut since it was
    /// found, and the block be of other content.
    private func compareBeginning(_ location: FollowedFile.Location) throws(InputError) {
        let prefix = self.file.withState { $0.prefix }
        guard FoundFile(of: self.file)?.prefix.fits(prefix) != true else { return }
        throw InputError(.changed, path: location.label, detail: "was cut or written anew")
    }

    /// Everything that is there has been read.
    private func pause(
        _ lines: LineReader,
        _ location: FollowedFile.Location,
        isEnding: Bool
    ) throws(InputError) -> Step? {
        if lines.isAtEnd { return .end }
        // Blank lines have been passed.
        if self.handedOut.offset == .start, lines.offset > 0 { try self.compareBeginning(location) }
        self.handedOut = lines.progress
        if lines.rawOffset != self.rawOffset {
            self.rawOffset = lines.rawOffset
            self.lastGrowth = .now
        }
        if location.isCompressed { return try self.pauseCompressed(lines, isEnding: isEnding) }
        self.file.recover(self.board)
        if isEnding {
            lines.finish()
            return nil
        }
        let now = ContinuousClock.now
        if lines.hasRest {
            let deadline = self.lastGrowth + self.timing.lineGrace
            guard now >= deadline else { return .wait(until: deadline) }
            return lines.takeWholeValue().map { .block($0) } ?? .wait(until: nil)
        }
        let deadline = self.lastGrowth + self.timing.closeAfter
        guard now >= deadline else { return .wait(until: deadline) }
        self.lines = nil
        self.file.close()
        return .wait(until: nil)
    }

    /// A compressed file ends behind its last member, once it is quiet: another may be appended.
    private func pauseCompressed(_ lines: LineReader, isEnding: Bool) throws(InputError) -> Step? {
        let grace = lines.isWhole ? self.timing.memberGrace : self.timing.rotationGrace
        let quiet = self.file.withState { $0.status.quiet ?? .zero }
        let now = ContinuousClock.now
        guard isEnding || quiet >= grace || now >= self.lastGrowth + grace else {
            return .wait(until: min(self.lastGrowth + grace, now + (grace - quiet)))
        }
        if isEnding, !lines.isWhole {
            // The rest of a file that was cut short and deleted will never come.
            lines.finish()
        } else {
            lines.isOpenEnded = false
        }
        return nil
    }

    /// The rest of the last line, of a file whose content is gone.
    private func finish() throws(InputError) -> MessageBlock? {
        guard let lines = self.lines, !lines.isAtEnd else { return nil }
        lines.finish()
        return try lines.nextBlock()
    }
}

/// The turn of a followed zstd file to be read, given back with the last reference. A frame may ask for a window of
/// 128 MiB, so few files are read at a time in a process.
private final class ZstdTurn {
    private static let free = Atomic<Int>(2)
    /// How long a reader without a turn waits before it asks again.
    static let pause = Duration.milliseconds(50)

    /// - Returns: `nil` while others have all turns.
    init?() {
        guard Self.free.subtract(1, ordering: .acquiringAndReleasing).newValue < 0 else { return }
        Self.free.add(1, ordering: .acquiringAndReleasing)
        self.isTaken = false
        return nil
    }

    private var isTaken = true

    deinit { if self.isTaken { Self.free.add(1, ordering: .acquiringAndReleasing) } }
}
