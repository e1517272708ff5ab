package import Logging

/// A private PostgreSQL in a folder of its own: no TCP, a Unix socket that only its account can reach, default
/// durability.
///
/// The data persists for the next start in the same folder, after a clean stop, `kill -9` of the server or of Tidemark,
/// or a power failure. A server that an earlier run left running is used.
///
/// The folder is held by one process at a time, until ``stop()`` or ``leaveRunning()``. The server runs in a session of
/// its own, which Ctrl-C at the terminal does not reach, so that the current batch can still be committed.
package actor EphemeralServer {
    package static let database = "tidemark"
    package static let user = "tidemark"
    /// Part of the socket's name. No port is opened on the network.
    package static let port = 5432

    /// A libpq URI.
    package nonisolated let connectionString: String
    /// A line for a POSIX shell that opens a session in this database.
    package nonisolated let psqlCommand: String
    /// A line for a POSIX shell that starts this server again.
    package nonisolated let restartCommand: String
    /// A line for a POSIX shell that stops this server.
    package nonisolated let stopCommand: String
    /// Whether an earlier run had left the server running.
    package nonisolated let wasRunning: Bool
    /// Absolute, without links.
    package nonisolated let directory: String

    private let cluster: EphemeralCluster
    private var held: EphemeralDirectory?
    private var stopping: Task<Void, any Error>?

    /// Starts the server of `directory`, making it first if there is none.
    /// - Parameter directory: absent, empty, or made by an earlier call; anything else is refused untouched.
    /// - Parameter makes: whether to make the server if there is none.
    /// - Parameter startLimit: how long the server may take until it accepts connections, crash recovery included.
    /// - Throws: ``EphemeralServerError``; `CancellationError`, and then the server is stopped again.
    package static func start(
        at directory: String,
        makes: Bool = true,
        startLimit: Duration = .seconds(600),
        logger: Logger
    ) async throws -> EphemeralServer {
        let survey = try EphemeralDirectory.survey(directory)
        guard makes || survey.ownerOfData != nil else { throw Self.absent(survey.path) }
        let account = try ServerAccount.choose(ownerOfData: survey.ownerOfData)
        try await EphemeralCluster.checkAccess(to: survey, account: account)
        let installation = try await PostgresInstallation.find(major: survey.major, account: account)
        let held = try EphemeralDirectory.take(survey, account: account)
        let cluster = EphemeralCluster(directory: held.path, account: account, installation: installation)

        if let socketFolder = try await cluster.runningSocketFolder(startLimit: startLimit) {
            logger.info("the private PostgreSQL runs already", metadata: ["directory": "\(held.path)"])
            return EphemeralServer(cluster, held: held, socketFolder: socketFolder, wasRunning: true)
        }
        let socketFolder = try held.socketFolder(port: Self.port)
        try held.prepareLog()
        try held.writeSettings(EphemeralCluster.settings(socketFolder: socketFolder, port: Self.port))
        if survey.ownerOfData != nil {
            try await cluster.refuseForeignData()
        } else {
            logger.info("making a private PostgreSQL", metadata: ["directory": "\(held.path)"])
            try held.makePrivateFolder(cluster.draft)
            try await cluster.make(user: Self.user, database: Self.database)
        }
        try await cluster.start(startLimit: startLimit)
        logger.info(
            "started a private PostgreSQL",
            metadata: ["directory": "\(held.path)", "version": "\(installation.major)", "account": "\(account.name)"]
        )
        return EphemeralServer(cluster, held: held, socketFolder: socketFolder, wasRunning: false)
    }

    private init(
        _ cluster: EphemeralCluster,
        held: consuming EphemeralDirectory,
        socketFolder: String,
        wasRunning: Bool
    ) {
        self.cluster = cluster
        self.directory = cluster.directory
        self.held = consume held
        self.wasRunning = wasRunning
        self.connectionString = Self.connectionString(socketFolder: socketFolder)
        self.psqlCommand = ShellWord.line([cluster.psql, self.connectionString])
        self.restartCommand = cluster.restartCommand
        self.stopCommand = cluster.stopCommand
    }

    private static func absent(_ path: String) -> EphemeralServerError {
        EphemeralServerError(
            code: .absent,
            message:
                "there is no private server in \(path), and this command makes none: name the folder of an earlier "
                + "`tidemark replay --ephemeral`"
        )
    }

    /// Stops the server, which rolls back open transactions. Waits for its end, also in a cancelled task, and unlocks
    /// the folder. A second call waits for the first.
    package func stop() async throws {
        if let stopping = self.stopping { return try await stopping.value }
        guard self.held != nil else { return }
        let cluster = self.cluster
        let stopping = Task { try await cluster.stop() }
        self.stopping = stopping
        defer { self.held = nil }
        try await stopping.value
    }

    /// Unlocks the folder and leaves the server running: the next ``start(at:startLimit:logger:)`` takes it over.
    package func leaveRunning() {
        guard self.stopping == nil else { return }
        self.held = nil
    }

    /// The port is given, because `PGPORT` would be used otherwise.
    static func connectionString(socketFolder: String) -> String {
        var host = ""
        for byte in socketFolder.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: "."), UInt8(ascii: "~"):
                host.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let hex = String(byte, radix: 16, uppercase: true)
                host += "%" + (hex.count == 1 ? "0" : "") + hex
            }
        }
        return "postgresql://\(Self.user)@/\(Self.database)?host=\(host)&port=\(Self.port)"
    }
}
