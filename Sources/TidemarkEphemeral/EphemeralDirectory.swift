import PlatformC

/// The folder of one private server, held by one process at a time.
///
///     DIR/.tidemark-ephemeral   the marker: the folder is ours; also the lock file
///     DIR/tidemark.conf         settings, rewritten at each start
///     DIR/server.log
///     DIR/data/  DIR/socket/    0700, the server account's own
///
/// Under root, DIR itself and its marker and settings belong to root; the account owns `data`, `socket` and the log. So
/// it cannot plant a link through which root writes elsewhere.
struct EphemeralDirectory: ~Copyable {
    static let markerName = ".tidemark-ephemeral"
    /// `sun_path`, less its last zero byte.
    static let socketPathBytesMax = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    let path: String
    let account: ServerAccount
    private let marker: FileLock

    var log: String { self.path + "/server.log" }
    var settings: String { self.path + "/tidemark.conf" }

    /// The state of a path before any change.
    struct Survey {
        /// The absolute path, its existing part without links.
        let path: String
        /// The existing folders of the path, the topmost first, `path` included.
        let existing: [String]
        /// The folders to be made, in order.
        let missing: [String]
        /// The account that owns `data`, if there is one.
        let ownerOfData: uid_t?
        /// The version of PostgreSQL that `data` was made with.
        let major: Int?
    }

    /// Inspects the path without changes, and refuses a folder that is not ours.
    static func survey(_ directory: String) throws(EphemeralServerError) -> Survey {
        guard !directory.isEmpty, !directory.utf8.contains(0) else {
            throw EphemeralServerError(
                code: .directoryUnusable,
                message: "the folder of the private server has no name"
            )
        }
        try Self.refuseLink(directory)
        let (base, missing) = try Self.resolve(directory)
        let existing = Self.descent("/", base.split(separator: "/").map(String.init))
        let made = Self.descent(base, missing)
        let path = made.last ?? base
        if made.count == 1 {
            try Self.refuseUntrusted(path)
            try Self.refuseForeign(path)
        }

        let data = FileStatus(path + "/data")
        let version = Self.firstLine(path + "/data/PG_VERSION").flatMap { Int($0) }
        return Survey(
            path: path,
            existing: existing,
            missing: Array(made.dropFirst()),
            ownerOfData: data?.isDirectory == true ? data?.owner : nil,
            major: version
        )
    }

    /// Makes what is missing, marks the folder as ours, and takes the lock.
    static func take(_ survey: Survey, account: ServerAccount) throws(EphemeralServerError) -> EphemeralDirectory {
        for folder in survey.missing {
            guard mkdir(folder, account.isBorrowed || folder != survey.path ? 0o755 : 0o700) == 0 else {
                if errno == EEXIST { continue }
                throw Self.unusable(folder, "cannot be made")
            }
            // A strict umask would lock the account out of the folder.
            if account.isBorrowed { chmod(folder, 0o755) }
        }
        try Self.refuseUntrusted(survey.path)
        let marker = try FileLock(survey.path + "/" + Self.markerName, folder: survey.path)
        let taken = EphemeralDirectory(path: survey.path, account: account, marker: marker)
        try Self.refuseForeign(survey.path)
        if taken.marker.read().isEmpty { try taken.write(socket: nil) }
        return taken
    }

    private init(path: String, account: ServerAccount, marker: consuming FileLock) {
        self.path = path
        self.account = account
        self.marker = marker
    }

    // MARK: - The socket's folder

    /// A folder for the socket that only the account may enter: `DIR/socket`, or one under `/tmp`, stored in the
    /// marker, if that path is too long or needs quoting in a connection string.
    func socketFolder(port: Int) throws(EphemeralServerError) -> String {
        let own = self.path + "/socket"
        if Self.canHoldSocket(own, port: port) {
            try self.makePrivateFolder(own)
            return own
        }
        if let remembered = self.rememberedSocketFolder, let status = FileStatus(remembered), status.isDirectory,
            status.owner == self.account.userID, status.permissions & 0o077 == 0
        {
            return remembered
        }
        var template = Array("/tmp/tidemark-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Self.unusable("/tmp", "cannot hold the folder of the socket") }
        let made = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try self.hand(made, mode: 0o700)
        try self.write(socket: made)
        return made
    }

    /// Whether a path needs no quoting: libpq reads a comma as a list of hosts, and a backslash or a quote needs
    /// escapes.
    static func canHoldSocket(_ folder: String, port: Int) -> Bool {
        let forbidden = Array(",'\"\\".utf8)
        return "\(folder)/.s.PGSQL.\(port)".utf8.count <= Self.socketPathBytesMax
            && folder.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F && !forbidden.contains($0) }
    }

    private var rememberedSocketFolder: String? {
        let lines = self.marker.read().split(separator: "\n")
        return lines.first { $0.hasPrefix("socket ") }.map { String($0.dropFirst("socket ".count)) }
    }

    private func write(socket: String?) throws(EphemeralServerError) {
        let text = Self.markerLine + "\n" + (socket.map { "socket \($0)\n" } ?? "")
        guard self.marker.replace(with: text) else { throw Self.unusable(self.path, "cannot be written") }
    }

    // MARK: - What the account owns

    /// Makes `folder` if needed, and lets only the account enter it.
    func makePrivateFolder(_ folder: String) throws(EphemeralServerError) {
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw Self.unusable(folder, "cannot be made") }
        try self.hand(folder, mode: 0o700)
    }

    /// Makes the log if needed. Root opens it here, so it must be a plain file without other links.
    func prepareLog() throws(EphemeralServerError) {
        let descriptor = open(self.log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.unusable(self.log, "cannot be written") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1,
            !self.account.isBorrowed || fchown(descriptor, self.account.userID, self.account.groupID) == 0
        else { throw Self.unusable(self.log, "is not a file of ours") }
    }

    /// Writes the settings beside the data, whole or not at all.
    func writeSettings(_ text: String) throws(EphemeralServerError) {
        let draft = self.settings + ".new"
        unlink(draft)
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Self.unusable(draft, "cannot be written") }
        defer { close(descriptor) }
        guard fchmod(descriptor, 0o644) == 0, FileLock.write(text, to: descriptor), rename(draft, self.settings) == 0
        else { throw Self.unusable(self.settings, "cannot be written") }
    }

    private func hand(_ folder: String, mode: mode_t) throws(EphemeralServerError) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.unusable(folder, "is not a folder of ours") }
        defer { close(descriptor) }
        guard fchmod(descriptor, mode) == 0,
            !self.account.isBorrowed || fchown(descriptor, self.account.userID, self.account.groupID) == 0
        else { throw Self.unusable(folder, "is not a folder of ours") }
    }
}

// MARK: - Looking

extension EphemeralDirectory {
    static let markerLine = "tidemark-ephemeral 1"

    /// The deepest existing folder of the path `directory`, without links, and the names below it.
    private static func resolve(_ directory: String) throws(EphemeralServerError) -> (String, [String]) {
        var base = directory.hasPrefix("/") ? directory : "./" + directory
        var missing: [String] = []
        while true {
            if let real = realpath(base, nil) {
                defer { free(real) }
                let found = String(cString: real)
                guard FileStatus(found)?.isDirectory == true else {
                    throw EphemeralServerError(code: .directoryUnusable, message: "\(found) is not a folder")
                }
                guard !missing.contains("..") else {
                    throw EphemeralServerError(
                        code: .directoryUnusable,
                        message: "\(directory) leads through a folder that does not exist"
                    )
                }
                return (found, missing)
            }
            guard errno == ENOENT, let slash = base.lastIndex(of: "/") else {
                throw Self.unusable(directory, "cannot be reached")
            }
            let name = base[base.index(after: slash)...]
            if !name.isEmpty && name != "." { missing.insert(String(name), at: 0) }
            base = slash == base.startIndex ? "/" : String(base[..<slash])
        }
    }

    /// `base`, and the folders below it one by one.
    private static func descent(_ base: String, _ names: [String]) -> [String] {
        names.reduce(into: [base]) { folders, name in
            let above = folders[folders.count - 1]
            folders.append((above == "/" ? "" : above) + "/" + name)
        }
    }

    static func unusable(_ path: String, _ what: String) -> EphemeralServerError {
        let reason = String(cString: strerror(errno))
        return EphemeralServerError(code: .directoryUnusable, message: "\(path) \(what): \(reason)")
    }
}
