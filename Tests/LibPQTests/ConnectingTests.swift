import Testing

@testable import LibPQ

@Suite(.timeLimit(.minutes(15)))
struct ConnectingTests {
    @Test
    func theServerIsKnownAndSpeaksUTF8() async throws {
        let connection = try await TestServer.connect()
        let result = try await connection.query(
            "SELECT current_setting('client_encoding'), pg_backend_pid(), current_setting('application_name')"
        )
        #expect(try result.text(0, 0) == "UTF8")
        #expect(try result.int32(0, 1) == connection.backendPID)
        #expect(try result.text(0, 2) == "tidemark tests")
    }

    /// What a role or a database may have set otherwise, here set by the connection string.
    @Test(arguments: [
        ("search_path", "public", "pg_catalog, pg_temp"), ("TimeZone", "Asia/Tokyo", "UTC"),
        ("DateStyle", "German", "ISO, YMD"), ("IntervalStyle", "sql_standard", "postgres"),
        ("bytea_output", "escape", "hex"), ("extra_float_digits", "-15", "1"),
        ("standard_conforming_strings", "off", "on"), ("array_nulls", "off", "on"),
        ("quote_all_identifiers", "on", "off"), ("transform_null_equals", "on", "off"),
        ("default_transaction_isolation", "serializable", "read committed"),
        ("default_transaction_read_only", "on", "off"), ("default_transaction_deferrable", "on", "off"),
        ("session_replication_role", "replica", "origin"), ("statement_timeout", "9000", "0"),
        ("lock_timeout", "9000", "0"), ("idle_in_transaction_session_timeout", "9000", "0"),
        ("idle_session_timeout", "9000", "0"), ("client_encoding", "LATIN1", "UTF8"),
        ("transaction_timeout", "9000", "0"),
    ])
    func aSessionSetsWhatItDependsOn(_ name: String, _ other: String, _ expected: String) async throws {
        var options = try TestServer.options()
        if name == "transaction_timeout" {
            let version = try await TestServer.connect().query("select current_setting('server_version_num')::integer")
            guard try version.int32(0, 0) ?? 0 >= 170_000 else { return }
        }
        options.conninfo = try Self.conninfo(options, replacing: ["options": "-c \(name)=\(other)"])
        options.settings = nil
        let untouched = try await Connection.connect(options)
        if name != "client_encoding" {
            #expect(try await untouched.query("select current_setting($1::text)", [.text(name)]).text(0, 0) != expected)
        }
        options.settings = ConnectionOptions.standardSettings
        let connection = try await Connection.connect(options)
        #expect(try await connection.query("select current_setting($1::text)", [.text(name)]).text(0, 0) == expected)
    }

    /// On a busy server a limit of a millisecond ends the command that takes the limit away.
    @Test
    func aLimitOfAMillisecondEndsNoConnecting() async throws {
        var options = try TestServer.options()
        options.conninfo = try Self.conninfo(options, replacing: ["options": "-c statement_timeout=1"])
        options.settings = ConnectionOptions.standardSettings
        try await withThrowingTaskGroup(of: Void.self) { [options] group in
            for _ in 0..<16 {
                group.addTask {
                    for _ in 0..<25 {
                        let connection = try await Connection.connect(options)
                        #expect(try await connection.query("show statement_timeout").text(0, 0) == "0")
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test
    func anUnreachableServerIsNamed() async throws {
        for (conninfo, name) in [
            ("postgresql://u:hush@127.0.0.1:1/db", "127.0.0.1"),
            ("host=/nonexistent-folder dbname=x", "/nonexistent-folder"),
        ] {
            let error = try await postgresError { _ = try await Connection.connect(ConnectionOptions(conninfo)) }
            #expect(error.code == .connectionFailed && error.sqlState == nil && error.isRetriable)
            #expect(error.description.contains(name))
            #expect(!error.debugDescription.contains("hush") && !error.message.contains("\n"))
        }
    }

    @Test
    func aServerThatRefusesIsToldFromOneThatIsNotThere() async throws {
        var options = try TestServer.options()
        options.conninfo = try Self.conninfo(options, replacing: ["dbname": "no such database"])
        let error = try await postgresError { _ = try await Connection.connect(options) }
        #expect(error.code == .connectionFailed && error.sqlState == "3D000" && !error.isRetriable)
        #expect(error.message.contains("FATAL:  database \"no such database\" does not exist"))
        #expect(!error.message.contains("LOCATION"))
    }

    @Test
    func aServerThatDoesNotAnswerIsGivenUp() async throws {
        let server = try SilentServer()
        let options = ConnectionOptions(server.conninfo, connectTimeout: .milliseconds(20))
        let error = try await postgresError { _ = try await Connection.connect(options) }
        #expect(error.code == .connectionFailed && error.isRetriable)
        #expect(error.message.contains(server.directory))
    }

    @Test
    func theNextHostIsTriedWhenOneDoesNotAnswer() async throws {
        let server = try SilentServer()
        var options = try TestServer.options()
        let settings = try options.parsed().get()
        let host = settings.first { $0.keyword == "host" }?.value ?? ""
        let port = settings.first { $0.keyword == "port" }?.value ?? "5432"
        options.conninfo = try Self.conninfo(
            options,
            replacing: ["host": "\(server.directory),\(host)", "port": "5432,\(port)"]
        )
        options.connectTimeout = .milliseconds(20)
        let connection = try await Connection.connect(options)
        #expect(try await connection.query("SELECT 1").int32(0, 0) == 1)
    }

    @Test(arguments: [
        "postgres//user:hush@host/db", "host=h password = my hush", "postgresql://h/db?hush=1", "a=b\0hush",
        "user=u password='hush", "postgres://u:a@hush@h/db", "postgres://u:1/hush@h/db", "postgres://u:hush/x@h/db",
        "postgres://u:hush/db", "postgres://u@h:5432,hush:5433x/db", "host=h port=hush", "host=h port=70000hush",
    ])
    func anUnreadableConnectionStringIsRefusedWithoutRepeatingIt(_ conninfo: String) async throws {
        let options = ConnectionOptions(conninfo)
        let error = try await postgresError { _ = try await Connection.connect(options) }
        #expect(error.code == .invalidOptions && !error.isRetriable)
        #expect(!error.debugDescription.contains("hush"))
        #expect(options.redactedDescription == "(unreadable connection string)")
    }

    @Test(arguments: [
        (
            "postgresql://u:hush@db.example:5433/shop?sslmode=verify-full",
            "user=u password=*** host=db.example port=5433 dbname=shop sslmode=verify-full"
        ),
        ("host=h dbname='two words' password=hush sslpassword=hush", "host=h dbname='two words'"),
        ("shop", "dbname=shop"), ("", "(libpq's defaults)"),
        ("postgres://u:hu%40sh@h:5432,g:5433/a%40b?password=hush@x", "host=h,g port=5432,5433 dbname=a@b"),
        ("postgres://u:hush?b@h,g:,i:1/db", "host=h,g,i dbname=db"),
        ("postgres:///db?host=@abstract", "host=@abstract"),
    ])
    func aDescriptionShowsNoPassword(_ conninfo: String, _ shown: String) {
        let description = ConnectionOptions(conninfo).redactedDescription
        #expect(!description.contains("hush"))
        for part in shown.split(separator: " ") { #expect(description.contains(part)) }
    }

    private static func conninfo(_ options: ConnectionOptions, replacing: [String: String]) throws -> String {
        var settings: [String: String] = [:]
        for setting in try options.parsed().get() { settings[setting.keyword] = setting.value }
        settings.merge(replacing) { $1 }
        return settings.map { "\($0.key)='\($0.value)'" }.joined(separator: " ")
    }
}
