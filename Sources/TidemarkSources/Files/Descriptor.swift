import PlatformC

/// An open file, closed with its owner.
struct Descriptor: ~Copyable {
    let number: Int32
    private let isOwned: Bool

    /// Somebody else's, left open.
    init(borrowing number: Int32) {
        self.number = number
        self.isOwned = false
    }

    init(owning number: Int32) {
        self.number = number
        self.isOwned = true
    }

    /// Opens for reading. Never waits, not even for the writer of a named pipe.
    init(opening path: String) throws(SystemError) {
        let number = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else { throw SystemError() }
        // The lowest free number: as many are open below it.
        guard number < Self.numbersMax else {
            close(number)
            throw SystemError.tooManyOpen()
        }
        self.number = number
        self.isOwned = true
    }

    /// Numbers that inputs take, of those that the process may have. The rest is for connections, timers and health:
    /// libdispatch ends a process that has none left for a timer.
    private static var numbersMax: Int32 {
        guard let limit = OpenFiles.limit else { return .max }
        return Int32(limit - min(64, limit / 2))
    }

    deinit {
        if self.isOwned { close(self.number) }
    }

    /// One `read`: 0 is the end, `nil` that nothing has come yet.
    func readOnce(into memory: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int? {
        let count = read(self.number, memory.baseAddress, memory.count)
        if count >= 0 { return count }
        if errno == EINTR || errno == EAGAIN { return nil }
        throw SystemError()
    }

    /// What is there at `offset`, as much as fits or as one read brings; 0 is the end.
    func readAt(_ offset: Int64, into memory: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        while true {
            let count = pread(self.number, memory.baseAddress, memory.count, off_t(offset))
            if count >= 0 { return count }
            guard errno == EINTR else { throw SystemError() }
        }
    }

    func status() throws(SystemError) -> FileStatus {
        var result = stat()
        guard fstat(self.number, &result) == 0 else { throw SystemError() }
        return FileStatus(result)
    }
}

/// What the system says about a file.
struct FileStatus: Sendable, Hashable {
    enum Kind: Sendable { case regular, folder, stream, other }

    let kind: Kind
    let size: Int64
    let identity: InputFile.Identity
    /// How many names it has: none once it is deleted.
    let links: Int
    /// When its content was last written, and when that, its name or its rights were last changed, in nanoseconds since 1970.
    let modified: Int64
    let changed: Int64

    fileprivate init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: self.kind = .regular
        case S_IFDIR: self.kind = .folder
        case S_IFIFO, S_IFCHR: self.kind = .stream
        default: self.kind = .other
        }
        self.size = Int64(status.st_size)
        self.links = Int(status.st_nlink)
        #if canImport(Darwin)
            let (modified, changed) = (status.st_mtimespec, status.st_ctimespec)
        #else
            let (modified, changed) = (status.st_mtim, status.st_ctim)
        #endif
        self.modified = Int64(modified.tv_sec) * 1_000_000_000 + Int64(modified.tv_nsec)
        self.changed = Int64(changed.tv_sec) * 1_000_000_000 + Int64(changed.tv_nsec)
        self.identity = InputFile.Identity(
            device: UInt64(truncatingIfNeeded: status.st_dev),
            inode: UInt64(truncatingIfNeeded: status.st_ino)
        )
    }

    /// For how long neither its content nor its name has changed, by the clock of this host; `nil` where the file's clock
    /// is ahead of it.
    var quiet: Duration? {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let nanoseconds = Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec) - max(self.modified, self.changed)
        return nanoseconds >= 0 ? .nanoseconds(nanoseconds) : nil
    }

    /// Nothing was written between the two.
    func hasContent(as other: FileStatus) -> Bool { self.size == other.size && self.modified == other.modified }

    init(of path: [CChar]) throws(SystemError) {
        var result = stat()
        guard stat(path, &result) == 0 else { throw SystemError() }
        self.init(result)
    }

    init(of path: String, followingLinks: Bool = true) throws(SystemError) {
        var result = stat()
        guard (followingLinks ? stat(path, &result) : lstat(path, &result)) == 0 else { throw SystemError() }
        self.init(result)
    }
}

/// What the last system call failed with.
struct SystemError: Error {
    let number: Int32

    init() { self.number = errno }

    /// What is there is no regular file.
    static func notRegular() -> SystemError { SystemError(number: EINVAL) }

    static func tooManyOpen() -> SystemError { SystemError(number: EMFILE) }

    private init(number: Int32) { self.number = number }

    var isAbsence: Bool { self.number == ENOENT || self.number == ENOTDIR }
    var text: String { String(cString: strerror(self.number)) }

    /// As an error of the input at `path`: absent, or there and out of reach.
    func opening(_ path: String) -> InputError {
        if self.isAbsence { return InputError(.missing, path: path, detail: "no such file") }
        let code: InputError.Code = self.number == EMFILE || self.number == ENFILE ? .tooManyOpen : .unreadable
        return InputError(code, path: path, detail: "cannot be read: \(self.text)")
    }
}
