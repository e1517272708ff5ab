import TidemarkCore

/// A file as it was found and looked into.
struct FoundFile: Sendable {
    var location: FollowedFile.Location
    let opened: OpenFile
    let status: FileStatus
    let prefix: FilePrefix

    /// - Throws: `.missing`, `.unreadable`, `.readFailed`.
    init(_ found: FolderListing.Found, isNamed: Bool) throws(InputError) {
        do throws(SystemError) {
            try self.init(OpenFile(opening: found.path), path: found.path, isNamed: isNamed)
        } catch {
            throw error.opening(found.path)
        }
    }

    /// A file that is followed, as it is now; `nil` where it cannot be looked into.
    init?(of file: FollowedFile) {
        let (place, opened) = file.withState { ($0.place, $0.opened) }
        guard case .at(let location) = place,
            let opened = opened ?? location.path.flatMap({ try? OpenFile(opening: $0) })
        else { return nil }
        do throws(SystemError) {
            try self.init(opened, path: location.path ?? location.label, isNamed: location.isNamed)
        } catch {
            return nil
        }
        guard self.location.identity == location.identity else { return nil }
    }

    private init(_ opened: OpenFile, path: String, isNamed: Bool) throws(SystemError) {
        let file = try opened.input(at: path)
        self.opened = opened
        self.status = try opened.status()
        self.prefix = FilePrefix(of: file, opened)
        self.location = FollowedFile.Location(
            path: path,
            label: path,
            identity: self.status.identity,
            compression: file.compression,
            isNamed: isNamed
        )
    }

    var hint: String { Self.hint(self.status.identity) }
    static func hint(_ identity: InputFile.Identity) -> String { "\(identity.device):\(identity.inode)" }

    /// Whether its content is that of a stream that was read so far.
    /// - Parameter isSure: device and inode say so; a compressed file is then not inflated to see it.
    func fits(prefix: String, _ reached: StreamProgress, isSure: Bool) -> Bool {
        let token = ResumeToken(bytes: reached.resume)
        func beginsAlike() -> Bool {
            self.prefix.fits(prefix) && token?.beginning?.fits(self.prefix.bytes) ?? true
        }
        // What is cheap is compared first.
        guard self.location.isCompressed else {
            return UInt64(clamping: self.status.size) >= reached.offset.major && self.fits(token) && beginsAlike()
        }
        // Inodes are used again: they are believed where all of the beginning is known.
        let isWhole = FilePrefix.count(of: prefix) == self.prefix.bytes.count
        return beginsAlike() && (isSure && isWhole || self.fits(token))
    }

    private func fits(_ token: ResumeToken?) -> Bool {
        guard let token else { return true }
        let reader = LineReader(growing: self.opened, self.location.input(size: self.status.size), messageBytesMax: 1)
        let level = StreamProgress(offset: StreamOffset(major: token.offset), resume: token.bytes)
        return (try? reader.resume(at: level)) != nil
    }

    /// Whether all of its content, as far as it is looked at, is the beginning of another file's.
    func isBeginning(of other: FoundFile) -> Bool {
        guard other.prefix.bytes.starts(with: self.prefix.bytes) else { return false }
        if self.location.isCompressed || other.location.isCompressed { return true }
        // A copy is no longer than what it is of, and equal to the end.
        let size = self.status.size
        guard size <= other.status.size else { return false }
        let range = max(0, size - Int64(ByteTail.bytesMax))..<size
        guard let last = try? self.opened.bytes(in: range) else { return false }
        return (try? other.opened.bytes(in: range)) == last
    }
}

extension FollowedFile.Location {
    func input(size: Int64) -> InputFile {
        InputFile(
            path: self.path ?? self.label,
            absolutePath: self.path ?? self.label,
            kind: .regular,
            size: size,
            compression: self.compression,
            identity: self.identity
        )
    }
}
