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

    /// Opens for reading. Never waits, not even for the writer of a named pipe.
    init(opening path: String) throws(SystemError) {
        let number = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else { throw SystemError() }
        self.number = number
        self.isOwned = true
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

    func seek(to offset: Int64) throws(SystemError) {
        guard lseek(self.number, off_t(offset), SEEK_SET) == off_t(offset) else { throw SystemError() }
    }

    func status() throws(SystemError) -> FileStatus {
        var result = stat()
        guard fstat(self.number, &result) == 0 else { throw SystemError() }
        return FileStatus(result)
    }
}

/// What the system says about a file.
struct FileStatus {
    enum Kind { case regular, folder, stream, other }

    let kind: Kind
    let size: Int64
    let identity: InputFile.Identity

    fileprivate init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: self.kind = .regular
        case S_IFDIR: self.kind = .folder
        case S_IFIFO, S_IFCHR: self.kind = .stream
        default: self.kind = .other
        }
        self.size = Int64(status.st_size)
        self.identity = InputFile.Identity(
            device: UInt64(truncatingIfNeeded: status.st_dev),
            inode: UInt64(truncatingIfNeeded: status.st_ino)
        )
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

    var isAbsence: Bool { self.number == ENOENT || self.number == ENOTDIR }
    var text: String { String(cString: strerror(self.number)) }

    /// As an error of the input at `path`: absent, or there and out of reach.
    func opening(_ path: String) -> InputError {
        self.isAbsence
            ? InputError(.missing, path: path, detail: "no such file")
            : InputError(.unreadable, path: path, detail: "cannot be read: \(self.text)")
    }
}
