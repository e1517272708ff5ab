import Foundation
import Hummingbird
package import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
package import TidemarkConfiguration

/// Serves `/healthz` and `/readyz` until its group is shut down. Placed first in a group it is shut down last, and shows
/// how the rest drains.
package struct HealthServer: Service {
    private let address: ListenAddress
    private let board: HealthBoard
    private let logger: Logger
    private let onListening: @Sendable (ListenAddress) -> Void

    /// - Parameter onListening: called with the address once it is bound, with the port that was taken in place of 0.
    package init(
        _ address: ListenAddress,
        board: HealthBoard,
        logger: Logger,
        onListening: @escaping @Sendable (ListenAddress) -> Void = { _ in }
    ) {
        self.address = address
        self.board = board
        self.logger = logger
        self.onListening = onListening
    }

    /// - Throws: ``HealthServerError`` when the address cannot be bound.
    package func run() async throws {
        let isBound = Mutex(false)
        let (logger, onListening, address) = (self.logger, self.onListening, self.address)
        // Hummingbird's own lines are about connections, of which there is one every few seconds.
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let application = Application(
            responder: HealthResponder(board: self.board),
            // Without a limit each monitor that forgets to close a connection keeps one open.
            server: .http1(configuration: .init(idleTimeout: .seconds(60))),
            configuration: ApplicationConfiguration(address: .hostname(address.host, port: address.port)),
            onServerRunning: { channel in
                isBound.withLock { $0 = true }
                let bound = address.on(port: channel.localAddress?.port ?? address.port)
                logger.info("listening", metadata: ["address": "http://\(bound)"])
                onListening(bound)
            },
            logger: quiet
        )
        do {
            try await application.run()
        } catch  where !(error is CancellationError) && !isBound.withLock({ $0 }) {
            throw HealthServerError(address, error)
        }
    }
}

/// An address that the server cannot listen on.
package struct HealthServerError: Error, CustomStringConvertible {
    package let address: ListenAddress
    private let reason: String
    private let wayOut: String

    init(_ address: ListenAddress, _ error: any Error) {
        self.address = address
        let code = (error as? IOError)?.errnoCode
        self.reason = code.map { String(cString: strerror($0)).lowercased() } ?? "\(error)"
        let other = "\"\(address.on(port: address.port == 8089 ? 8090 : 8089))\""
        self.wayOut =
            (code == EADDRINUSE ? "another program listens there, perhaps another `tidemark run`; " : "")
            + "choose another address with `--listen` or `server: { listen: \(other) }`, or none"
    }

    package var description: String { "cannot listen on \(self.address): \(self.reason); \(self.wayOut)" }
}

/// Answers the requests.
private struct HealthResponder: HTTPResponder {
    typealias Context = BasicRequestContext

    let board: HealthBoard

    private static let pages = ["/healthz", "/readyz"]

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        guard Self.pages.contains(request.uri.path) else {
            let known = Self.pages.joined(separator: " and ")
            return Self.answer(.notFound, ["error": "there is no such page; there are \(known)"])
        }
        guard request.method == .get || request.method == .head else {
            var response = Self.answer(.methodNotAllowed, ["error": "only GET and HEAD are allowed"])
            response.headers[.allow] = "GET, HEAD"
            return response
        }
        let isAboutLife = request.uri.path == "/healthz"
        let isFine = isAboutLife ? self.board.isAlive : self.board.isReady
        let report = HealthReport(isFine, isAboutLife ? self.board.parts : self.board.checks)
        let response = Self.answer(isFine ? .ok : .serviceUnavailable, report)
        return request.method == .head ? response.createHeadResponse() : response
    }

    private static func answer(_ status: HTTPResponse.Status, _ body: some Encodable) -> Response {
        let encoder = JSONEncoder()
        // Read by people in a browser too.
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data = (try? encoder.encode(body)) ?? Data("{}".utf8)
        return Response(
            status: status,
            headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: data + Data("\n".utf8)))
        )
    }
}

/// The body of both pages.
private struct HealthReport: Encodable {
    struct Item: Encodable {
        var check: HealthBoard.Check

        enum Key: String, CodingKey { case status, since, reason, remedy }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(self.check.status.rawValue, forKey: .status)
            try container.encode(self.check.since.utcTimestamp, forKey: .since)
            // `encode` of an optional writes null, so every key is there.
            try container.encode(self.check.reason, forKey: .reason)
            try container.encode(self.check.remedy, forKey: .remedy)
        }
    }

    var status: String
    var checks: [String: Item]

    init(_ isFine: Bool, _ checks: [HealthBoard.Check]) {
        self.status = isFine ? "ok" : "unavailable"
        self.checks = Dictionary(uniqueKeysWithValues: checks.map { ($0.name, Item(check: $0)) })
    }
}
