import NIOCore
package import NIOHTTP1
import NIOPosix

/// An HTTP/1.1 server on the loopback address that records webhooks and answers by a closure.
///
///     try await WebhookReceiver.with(respond: { _, attempt in attempt < 3 ? .reply(.serviceUnavailable) : .reply(.ok)
/// }) {
///         receiver in
///         deliver(to: receiver.url)
///         let requests = try await receiver.waitForRequests(count: 3)
///     }
package actor WebhookReceiver {
    package struct Request: Sendable {
        package let method: HTTPMethod
        package let uri: String
        package let headers: HTTPHeaders
        package let body: [UInt8]
        /// The time of the last byte.
        package let arrival: ContinuousClock.Instant
        /// The number of the attempt, from 1, among requests of the same `webhook-id` (of the same URI without one).
        package let attempt: Int
        /// Requests that share a number came over one connection.
        package let connection: Int
    }

    package enum Response: Sendable {
        case reply(HTTPResponseStatus, headers: HTTPHeaders = [:], body: String = "")
        /// Close the connection without an answer.
        case close
        /// Never answer; the connection stays open until the sender or ``WebhookReceiver/stop()`` closes it.
        case hang
    }

    /// Decides the answer to a request and its attempt number. The sender waits while it awaits.
    package typealias Responder = @Sendable (Request, Int) async -> Response

    /// The most bytes of a request's body. The connection of a larger one is closed.
    package static let bodyBytesMax = 16 << 20

    package nonisolated let port: Int
    package nonisolated var url: String { "http://127.0.0.1:\(self.port)/" }

    /// In order of arrival.
    package private(set) var requests: [Request] = []

    private let respond: Responder
    private let server: any Channel
    private var accepting: Task<Void, any Error>?
    private var attempts: [String: Int] = [:]
    private var connections = 0
    private var waiters: [Int: (count: Int, continuation: CheckedContinuation<[Request], any Error>)] = [:]
    private var waiterNext = 0

    private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    /// - Parameter port: 0 takes a free one.
    package static func start(
        port: Int = 0,
        respond: @escaping Responder = { _, _ in .reply(.noContent) }
    ) async throws -> WebhookReceiver {
        let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    return try Connection(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(
                            inboundType: HTTPServerRequestPart.self,
                            outboundType: HTTPServerResponsePart.self
                        )
                    )
                }
            }
        let receiver = WebhookReceiver(server.channel, respond: respond)
        await receiver.accept(server)
        return receiver
    }

    /// Runs `body` with a receiver, and stops it afterwards, also when `body` throws.
    package static func with<R>(
        respond: @escaping Responder = { _, _ in .reply(.noContent) },
        _ body: (WebhookReceiver) async throws -> R
    ) async throws -> R {
        let receiver = try await Self.start(respond: respond)
        do {
            let result = try await body(receiver)
            await receiver.stop()
            return result
        } catch {
            await receiver.stop()
            throw error
        }
    }

    private init(_ server: any Channel, respond: @escaping Responder) {
        self.server = server
        self.port = server.localAddress?.port ?? 0
        self.respond = respond
    }

    /// Closes every connection. Callers that wait for requests get a `CancellationError`.
    package func stop() async {
        self.accepting?.cancel()
        try? await self.server.close()
        _ = await self.accepting?.result
        for waiter in self.waiters.values { waiter.continuation.resume(throwing: CancellationError()) }
        self.waiters = [:]
    }

    /// Waits for at least `count` requests, and returns all.
    /// - Throws: `CancellationError` when the task is cancelled or the receiver stopped first.
    package func waitForRequests(count: Int) async throws -> [Request] {
        guard self.requests.count < count else { return self.requests }
        try Task.checkCancellation()
        self.waiterNext += 1
        let number = self.waiterNext
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { self.waiters[number] = (count, $0) }
        } onCancel: {
            Task { await self.cancelWaiter(number) }
        }
    }

    private func cancelWaiter(_ number: Int) {
        self.waiters.removeValue(forKey: number)?.continuation.resume(throwing: CancellationError())
    }

    // MARK: - Connections

    private func accept(_ server: NIOAsyncChannel<Connection, Never>) {
        self.accepting = Task {
            try await server.executeThenClose { connections in
                try await withThrowingDiscardingTaskGroup { group in
                    for try await connection in connections {
                        self.connections += 1
                        let number = self.connections
                        // A sender that disconnects ends only its own connection.
                        group.addTask { try? await self.serve(connection, number: number) }
                    }
                }
            }
        }
    }

    private func serve(_ connection: Connection, number: Int) async throws {
        try await connection.executeThenClose { inbound, outbound in
            var head: HTTPRequestHead?
            var body: [UInt8] = []
            for try await part in inbound {
                switch part {
                case .head(let next): (head, body) = (next, [])
                case .body(let bytes):
                    guard body.count + bytes.readableBytes <= Self.bodyBytesMax else { return }
                    body.append(contentsOf: bytes.readableBytesView)
                case .end:
                    guard let head else { return }
                    let request = self.record(head, body: body, connection: number)
                    guard try await self.answer(request, head: head, to: outbound) else { return }
                }
            }
        }
    }

    private func record(_ head: HTTPRequestHead, body: [UInt8], connection: Int) -> Request {
        let subject = head.headers.first(name: "webhook-id") ?? head.uri
        let attempt = self.attempts[subject, default: 0] + 1
        self.attempts[subject] = attempt
        let request = Request(
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body: body,
            arrival: .now,
            attempt: attempt,
            connection: connection
        )
        self.requests.append(request)
        for (number, waiter) in self.waiters where waiter.count <= self.requests.count {
            self.waiters[number] = nil
            waiter.continuation.resume(returning: self.requests)
        }
        return request
    }

    /// Whether the connection stays open.
    private func answer(
        _ request: Request,
        head: HTTPRequestHead,
        to outbound: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>
    ) async throws -> Bool {
        switch await self.respond(request, request.attempt) {
        case .close: return false
        case .hang: return true
        case .reply(let status, var headers, let body):
            let hasBody = status.mayHaveResponseBody
            if hasBody, headers["content-length"].isEmpty {
                headers.add(name: "content-length", value: "\(body.utf8.count)")
            }
            if !head.isKeepAlive { headers.replaceOrAdd(name: "connection", value: "close") }
            try await outbound.write(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers)))
            if hasBody, !body.isEmpty { try await outbound.write(.body(.byteBuffer(ByteBuffer(string: body)))) }
            try await outbound.write(.end(nil))
            return head.isKeepAlive
        }
    }
}
