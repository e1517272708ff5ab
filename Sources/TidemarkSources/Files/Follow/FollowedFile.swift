import PlatformC
import Synchronization
import TidemarkCore

/// A stream that is followed: where its content is now, and what is known of it. Shared by the task that looks for files,
/// the stream's reader, and lanes that read a message again.
final class FollowedFile: Sendable {
    struct Location: Sendable {
        /// `nil` where it has no name in a folder that is watched.
        var path: String?
        /// By which it is called when there is no path.
        var label: String
        var identity: InputFile.Identity
        var compression: Compression?
        /// The configured paths lead to it.
        var isNamed: Bool

        var isCompressed: Bool { self.compression != nil }
    }

    enum Place: Sendable {
        case at(Location)
        /// Its content is not where it was; another file may have it.
        case searching(was: Location)
        /// No file has its content.
        case gone(was: Location)
    }

    struct State {
        var place: Place
        /// Counts the files that it has been in.
        var generation = 0
        /// Nothing more will be written.
        var isEnding = false
        var opened: OpenFile?
        var readers = 0
        /// How far it has been read, with a token of what is before it.
        var reached: StreamProgress
        /// Its beginning as it was when it was found, as far as it had been read.
        var prefix: String
        /// Its first bytes: most other files differ in them.
        var head: [UInt8]
        /// Its number, once that is known.
        var id: StreamID?
        /// What it is entered with.
        var entry: (name: String, incarnation: String)
        var isEntered = false
        var status: FileStatus
        /// When it was last seen to change.
        var lastChange = ContinuousClock.now
        /// It had ended, and is longer now. Only that tells of a compressed file that it goes on.
        var hasGrown = false
        /// Under which path it was told to fail.
        var failure: String?
    }

    static let headBytes = 64

    let wakeup = Wakeup()
    private let state: Mutex<State>
    /// Has its place looked for.
    private let search: @Sendable () -> Void

    init(_ file: FoundFile, of known: KnownStream?, search: @escaping @Sendable () -> Void) {
        self.search = search
        self.state = Mutex(
            State(
                place: .at(file.location),
                opened: file.opened,
                reached: StreamProgress(
                    offset: StreamOffset(major: known?.reached ?? 0),
                    resume: known?.resume ?? []
                ),
                prefix: known.map { file.prefix.extending($0.incarnation, upTo: $0.reached) }
                    ?? file.prefix.firstLineIncarnation,
                head: Array(file.prefix.bytes.prefix(FollowedFile.headBytes)),
                id: known?.id,
                entry: (file.location.label, known?.incarnation ?? file.prefix.firstLineIncarnation),
                status: file.status
            )
        )
    }

    func withState<Result>(_ body: (inout sending State) -> sending Result) -> sending Result {
        self.state.withLock(body)
    }

    // MARK: Reading

    /// Opens the file where it is now, if it is not open.
    /// - Throws: `.missing` and `.changed` where it is not there any more; `.unreadable`.
    func open(_ location: Location) throws(InputError) -> OpenFile {
        if let opened = self.state.withLock({ $0.opened }) { return opened }
        guard let path = location.path else {
            throw InputError(.missing, path: location.label, detail: "no such file")
        }
        let opened: OpenFile
        let isSame: Bool
        do throws(SystemError) {
            opened = try OpenFile(opening: path)
            isSame = try opened.status().identity == location.identity
        } catch {
            throw error.opening(path)
        }
        guard isSame else { throw InputError(.changed, path: path, detail: "is another file than it was") }
        self.state.withLock { state in
            if case .at(let now) = state.place, now.identity == location.identity { state.opened = opened }
        }
        return opened
    }

    /// Closes it: it is quiet, and is opened again when it changes.
    func close() { self.state.withLock { $0.opened = nil } }

    func reach(_ progress: StreamProgress) { self.state.withLock { $0.reached = progress } }

    /// The reader has not found the content that it has read where it was.
    func lose(_ generation: Int, at progress: StreamProgress) {
        let isLost = self.state.withLock { state in
            guard state.generation == generation, case .at(let location) = state.place else { return false }
            state.place = .searching(was: location)
            state.opened = nil
            state.reached = progress
            return true
        }
        if isLost { self.search() }
    }

    /// Its content is in another file, or under another name.
    func move(to file: FoundFile) {
        self.state.withLock { state in
            state.place = .at(file.location)
            state.opened = file.opened
            state.status = file.status
            state.lastChange = .now
            state.generation += 1
        }
        self.wakeup.signal()
    }

    /// No file has its content.
    func vanish() {
        self.state.withLock { $0.place = .gone(was: $0.place.location) }
        self.wakeup.signal()
    }

    /// A message once more; `nil` where it cannot be had.
    func reread(_ offset: StreamOffset, _ ordinal: Int64, messageBytesMax: Int) -> [UInt8]? {
        guard case .at(let location) = self.state.withLock({ $0.place }) else { return nil }
        do throws(InputError) {
            let opened: OpenFile
            if let open = self.state.withLock({ $0.opened }) {
                opened = open
            } else if let path = location.path, let open = try? OpenFile(opening: path),
                (try? open.status().identity) == location.identity
            {
                opened = open
            } else {
                return nil
            }
            let file = location.input(size: 0)
            let reader = LineReader(growing: opened, file, messageBytesMax: messageBytesMax)
            reader.isOpenEnded = false
            try reader.resume(at: StreamProgress(offset: offset, ordinal: ordinal))
            guard let block = try reader.nextBlock(), let first = block.messages.first,
                first.offset.major == offset.major
            else { return nil }
            return Array(block.bytes[first.range])
        } catch {
            return nil
        }
    }
}
