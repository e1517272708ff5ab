import AsyncHTTPClient
import Foundation
import LibPQ
import NIOCore
import NIOHTTP1
import Synchronization
import Testing
import TidemarkCore
import TidemarkTesting

/// The streams of HTTP sources: one for each source and each start of a process.
@Suite("HTTP source, streams", .freshDatabase, .timeLimit(.minutes(10)))
struct PushStreamTests {
    @Test func everySourceIsRead() async throws {
        let sources = "sources: [{ name: push, type: http }]"
        let configuration = HTTPSourceTests.configuration().replacing(
            sources,
            with: "sources: [{ name: push, type: http }, { name: other, type: http }]"
        )
        try await withWorkplace(configuration) { place, connection in
            let service = try await PushedService(place)
            for (id, source) in [(1, "push"), (2, "other"), (3, "push")] {
                try await wait("\(source) is read", atMost: .seconds(30)) {
                    let body = Data(HTTPSourceTests.event(id, 1).utf8)
                    let reply = try await service.send(body, source: source)
                    return reply.status == 200 && reply.counts["messages"] == 1
                }
            }
            #expect(try await connection.number("select count(*) from orders") == 3)
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }

    /// A process that slept for longer than its lease goes on behind what its lanes have committed, not behind the level
    /// that it stored last: what clients send then would be taken for what it has committed.
    @Test func afterASleepBeyondItsLeaseEveryAnsweredMessageIsCommitted() async throws {
        let configuration = HTTPSourceTests.configuration("service: { lease_ttl: 1s }\n")
        try await withWorkplace(configuration) { place, connection in
            let service = try await PushedService(place)
            let other = try await PushedService(place)
            var answered: [Int] = []
            /// - Returns: whether it was taken.
            func send(_ id: Int) async throws -> Bool {
                let reply = try await service.send([HTTPSourceTests.event(id, 1)])
                guard reply.status == 200 else { return false }
                #expect(reply.counts["messages"] == 1, "\(reply.text)")
                answered.append(id)
                return true
            }
            for round in 0..<3 {
                // Within less than a second, so that no level behind them is stored.
                for id in 1...100 { _ = try await send(1000 * round + id) }
                service.process.send(SIGSTOP)
                let fenced = "select count(*) from tidemark.processes where status not in ('gone', 'fenced')"
                try await wait("the other process ends its sessions", atMost: .seconds(60)) {
                    try await connection.number(fenced) == 1
                }
                service.process.send(SIGCONT)
                var taken = 0
                var id = 1000 * round + 500
                try await wait("it takes events again", atMost: .seconds(60)) {
                    if try await send(id) { taken += 1 }
                    id += 1
                    return taken == 100
                }
            }
            let missing = answered.map(String.init).joined(separator: ",")
            let left =
                "select count(*) from unnest('{\(missing)}'::bigint[]) as sent (id) where not exists (select from orders where orders.id = sent.id)"
            #expect(try await connection.number(left) == 0)
            for process in [service.process, other.process] {
                process.send(SIGTERM)
                _ = try await process.result()
            }
        }
    }

    /// While a process sleeps, another one is started, which ends the streams of processes that are gone.
    @Test func afterASleepEventsAreTakenThoughAnotherProcessWasStarted() async throws {
        let configuration = HTTPSourceTests.configuration("service: { lease_ttl: 1s }\n")
        try await withWorkplace(configuration) { place, connection in
            let service = try await PushedService(place)
            let other = try await PushedService(place)
            #expect(try await service.send([HTTPSourceTests.event(1, 1)]).status == 200)
            service.process.send(SIGSTOP)
            let fenced = "select count(*) from tidemark.processes where status not in ('gone', 'fenced')"
            try await wait("the other process ends its sessions", atMost: .seconds(60)) {
                try await connection.number(fenced) == 1
            }
            other.process.send(SIGTERM)
            _ = try await other.process.result()
            let third = try await PushedService(place)
            #expect(try await third.send([HTTPSourceTests.event(2, 1)]).status == 200)
            service.process.send(SIGCONT)
            var id = 10
            try await wait("it takes events again", atMost: .seconds(60)) {
                id += 1
                return try await service.send([HTTPSourceTests.event(id, 1)]).status == 200
            }
            #expect(try await connection.number("select count(*) from orders where id in (1, 2, \(id))") == 3)
            for process in [service.process, third.process] {
                process.send(SIGTERM)
                _ = try await process.result()
            }
        }
    }

    /// What is sent first says nothing of what numbers mean: without a unit they are refused, in any order.
    @Test(arguments: [[1_772_357_415_000, 1_772_357_415], [1_772_357_415, 1_772_357_415_000]])
    func numbersForTimesNeedAUnit(_ times: [Int]) async throws {
        let configuration = HTTPSourceTests.configuration()
            .replacing("status: text", with: "status: text, at: timestamptz")
        try await withWorkplace(configuration) { place, connection in
            let service = try await PushedService(place)
            for (id, time) in times.enumerated() {
                let event = #"{"table":"shop.orders","op":"insert","after":{"id":\#(id),"version":1,"at":\#(time)}}"#
                let reply = try await service.send([event])
                #expect(reply.status == 200 && reply.counts["dead_letters"] == 1, "\(reply.text)")
            }
            #expect(try await connection.number("select count(*) from orders") == 0)
            let letters =
                "select count(*) from tidemark.dead_letters where reason = 'value_invalid' and detail like '%encoding%'"
            #expect(try await connection.number(letters) == 2)
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }

    /// Without a length a body would be taken for an empty one.
    @Test func aRequestWithoutALengthIsRefused() async throws {
        try await withWorkplace(HTTPSourceTests.configuration()) { place, _ in
            let service = try await PushedService(place)
            let text = try await Self.curl(
                "-X",
                "POST",
                "-H",
                "authorization: Bearer \(HTTPSourceTests.token)",
                "\(service.url)/v1/sources/push/events"
            )
            #expect(text.contains("HTTP/1.1 411") && text.contains("send Content-Length"), "\(text)")
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }

    /// What came over HTTP is not kept: nothing of it is read again, and there is no place to seek.
    @Test func whatCameOverHTTPIsNotSoughtOrReadAgain() async throws {
        let sources = "sources: [{ name: push, type: http }]"
        let configuration = HTTPSourceTests.configuration().replacing(
            sources,
            with:
                "sources: [{ name: push, type: http }, { name: logs, type: files, paths: [log.ndjson], follow: true }]"
        )
        try await withWorkplace(configuration) { place, connection in
            try place.write("log.ndjson", lines: [HTTPSourceTests.event(1, 1)])
            let service = try await PushedService(place)
            #expect(try await service.send([HTTPSourceTests.event(2, 1)]).status == 200)
            try await wait("the file") { try await connection.number("select count(*) from orders") == 2 }
            let backfill = try await place.run("backfill", "orders")
            #expect(backfill.output.hasPrefix("1 stream is read again"), "\(backfill)")
            let seek = try await place.run("seek", "push", "--to", "start")
            #expect(seek.status == 64 && seek.error.contains("is read over HTTP"), "\(seek)")
            service.process.send(SIGTERM)
            #expect(try await service.process.result().status == 0)
        }
    }

    private static func curl(_ arguments: String...) async throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/curl")
        process.arguments = ["-sv", "--max-time", "60"] + arguments
        let pipe = Pipe()
        (process.standardOutput, process.standardError) = (pipe, pipe)
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    /// curl asks first with long bodies; what it sends is the same otherwise. HEAD has no body, whatever is answered.
    @Test func clientsThatAskFirstAreToldToGoOn() async throws {
        try await withWorkplace(HTTPSourceTests.configuration()) { place, connection in
            let service = try await PushedService(place)
            let body = try place.write("body.ndjson", HTTPSourceTests.event(1, 1))
            let answer = try await Self.curl(
                "--expect100-timeout",
                "50",
                "-H",
                "expect: 100-continue",
                "-H",
                "authorization: Bearer \(HTTPSourceTests.token)",
                "-H",
                "content-type: application/x-ndjson",
                "--data-binary",
                "@\(body.path)",
                service.url + "/v1/sources/push/events"
            )
            #expect(answer.contains("HTTP/1.1 100 Continue") && answer.contains(#""messages":1"#), "\(answer)")
            let missing = try await Self.curl("--head", service.url + "/nope", service.url + "/healthz")
            #expect(missing.contains("HTTP/1.1 404") && missing.contains("HTTP/1.1 200"), "\(missing)")
            #expect(!missing.contains("there is no such page"), "\(missing)")
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }

    /// Clients verify the server's certificate, and what is no TLS is not answered.
    @Test func eventsComeOverTLS() async throws {
        let server = #"server: { listen: "127.0.0.1:0""#
        let configuration = HTTPSourceTests.configuration().replacing(
            server,
            with: server + ", tls: { certificate: server.pem, key: key.pem }"
        )
        try await withWorkplace(configuration) { place, connection in
            try place.write("server.pem", TestCertificates.server)
            try place.write("key.pem", TestCertificates.serverKey)
            let authority = try place.write("authority.pem", TestCertificates.authority)
            let service = try await PushedService(place)
            #expect(service.url.hasPrefix("https://"))
            let port = service.url.split(separator: ":").last ?? ""
            func post(_ url: String, trusting authority: String) async throws -> String {
                try await Self.curl(
                    "--cacert",
                    authority,
                    "-H",
                    "authorization: Bearer \(HTTPSourceTests.token)",
                    "-H",
                    "content-type: application/x-ndjson",
                    "--data-binary",
                    HTTPSourceTests.event(1, 1),
                    url + "/v1/sources/push/events"
                )
            }
            let answer = try await post("https://localhost:\(port)", trusting: authority.path)
            #expect(answer.contains(#""messages":1"#), "\(answer)")
            let other = try place.write("other.pem", TestCertificates.otherAuthority)
            #expect(try await !post("https://localhost:\(port)", trusting: other.path).contains(#""messages""#))
            #expect(try await !post("http://localhost:\(port)", trusting: authority.path).contains(#""messages""#))
            #expect(try await connection.number("select count(*) from orders") == 1)
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }

    /// A body's first part, and its end once a gate is open.
    private struct SlowBody: AsyncSequence, Sendable {
        struct AsyncIterator: AsyncIteratorProtocol {
            var parts: [NIOCore.ByteBuffer]
            let gate: Gate

            mutating func next() async throws -> NIOCore.ByteBuffer? {
                guard !self.parts.isEmpty else { return nil }
                if self.parts.count == 1 { try await self.gate.wait() }
                return self.parts.removeFirst()
            }
        }

        let parts: [NIOCore.ByteBuffer]
        let gate: Gate

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(parts: self.parts, gate: self.gate) }
    }

    private final class Refusals: Sendable {
        let count = Atomic(0)
    }

    /// Bodies whose first message has no end yet are held in memory, 64 MiB of them in all.
    @Test func bodiesThatWaitForTheirEndsAreBounded() async throws {
        let configuration = HTTPSourceTests.configuration()
            .replacing("request_bytes: 4MiB", with: "request_bytes: 32MiB")
            .replacing("message_bytes: 64KiB", with: "message_bytes: 16MiB")
        try await withWorkplace(configuration) { place, connection in
            let service = try await PushedService(place)
            let gate = Gate()
            let blank = String(repeating: " ", count: 14 << 20)
            let refused = Refusals()
            try await withThrowingTaskGroup(of: Int.self) { group in
                for id in 1...8 {
                    group.addTask {
                        var request = HTTPClientRequest(url: "\(service.url)/v1/sources/push/events")
                        request.method = .POST
                        request.headers.add(name: "authorization", value: "Bearer \(HTTPSourceTests.token)")
                        let event = HTTPSourceTests.event(id, 1)
                        let parts = [
                            NIOCore.ByteBuffer(string: String(event.dropLast()) + blank),
                            NIOCore.ByteBuffer(string: "}\n"),
                        ]
                        request.body = .stream(SlowBody(parts: parts, gate: gate), length: .unknown)
                        request.headers.add(name: "content-type", value: "application/x-ndjson")
                        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(90))
                        _ = try await response.body.collect(upTo: 1 << 20)
                        if response.status.code == 429 { refused.count.wrappingAdd(1, ordering: .relaxed) }
                        return Int(response.status.code)
                    }
                }
                // Five of 14 MiB are more than 64 MiB, so one of any five is refused.
                try await wait("four are refused", atMost: .seconds(60)) {
                    refused.count.load(ordering: .relaxed) == 4
                }
                gate.open()
                let answers = try await group.reduce(into: [:]) { $0[$1, default: 0] += 1 }
                #expect(answers == [200: 4, 429: 4], "\(answers)")
            }
            #expect(try await connection.number("select count(*) from orders") == 4)
            service.process.send(SIGTERM)
            _ = try await service.process.result()
        }
    }
}
