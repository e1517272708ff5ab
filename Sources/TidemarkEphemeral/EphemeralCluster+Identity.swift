import LibPQ
import PlatformC

/// What a server writes about itself into `postmaster.pid`.
struct PostmasterFile: Sendable {
    let process: pid_t
    let dataFolder: String
    let port: String
    let socketFolder: String

    /// The server's process, folder, start, port and socket folder, a line each. Links are not followed.
    init?(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let lines = FileLock.read(descriptor).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.count > 4, let process = pid_t(lines[0]), process > 0, lines[4].hasPrefix("/") else { return nil }
        (self.process, self.dataFolder) = (process, lines[1])
        (self.port, self.socketFolder) = (lines[3], lines[4])
    }
}

/// Whether a server or its data is one that ``make(user:database:)`` made. `pg_ctl` signals whatever process the data
/// folder names, so that is checked before.
extension EphemeralCluster {
    /// Whether the server that `postmaster.pid` names has this data folder. A copy of a running server's folder names the
    /// server of the original.
    /// - Returns: `false` if the file is a remainder of a server that is gone.
    /// - Throws: `.foreignDirectory` if it names another server that may run.
    func isOurs(_ found: PostmasterFile) throws(EphemeralServerError) -> Bool {
        guard Self.isSameFolder(found.dataFolder, self.data) else {
            if self.postmasterIsDead() { return false }
            throw EphemeralServerError(
                code: .foreignDirectory,
                message: "\(self.data)/postmaster.pid names process \(found.process), the server of "
                    + "\(found.dataFolder): it was left as it is; remove that file if \(self.directory) is a copy, or "
                    + "name another folder"
            )
        }
        // A folder that is gone was under /tmp, where the system may have tidied up.
        guard let folder = FileStatus(found.socketFolder) else { return true }
        guard folder.isDirectory, folder.owner == self.account.userID, folder.permissions & 0o077 == 0 else {
            if self.postmasterIsDead() { return false }
            throw self.foreignServer("its socket is in \(found.socketFolder), which others may enter")
        }
        return true
    }

    /// Asks a running server for its name and its data folder.
    func refuseForeignServer(_ found: PostmasterFile) async throws {
        let options = ConnectionOptions(EphemeralServer.connectionString(socketFolder: found.socketFolder))
        do {
            let connection = try await Connection.connect(options)
            let answer = try await connection.query(
                "select current_setting('cluster_name'), current_setting('data_directory')"
            )
            await connection.close()
            let name = try answer.text(0, 0) ?? ""
            let folder = try answer.text(0, 1) ?? ""
            guard name == Self.name else { throw self.foreignServer("its cluster_name is \"\(name)\"") }
            guard Self.isSameFolder(folder, self.data) else { throw self.foreignServer("its data is in \(folder)") }
        } catch let error as PostgresError {
            switch error.sqlStateClass {
            case "28", "3D": throw self.foreignServer("\(error)")
            default: throw Self.failure("the server in \(self.directory) cannot be asked for its name", "\(error)")
            }
        }
    }

    /// Reads the name that a stopped server would have. One that cannot be read is left for the start to explain.
    func refuseForeignData() async throws {
        let answer = try await self.programs.run(
            self.installation.program("postgres"),
            ["-C", "cluster_name", "-D", "data"]
        )
        let name = answer.output.prefix { $0 != "\n" }
        guard answer.isSuccess, name != Self.name else { return }
        throw EphemeralServerError(
            code: .foreignDirectory,
            message: "\(self.data) was not made by tidemark (its cluster_name is \"\(name)\"): it was left as it is; "
                + "name another folder"
        )
    }

    private func foreignServer(_ why: String) -> EphemeralServerError {
        EphemeralServerError(
            code: .foreignDirectory,
            message: "the server that runs in \(self.data) was not started by tidemark (\(why)): it was left as it is; "
                + "name another folder"
        )
    }

    private static func isSameFolder(_ one: String, _ other: String) -> Bool {
        if one == other { return true }
        var (first, second) = (stat(), stat())
        guard lstat(one, &first) == 0, lstat(other, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }
}
