import Foundation
import Logging
import Subprocess
import Testing
import TidemarkEphemeral

/// `--ephemeral` with what is in the folder already.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct EphemeralTests {
    @Test
    func aCommandThatReadsMakesNoServer() async throws {
        try await withScratchFolder { scratch in
            let folder = scratch + "/typo"
            for arguments in [
                ["status"], ["deadletters", "list"], ["deliveries", "list"], ["drop", "orders", "--yes"],
                ["pause", "orders"],
            ] {
                let result = try await Self.run(arguments, folder)
                #expect(result.status == 78, "\(arguments): \(result.error)")
                #expect(result.error.contains("there is no private server in \(folder)"), "\(result.error)")
                #expect(!FileManager.default.fileExists(atPath: folder))
            }
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            #expect(try await Self.run(["status"], folder).status == 78)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }

    @Test
    func aServerThatRanBeforeKeepsRunning() async throws {
        try await withScratchFolder { scratch in
            let folder = scratch + "/db"
            #expect(try await Self.run(["migrate", "--keep-server"], folder).status == 0)
            let process = try #require(Self.postmaster(folder))
            let status = try await Self.run(["status"], folder)
            #expect(status.status == 0 && !status.error.contains("to stop it"), "\(status.error)")
            #expect(Self.postmaster(folder) == process)
            let migrate = try await Self.run(["migrate"], folder)
            #expect(Self.postmaster(folder) == process)
            let stop = try #require(migrate.error.split(separator: "\n").last, "\(migrate.error)")
            try await Self.shell(String(stop))
            #expect(Self.postmaster(folder) == nil)

            // One that did not run is stopped again.
            #expect(try await Self.run(["status"], folder).status == 0)
            #expect(Self.postmaster(folder) == nil)
        }
    }

    @Test
    func aFolderThatOthersMayWriteOrThatIsALinkIsRefused() async throws {
        try await withScratchFolder { scratch in
            let (open, real, link) = (scratch + "/open", scratch + "/real", scratch + "/link")
            for folder in [open, real] {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            }
            chmod(open, 0o775)
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: real)
            for (folder, reason) in [(open, "others may write"), (link, "is a link"), (link + "/", "is a link")] {
                let result = try await Self.run(["migrate"], folder)
                #expect(result.status == 78 && result.error.contains(reason), "\(result.error)")
            }
            for folder in [open, real] { #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty) }
        }
    }

    @Test(.enabled(if: geteuid() == 0))
    func asRootAFolderOfAnotherOwnerIsRefused() async throws {
        try await withScratchFolder { scratch in
            let empty = scratch + "/empty"
            let marked = scratch + "/marked"
            for folder in [empty, marked] {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            }
            try Self.mark(marked)
            #expect(chown(empty, 1, 1) == 0 && chown(marked + "/.tidemark-ephemeral", 1, 1) == 0)
            for folder in [empty, marked] {
                let result = try await Self.run(["migrate"], folder)
                #expect(result.status == 78 && result.error.contains(" belongs to "), "\(result.error)")
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: empty).isEmpty)
            #expect(try FileManager.default.contentsOfDirectory(atPath: marked) == [".tidemark-ephemeral"])
        }
    }

    @Test
    func theServerOfAnotherFolderIsLeftAlone() async throws {
        try await withScratchFolder { scratch in
            let folder = scratch + "/db"
            let files = FileManager.default
            #expect(try await Self.run(["migrate", "--keep-server"], folder).status == 0)
            let process = try #require(Self.postmaster(folder))
            let (linked, copied) = (scratch + "/linked", scratch + "/copied")
            for other in [linked, copied] {
                try files.createDirectory(atPath: other, withIntermediateDirectories: false)
                try Self.mark(other)
            }
            try files.createSymbolicLink(atPath: linked + "/data", withDestinationPath: folder + "/data")
            try await Self.shell("cp -a '\(folder)/data' '\(copied)/data'")
            for (other, reason) in [(linked, "links are not followed"), (copied, "names process \(process)")] {
                for command in ["status", "migrate"] {
                    let result = try await Self.run([command], other)
                    #expect(result.status == 78 && result.error.contains(reason), "\(result.error)")
                    #expect(Self.postmaster(folder) == process)
                }
            }
            try await Self.stop(folder)
        }
    }

    @Test
    func aServerOfAnotherNameIsLeftAlone() async throws {
        try await withScratchFolder { scratch in
            let folder = scratch + "/db"
            let server = try await EphemeralServer.start(
                at: folder,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            try await Self.shell(server.psqlCommand + " -XAtc \"alter system set cluster_name = 'production'\"")
            try await server.stop()
            let stopped = try await Self.run(["migrate"], folder)
            #expect(stopped.status == 78 && stopped.error.contains("\"production\""), "\(stopped.error)")
            #expect(Self.postmaster(folder) == nil)
            try await Self.shell(server.restartCommand)
            let process = try #require(Self.postmaster(folder))
            for command in ["status", "migrate"] {
                let running = try await Self.run([command], folder)
                #expect(running.status == 78 && running.error.contains("\"production\""), "\(running.error)")
            }
            #expect(Self.postmaster(folder) == process)
            try await Self.shell(server.stopCommand)
        }
    }

    // MARK: - Helpers

    private static func run(_ arguments: [String], _ folder: String) async throws -> TidemarkProcess.Result {
        try await TidemarkProcess.run(arguments + ["--ephemeral", folder])
    }

    private static func mark(_ folder: String) throws {
        let marker = folder + "/.tidemark-ephemeral"
        try "tidemark-ephemeral 1\n".write(toFile: marker, atomically: false, encoding: .utf8)
    }

    /// The process of the folder's server, if it is alive.
    private static func postmaster(_ folder: String) -> pid_t? {
        guard let text = try? String(contentsOfFile: folder + "/data/postmaster.pid", encoding: .utf8),
            let process = text.split(separator: "\n").first.flatMap({ pid_t($0) }), kill(process, 0) == 0
        else { return nil }
        return process
    }

    private static func stop(_ folder: String) async throws {
        let migrate = try await Self.run(["migrate"], folder)
        let line = try #require(migrate.error.split(separator: "\n").last, "\(migrate.error)")
        try await Self.shell(String(line))
    }

    private static func shell(_ line: String) async throws {
        let result = try await Subprocess.run(
            .name("sh"),
            arguments: ["-c", line],
            output: .discarded,
            error: .string(limit: 1 << 16)
        )
        try #require(result.terminationStatus.isSuccess, "\(line): \(result.standardError)")
    }
}

/// A folder that the server's account can enter also when root runs the tests.
private func withScratchFolder(_ body: (String) async throws -> Void) async throws {
    let scratch = "/tmp/ephemeral-test-" + UUID().uuidString.prefix(8)
    let files = FileManager.default
    try files.createDirectory(atPath: scratch, withIntermediateDirectories: false)
    chmod(scratch, 0o755)
    defer { try? files.removeItem(atPath: scratch) }
    try await body(scratch)
}
