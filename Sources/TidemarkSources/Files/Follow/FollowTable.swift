import PlatformC
import Synchronization
import TidemarkCore

/// The files that a source follows. One task looks for files, at each notification and now and then, and says which
/// stream each is.
final class FollowTable {
    /// A file that is no stream yet, or none any more: looked into again when it changes.
    struct Passed {
        var path: String
        var status: FileStatus
        /// It may become a copy of another file.
        var isHeld = false
        var since = ContinuousClock.now
        var error: InputError?
        /// The stream that has ended in it.
        var ended: FollowedFile?
    }

    /// What others tell the one that looks for files.
    final class News: Sendable {
        private struct State {
            var isChanged = true
            var ended: [FollowedFile] = []
        }

        let wakeup = Wakeup()
        private let state = Mutex(State())

        /// Files may have come, gone, or have lost their content.
        func change() {
            self.state.withLock { $0.isChanged = true }
            self.wakeup.signal()
        }

        /// The stream of a file has ended.
        func end(_ file: FollowedFile) {
            self.state.withLock { $0.ended.append(file) }
            self.change()
        }

        func take() -> (isChanged: Bool, ended: [FollowedFile]) {
            self.state.withLock { state in
                defer { state = State(isChanged: false) }
                return (state.isChanged, state.ended)
            }
        }
    }

    let paths: [String]
    let timing: FollowTiming
    let board: FollowBoard
    let news = News()
    let numbers = StreamNumbers()
    private let watch: FolderWatch?
    private let known: @Sendable () async throws -> [KnownStream]

    /// Those that are read, or wait for their lease.
    var files: [FollowedFile] = []
    /// Those that were: their content may turn up again.
    var former: [FollowedFile] = []
    var passed: [InputFile.Identity: Passed] = [:]
    /// Files that are not followed, and with what they were compared in vain.
    var misses: [InputFile.Identity: Int] = [:]
    /// What could not be read, by its path.
    var failing: [String: InputError] = [:]
    private var lastListing: ContinuousClock.Instant?
    private var lastKnown: ContinuousClock.Instant?
    private var lookTime = Duration.zero

    init(
        paths: [String],
        timing: FollowTiming,
        board: FollowBoard,
        usesNotification: Bool,
        known: @escaping @Sendable () async throws -> [KnownStream]
    ) {
        self.paths = paths.map { InputResolver.absolutePath(of: $0) }
        self.timing = timing
        self.board = board
        self.known = known
        self.watch = usesNotification ? FolderWatch { [news] in news.change() } : nil
    }

    /// Closes all files. They and the news of their ends hold each other, and would stay open for as long as the process
    /// runs.
    func stop() {
        self.watch?.stop()
        let ended = self.news.take().ended
        for file in self.files + self.former + ended + self.passed.values.compactMap(\.ended) { file.close() }
    }

    /// Waits until there may be something to do.
    func wait() async {
        // However many notifications come, most of the time is left to the readers.
        if self.lookTime > .zero { try? await Task.sleep(for: min(self.lookTime * 5, .seconds(1))) }
        self.lookTime = .zero
        await self.news.wakeup.wait(atMost: self.timing.poll)
    }

    /// Looks at all files.
    /// - Returns: those that are streams from now on.
    func look() async throws -> [FollowedFile] {
        let now = ContinuousClock.now
        for file in self.files { file.wakeup.tick(now) }
        let news = self.news.take()
        for file in news.ended { self.end(file) }
        let isPolled = self.poll()
        let isDue = self.lastListing.map { now - $0 >= self.timing.list } ?? true
        guard news.isChanged || isPolled || isDue || self.passed.values.contains(where: \.isHeld) else { return [] }
        self.lastListing = now
        defer { self.lookTime = ContinuousClock.now - now }
        return try await self.list(now)
    }

    private func list(_ now: ContinuousClock.Instant) async throws -> [FollowedFile] {
        var lost: [FollowedFile]
        var listing: FolderListing
        var foreign: Foreign
        repeat {
            // Before files are listed: what is lost later may be copied to a file that is not in the list.
            lost = self.files.filter(\.isSearching)
            listing = FolderListing(self.paths)
            if self.watch?.watch(listing.folders) ?? false { listing = FolderListing(self.paths) }
            foreign = Foreign(listing)
        } while self.update(listing, foreign, now)
        self.failing = [:]
        let places = Set(self.files.compactMap(\.identity))
        let unknown = listing.files.filter { !places.contains($0.status.identity) && self.isNews($0) }
        var found: [FollowedFile] = []
        let isDue = self.lastKnown.map { now - $0 >= self.timing.known } ?? true
        if !lost.isEmpty || !unknown.isEmpty || isDue {
            do {
                let known = try await self.known()
                self.lastKnown = now
                found = try self.resolve(unknown, lost, known, listing, foreign)
                self.files += found
                self.board.recover(Self.database)
            } catch let error where !(error is CancellationError) {
                self.board.fail(
                    Self.database,
                    "the streams of the pass cannot be asked for: \(error)",
                    remedy: "nothing: it is tried again until the database answers"
                )
            }
        }
        self.forget(listing)
        self.hear(listing)
        self.report(listing)
        return found
    }

    private static let database = "the database"

    // MARK: What has changed

    /// - Returns: whether a file has come, gone, or has been replaced.
    private func poll() -> Bool {
        var isChanged = false
        for file in self.files {
            guard case .at(let location) = file.withState({ $0.place }), let path = location.path else { continue }
            guard let status = try? FileStatus(of: path), status.identity == location.identity else {
                isChanged = true
                continue
            }
            self.note(status, of: file)
        }
        return isChanged
            || self.passed.contains { identity, passed in
                guard let status = try? FileStatus(of: passed.path) else { return true }
                return status.identity != identity || !status.hasContent(as: passed.status)
            }
    }

    /// Wakes the reader of a file that has changed. Of one that is not open the content is compared: its inode may be
    /// that of another file by now.
    private func note(_ status: FileStatus, of file: FollowedFile, isMoved: Bool = false) {
        let (isChanged, isOpen) = file.withState { state in
            let isChanged = !status.hasContent(as: state.status)
            if isChanged { state.lastChange = .now }
            state.status = status
            return (isChanged || isMoved, state.opened != nil && state.readers > 0)
        }
        guard isChanged else { return }
        if !isOpen { file.compare() }
        file.wakeup.signal()
    }

    /// Follows files to the names that they have now, and ends those that have none.
    /// - Returns: whether one was lost by that.
    private func update(_ listing: FolderListing, _ foreign: Foreign, _ now: ContinuousClock.Instant) -> Bool {
        var isLost = false
        for file in self.files {
            guard case .at(let location) = file.withState({ $0.place }) else { continue }
            if let found = listing.file(location.identity) {
                file.rename(found.path, isNamed: true)
                self.note(found.status, of: file, isMoved: found.path != location.path)
            } else {
                if let found = foreign[location.identity] {
                    file.rename(found.path, isNamed: false)
                    self.note(found.status, of: file, isMoved: found.path != location.path)
                } else if let status = file.openStatus, status.links > 0 || !file.isFailing {
                    file.rename(nil, isNamed: false)
                    self.note(status, of: file)
                    if status.links == 0 { file.end() }
                } else {
                    // One that could not be read has perhaps been replaced by an undamaged one.
                    file.loseWithoutReader()
                }
                if file.withState({ now - $0.lastChange >= self.timing.rotationGrace }) { file.end() }
            }
            isLost = isLost || file.isSearching
        }
        return isLost
    }

    private func end(_ file: FollowedFile) {
        guard let index = self.files.firstIndex(where: { $0 === file }) else { return }
        self.files.remove(at: index)
        guard file.withState({ $0.id != nil || $0.isEntered }) else { return file.close() }
        self.former.append(file)
        if file.withState({ $0.readers == 0 }) { file.compare() }
        file.close()
        // Its file is passed over as long as it stays as it was when it ended.
        guard let (location, status) = file.last, let path = location.path, self.passed[location.identity] == nil else {
            return
        }
        self.passed[location.identity] = Passed(path: path, status: status, ended: file)
    }

    /// Whether a file is to be looked into: it is new, or has changed since.
    func isNews(_ found: FolderListing.Found) -> Bool {
        guard let passed = self.passed[found.status.identity] else { return true }
        return passed.isHeld || passed.path != found.path || !found.status.hasContent(as: passed.status)
    }

    /// Forgets what was passed over and is not there any more.
    private func forget(_ listing: FolderListing) {
        self.passed = self.passed.filter { identity, passed in
            listing.file(identity) != nil || (try? FileStatus(of: passed.path))?.identity == identity
        }
    }

    // MARK: Telling

    private func hear(_ listing: FolderListing) {
        guard let watch = self.watch else { return }
        var readers: [String: Wakeup] = [:]
        var awaited = Set(self.passed.values.map { $0.path })
        for file in self.files {
            guard case .at(let location) = file.withState({ $0.place }), let path = location.path else { continue }
            readers[path] = file.wakeup
        }
        for (path, target) in listing.targets {
            if let wakeup = readers[path] { readers[target] = wakeup }
            if awaited.contains(path) { awaited.insert(target) }
        }
        watch.hear(readers, awaited: awaited)
    }

    private func report(_ listing: FolderListing) {
        for error in listing.errors + listing.misnamed + self.passed.values.compactMap(\.error) {
            self.failing[error.path] = error
        }
        self.board.fail(self.failing)
        let waiting = listing.missing.map(\.description).joined(separator: "; ")
        self.board.reading(self.files.count, waiting: self.files.isEmpty && !waiting.isEmpty ? waiting : nil)
    }
}
