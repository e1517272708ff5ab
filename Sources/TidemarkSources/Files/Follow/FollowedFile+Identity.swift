import Synchronization
import TidemarkCore

/// The numbers of the streams that this source follows or has followed.
final class StreamNumbers: Sendable {
    private let used = Mutex<Set<StreamID>>([])

    func use(_ id: StreamID) { _ = self.used.withLock { $0.insert(id) } }
    func isUsed(_ id: StreamID) -> Bool { self.used.withLock { $0.contains(id) } }
}

/// Which of the stored streams it is.
extension FollowedFile {
    func description(_ settings: SourceSettings, _ numbers: StreamNumbers) -> StreamDescription {
        let (entry, location) = self.withState { ($0.entry, $0.place.location) }
        let path = location.path ?? location.label
        return StreamDescription(
            name: StreamName(source: settings.name, name: path, incarnation: entry.incarnation),
            label: path,
            settings: settings,
            hint: FoundFile.hint(location.identity),
            isAtEnd: { [self] in self.isAtEnd($0) },
            identify: { [self] in self.identify(path, $0, numbers) }
        )
    }

    /// One that has grown since its end is read on.
    private func isAtEnd(_ level: StreamProgress) -> Bool {
        let (place, hasGrown) = self.withState { ($0.place, $0.hasGrown) }
        guard level.isAtEnd, case .at(let location) = place, !location.isCompressed else {
            return level.isAtEnd && !hasGrown
        }
        let status = self.openStatus ?? location.path.flatMap { try? FileStatus(of: $0) }
        guard let status, status.identity == location.identity else { return true }
        return level.offset.major >= UInt64(clamping: status.size)
    }

    private func identify(
        _ path: String,
        _ known: [KnownStream],
        _ numbers: StreamNumbers
    ) -> StreamDescription.Identity {
        let (id, prefix, entry) = self.withState { ($0.id, $0.prefix, $0.entry) }
        if let id {
            guard var stream = known.first(where: { $0.id == id }) else { return .new(incarnation: entry.incarnation) }
            stream.incarnation = FilePrefix.extending(stream.incarnation, to: prefix)
            self.withState { $0.isEntered = true }
            return .known(stream)
        }
        // Nothing of it has been read. If its content is in another file by now, that one is found and entered.
        guard let file = FoundFile(of: self), file.prefix.fits(prefix) else { return .gone }
        if var stream = self.stored(file, path, among: known.filter { !numbers.isUsed($0.id) }) {
            numbers.use(stream.id)
            stream.incarnation = FilePrefix.extending(stream.incarnation, to: prefix)
            self.withState { state in
                state.id = stream.id
                state.entry = (path, stream.incarnation)
                state.isEntered = true
            }
            return .known(stream)
        }
        // Another stream of this name may begin alike: its number tells the two apart.
        var incarnation = entry.incarnation
        while let other = known.first(where: { $0.name == path && $0.incarnation == incarnation }) {
            incarnation = "\(entry.incarnation):\(other.id.rawValue)"
        }
        self.withState { state in
            state.entry = (path, incarnation)
            state.isEntered = true
        }
        return .new(incarnation: incarnation)
    }

    /// The stream that the store has of this file, which another process has entered perhaps: the one at its device and
    /// inode; else one of its name, or whose file is gone, or that is in the compressed copy of this file.
    ///
    /// - Parameter file: this file itself. At its path there may be another one by now.
    private func stored(_ file: FoundFile, _ path: String, among known: [KnownStream]) -> KnownStream? {
        let fitting = known.filter { stream in
            let reached = StreamProgress(offset: StreamOffset(major: stream.reached), resume: stream.resume)
            return file.fits(prefix: stream.incarnation, reached, isSure: stream.hint == file.hint)
        }
        guard !fitting.isEmpty else { return nil }
        if let same = fitting.first(where: { $0.hint == file.hint }) ?? fitting.first(where: { $0.name == path }) {
            return same
        }
        if file.status.links == 0, let copy = fitting.first(where: { file.isCompressed(to: $0) }) { return copy }
        return fitting.first { !$0.isPresent(near: path) }
    }

    /// The stream that it will be entered as, if it is one of these; `nil` where it has been entered.
    func awaited(among known: [KnownStream]) -> KnownStream? {
        let (isEntered, entry) = self.withState { ($0.id != nil || $0.isEntered, $0.entry) }
        guard !isEntered, let file = FoundFile(of: self) else { return nil }
        return self.stored(file, entry.name, among: known)
    }
}

extension KnownStream {
    /// Whether its content may still be where it was, or under another name there or in the folder of `path`.
    fileprivate func isPresent(near path: String) -> Bool {
        guard let identity = self.hint.flatMap(InputFile.Identity.init(hint:)) else {
            return (try? FileStatus(of: self.name)) != nil
        }
        let folders = Set([self.name, path].map(FolderListing.folder))
        let reached = StreamProgress(offset: StreamOffset(major: self.reached), resume: self.resume)
        return FolderListing.everyFile(in: folders)[identity].map { found in
            (try? FoundFile(found, isNamed: true))?.fits(prefix: self.incarnation, reached, isSure: true) ?? true
        } ?? false
    }
}

extension FoundFile {
    /// Whether this file, which has no name any more, was compressed to the one that a stream is in.
    fileprivate func isCompressed(to stream: KnownStream) -> Bool {
        guard let status = try? FileStatus(of: stream.name),
            let other = try? FoundFile(FolderListing.Found(path: stream.name, status: status), isNamed: true),
            other.location.isCompressed, other.hint == stream.hint
        else { return false }
        let (own, bytes) = (self.prefix.bytes, other.prefix.bytes)
        return own.starts(with: bytes) || bytes.starts(with: own)
    }
}

/// What becomes of its place.
extension FollowedFile {
    var isSearching: Bool {
        if case .searching = self.withState({ $0.place }) { true } else { false }
    }

    /// It waits for its lease: another process reads it.
    var isUnread: Bool { self.withState { $0.isEntered && $0.readers == 0 } }

    var isFailing: Bool { self.withState { $0.failure != nil } }

    /// The file that it is in.
    var identity: InputFile.Identity? {
        if case .at(let location) = self.withState({ $0.place }) { location.identity } else { nil }
    }

    /// Where it was when it ended; `nil` where its content is gone.
    var last: (FollowedFile.Location, FileStatus)? {
        self.withState { state in
            if case .at(let location) = state.place { (location, state.status) } else { nil }
        }
    }

    /// What the system says of it through its descriptor.
    var openStatus: FileStatus? { self.withState { try? $0.opened?.status() } }

    /// - Parameter isNamed: the configured paths lead to it.
    func rename(_ path: String?, isNamed: Bool) {
        self.withState { state in
            guard case .at(var location) = state.place, location.path != path || location.isNamed != isNamed else {
                return
            }
            // A writer may still have it open.
            if location.isNamed, !isNamed { state.lastChange = .now }
            if isNamed { state.isEnding = false }
            location.path = path
            if let path { location.label = path }
            location.isNamed = isNamed
            state.place = .at(location)
        }
    }

    /// Nothing more will be written.
    func end() {
        let isNew = self.withState { state in
            defer { state.isEnding = true }
            return !state.isEnding
        }
        if isNew { self.wakeup.signal() }
    }

    /// It cannot be looked into; perhaps because it is not there.
    func loseIfMissing() {
        guard case .at(let location) = self.withState({ $0.place }) else { return }
        let status = self.openStatus ?? location.path.flatMap { try? FileStatus(of: $0) }
        if status?.identity != location.identity { self.loseWithoutReader() }
    }

    func loseWithoutReader() {
        let (generation, reached) = self.withState { ($0.generation, $0.reached) }
        self.lose(generation, at: reached)
    }

    /// Compares its content with what is known of it.
    func compare() {
        if let file = FoundFile(of: self) { self.compare(file) } else { self.loseIfMissing() }
    }

    func compare(_ file: FoundFile) {
        let (generation, prefix, reached) = self.withState { ($0.generation, $0.prefix, $0.reached) }
        if !file.fits(prefix: prefix, reached, isSure: true) { self.lose(generation, at: reached) }
    }
}

extension FollowedFile.Place {
    /// Where it is, or was.
    var location: FollowedFile.Location {
        switch self {
        case .at(let location), .searching(let location), .gone(let location): location
        }
    }
}
