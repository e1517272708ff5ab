import AsyncHTTPClient
import Foundation
import LibPQ
import NIOCore
import NIOHTTP1
import Testing
import TidemarkTesting

/// What becomes of requests that are under way when the service stops, pauses or is killed.
extension HTTPSourceTests {
    @Test("a service that stops is not ready, and tells clients what became of their requests")
    func stops() async throws {
        try await withWorkplace(Self.configuration("service: { drain_timeout: 8s }\n")) { place, connection in
            let service = try await PushedService(place)
            #expect(try await service.send([Self.event(1, 1)]).status == 200)
            try await connection.execute("begin; lock table tidemark_internal.orders_entities")
            let held = Task { try await service.send([Self.event(2, 1)]) }
            let waiting = "select count(*) > 0 from pg_locks where not granted and locktype = 'relation'"
            try await wait("a lane waits") { try await connection.value(waiting) == "t" }
            service.process.send(SIGTERM)
            try await wait("the next one is told") {
                let reply = try await service.send([Self.event(3, 1)])
                return reply.status == 503 && reply.text.contains("the service stops")
            }
            let ready = try await HTTPClient.shared.execute(
                HTTPClientRequest(url: "\(service.url)/readyz"),
                timeout: .seconds(30)
            )
            #expect(ready.status.code == 503)
            let reply = try await held.value
            #expect(reply.status == 503 && reply.text.contains("the service stops"), "\(reply.text)")
            #expect(try await service.process.result().status == 0)
            try await connection.execute("rollback")
        }
    }

    /// A lane may wait for a lock that others hold for as long as they like.
    @Test("a pause takes effect while lanes wait for a lock, and their requests are answered")
    func pausesWithLanesThatWait() async throws {
        try await withWorkplace(Self.configuration("service: { drain_timeout: 1s }\n")) { place, connection in
            let service = try await PushedService(place)
            #expect(try await service.send([Self.event(1, 1)]).status == 200)
            try await connection.execute("begin; lock table tidemark_internal.orders_entities")
            let held = (2..<12).map { id in Task { try await service.send([Self.event(id, 1)]) } }
            let waiting = "select count(*) > 0 from pg_locks where not granted and locktype = 'relation'"
            try await wait("a lane waits") { try await connection.value(waiting) == "t" }
            try await place.succeed("pause", "lean")
            for reply in held {
                let reply = try await reply.value
                // And not that the database has taken too long.
                #expect(reply.status == 503, "\(reply.text)")
                #expect(reply.text.contains("begun anew") || reply.text.contains("is paused"), "\(reply.text)")
            }
            try await connection.execute("rollback")
            try await wait("the paused projection is told") {
                try await service.send([Self.event(1, 3)]).text.contains("projection lean is paused")
            }
            service.process.send(SIGTERM)
            #expect(try await service.process.result().status == 0)
        }
    }

    /// What was read and is in no lane yet is dropped at a stop: nothing else would answer it.
    @Test("requests that the reader has taken are answered when it ends")
    func stopsWithFullLanes() async throws {
        let configuration = Self.configuration("service: { drain_timeout: 8s }\n")
            .replacing("limits: {", with: "limits: { batch_events: 10,")
        try await withWorkplace(configuration) { place, connection in
            let service = try await PushedService(place)
            #expect(try await service.send([Self.event(1, 1)]).status == 200)
            try await connection.execute("begin; lock table tidemark_internal.orders_entities")
            let held = (0..<12).map { request in
                Task { try await service.send((1...50).map { Self.event(100 * request + $0, 1) }) }
            }
            let waiting = "select count(*) > 2 from pg_locks where not granted and locktype = 'relation'"
            try await wait("all lanes wait") { try await connection.value(waiting) == "t" }
            // A batch of each lane goes through: the reader goes on, finds all others, and reads ahead.
            try await connection.execute("rollback; begin; lock table tidemark_internal.orders_entities")
            try await wait("all lanes wait again") { try await connection.value(waiting) == "t" }
            service.process.send(SIGTERM)
            try await wait("the next one is told") {
                let reply = try await service.send([Self.event(3, 1)])
                return reply.status == 503 && reply.text.contains("the service stops")
            }
            try await connection.execute("rollback")
            var answers: [UInt: Int] = [:]
            for reply in held {
                let reply = try await reply.value
                answers[reply.status, default: 0] += 1
                #expect(reply.status == 200 || reply.text.contains("the service stops"), "\(reply.text)")
            }
            #expect(answers[200] ?? 0 > 0 && answers[503] ?? 0 > 0, "\(answers)")
            let end = try await service.process.result()
            #expect(end.status == 0 && !end.error.contains("under way"), "\(end.error)")
        }
    }

    @Test("a request whose body has not ended when the service stops is told so")
    func stopsInABody() async throws {
        try await withWorkplace(Self.configuration()) { place, _ in
            let service = try await PushedService(place)
            let url = try #require(URL(string: service.url))
            let (host, port) = (try #require(url.host), try #require(url.port))
            let first = Self.event(1, 1) + "\n"
            let request =
                "POST /v1/sources/push/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer \(Self.token)\r\n"
                + "expect: 100-continue\r\ncontent-length: 10000\r\n\r\n\(first)"
            // 100 says that the request is under way.
            let answer = try await converse(host, port, request) {
                service.process.send(SIGTERM)
            }
            #expect(
                answer.hasPrefix("HTTP/1.1 100") && answer.contains("HTTP/1.1 503")
                    && answer.contains("the service stops"),
                "\(answer)"
            )
            let end = try await service.process.result()
            #expect(end.status == 0 && end.error.contains("\"stopped\""), "\(end.error)")
        }
    }

    @Test("what was answered is there after kill -9, and what was not is sent again")
    func killed() async throws {
        var generator = SeededGenerator.forTest("HTTP source, killed")
        try await withWorkplace(Self.configuration("service: { lease_ttl: 1s }\n")) { place, connection in
            var events: [String] = []
            for id in 1...40 {
                for version in 1...6 { events.append(Self.event(id, version)) }
            }
            events.shuffle(using: &generator)
            var requests: [[String]] = []
            for start in stride(from: 0, to: events.count, by: 12) {
                requests.append(Array(events[start..<min(start + 12, events.count)]))
            }
            for _ in 0..<3 {
                let service = try await PushedService(place)
                let before = requests.count
                let left = requests
                let sender = Task {
                    var answered = 0
                    for request in left {
                        guard let reply = try? await service.send(request), reply.status == 200 else { break }
                        answered += 1
                    }
                    return answered
                }
                let count = "select coalesce(sum(messages), 0)::bigint from tidemark.counters"
                let start = try await connection.number(count)
                let lives = Int.random(in: 12...60, using: &generator)
                let enough = start + min(lives, 12 * before)
                try await wait("some are committed", atMost: .seconds(60)) {
                    let committed = try await connection.number(count)
                    return committed >= enough
                }
                service.process.kill()
                _ = try await service.process.result()
                // The client tries to connect again until its time limit.
                sender.cancel()
                let answered = await sender.value
                requests.removeFirst(min(answered, requests.count))
            }
            let service = try await PushedService(place)
            // All of it again: what was committed counts as duplicate.
            for start in stride(from: 0, to: events.count, by: 50) {
                let reply = try await service.send(Array(events[start..<min(start + 50, events.count)]))
                #expect(reply.status == 200, "\(reply.text)")
            }
            #expect(
                try await connection.number("select count(*) from orders where version = 6 and status = 's6'") == 40
            )
            #expect(try await connection.number("select count(*) from orders_timeline") == 240)
            #expect(try await place.run("verify", "orders").status == 0)
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }
}
