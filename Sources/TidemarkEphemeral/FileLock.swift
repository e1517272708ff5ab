import PlatformC

/// A small file that is locked while this value lives. The system releases the lock when the process dies. The
/// descriptor is not inherited, so a server started meanwhile does not hold the lock.
struct FileLock: ~Copyable {
    private let descriptor: Int32

    init(_ path: String, folder: String) throws(EphemeralServerError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            let way =
                errno == EACCES || errno == EPERM
                ? "\(folder) belongs to another user: run as that user, or name another folder"
                : "\(path) cannot be opened: \(String(cString: strerror(errno)))"
            throw EphemeralServerError(code: .directoryUnusable, message: way)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw EphemeralServerError(
                code: .inUse,
                message: "\(folder) is in use by another tidemark process: wait for it to end, or name another folder"
            )
        }
        self.descriptor = descriptor
    }

    deinit { close(self.descriptor) }

    func read() -> String { Self.read(self.descriptor) }

    /// Overwrites before it truncates, so that an unchanged first line is never missing.
    func replace(with text: String) -> Bool {
        lseek(self.descriptor, 0, SEEK_SET) == 0 && Self.write(text, to: self.descriptor)
            && ftruncate(self.descriptor, off_t(text.utf8.count)) == 0
    }

    /// The first 4 KiB.
    static func read(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }

    static func write(_ text: String, to descriptor: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { PlatformC.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }
}

/// The kind of file at a path; links are not followed.
struct FileStatus {
    let owner: uid_t
    let permissions: mode_t
    let isDirectory: Bool
    let isFile: Bool
    let isLink: Bool
    let size: Int

    init?(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        self.owner = status.st_uid
        self.permissions = status.st_mode & 0o7777
        self.isDirectory = status.st_mode & S_IFMT == S_IFDIR
        self.isFile = status.st_mode & S_IFMT == S_IFREG
        self.isLink = status.st_mode & S_IFMT == S_IFLNK
        self.size = Int(status.st_size)
    }
}
