internal import CLibPQ
internal import PlatformC

/// Loses the connection around a command, when asked whether to: before it is sent, or after it took effect and before
/// its result is read.
package struct FaultInjector: Sendable {
    package enum Moment: Sendable, Hashable { case before, after }

    let shouldFail: @Sendable (Moment) -> Bool

    package init(_ shouldFail: @escaping @Sendable (Moment) -> Bool) {
        self.shouldFail = shouldFail
    }
}

/// Where and how to connect.
package struct ConnectionOptions: Sendable {
    /// A `postgresql://` URI, or `host=… dbname=…`, or the name of a database. What it does not say, TLS included, comes
    /// from libpq's environment (`PG*`), service file and password file; it may be empty.
    package var conninfo: String
    /// What the server shows this connection as, unless the connection string or `PGAPPNAME` has a name.
    package var applicationName: String
    /// The most that connecting may take, unless the connection string or `PGCONNECT_TIMEOUT` has a limit. Of several
    /// hosts each gets as much.
    package var connectTimeout: Duration
    /// Run on each new connection, after `set statement_timeout = 0`: what the program's statements depend on. A role, a
    /// database or a server may have set any of it otherwise. `nil` leaves the session as it is.
    package var settings: String? = Self.standardSettings
    /// Can interrupt the commands of the connections.
    package var interruptions: ConnectionInterruptions?
    /// Strikes at commands; for tests.
    package var faults: FaultInjector?

    /// Names mean PostgreSQL's own objects, values are written in one form, each statement sees what was committed before
    /// it, triggers fire, and no limit ends a transaction that waits (`statement_timeout` is set before these).
    /// `transaction_timeout` came with PostgreSQL 17. Only a superuser may set `session_replication_role`, so it is set
    /// only where it was changed.
    package static let standardSettings = """
        set search_path = pg_catalog, pg_temp;
        select set_config('transaction_timeout', '0', false)
        where current_setting('server_version_num')::integer >= 170000;
        set timezone = 'UTC';
        set datestyle = 'ISO, YMD';
        set intervalstyle = 'postgres';
        set bytea_output = 'hex';
        set extra_float_digits = 1;
        set standard_conforming_strings = on;
        set array_nulls = on;
        set quote_all_identifiers = off;
        set transform_null_equals = off;
        set default_transaction_isolation = 'read committed';
        set default_transaction_read_only = off;
        set default_transaction_deferrable = off;
        set lock_timeout = 0;
        set idle_in_transaction_session_timeout = 0;
        set idle_session_timeout = 0;
        select set_config('session_replication_role', 'origin', false)
        where current_setting('session_replication_role') <> 'origin'
        """

    package init(
        _ conninfo: String = "",
        applicationName: String = "tidemark",
        connectTimeout: Duration = .seconds(10)
    ) {
        self.conninfo = conninfo
        self.applicationName = applicationName
        self.connectTimeout = connectTimeout
    }

    /// The connection string as keywords and values, without passwords.
    package var redactedDescription: String {
        switch self.parsed() {
        case .failure: "(unreadable connection string)"
        case .success(let settings) where settings.isEmpty: "(libpq's defaults)"
        case .success(let settings):
            settings.map { "\($0.keyword)=\(Self.quoted($0.isSecret ? "***" : $0.value))" }.joined(separator: " ")
        }
    }

    /// The database that the connection string or `PGDATABASE` names; `nil` where libpq takes the user's name.
    package var databaseName: String? {
        let name = try? self.parsed().get().first { $0.keyword == "dbname" }?.value
        return name ?? getenv("PGDATABASE").map { String(cString: $0) }
    }

    /// - Throws: `.invalidOptions` where libpq cannot read the connection string, or would misread it.
    package func check() throws(PostgresError) { _ = try self.parsed().get() }

    struct Setting {
        var keyword: String
        var value: String
        var isSecret: Bool
    }

    /// Reads the connection string as libpq will.
    func parsed() -> Result<[Setting], PostgresError> {
        guard !self.conninfo.utf8.contains(0) else {
            return .failure(PostgresError(.invalidOptions, "the connection string has a NUL in it"))
        }
        let isURI = ["postgresql://", "postgres://"].contains { self.conninfo.utf8.starts(with: $0.utf8) }
        if !isURI, !self.conninfo.utf8.contains(UInt8(ascii: "=")) {
            // libpq takes anything else for the name of a database, and would repeat it, password and all, in its
            // complaint that there is no such database.
            guard self.conninfo.utf8.allSatisfy({ $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "@") }) else {
                return .failure(
                    PostgresError(.invalidOptions, "the connection string is no URI: those begin with postgresql://")
                )
            }
            if self.conninfo.isEmpty { return .success([]) }
            return .success([Setting(keyword: "dbname", value: self.conninfo, isSecret: false)])
        }
        var complaint: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(self.conninfo, &complaint) else {
            defer { PQfreemem(complaint) }
            let text = complaint.map { String(cString: $0) } ?? "out of memory"
            return .failure(
                PostgresError(.invalidOptions, "the connection string cannot be read: \(Self.withoutQuotes(text))")
            )
        }
        defer { PQconninfoFree(options) }
        var settings: [Setting] = []
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val {
                // libpq marks what a password dialogue should hide.
                let isSecret = option.pointee.dispchar.map { $0.pointee == CChar(UInt8(ascii: "*")) } ?? false
                settings.append(
                    Setting(keyword: String(cString: keyword), value: String(cString: value), isSecret: isSecret)
                )
            }
            option += 1
        }
        if let complaint = self.mistake(isURI: isURI, settings) {
            return .failure(PostgresError(.invalidOptions, "the connection string cannot be read: \(complaint)"))
        }
        return .success(settings)
    }

    /// What libpq would take, and repeat in the complaint that there is no such host, port or database: in a URI an `@`
    /// or a `/` that was not escaped ends the password, and its rest is taken for the host, the port or the database.
    private func mistake(isURI: Bool, _ settings: [Setting]) -> String? {
        let escaping = "; write %40 for an @ in a password and %2F for a /"
        if isURI, let scheme = self.conninfo.firstRange(of: "://") {
            var address = self.conninfo[scheme.upperBound...].utf8[...]
            // As libpq looks for the end of user and password.
            if let end = address.firstIndex(where: { $0 == UInt8(ascii: "@") || $0 == UInt8(ascii: "/") }),
                address[end] == UInt8(ascii: "@")
            {
                address = address[address.index(after: end)...]
            }
            if address.prefix(while: { $0 != UInt8(ascii: "?") }).contains(UInt8(ascii: "@")) {
                return "it has an @ behind the one that ends user and password\(escaping)"
            }
        }
        // Several hosts may have a port each; an empty one is the default.
        let ports = settings.first { $0.keyword == "port" }?.value.split(separator: ",") ?? []
        let isPort = { (text: Substring) in
            let digits = text.filter { !$0.isWhitespace }
            return digits.allSatisfy { ("0"..."9").contains($0) } && (digits.isEmpty || UInt16(digits) ?? 0 > 0)
        }
        return ports.allSatisfy(isPort)
            ? nil : "its port is no number from 1 to 65535\(isURI ? escaping : "")"
    }

    /// libpq's complaints quote the piece they are about, and that may be a password.
    private static func withoutQuotes(_ text: String) -> String {
        let line = PostgresError.oneLine(text)
        guard let first = line.firstIndex(of: "\""), let last = line.lastIndex(of: "\""), first < last else {
            return line
        }
        return line[...first] + "…" + line[last...]
    }

    private static func quoted(_ value: String) -> String {
        let isPlain = !value.isEmpty && !value.contains { $0.isWhitespace || $0 == "'" || $0 == "\\" }
        if isPlain { return value }
        let escaped = value.flatMap { $0 == "'" || $0 == "\\" ? ["\\", $0] : [$0] }
        return "'\(String(escaped))'"
    }
}
