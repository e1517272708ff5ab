import PlatformC

/// The installed PostgreSQL that a private server runs on.
struct PostgresInstallation: Sendable {
    static let majorMin = 14

    /// Holds `postgres`, `initdb`, `pg_ctl` and `pg_isready`.
    let binaries: String
    let major: Int

    func program(_ name: String) -> String { self.binaries + "/" + name }

    /// Searches `PATH`, then the folder that `pg_config` prints, then the folders of packages; the first match counts.
    /// - Parameter major: the version that an existing data folder needs.
    static func find(
        major wanted: Int?,
        path: String? = getenv("PATH").map { String(cString: $0) },
        account: ServerAccount,
        packaged: [String] = packagedFolders()
    ) async throws -> PostgresInstallation {
        let programs = ServerProgram(account: account)
        let folders = (path ?? "").split(separator: ":").map(String.init).filter { $0.hasPrefix("/") }
        var candidates = folders.compactMap { Self.resolve($0 + "/postgres") }
        for folder in folders where access(folder + "/pg_config", X_OK) == 0 {
            let answer = try? await programs.run(folder + "/pg_config", ["--bindir"])
            guard let answer, answer.isSuccess else { continue }
            let bin = String(answer.output.prefix { $0 != "\n" })
            if let found = Self.resolve(bin + "/postgres") { candidates.append(found) }
        }
        candidates += packaged.compactMap { Self.resolve($0 + "/postgres") }

        var tried: Set<String> = []
        var versions: [Int] = []
        for candidate in candidates where tried.insert(candidate).inserted {
            let complete = ["initdb", "pg_ctl", "pg_isready"].allSatisfy { access(candidate + "/" + $0, X_OK) == 0 }
            guard complete, let answer = try? await programs.run(candidate + "/postgres", ["--version"]),
                let major = Self.major(of: answer.output)
            else { continue }
            versions.append(major)
            if wanted == major || (wanted == nil && major >= Self.majorMin) {
                return PostgresInstallation(binaries: candidate, major: major)
            }
        }
        throw Self.missing(wanted: wanted, found: versions)
    }

    /// The folders in which Debian, Red Hat, Homebrew and the source build put the programs, newest first.
    static func packagedFolders() -> [String] {
        let versioned = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"]
        return versioned.flatMap { pattern in
            Self.glob(pattern).sorted { Self.firstNumber(in: $0) > Self.firstNumber(in: $1) }
        } + ["/usr/local/pgsql/bin"]
    }

    private static func missing(wanted: Int?, found: [Int]) -> EphemeralServerError {
        if let wanted {
            return EphemeralServerError(
                code: .programsMissing,
                message: "this folder was made with PostgreSQL \(wanted), which is not installed: install it "
                    + "(Debian and Ubuntu: apt-get install postgresql-\(wanted)), or name another folder"
            )
        }
        let seen = found.isEmpty ? "" : " (found only \(found.map(String.init).joined(separator: ", ")))"
        return EphemeralServerError(
            code: .programsMissing,
            message: "no PostgreSQL \(Self.majorMin) or newer is installed\(seen): install one "
                + "(Debian and Ubuntu: apt-get install postgresql), put its programs on PATH, "
                + "or name a running server with --database"
        )
    }

    /// The folder of `program` with links resolved, because `/usr/local/bin` may link single programs.
    private static func resolve(_ program: String) -> String? {
        guard access(program, X_OK) == 0, let real = realpath(program, nil) else { return nil }
        defer { free(real) }
        let path = String(cString: real)
        return path.lastIndex(of: "/").map { String(path[..<$0]) }
    }

    /// `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)` and `… 18beta1` alike.
    static func major(of version: String) -> Int? {
        guard let name = version.firstRange(of: "(PostgreSQL) ") else { return nil }
        return Int(version[name.upperBound...].prefix { $0.isASCII && $0.isNumber })
    }

    private static func firstNumber(in path: String) -> Int {
        Int(path.drop { !($0.isASCII && $0.isNumber) }.prefix { $0.isASCII && $0.isNumber }) ?? 0
    }

    private static func glob(_ pattern: String) -> [String] {
        var found = glob_t()
        defer { globfree(&found) }
        let status = PlatformC.glob(pattern, 0, nil, &found)
        guard status == 0, let paths = found.gl_pathv else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { index in paths[index].map { String(cString: $0) } }
    }
}
