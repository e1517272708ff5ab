import FoundationEssentials
import PlatformC

/// Runs PostgreSQL's own programs in the folder of a private server. It holds no state: all of it is on disk.
struct EphemeralCluster: Sendable {
    let directory: String
    let account: ServerAccount
    let installation: PostgresInstallation

    /// What a private server calls itself, `cluster_name`.
    static let name = "tidemark"

    /// The path under which a data folder is made; it is renamed when it is complete.
    var draft: String { self.directory + "/data.new" }
    var data: String { self.directory + "/data" }
    private var log: String { self.directory + "/server.log" }

    /// Relative names, because `pg_ctl` passes its arguments to a shell, with the folder as the working directory.
    var programs: ServerProgram { ServerProgram(account: self.account, workingDirectory: self.directory) }

    var restartCommand: String { self.shellCommand(["-l", "server.log", "start"]) }
    var stopCommand: String { self.shellCommand(["-m", "fast", "stop"]) }

    private func shellCommand(_ arguments: [String]) -> String {
        let command = [self.installation.program("pg_ctl"), "-D", "data"] + arguments
        let words = self.account.isBorrowed ? ["runuser", "-u", self.account.name, "--"] + command : command
        return "(cd \(ShellWord.quoted(self.directory)) && \(ShellWord.line(words)))"
    }

    /// The program's name alone if it is in `PATH`.
    var psql: String {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        let isOnPath = path.split(separator: ":").contains { access($0 + "/psql", X_OK) == 0 }
        return isOnPath ? "psql" : self.installation.program("psql")
    }

    /// Durability settings keep their defaults. The rest suits large batches on a machine with other work.
    static func settings(socketFolder: String, port: Int) -> String {
        """
        # Written by tidemark at each start. To change a setting, use ALTER SYSTEM: that wins over this file.
        listen_addresses = ''
        port = \(port)
        unix_socket_directories = '\(socketFolder)'
        unix_socket_permissions = 0700
        shared_buffers = 256MB
        max_wal_size = 4GB
        checkpoint_timeout = 15min
        jit = off
        timezone = 'UTC'
        log_timezone = 'UTC'
        log_line_prefix = '%m [%p] '
        logging_collector = off
        cluster_name = '\(Self.name)'

        """
    }

    /// Checks that another account can reach the folder, before anything is made there.
    static func checkAccess(
        to survey: EphemeralDirectory.Survey,
        account: ServerAccount
    ) async throws {
        guard account.isBorrowed else { return }
        let script = #"for folder do test -x "$folder" || { printf %s "$folder"; exit 1; }; done"#
        let outcome = try await ServerProgram(account: account).run("/bin/sh", ["-c", script, "sh"] + survey.existing)
        guard !outcome.isSuccess else { return }
        throw EphemeralServerError(
            code: .directoryUnusable,
            message: "PostgreSQL refuses to run as root, and \(account.name), whom it would run as, cannot enter "
                + "\(outcome.output): name a folder elsewhere (under /var/tmp, for instance), or run tidemark as the user "
                + "whose folder it is"
        )
    }

    // MARK: - Making

    /// Makes the data folder with its superuser and database, and renames it last, so that a crash leaves nothing that
    /// looks like a server.
    func make(user: String, database: String) async throws {
        // A C locale sorts by code point, alike on every machine; C.UTF-8 also knows letter case.
        let locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nil)
        if let locale { freelocale(locale) }
        try self.emptyDraft()
        let made = try await self.programs.run(
            self.installation.program("initdb"),
            [
                "-D", "data.new", "-U", user, "--encoding=UTF8", "--locale=C",
                "--lc-ctype=\(locale == nil ? "C" : "C.UTF-8")", "--auth-local=trust", "--auth-host=reject",
            ]
        )
        guard made.isSuccess else {
            throw Self.failure("initdb could not make a data folder in \(self.directory)", made.errors)
        }
        let configuration = self.draft + "/postgresql.conf"
        let descriptor = open(configuration, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw EphemeralDirectory.unusable(configuration, "cannot be written") }
        defer { close(descriptor) }
        guard FileLock.write("\ninclude '../tidemark.conf'\n", to: descriptor) else {
            throw EphemeralDirectory.unusable(configuration, "cannot be written")
        }
        let created = try await self.programs.run(
            self.installation.program("postgres"),
            ["--single", "-D", "data.new", "-c", "exit_on_error=true", "postgres"],
            input: "CREATE DATABASE \(database)\n"
        )
        guard created.isSuccess else {
            throw Self.failure("the database could not be made in \(self.directory)", created.errors)
        }
        guard rename(self.draft, self.data) == 0 else {
            throw EphemeralDirectory.unusable(self.data, "cannot be made")
        }
    }

    /// Removes the remains of an interrupted ``make(user:database:)``.
    private func emptyDraft() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: self.draft) {
            try FileManager.default.removeItem(atPath: self.draft + "/" + name)
        }
    }

    // MARK: - Starting

    /// The folder of the socket on which a server of an earlier run answers; waits while that one is still starting or
    /// stopping. `nil` if there is none.
    func runningSocketFolder(startLimit: Duration) async throws -> String? {
        let clock = ContinuousClock()
        let deadline = clock.now + startLimit
        while let found = self.postmasterFile() {
            guard try self.isOurs(found) else { return nil }
            let answer = try await self.programs.run(
                self.installation.program("pg_isready"),
                ["-q", "-h", found.socketFolder, "-p", found.port, "-d", "postgres", "-U", EphemeralServer.user]
            )
            switch answer.exitCode {
            case 0:
                try await self.refuseForeignServer(found)
                return found.socketFolder
            case 1:  // It answers, but is not ready.
                guard clock.now < deadline else {
                    throw Self.failure("the server in \(self.directory) does not get ready", self.logTail())
                }
                try await Task.sleep(for: .milliseconds(100))
            default: return nil
            }
        }
        return nil
    }

    /// Starts the server and waits until it accepts connections.
    func start(startLimit: Duration) async throws {
        let clock = ContinuousClock()
        let begun = clock.now
        let deadline = begun + startLimit
        while true {
            let logStart = FileStatus(self.log)?.size ?? 0
            let seconds = max(1, (deadline - clock.now).components.seconds)
            let outcome: ServerProgram.Outcome
            do {
                outcome = try await self.programs.run(
                    self.installation.program("pg_ctl"),
                    ["-D", "data", "-l", "server.log", "-w", "-t", "\(seconds)", "start"],
                    endsOnCancel: true
                )
                try Task.checkCancellation()
            } catch {
                try? await self.stop()
                throw error
            }
            if outcome.isSuccess { return }
            let said = self.logTail(from: logStart)
            // After kill -9 of the postmaster its children hold the shared memory until they notice, and the dead
            // process looks alive until its parent reaps it.
            let isTransient =
                said.contains("pre-existing shared memory block")
                || (said.contains("\"postmaster.pid\" already exists") && self.postmasterIsDead())
            guard isTransient, clock.now < min(deadline, begun + .seconds(30)) else {
                try? await self.stop()
                throw Self.failure(
                    "the private PostgreSQL in \(self.directory) does not start",
                    said.isEmpty ? outcome.errors : said
                )
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    /// Stops the server if it runs. Cancelling the caller does not stop this.
    func stop() async throws {
        let outcome = try await self.programs.run(
            self.installation.program("pg_ctl"),
            ["-D", "data", "-m", "fast", "-w", "-t", "600", "stop"]
        )
        // A server that is gone counts as stopped.
        guard outcome.isSuccess || self.postmasterFile() == nil || !outcome.errors.contains("does not shut down") else {
            throw EphemeralServerError(
                code: .stopFailed,
                message: "the private PostgreSQL in \(self.directory) does not stop; \(self.log) may say why"
            )
        }
    }

    // MARK: - Reading what the server wrote

    private func postmasterFile() -> PostmasterFile? { PostmasterFile(self.data + "/postmaster.pid") }

    /// Whether the process in `postmaster.pid` is gone or a zombie (detected on Linux only).
    func postmasterIsDead() -> Bool {
        guard let process = self.postmasterFile()?.process else { return true }
        if kill(process, 0) != 0 && errno == ESRCH { return true }
        guard let bytes = FileManager.default.contents(atPath: "/proc/\(process)/stat") else { return false }
        // "21353 (postgres) Z 1 …": the name may hold anything, parentheses too.
        let status = String(decoding: bytes, as: UTF8.self)
        return status.lastIndex(of: ")").map { status[$0...].hasPrefix(") Z") } ?? false
    }

    /// The end of the log from `start` on, at most 2 KiB.
    private func logTail(from start: Int = 0) -> String {
        let descriptor = open(self.log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        let end = Int(lseek(descriptor, 0, SEEK_END))
        let first = max(start, end - 2048)
        guard end > first else { return "" }
        var bytes = [UInt8](repeating: 0, count: end - first)
        let count = pread(descriptor, &bytes, bytes.count, off_t(first))
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }

    static func failure(_ what: String, _ said: String) -> EphemeralServerError {
        let lines = said.split(separator: "\n").suffix(8).map { "\n    " + $0 }
        return EphemeralServerError(code: .startFailed, message: what + (lines.isEmpty ? "" : ":") + lines.joined())
    }
}
