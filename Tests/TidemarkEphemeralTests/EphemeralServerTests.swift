import Foundation
import Logging
import Subprocess
import Testing

@testable import TidemarkEphemeral

@Suite(.serialized, .timeLimit(.minutes(15)))
struct EphemeralServerTests {
    @Test func keepsItsDataFromOneStartToTheNext() async throws {
        try await withScratchFolder { scratch in
            let server = try await start(scratch + "/a/db")
            #expect(!server.wasRunning)
            #expect(try await query(server, "create table t (x text); insert into t values ('Å,1')") == "INSERT 0 1")
            #expect(try await query(server, "select current_user || current_database()") == "tidemarktidemark")
            try await server.stop()
            try await server.stop()
            #expect(try await query(server, "select 1") == nil)

            let again = try await start(scratch + "/a/db/")
            #expect(again.connectionString == server.connectionString)
            #expect(try await query(again, "select lower(x) from t") == "å,1")
            try await again.stop()
        }
    }

    @Test func isDurableAndReachableOnlyThroughAPrivateFolder() async throws {
        try await withScratchFolder { scratch in
            let server = try await start(scratch + "/db")
            for (setting, expected) in [
                ("listen_addresses", ""), ("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on"),
                ("server_encoding", "UTF8"), ("lc_collate", "C"), ("max_wal_size", "4GB"), ("TimeZone", "UTC"),
            ] {
                #expect(try await query(server, "show \(setting)") == expected, "\(setting)")
            }
            for folder in ["socket", "data"] {
                let status = try #require(FileStatus(scratch + "/db/" + folder))
                #expect(status.permissions == 0o700)
                #expect(status.owner != 0)
            }
            #expect(FileStatus(scratch + "/db")?.owner == geteuid())
            // A Ctrl-C goes to the foreground processes of one session.
            #expect(try getsid(postmaster(of: scratch + "/db")) != getsid(0))
            try await server.stop()
        }
    }

    @Test func leavesAForeignFolderAsItIs() async throws {
        try await withScratchFolder { scratch in
            try "mine".write(toFile: scratch + "/notes.txt", atomically: true, encoding: .utf8)
            let error = await #expect(throws: EphemeralServerError.self) { try await start(scratch) }
            #expect(error?.code == .foreignDirectory)
            #expect(error?.exitCode == 78)
            #expect(error?.message.contains(scratch) == true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: scratch) == ["notes.txt"])

            let file = await #expect(throws: EphemeralServerError.self) { try await start(scratch + "/notes.txt") }
            #expect(file?.code == .directoryUnusable)
            let below = await #expect(throws: EphemeralServerError.self) { try await start(scratch + "/notes.txt/db") }
            #expect(below?.code == .directoryUnusable)

            let other = scratch + "/newer"
            try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: false)
            try "tidemark-ephemeral 9\n".write(
                toFile: other + "/.tidemark-ephemeral",
                atomically: true,
                encoding: .utf8
            )
            let newer = await #expect(throws: EphemeralServerError.self) { try await start(other) }
            #expect(newer?.code == .foreignDirectory)
        }
    }

    @Test func startsAfterTheServerWasKilled() async throws {
        try await withScratchFolder { scratch in
            let server = try await start(scratch + "/db")
            #expect(try await query(server, "create table t as select generate_series(1, 1000) as x") == "SELECT 1000")
            #expect(kill(try postmaster(of: scratch + "/db"), SIGKILL) == 0)
            await server.leaveRunning()

            let again = try await start(scratch + "/db")
            #expect(!again.wasRunning)
            #expect(try await query(again, "select count(*) from t") == "1000")
            try await again.stop()
        }
    }

    @Test func takesOverAServerThatWasLeftRunning() async throws {
        try await withScratchFolder { scratch in
            let server = try await start(scratch + "/db")
            let busy = await #expect(throws: EphemeralServerError.self) { try await start(scratch + "/db") }
            #expect(busy?.code == .inUse)
            #expect(busy?.exitCode == 1)
            await server.leaveRunning()

            let again = try await start(scratch + "/db")
            #expect(again.wasRunning)
            #expect(again.connectionString == server.connectionString)
            #expect(try await query(again, "select 1") == "1")
            try await again.stop()
            #expect(try await query(again, "select 1") == nil)
            #expect(throws: (any Error).self) { try postmaster(of: scratch + "/db") }
        }
    }

    @Test(arguments: ["/" + String(repeating: "long/", count: 25) + "db", "/it's $(touch x) \"`&, db"])
    func takesAnyPath(_ path: String) async throws {
        try await withScratchFolder { scratch in
            let server = try await start(scratch + path)
            #expect(try await query(server, "create table t as select 1 as x") == "SELECT 1")
            try await server.stop()

            // The command it prints starts it again, on the same socket, for the next run to take over.
            let restarted = try await Subprocess.run(
                .name("sh"),
                arguments: ["-c", server.restartCommand],
                output: .string(limit: 1 << 16),
                error: .string(limit: 1 << 16)
            )
            #expect(restarted.terminationStatus.isSuccess, "\(restarted.standardError)")
            let line = try await Subprocess.run(
                .name("sh"),
                arguments: ["-c", server.psqlCommand + " -XAtc 'select x from t'"],
                output: .string(limit: 1 << 16)
            )
            #expect(line.standardOutput == "1\n")
            let again = try await start(scratch + path)
            #expect(again.wasRunning)
            #expect(again.connectionString == server.connectionString)
            try await again.stop()
            if let folder = socketFolderElsewhere(again) { try FileManager.default.removeItem(atPath: folder) }

            let elsewhere = try await start(scratch + path)
            #expect(try await query(elsewhere, "select x from t") == "1")
            try await elsewhere.stop()
            if let folder = socketFolderElsewhere(elsewhere) { try FileManager.default.removeItem(atPath: folder) }
        }
    }

    @Test func finishesAFolderWhoseMakingWasInterrupted() async throws {
        try await withScratchFolder { scratch in
            let half = scratch + "/db/data.new/base"
            try FileManager.default.createDirectory(atPath: half, withIntermediateDirectories: true)
            try "".write(toFile: scratch + "/db/.tidemark-ephemeral", atomically: false, encoding: .utf8)
            // An empty marker vouches for nothing else.
            let error = await #expect(throws: EphemeralServerError.self) { try await start(scratch + "/db") }
            #expect(error?.code == .foreignDirectory)

            try "tidemark-ephemeral 1\n".write(
                toFile: scratch + "/db/.tidemark-ephemeral",
                atomically: false,
                encoding: .utf8
            )
            let server = try await start(scratch + "/db")
            #expect(try await query(server, "select 1") == "1")
            try await server.stop()
        }
    }

    @Test func ofTwoThatStartAtOnceOneGetsTheFolder() async throws {
        try await withScratchFolder { scratch in
            let results = await withTaskGroup(of: Result<EphemeralServer, any Error>.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        do { return .success(try await start(scratch + "/db")) } catch { return .failure(error) }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            var servers = 0
            for result in results {
                switch result {
                case .success(let server):
                    servers += 1
                    try await server.stop()
                case .failure(let error): #expect((error as? EphemeralServerError)?.code == .inUse)
                }
            }
            #expect(servers == 1)
        }
    }

    @Test func aCancelledStartLeavesNoServerBehind() async throws {
        try await withScratchFolder { scratch in
            let server = try await start(scratch + "/db")
            try await server.stop()
            let task = Task { try await start(scratch + "/db") }
            task.cancel()
            _ = await #expect(throws: (any Error).self) { try await task.value }
            #expect(throws: (any Error).self) { try postmaster(of: scratch + "/db") }
            let again = try await start(scratch + "/db")
            #expect(!again.wasRunning)
            try await again.stop()
        }
    }

    @Test(.enabled(if: geteuid() == 0))
    func asRootNamesTheFolderThatTheServerCannotEnter() async throws {
        try await withScratchFolder { scratch in
            let closed = scratch + "/closed"
            try FileManager.default.createDirectory(
                atPath: closed,
                withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700]
            )
            let error = await #expect(throws: EphemeralServerError.self) { try await start(closed + "/a/db") }
            #expect(error?.code == .directoryUnusable)
            #expect(error?.exitCode == 78)
            #expect(error?.message.contains("enter \(closed):") == true)
            #expect(FileStatus(closed)?.permissions == 0o700)
            #expect(try FileManager.default.contentsOfDirectory(atPath: closed).isEmpty)
        }
    }

    @Test func saysWhatToInstall() async throws {
        let account = try ServerAccount.choose(ownerOfData: nil)
        for (wanted, package) in [(nil, "apt-get install postgresql)"), (97, "apt-get install postgresql-97)")] {
            let error = await #expect(throws: EphemeralServerError.self) {
                try await PostgresInstallation.find(major: wanted, path: "/nowhere", account: account, packaged: [])
            }
            #expect(error?.code == .programsMissing)
            #expect(error?.message.contains(package) == true)
        }
        // Debian keeps the server's programs out of PATH.
        let found = try await PostgresInstallation.find(major: nil, account: account)
        #expect(found.major >= 14)
        #expect(PostgresInstallation.major(of: "postgres (PostgreSQL) 18beta1") == 18)
        #expect(PostgresInstallation.major(of: "something else") == nil)
    }

    @Test func quotesForTheShellAndForAURI() {
        #expect(ShellWord.line(["a", "", "it's $x"]) == #"a '' 'it'\''s $x'"#)
        // An apostrophe ends the word whatever mark follows it.
        #expect(Array(ShellWord.quoted("'\u{301}; x").utf8) == Array("''\\''\u{301}; x'".utf8))
        #expect(
            EphemeralServer.connectionString(socketFolder: "/tmp/a b&ü")
                == "postgresql://tidemark@/tidemark?host=/tmp/a%20b%26%C3%BC&port=5432"
        )
    }
}

// MARK: - Helpers

private func start(_ directory: String) async throws -> EphemeralServer {
    try await EphemeralServer.start(at: directory, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
}

/// The first line of what `psql` prints; `nil` if it could not connect.
private func query(_ server: EphemeralServer, _ sql: String) async throws -> String? {
    let result = try await Subprocess.run(
        .name("psql"),
        arguments: ["-XAt", "-v", "ON_ERROR_STOP=1", "-c", sql, server.connectionString],
        output: .string(limit: 1 << 16),
        error: .string(limit: 1 << 16)
    )
    guard result.terminationStatus.isSuccess else { return nil }
    return result.standardOutput.split(separator: "\n", omittingEmptySubsequences: false).dropLast().last.map(
        String.init
    )
}

private func postmaster(of directory: String) throws -> pid_t {
    let text = try String(contentsOfFile: directory + "/data/postmaster.pid", encoding: .utf8)
    return try #require(text.split(separator: "\n").first.flatMap { pid_t($0) })
}

/// The socket's folder under `/tmp`, where the path of the server's own would not do.
private func socketFolderElsewhere(_ server: EphemeralServer) -> String? {
    guard let start = server.connectionString.firstRange(of: "host=/tmp/tidemark-"),
        let end = server.connectionString.firstRange(of: "&port")
    else { return nil }
    let folder = server.connectionString[start.upperBound..<end.lowerBound]
    return folder.contains("/") ? nil : "/tmp/tidemark-" + folder
}

/// A folder that the server's account can reach also when root runs the tests. Stops what a failed test left running.
private func withScratchFolder(_ body: (String) async throws -> Void) async throws {
    let scratch = "/tmp/ephemeral-test-" + UUID().uuidString.prefix(8)
    try FileManager.default.createDirectory(
        atPath: scratch,
        withIntermediateDirectories: false,
        attributes: [.posixPermissions: 0o755]
    )
    do { try await body(scratch) } catch {
        try? FileManager.default.removeItem(atPath: scratch)
        throw error
    }
    try FileManager.default.removeItem(atPath: scratch)
}
