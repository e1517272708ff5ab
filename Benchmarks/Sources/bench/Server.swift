#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A private PostgreSQL with default durability, the same for all contestants, in a folder of its own.
///
/// PostgreSQL refuses to run as root: root runs it as postgres, or as nobody.
final class Server {
    /// Beside what is PostgreSQL's default. Replication needs `wal_level`; the others keep checkpoints and new WAL files
    /// from falling into one contestant's time and not into another's.
    private static let configuration = """
        listen_addresses = ''
        wal_level = logical
        min_wal_size = 4GB
        max_wal_size = 4GB
        checkpoint_timeout = 1h
        jit = off
        timezone = 'UTC'

        """
    private static let shown = [
        "autovacuum", "checkpoint_timeout", "fsync", "full_page_writes", "jit", "max_wal_size", "min_wal_size",
        "shared_buffers", "synchronous_commit", "wal_buffers", "wal_compression", "wal_level", "wal_sync_method",
        "work_mem",
    ]

    /// Holds the data folder, the socket and the log.
    let folder: String
    private let account: String?
    private let binaries: String
    private let output: String
    private var postmaster: pid_t = 0

    /// Makes a server in `folder`, which is there and empty, and starts it.
    init(folder: String, output: String) throws {
        self.folder = folder
        self.output = output
        self.account = geteuid() == 0 ? (getpwnam("postgres") == nil ? "nobody" : "postgres") : nil
        try ChildProcess.run(["pg_config", "--bindir"], output: output)
        self.binaries = String(TextFile.read(output).prefix { $0 != "\n" })
        guard access("\(self.binaries)/initdb", X_OK) == 0 else {
            throw BenchmarkError("there is no PostgreSQL server in \(self.binaries), where pg_config says")
        }
        if let account { try ChildProcess.run(["chown", "\(account):", folder], output: output) }

        let data = "\(folder)/data"
        let names = ["-U", "tidemark", "-A", "trust", "--encoding=UTF8", "--locale=C"]
        try self.run("initdb", ["-D", data] + names)
        try TextFile.write(Self.configuration + "unix_socket_directories = '\(folder)'\n", to: "\(folder)/bench.conf")
        let include = "echo \"include '../bench.conf'\" >> '\(data)/postgresql.conf'"
        try ChildProcess.run(self.borrowed(["sh", "-c", include]), output: output)
        do {
            try self.run("pg_ctl", ["-D", data, "-l", "\(folder)/server.log", "-w", "start"])
        } catch {
            self.stop()
            throw error
        }
        self.postmaster = pid_t(TextFile.read("\(data)/postmaster.pid").prefix { $0 != "\n" }) ?? 0
    }

    func stop() {
        _ = try? self.run("pg_ctl", ["-D", "\(self.folder)/data", "-m", "immediate", "-w", "stop"])
    }

    func connectionString(_ database: String) -> String {
        "postgresql://tidemark@/\(database)?host=\(self.folder)"
    }

    func connect(_ database: String) throws -> Database {
        try Database(self.connectionString(database))
    }

    /// What a run begins with: no tables, and nothing left to be written.
    func makeFresh(_ databases: [String]) throws {
        let administration = try self.connect("postgres")
        for database in databases {
            try administration.query("drop database if exists \(database) with (force)")
            try administration.query("create database \(database)")
        }
    }

    func checkpoint() throws {
        try self.connect("postgres").query("checkpoint")
    }

    /// Writes so much WAL once that later runs find its files made, as on a server that has been at work for a while.
    func warmUp(megabytes: Int) throws {
        let administration = try self.connect("postgres")
        for _ in 0..<megabytes {
            try Main.checkInterrupt()
            try administration.query("select pg_logical_emit_message(false, 'warm-up', repeat('x', 1048576))")
        }
        try administration.query("checkpoint")
    }

    /// `PostgreSQL 15.18 …`, and the settings worth knowing.
    func describe() throws -> (version: String, settings: [String]) {
        let administration = try self.connect("postgres")
        let version = try administration.query("show server_version")[0][0]
        let settings = try Self.shown.map { name in "\(name) = \(try administration.query("show \(name)")[0][0])" }
        return (version, settings)
    }

    /// Processor time of the server so far, once the last contestant's session has ended: of the postmaster, of its
    /// processes that have ended, and of those alive.
    func processorSeconds() throws -> Double {
        let administration = try self.connect("postgres")
        let others = "backend_type = 'client backend' and pid <> pg_backend_pid()"
        while try administration.query("select count(*) from pg_stat_activity where \(others)")[0][0] != "0" {
            usleep(1_000)
        }
        // A process that ends meanwhile would count neither as alive nor as ended.
        while true {
            let before = Self.ticks(self.postmaster)
            let alive = self.children().reduce(0) { $0 + Self.ticks($1) }
            guard Self.ticks(self.postmaster) == before else { continue }
            return Double(before + alive) / Double(sysconf(Int32(_SC_CLK_TCK)))
        }
    }

    /// How many bytes of write-ahead log the server has written so far.
    func walBytes() throws -> Int {
        let text = try self.connect("postgres").query("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
        guard let bytes = Int(text[0][0]) else { throw BenchmarkError("no WAL position: \(text)") }
        return bytes
    }

    private func children() -> [pid_t] {
        guard let folder = opendir("/proc") else { return [] }
        defer { closedir(folder) }
        var children: [pid_t] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let process = pid_t(name), Self.status(process).dropFirst().first == Int(self.postmaster) else {
                continue
            }
            children.append(process)
        }
        return children
    }

    /// Processor time of a process and of its children that have ended.
    private static func ticks(_ process: pid_t) -> Int {
        Self.status(process).dropFirst(11).prefix(4).reduce(0, +)
    }

    /// "4711 (postgres) S 1 …": what stands after the name, which may hold anything; the state counts as 0.
    private static func status(_ process: pid_t) -> [Int] {
        let text = TextFile.read("/proc/\(process)/stat")
        guard let end = text.lastIndex(of: ")") else { return [] }
        return text[end...].split(separator: " ").dropFirst().map { Int($0) ?? 0 }
    }

    private func run(_ name: String, _ arguments: [String]) throws {
        try ChildProcess.run(self.borrowed(["\(self.binaries)/\(name)"] + arguments), output: self.output)
    }

    private func borrowed(_ words: [String]) -> [String] {
        self.account.map { ["runuser", "-u", $0, "--"] + words } ?? words
    }
}
