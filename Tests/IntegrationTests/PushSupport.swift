import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Testing
import TidemarkTesting

/// An answer of the HTTP source.
struct PushReply {
    var status: UInt
    var retryAfter: String?
    var text: String

    var counts: [String: Int] {
        (try? JSONSerialization.jsonObject(with: Data(self.text.utf8)) as? [String: Int]) ?? [:]
    }
}

/// A running service, and a client of it.
struct PushedService {
    let process: TidemarkProcess
    let url: String

    /// - Parameter database: over the workplace's.
    init(_ place: Workplace, database: String? = nil) async throws {
        let process = try TidemarkProcess(
            ["run", "--no-deliver"],
            environment: ["DATABASE_URL": database ?? place.database.url],
            directory: place.folder
        )
        var url = ""
        try await wait("the service listens", atMost: .seconds(60)) {
            let log = try process.errorSoFar()
            guard log.contains("source push: running"),
                let match = log.firstMatch(of: #/"address":"(http[^"]*)"/#)
            else { return process.isOver }
            url = String(match.1)
            return true
        }
        self.process = process
        self.url = url
    }

    func send(
        _ body: Data,
        _ headers: [String: String] = [:],
        token: String? = HTTPSourceTests.token,
        method: HTTPMethod = .POST,
        source: String = "push"
    ) async throws -> PushReply {
        var request = HTTPClientRequest(url: "\(self.url)/v1/sources/\(source)/events")
        request.method = method
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        request.body = .bytes(ByteBuffer(bytes: body))
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(90))
        let text = try await response.body.collect(upTo: 1 << 20)
        return PushReply(
            status: response.status.code,
            retryAfter: response.headers.first(name: "retry-after"),
            text: String(buffer: text)
        )
    }

    func send(_ lines: [String], _ headers: [String: String] = [:]) async throws -> PushReply {
        try await self.send(Data(lines.joined(separator: "\n").utf8), headers)
    }
}
