import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import ServiceLifecycle
import Testing
import TidemarkConfiguration
import TidemarkTesting

@testable import TidemarkCommands
@testable import TidemarkService

@Suite("The health server", .timeLimit(.minutes(5)))
struct HTTPServerTests {
    private static let log = RecordedLog()

    /// Runs a body with the address of a server, and ends the server.
    private static func withServer(
        _ board: HealthBoard,
        on address: String = "127.0.0.1:0",
        token: String? = nil,
        tls: ServerSettings.TLS? = nil,
        _ body: (ListenAddress, HTTPServer) async throws -> Void
    ) async throws {
        let (addresses, continuation) = AsyncStream.makeStream(of: ListenAddress.self)
        var settings = ServerSettings(listen: try ListenAddress(address))
        settings.tokens = token.map { [Secret($0)] } ?? []
        settings.tls = tls
        let server = HTTPServer(settings, board: board, logger: Self.log.logger) {
            continuation.yield($0)
        }
        let group = ServiceGroup(services: [server], logger: Self.log.logger)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask {
                // Ends the wait below when the server fails before it listens.
                defer { continuation.finish() }
                try await group.run()
            }
            var iterator = addresses.makeAsyncIterator()
            if let bound = await iterator.next() {
                do {
                    try await body(bound, server)
                } catch {
                    await group.triggerGracefulShutdown()
                    throw error
                }
                await group.triggerGracefulShutdown()
            }
            try await tasks.waitForAll()
        }
    }

    @Test("shows details to those who have a token, where other machines may ask")
    func detailsNeedAToken() async throws {
        let board = HealthBoard(logger: Self.log.logger)
        board.set("source a", .failed, reason: "/var/log/secret.ndjson: permission denied")
        try await Self.withServer(board, on: "0.0.0.0:0", token: "a-token-of-16-bytes") { address, _ in
            for (token, isShown) in [("none", false), ("a-token-of-16-bytes", true)] {
                var request = HTTPClientRequest(url: "http://127.0.0.1:\(address.port)/readyz")
                request.headers.add(name: "authorization", value: "Bearer \(token)")
                let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
                let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
                #expect(response.status.code == 503 && text.contains("secret.ndjson") == isShown, "\(text)")
            }
        }
    }

    private struct Reply {
        var status: UInt
        var headers: HTTPHeaders
        var text: String

        func json() throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(self.text.utf8)) as? [String: Any])
        }
    }

    private static func request(
        _ address: ListenAddress,
        _ path: String,
        method: HTTPMethod = .GET
    ) async throws -> Reply {
        var request = HTTPClientRequest(url: "http://\(address)\(path)")
        request.method = method
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 1 << 20)
        return Reply(status: response.status.code, headers: response.headers, text: String(buffer: body))
    }

    @Test("shows the checks with status, since, reason and remedy")
    func ready() async throws {
        let clock = TestClock()
        let board = HealthBoard(logger: Self.log.logger) { clock.now }
        board.set("database", .running)
        board.set("source logs", .waiting, reason: "no \"a\\b\"/c", remedy: "`tidemark status`")
        try await Self.withServer(board) { address, _ in
            let away = try await Self.request(address, "/readyz")
            #expect(away.status == 503)
            #expect(away.headers["content-type"] == ["application/json"])
            #expect(away.headers["cache-control"] == ["no-store"])
            #expect(
                away.text == """
                    {
                      "checks" : {
                        "database" : {
                          "reason" : null,
                          "remedy" : null,
                          "since" : "2026-03-01T09:30:15.000Z",
                          "status" : "running"
                        },
                        "source logs" : {
                          "reason" : "no \\"a\\\\b\\"/c",
                          "remedy" : "`tidemark status`",
                          "since" : "2026-03-01T09:30:15.000Z",
                          "status" : "waiting"
                        }
                      },
                      "status" : "unavailable"
                    }

                    """
            )
            board.set("source logs", .running)
            let there = try await Self.request(address, "/readyz?verbose=1")
            #expect(there.status == 200)
            #expect(try there.json()["status"] as? String == "ok")
        }
    }

    @Test("says which lane is stuck, and does not depend on the database")
    func healthy() async throws {
        let clock = TestClock()
        let board = HealthBoard(logger: Self.log.logger) { clock.now }
        board.set("database", .waiting, reason: "connection refused")
        board.busy("lane 1")
        clock.advance(seconds: 120)
        try await Self.withServer(board) { address, _ in
            #expect(try await Self.request(address, "/healthz").status == 200)
            board.set("database", .running)
            clock.advance(seconds: 61)
            let stuck = try await Self.request(address, "/healthz")
            #expect(stuck.status == 503)
            let checks = try #require(try stuck.json()["checks"] as? [String: [String: Any]])
            #expect(checks["lane 1"]?["status"] as? String == "failed")
            #expect(checks["lane 1"]?["reason"] as? String == "no progress for 3 min")
            board.beat("lane 1")
            #expect(try await Self.request(address, "/healthz").status == 200)
        }
    }

    @Test("answers other pages and methods in JSON too")
    func refuses() async throws {
        let board = HealthBoard(logger: Self.log.logger)
        board.set("database", .running)
        try await Self.withServer(board) { address, _ in
            let missing = try await Self.request(address, "/health")
            #expect(missing.status == 404 && missing.headers["content-type"] == ["application/json"])
            #expect(
                try missing.json()["error"] as? String == "there is no such page; there are /healthz and /readyz"
            )
            let post = try await Self.request(address, "/readyz", method: .POST)
            #expect(post.status == 405 && post.headers["allow"] == ["GET, HEAD"])
            #expect(try post.json()["error"] as? String == "only GET and HEAD are allowed")
            let head = try await Self.request(address, "/readyz", method: .HEAD)
            #expect(head.status == 200 && head.text.isEmpty)
            #expect(head.headers["content-type"] == ["application/json"])
        }
    }

    /// Such a client takes the end of the connection for that of the answer.
    @Test("closes the connection of a client of HTTP/1.0", arguments: ["", "connection: keep-alive\r\n"])
    func oldClients(_ header: String) async throws {
        let board = HealthBoard(logger: Self.log.logger)
        try await Self.withServer(board) { address, _ in
            let request = "GET /healthz HTTP/1.0\r\n\(header)\r\n"
            // A second request on the same connection finds it ended.
            let answer = try await converse(address.host, address.port, request + request)
            #expect(answer.components(separatedBy: "HTTP/1.1 200 OK\r\n").count == 2, "\(answer)")
        }
    }

    @Test("shows new connections the certificate that was read last")
    func certificate() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func file(_ name: String, _ text: String) throws -> String {
            let file = folder.appendingPathComponent(name)
            try Data(text.utf8).write(to: file)
            return file.path
        }
        let tls = ServerSettings.TLS(
            certificate: try file("now.pem", TestCertificates.server),
            key: try file("now.key", TestCertificates.serverKey)
        )
        var trusting = TLSConfiguration.makeClientConfiguration()
        trusting.trustRoots = .file(try file("renewed.pem", TestCertificates.renewed))
        let board = HealthBoard(logger: Self.log.logger)
        try await Self.withServer(board, tls: tls) { address, server in
            func status() async throws -> UInt {
                try await HTTPClient.withHTTPClient(configuration: .init(tlsConfiguration: trusting)) { client in
                    let request = HTTPClientRequest(url: "https://localhost:\(address.port)/healthz")
                    return try await client.execute(request, timeout: .seconds(30)).status.code
                }
            }
            await #expect(throws: (any Error).self) { try await status() }
            _ = try file("now.pem", TestCertificates.renewed)
            #expect(throws: HTTPServerError.self, "the key is of another one") { try server.reloadCertificate() }
            await #expect(throws: (any Error).self) { try await status() }
            _ = try file("now.key", TestCertificates.renewedKey)
            try server.reloadCertificate()
            #expect(try await status() == 200)
        }
    }

    @Test("listens on IPv6 too")
    func ipv6() async throws {
        let board = HealthBoard(logger: Self.log.logger)
        do {
            try await Self.withServer(board, on: "[::1]:0") { address, _ in
                let page = try await Self.request(address, "/readyz")
                #expect(page.status == 503 && address.description.hasPrefix("[::1]:") && address.port > 0)
            }
        } catch let error as HTTPServerError where "\(error)".contains("cannot assign requested address") {
            // A machine without IPv6.
        }
    }

    @Test("names an address that is taken, and the way out")
    func taken() async throws {
        let board = HealthBoard(logger: Self.log.logger)
        try await Self.withServer(board) { address, _ in
            let error = await #expect(throws: HTTPServerError.self) {
                try await Self.withServer(board, on: address.description) { _, _ in
                    Issue.record("two servers listen on \(address)")
                }
            }
            #expect(
                error?.description == "cannot listen on \(address): address already in use; another program listens "
                    + "there, perhaps another `tidemark run`; choose another address with `--listen` or "
                    + "`server: { listen: \"127.0.0.1:8089\" }`, or none"
            )
            #expect(error.map { CommandFailure(of: $0).code } == ExitStatus.configuration)
        }
    }
}
