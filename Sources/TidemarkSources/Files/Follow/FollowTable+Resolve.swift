import TidemarkCore

/// Which stream each file is. All files of one look are resolved together: those at the device and inode of a stream
/// first, then those with the content of a stream whose file is gone. A stream is in one file only.
extension FollowTable {
    /// A stream that has no file.
    private struct Candidate {
        var known: KnownStream?
        /// It is followed, and has lost its file.
        var lost: FollowedFile?
        /// It was followed: its content is looked for in new files alone.
        var former: FollowedFile?
        var prefix: String
        var reached: StreamProgress
        var identity: InputFile.Identity?
        var name: String

        func fits(_ file: FoundFile, isSure: Bool) -> Bool {
            file.fits(prefix: self.prefix, self.reached, isSure: isSure)
        }
    }

    /// - Parameters:
    ///   - unknown: files that are not followed.
    ///   - lost: streams that had lost their files before the folders were listed.
    /// - Returns: the files that are streams from now on.
    func resolve(
        _ unknown: [FolderListing.Found],
        _ lost: [FollowedFile],
        _ known: [KnownStream],
        _ listing: FolderListing,
        _ foreign: Foreign
    ) throws -> [FollowedFile] {
        var candidates = self.candidates(known, lost)
        var files = unknown.compactMap { self.inspect($0, isNamed: true) }
        var found: [FollowedFile] = []
        let taken = Set(self.files.compactMap(\.identity))
        // The streams that have ended in files that are as they were then.
        candidates.removeAll { candidate in
            guard let former = candidate.former, let last = former.last, let passed = self.passed[last.0.identity],
                passed.ended === former, let now = listing.file(last.0.identity) ?? foreign[last.0.identity]
            else { return false }
            return now.path == passed.path && now.status.hasContent(as: passed.status)
        }

        func claim(_ candidate: Candidate, _ file: FoundFile) {
            files.removeAll { $0.location.identity == file.location.identity }
            self.passed[file.location.identity] = nil
            let claimed = self.claim(candidate.known, candidate.lost, file)
            if let former = candidate.former?.last, file.status.size > former.1.size {
                for file in claimed { file.withState { $0.hasGrown = true } }
            }
            found += claimed
        }
        candidates.removeAll { candidate in
            guard let identity = candidate.identity, !taken.contains(identity),
                let file = files.first(where: { $0.location.identity == identity })
                    ?? self.foreignFile(identity, listing, foreign),
                !found.contains(where: { $0.identity == identity }), candidate.fits(file, isSure: true)
            else { return false }
            claim(candidate, file)
            return true
        }
        // What was read farthest is the least likely to be taken for another.
        candidates.sort { $0.reached.offset > $1.reached.offset }
        candidates.removeAll { candidate in
            let fitting = files.filter { candidate.fits($0, isSure: false) }
            guard let file = Self.best(fitting, for: candidate) else { return false }
            claim(candidate, file)
            return true
        }
        self.search(foreign, listing, for: &candidates, claim)
        try Task.checkCancellation()
        if listing.errors.isEmpty { for candidate in candidates { candidate.lost?.vanish() } }
        // Of two that begin alike the one that is no copy is the longer one, and not compressed.
        let new = files.sorted { left, right in
            left.location.isCompressed == right.location.isCompressed
                ? left.status.size > right.status.size : right.location.isCompressed
        }
        var originals = Originals()
        for file in new
        where !self.files.contains(where: \.isSearching) && self.isReady(file, besides: found, &originals) {
            found.append(self.followed(file, nil))
        }
        return found
    }

    /// The known streams that no file is followed for, and those that are followed and have lost theirs.
    private func candidates(_ known: [KnownStream], _ lost: [FollowedFile]) -> [Candidate] {
        self.attach(known)
        var followed: [StreamID: FollowedFile] = [:]
        for file in self.former + self.files { if let id = file.withState({ $0.id }) { followed[id] = file } }
        let current = Set(self.files.map { ObjectIdentifier($0) })
        let free = known.filter { followed[$0.id] == nil }
        let awaited = Set(self.files.compactMap { $0.awaited(among: free)?.id })
        let without = known.sorted { $0.id.rawValue > $1.id.rawValue }.compactMap { known -> Candidate? in
            let file = followed[known.id]
            if awaited.contains(known.id) || file.map({ current.contains(ObjectIdentifier($0)) }) ?? false {
                return nil
            }
            var reached = StreamProgress(offset: StreamOffset(major: known.reached), resume: known.resume)
            if let own = file?.withState({ $0.reached }), own.offset > reached.offset { reached = own }
            return Candidate(
                known: known,
                former: file,
                prefix: file?.withState { $0.prefix } ?? known.incarnation,
                reached: reached,
                identity: known.hint.flatMap(InputFile.Identity.init(hint:)),
                name: known.name
            )
        }
        return lost.map { file in
            file.withState { state in
                Candidate(
                    lost: file,
                    prefix: state.prefix,
                    reached: state.reached,
                    identity: state.place.location.identity,
                    name: state.place.location.label
                )
            }
        } + without
    }

    /// Gives followed files the numbers of their streams, and those that are not read here what others have read.
    private func attach(_ known: [KnownStream]) {
        let all = self.former + self.files
        var attached = Set(all.compactMap { $0.withState { $0.id } })
        for file in all where file.withState({ $0.id == nil && $0.isEntered }) {
            let (entry, location) = file.withState { ($0.entry, $0.place.location) }
            let hint = FoundFile.hint(location.identity)
            let free = known.filter { !attached.contains($0.id) }
            let stream =
                free.first { $0.name == entry.name && $0.incarnation == entry.incarnation }
                ?? free.filter { $0.hint == hint }.max { $0.id.rawValue < $1.id.rawValue }
            guard let stream else { continue }
            attached.insert(stream.id)
            self.numbers.use(stream.id)
            file.withState { state in
                state.id = stream.id
                state.entry.incarnation = stream.incarnation
            }
        }
        let byID = Dictionary(known.map { ($0.id, $0) }) { first, _ in first }
        for file in self.files {
            file.withState { state in
                guard let id = state.id, let known = byID[id] else { return }
                // The store finds it by what it has.
                state.entry.incarnation = known.incarnation
                if state.readers == 0, known.reached > state.reached.offset.major {
                    state.reached = StreamProgress(offset: StreamOffset(major: known.reached), resume: known.resume)
                }
            }
        }
    }

    private static func best(_ files: [FoundFile], for candidate: Candidate) -> FoundFile? {
        files.min { left, right in
            func rank(_ file: FoundFile) -> Int {
                (file.location.identity == candidate.identity ? 0 : 8) + (file.location.path == candidate.name ? 0 : 4)
                    + (file.location.isNamed ? 0 : 2) + (file.location.isCompressed ? 1 : 0)
            }
            return rank(left) < rank(right)
        }
    }

    // MARK: Files that the paths do not lead to

    private func foreignFile(
        _ identity: InputFile.Identity,
        _ listing: FolderListing,
        _ foreign: Foreign
    ) -> FoundFile? {
        guard listing.file(identity) == nil, let found = foreign[identity] else { return nil }
        return self.inspect(found, isNamed: false)
    }

    /// Looks for the content of streams that have lost their file in files that are called otherwise.
    private func search(
        _ foreign: Foreign,
        _ listing: FolderListing,
        for candidates: inout [Candidate],
        _ claim: (Candidate, FoundFile) -> Void
    ) {
        let wanted = candidates.filter { $0.former == nil }
        guard !wanted.isEmpty else { return }
        var hasher = Hasher()
        for candidate in wanted {
            hasher.combine(candidate.known?.id)
            hasher.combine(candidate.reached)
            hasher.combine(candidate.lost.map { ObjectIdentifier($0) })
        }
        let signature = hasher.finalize()
        let taken = Set(self.files.compactMap(\.identity))
        for (identity, found) in foreign.files.sorted(by: { $0.value.path < $1.value.path })
        where listing.file(identity) == nil && !taken.contains(identity) && self.isNews(found) {
            let key = signature ^ found.status.hashValue
            guard self.misses[identity] != key else { continue }
            self.misses[identity] = key
            guard let file = self.inspect(found, isNamed: false),
                let index = candidates.firstIndex(where: { $0.former == nil && $0.fits(file, isSure: false) })
            else { continue }
            claim(candidates.remove(at: index), file)
        }
        self.misses = self.misses.filter { foreign[$0.key] != nil }
    }

    // MARK: One file

    /// - Returns: `nil` where it cannot be read, which is told, and where it holds nothing yet.
    private func inspect(_ found: FolderListing.Found, isNamed: Bool) -> FoundFile? {
        let file: FoundFile
        do throws(InputError) {
            file = try FoundFile(found, isNamed: isNamed)
        } catch {
            if isNamed, error.code != .missing {
                self.failing[found.path] = error
                // It is tried again although it has not changed: its rights may be given by its folder.
                self.passed[found.status.identity] = nil
            }
            return nil
        }
        if file.prefix.bytes.isEmpty, !file.location.isCompressed {
            self.passed[file.location.identity] = Passed(path: found.path, status: file.status)
            return nil
        }
        return file
    }

    /// Whether a file that is no known stream is a new one. What may be a copy in the making, of which the other may be
    /// cut or deleted at any moment, is not yet.
    private func isReady(_ file: FoundFile, besides found: [FollowedFile], _ originals: inout Originals) -> Bool {
        let identity = file.location.identity
        let (before, now) = (self.passed[identity], ContinuousClock.now)
        let mayBecome = (self.files + found).contains { other in
            let (place, head) = other.withState { ($0.place, $0.head) }
            guard case .at(let location) = place, location.identity != identity,
                zip(head, file.prefix.bytes).allSatisfy(==)
            else { return false }
            // How far another process has read it, and so what its content is, is known here a little later.
            if other.isUnread, file.prefix.fits(other.withState { $0.prefix }) { return true }
            return originals.file(of: other).map { file.isBeginning(of: $0) } ?? false
        }
        if self.files.contains(where: \.isSearching) { return false }
        // The stream that was here has to have its number first: the two may begin alike.
        let isBehind = self.files.contains { former in
            former.withState { state in
                let location = state.place.location
                return state.id == nil
                    && (location.identity == identity || location.label == file.location.label)
            }
        }
        guard !isBehind else { return false }
        let isUnclear = file.location.isCompressed && file.prefix.bytes.isEmpty
        guard mayBecome || isUnclear else { return true }
        var passed = Passed(path: file.location.label, status: file.status, isHeld: true)
        if let before, before.isHeld, file.status.hasContent(as: before.status) { passed.since = before.since }
        passed.isHeld = now - passed.since < self.timing.copyGrace
        if passed.isHeld || isUnclear {
            if !passed.isHeld { passed.error = self.damage(of: file) }
            self.passed[identity] = passed
            return false
        }
        self.passed[identity] = nil
        return true
    }

    /// What is wrong with a compressed file without content; `nil` of an empty one.
    private func damage(of file: FoundFile) -> InputError? {
        let reader = LineReader(growing: file.opened, file.location.input(size: 0), messageBytesMax: 1)
        reader.isOpenEnded = false
        do throws(InputError) {
            _ = try reader.nextBlock()
            return nil
        } catch {
            return error
        }
    }

    private func claim(_ known: KnownStream?, _ lost: FollowedFile?, _ file: FoundFile) -> [FollowedFile] {
        if let lost {
            lost.move(to: file)
            return []
        }
        if let known { self.former.removeAll { former in former.withState { $0.id == known.id } } }
        return [self.followed(file, known)]
    }

    private func followed(_ file: FoundFile, _ known: KnownStream?) -> FollowedFile {
        if let known { self.numbers.use(known.id) }
        self.passed[file.location.identity] = nil
        return FollowedFile(file, of: known) { [news] in news.change() }
    }
}

extension InputFile.Identity {
    init?(hint: String) {
        let parts = hint.split(separator: ":")
        guard parts.count == 2, let device = UInt64(parts[0]), let inode = UInt64(parts[1]) else { return nil }
        self.init(device: device, inode: inode)
    }
}

/// All files in the watched folders, whatever they are called; listed when one is asked for.
final class Foreign {
    private let listing: FolderListing
    private(set) lazy var files = FolderListing.everyFile(in: self.listing.folders)

    init(_ listing: FolderListing) { self.listing = listing }

    subscript(_ identity: InputFile.Identity) -> FolderListing.Found? { self.files[identity] }
}

/// Followed files as they are after all new ones have been looked into.
private struct Originals {
    private var files: [ObjectIdentifier: FoundFile?] = [:]

    /// One may have been cut since it was read last: its content is in a new file perhaps.
    mutating func file(of followed: FollowedFile) -> FoundFile? {
        if let known = self.files[ObjectIdentifier(followed)] { return known }
        let file = FoundFile(of: followed)
        self.files[ObjectIdentifier(followed)] = .some(file)
        if let file { followed.compare(file) } else { followed.loseIfMissing() }
        return file
    }
}
