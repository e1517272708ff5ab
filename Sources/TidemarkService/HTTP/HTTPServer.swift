import Foundation
import HTTPTypes
import HummingbirdCore
package import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization
package import TidemarkConfiguration
import TidemarkTLS

/// Serves health, metrics and HTTP sources until its group is shut down. Placed first in a group it is shut down last, and shows how
/// the rest drains.
package struct HTTPServer: Service {
    private let settings: ServerSettings
    private let board: HealthBoard
    private let events: PushEndpoint?
    private let metrics: MetricsPage?
    private let logger: Logger
    private let onListening: @Sendable (ListenAddress) -> Void
    private let certificate = ServerCertificate()

    /// - Parameter onListening: called with the address once it is bound, with the port that was taken in place of 0.
    package init(
        _ settings: ServerSettings,
        board: HealthBoard,
        runner: ServiceRunner? = nil,
        metrics: MetricsPage? = nil,
        logger: Logger,
        onListening: @escaping @Sendable (ListenAddress) -> Void = { _ in }
    ) {
        self.settings = settings
        self.board = board
        self.events = runner.flatMap { $0.endpoint(settings) }
        self.metrics = metrics
        self.logger = logger
        self.onListening = onListening
    }

    /// More wait until one of them ends: each takes memory and a file descriptor, however little it sends.
    private static let connectionsMax = 2000

    /// Reads the certificate and its key again; connections made from then on have them.
    /// - Throws: where they cannot be used; the earlier ones stay.
    package func reloadCertificate() throws(HTTPServerError) {
        guard let tls = self.settings.tls else { return }
        let context = try Self.context(tls)
        self.certificate.value.withLock { $0 = context }
    }

    /// - Throws: where the certificate or the key cannot be used.
    package static func check(_ tls: ServerSettings.TLS) throws(HTTPServerError) {
        _ = try self.context(tls)
    }

    private static func context(_ tls: ServerSettings.TLS) throws(HTTPServerError) -> TLSContext {
        do {
            return try .server(certificate: tls.certificate, key: tls.key)
        } catch {
            throw HTTPServerError(tls, error)
        }
    }

    /// - Throws: ``HTTPServerError`` when the address cannot be bound, or the certificate cannot be read.
    package func run() async throws {
        try self.reloadCertificate()
        let isBound = Mutex(false)
        let (logger, onListening, address) = (self.logger, self.onListening, self.settings.listen)
        // Hummingbird's own lines are about connections, of which there is one every few seconds.
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let scheme = self.settings.tls == nil ? "http" : "https"
        let server = ServiceChannel(self.channel, self.certificate).server(
            configuration: ServerConfiguration(
                address: .hostname(address.host, port: address.port),
                backlog: 1024,
                availableConnectionsDelegate: MaximumAvailableConnections(Self.connectionsMax)
            ),
            onServerRunning: { channel in
                isBound.withLock { $0 = true }
                ListeningSockets.closeOnExec()
                let bound = address.on(port: channel.localAddress?.port ?? address.port)
                logger.info("listening", metadata: ["address": "\(scheme)://\(bound)"])
                onListening(bound)
            },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: quiet
        )
        do {
            try await server.run()
        } catch  where !(error is CancellationError) && !isBound.withLock({ $0 }) {
            throw HTTPServerError(address, error)
        }
    }

    private var channel: HTTP1Channel {
        let responder = ServiceResponder(
            settings: self.settings,
            board: self.board,
            events: self.events,
            metrics: self.metrics
        )
        return HTTP1Channel(
            responder: { request, writer, _ in
                let response = try await responder.respond(to: request)
                do {
                    try await writer.write(response: response.head, body: response.body)
                } catch is HTTPParserError {
                    // Hummingbird answers one of these, and this request has been answered.
                    throw BrokenRequest()
                }
            },
            configuration: HTTP1Channel.Configuration(
                additionalChannelHandlers: [StopHandler(), ContinueHandler(bodyBytesMax: self.settings.requestBytes)],
                // Without a limit each client that forgets to close a connection keeps one open.
                idleTimeout: .seconds(60)
            )
        )
    }
}

/// What follows an answered request on its connection cannot be read.
private struct BrokenRequest: Error {}

/// An address that the server cannot listen on, or a certificate that it cannot use.
package struct HTTPServerError: Error, CustomStringConvertible {
    package let description: String

    init(_ address: ListenAddress, _ error: any Error) {
        let code = (error as? IOError)?.errnoCode
        let reason = code.map { String(cString: strerror($0)).lowercased() } ?? "\(error)"
        let other = "\"\(address.on(port: address.port == 8089 ? 8090 : 8089))\""
        let wayOut =
            (code == EADDRINUSE ? "another program listens there, perhaps another `tidemark run`; " : "")
            + "choose another address with `--listen` or `server: { listen: \(other) }`, or none"
        self.description = "cannot listen on \(address): \(reason); \(wayOut)"
    }

    init(_ tls: ServerSettings.TLS, _ error: any Error) {
        self.description =
            "server: tls: cannot use \(tls.certificate) and \(tls.key): \(error); both are files in PEM, the server's "
            + "certificate first, and the service's account has to be able to read them"
    }
}

/// Answers the requests.
private struct ServiceResponder: Sendable {
    let settings: ServerSettings
    let board: HealthBoard
    let events: PushEndpoint?
    let metrics: MetricsPage?

    private static let metricsPath = "/metrics"
    private var pages: [String] { ["/healthz", "/readyz"] + (self.metrics == nil ? [] : [Self.metricsPath]) }

    /// An answer to HEAD has no body, whatever it says.
    /// - Throws: what a client's broken request came to.
    func respond(to request: Request) async throws(HTTPParserError) -> Response {
        var response: Response
        do {
            response = try await self.answer(to: request)
        } catch let error as HTTPParserError {
            throw error
        } catch {
            response = Response(status: .internalServerError)
        }
        response.headers[.date] = HTTPAnswer.date
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func answer(to request: Request) async throws -> Response {
        if let events, let source = PushEndpoint.source(in: request.uri.path) {
            return try await events.respond(to: request, for: source)
        }
        guard self.pages.contains(request.uri.path) else {
            let known = self.pages + (self.events == nil ? [] : ["/v1/sources/NAME/events"])
            let list = known.dropLast().joined(separator: ", ") + " and " + (known.last ?? "")
            return HTTPAnswer.error(.notFound, "there is no such page; there are \(list)")
        }
        guard request.method == .get || request.method == .head else {
            var response = HTTPAnswer.error(.methodNotAllowed, "only GET and HEAD are allowed")
            response.headers[.allow] = "GET, HEAD"
            return response
        }
        return await self.page(request)
    }

    private func page(_ request: Request) async -> Response {
        let isKnown = self.settings.listen.isLoopback || self.settings.authorizes(request)
        if request.uri.path == Self.metricsPath, let metrics {
            guard isKnown else {
                return HTTPAnswer.error(
                    .unauthorized,
                    "send `Authorization: Bearer TOKEN` with one of the tokens in server: { tokens: … }"
                )
            }
            return HTTPAnswer.text(.ok, "text/plain; version=0.0.4; charset=utf-8", await metrics.text().utf8)
        }
        let isAboutLife = request.uri.path == "/healthz"
        let isFine = isAboutLife ? self.board.isAlive : self.board.isReady
        // Paths and messages of the database are for those who show a token, where other machines may ask.
        let checks = isKnown ? isAboutLife ? self.board.parts : self.board.checks : []
        return HTTPAnswer.json(isFine ? .ok : .serviceUnavailable, HealthReport(isFine, checks))
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
