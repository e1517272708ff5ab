import AsyncHTTPClient
import Foundation
import LibPQ
import NIOCore
import NIOHTTP1
import Testing
import TidemarkTesting

/// Events over HTTP: each request is answered by what its own messages came to, once they are committed.
@Suite("HTTP source", .freshDatabase, .timeLimit(.minutes(10)))
struct HTTPSourceTests {
    static let token = "0123456789abcdef-token"

    static func configuration(_ more: String = "") -> String {
        """
        lanes: 3
        server: { listen: "127.0.0.1:0", tokens: ["\(Self.token)", "another-token-of-length"], request_bytes: 4MiB }
        limits: { message_bytes: 64KiB }
        sources: [{ name: push, type: http }]
        projections:
          - name: orders
            from: [shop.orders]
            key: id
            sequence: version
            columns: { id: bigint, version: bigint, status: text }
          - name: lean
            from: [shop.orders]
            key: id
            sequence: version
            timeline: false
            columns: { id: bigint, version: bigint }

        """ + more
    }

    static func event(_ id: Int, _ version: Int) -> String {
        #"{"table":"shop.orders","op":"update","after":{"id":\#(id),"version":\#(version),"status":"s\#(version)"}}"#
    }

    /// What requests sent one after the other come to.
    private struct Model {
        var seen: Set<[Int]> = []
        var greatest: [Int: Int] = [:]

        mutating func counts(_ events: [(id: Int, version: Int)], broken: Int) -> [String: Int] {
            var (applied, late, duplicate) = (0, 0, 0)
            for (id, version) in events {
                let greatest = self.greatest[id] ?? 0
                // `orders` knows each event it has seen; `lean` knows the greatest only.
                if version > greatest {
                    applied += 2
                } else if version == greatest {
                    duplicate += 2
                } else {
                    late += 1
                    if self.seen.contains([id, version]) { duplicate += 1 } else { late += 1 }
                }
                self.seen.insert([id, version])
                self.greatest[id] = max(greatest, version)
            }
            return [
                "messages": events.count + broken, "applied": applied, "late": late, "duplicate": duplicate,
                "filtered": 0,
                "control": 0, "dead_letters": broken,
            ]
        }
    }

    @Test("a request is answered by what its own messages came to, beside others too")
    func verdicts() async throws {
        var generator = SeededGenerator.forTest("HTTP source")
        try await withWorkplace(Self.configuration()) { place, connection in
            let service = try await PushedService(place)
            // Clients at once, of keys of their own: each knows what it is to be answered.
            var clients: [[(events: [(id: Int, version: Int)], broken: Int)]] = []
            for client in 0..<4 {
                clients.append(
                    (0..<25).map { _ in
                        let events = (0..<Int.random(in: 0...30, using: &generator)).map { _ in
                            (
                                id: client * 100 + Int.random(in: 1...12, using: &generator),
                                version: Int.random(in: 1...9, using: &generator)
                            )
                        }
                        return (events, Int.random(in: 0...1, using: &generator))
                    }
                )
            }
            let asArrays = Bool.random(using: &generator)
            var sums: [String: Int] = [:]
            try await withThrowingTaskGroup(of: [String: Int].self) { group in
                for requests in clients {
                    group.addTask {
                        var model = Model()
                        var sums: [String: Int] = [:]
                        for (events, broken) in requests {
                            var lines = events.map { Self.event($0.id, $0.version) }
                            if broken > 0 { lines.append("[]") }
                            let body = asArrays ? "[\(lines.joined(separator: ","))]" : lines.joined(separator: "\n")
                            let isAlone = !asArrays && events.isEmpty
                            let reply = try await service.send(Data(body.utf8))
                            // A body that is nothing but an empty array has no message.
                            let expected = model.counts(events, broken: isAlone ? 0 : broken)
                            #expect(reply.status == 200 && reply.counts == expected, "\(reply.text) \(expected)")
                            sums.merge(reply.counts) { $0 + $1 }
                        }
                        return sums
                    }
                }
                for try await own in group { sums.merge(own) { $0 + $1 } }
            }
            for name in ["messages", "applied", "late", "duplicate", "dead_letters"] {
                let stored = try await connection.number("select sum(\(name)) from tidemark.counters")
                #expect(stored == sums[name] ?? 0, "\(name)")
            }
            #expect(try await place.run("verify", "orders").status == 0)
            service.process.send(SIGTERM)
            #expect(try await service.process.result().status == 0)
        }
    }

    @Test("bodies of every form, and what is refused before anything is applied")
    func forms() async throws {
        try await withWorkplace(Self.configuration()) { place, connection in
            let service = try await PushedService(place)
            let one = Self.event(1, 1)
            let pretty = one.replacing("{", with: "{\n  ").replacing(",", with: ",\n ")
            let gzip = try Self.gzip(Data("\(one)\n\(Self.event(1, 2))\n".utf8))
            let good: [(Data, [String: String], Int)] = [
                (Data(one.utf8), ["content-type": "application/json"], 1),
                (Data(pretty.utf8), ["content-type": "application/json; charset=utf-8"], 1),
                (Data("[\(pretty),\n\(one)]".utf8), [:], 2), (Data("\(one)\r\n\n\(one)".utf8), [:], 2),
                (Data("\u{FEFF}\(one)".utf8), ["content-type": "application/x-ndjson"], 1),
                (gzip, ["content-encoding": "gzip"], 2), (gzip + gzip, ["content-encoding": "gzip"], 4),
                (Data(), [:], 0),
                (Data("[]".utf8), [:], 0), (Data("{\"broken\n\(one)\n".utf8), [:], 2),
                (Data("\(one)\n{\"x\":\"\(String(repeating: "y", count: 70_000))\"}\n".utf8), [:], 2),
            ]
            for (body, headers, messages) in good {
                let reply = try await service.send(body, headers)
                #expect(reply.status == 200 && reply.counts["messages"] == messages, "\(reply.text)")
            }
            #expect(try await connection.number("select count(*) from tidemark.dead_letters") == 2)
            let messages = try await connection.number("select sum(messages) from tidemark.counters")
            let long = "{\"x\":\"\(String(repeating: "y", count: 70_000))\"}"
            let bad: [(Data, [String: String], UInt)] = [
                (Data("hello".utf8), [:], 400), (Data("{\"a\":1".utf8), [:], 400), (Data("[\(one)".utf8), [:], 400),
                (gzip.dropLast(9), ["content-encoding": "gzip"], 400),
                (Data(one.utf8), ["content-encoding": "gzip"], 400),
                (Data(one.utf8), ["content-encoding": "br"], 415),
                (Data(one.utf8), ["content-type": "application/x-www-form-urlencoded"], 415),
                (Data(one.utf8), ["content-type": "application/xml"], 415), (Data(long.utf8), [:], 413),
                (Data(repeating: 0x20, count: 5 << 20), [:], 413),
                (try Self.gzip(Data(repeating: 0x20, count: 5 << 20)), ["content-encoding": "gzip"], 413),
            ]
            for (body, headers, status) in bad {
                let reply = try await service.send(body, headers)
                #expect(reply.status == status && reply.text.contains("error"), "\(status): \(reply.text)")
            }
            for token in [nil, "", "no", Self.token + "x", String(Self.token.dropLast())] {
                #expect(try await service.send(Data(one.utf8), token: token).status == 401)
            }
            #expect(try await service.send(Data(one.utf8), token: "another-token-of-length").status == 200)
            #expect(try await service.send(Data(one.utf8), source: "none").status == 404)
            #expect(try await service.send(Data(), method: .GET).status == 405)
            #expect(try await connection.number("select sum(messages) from tidemark.counters") == messages + 1)
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }

    private static func gzip(_ data: Data) throws -> Data {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("tm-\(UUID().uuidString)")
        try data.write(to: file)
        defer { try? FileManager.default.removeItem(at: file.appendingPathExtension("gz")) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/gzip")
        process.arguments = [file.path]
        try process.run()
        process.waitUntilExit()
        return try Data(contentsOf: file.appendingPathExtension("gz"))
    }

    @Test("an Idempotency-Key is applied once, and its first answer given again")
    func idempotency() async throws {
        try await withWorkplace(Self.configuration("service: { lease_ttl: 1s }\n")) { place, connection in
            var service = try await PushedService(place)
            let key = ["idempotency-key": "k-1"]
            let first = try await service.send([Self.event(1, 1), Self.event(1, 2)], key)
            #expect(first.status == 200 && first.counts["applied"] == 4, "\(first.text)")
            let again = try await service.send([Self.event(1, 1), Self.event(1, 2)], key)
            #expect(again.status == 200 && again.text == first.text)
            #expect(try await service.send([Self.event(1, 3)], key).status == 422)
            #expect(try await connection.number("select sum(messages) from tidemark.counters") == 2)

            // A request that is under way waits for a lock.
            let holder = try await place.database.connect("holder")
            try await holder.execute("begin; lock table tidemark_internal.orders_entities in exclusive mode")
            let sent = service
            let waiting = Task { try await sent.send([Self.event(2, 1)], ["idempotency-key": "k-2"]) }
            try await connection.until(
                "select count(*)::text from tidemark_internal.http_requests where key = 'k-2'",
                is: "1",
                within: .seconds(30)
            )
            let beside = try await service.send([Self.event(2, 1)], ["idempotency-key": "k-2"])
            #expect(beside.status == 409 && beside.retryAfter != nil, "\(beside.text)")
            // Its process dies, and the key is another one's to apply.
            service.process.kill()
            _ = try? await waiting.value
            _ = try await service.process.result()
            try await holder.execute("rollback")
            await holder.close()
            service = try await PushedService(place)
            try await wait("the key of a dead process is free", atMost: .seconds(30)) {
                try await service.send([Self.event(2, 1)], ["idempotency-key": "k-2"]).status == 200
            }
            #expect(try await connection.number("select count(*) from orders") == 2)
            // A day later the key is forgotten.
            try await connection.execute(
                "update tidemark_internal.http_requests set received_at = received_at - interval '25 hours'"
            )
            #expect(try await service.send([Self.event(1, 3)], key).counts["applied"] == 2)
            // The stream of the dead process has ended; those that ran have one each.
            let open = "select count(*) from tidemark_internal.leases where not is_at_end"
            #expect(try await connection.number(open) == 1)
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }

    @Test("while the database is away, or a projection is paused, clients are told to come back")
    func comeBack() async throws {
        try await withWorkplace(Self.configuration("service: { lease_ttl: 1s }\n")) { place, connection in
            let proxy = try HoldingProxy(to: ServerAddress(conninfo: place.database.url))
            defer { proxy.close() }
            let service = try await PushedService(place, database: proxy.address.replacing(in: place.database.url))
            #expect(try await service.send([Self.event(1, 1)]).status == 200)
            proxy.cut(refusing: true)
            try await wait("503", atMost: .seconds(60)) {
                let reply = try await service.send([Self.event(1, 2)])
                return reply.status == 503 && reply.retryAfter != nil
            }
            proxy.accept()
            try await wait("it goes on by itself", atMost: .seconds(60)) {
                try await service.send([Self.event(1, 2)]).status == 200
            }
            try await place.succeed("pause", "lean")
            try await wait("the paused projection is told", atMost: .seconds(30)) {
                let reply = try await service.send([Self.event(1, 3)])
                return reply.status == 503 && reply.text.contains("projection lean is paused")
            }
            try await place.succeed("resume", "lean")
            try await wait("it goes on", atMost: .seconds(30)) {
                try await service.send([Self.event(1, 3)]).status == 200
            }
            let lean = try await connection.value("select max(version)::text from lean")
            #expect(lean == "3")
            service.process.send(SIGTERM)
            #expect(try await service.process.result().status == 0)
        }
    }

    @Test("another token is no setting that a running service takes over")
    func reloadsNoToken() async throws {
        try await withWorkplace(Self.configuration()) { place, _ in
            let service = try await PushedService(place)
            let other = Self.configuration().replacing("another-token-of-length", with: "a-third-token-of-length")
            try place.write("tidemark.yaml", other)
            service.process.send(SIGHUP)
            try await wait("it is named") {
                try service.process.errorSoFar().contains("not applied: server cannot change")
            }
            #expect(try await service.send(Data("{}".utf8), token: "another-token-of-length").status == 200)
            service.process.send(SIGTERM)
            #expect(try await service.process.result().status == 0)
        }
    }
}
