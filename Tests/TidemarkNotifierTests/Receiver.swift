import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// An HTTP server on 127.0.0.1 with scripted answers, invalid ones included.
final class Receiver: Sendable {
    struct Request: Sendable {
        var method: String
        var uri: String
        var headers: HTTPHeaders
        var body: [UInt8]
    }

    enum Answer: Sendable {
        case status(Int, HTTPHeaders = [:], body: String = "ok")
        /// A head, and then a byte now and then for ever.
        case dribble(Int)
        /// A head, and then an endless body.
        case flood(Int)
        /// Takes the request and hangs up.
        case close
        /// Takes the request and says nothing.
        case silence
        /// What is not HTTP.
        case bytes(String)
        /// A whole answer, one byte after the other.
        case drip(Int, every: Duration)
        /// Hangs up, and for a moment takes no connection.
        case refuse(for: Duration)
    }

    let port: Int
    private let listener: Listener
    private let log: Log

    private final class Log: Sendable {
        let requests = Mutex<[Request]>([])
        let connections = Mutex(0)
    }

    var requests: [Request] { self.log.requests.withLock { $0 } }
    var connectionCount: Int { self.log.connections.withLock { $0 } }

    /// - Parameter certificate: a certificate and its key in PEM, for a receiver that speaks TLS.
    static func with<R>(
        _ answer: @escaping @Sendable (Request) -> Answer,
        certificate: (chain: String, key: String)? = nil,
        _ body: (Receiver) async throws -> R
    ) async throws -> R {
        let receiver = try await Receiver(answer, certificate.map(Self.secure))
        do {
            let result = try await body(receiver)
            await receiver.listener.close()
            return result
        } catch {
            await receiver.listener.close()
            throw error
        }
    }

    private static func secure(_ certificate: (chain: String, key: String)) throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMBytes(Array(certificate.chain.utf8)).map {
            NIOSSLCertificateSource.certificate($0)
        }
        let key = try NIOSSLPrivateKey(bytes: Array(certificate.key.utf8), format: .pem)
        return try NIOSSLContext(
            configuration: .makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
        )
    }

    private init(_ answer: @escaping @Sendable (Request) -> Answer, _ tls: NIOSSLContext?) async throws {
        let log = Log()
        let listener = Listener()
        self.log = log
        self.listener = listener
        self.port = try await listener.open { port in
            ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .serverChannelOption(.backlog, value: 256)
                .childChannelInitializer { channel in
                    log.connections.withLock { $0 += 1 }
                    return channel.eventLoop.makeCompletedFuture {
                        if let tls {
                            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
                        }
                        try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: false)
                        let handler = Handler(answer: answer, refuse: { listener.refuse(for: $0) }) { request in
                            log.requests.withLock { $0.append(request) }
                        }
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                }
                .bind(host: "127.0.0.1", port: port)
        }
    }

    /// The socket that takes connections, and may be away for a moment.
    private final class Listener: Sendable {
        typealias Bind = @Sendable (_ port: Int) -> EventLoopFuture<any Channel>

        private struct State {
            var bind: Bind?
            var channel: (any Channel)?
            var port = 0
            var isClosed = false
        }

        private let state = Mutex(State())

        func open(_ bind: @escaping Bind) async throws -> Int {
            let channel = try await bind(0).get()
            let port = channel.localAddress?.port ?? 0
            self.state.withLock { ($0.bind, $0.channel, $0.port) = (bind, channel, port) }
            return port
        }

        func close() async {
            let channel = self.state.withLock { state in
                state.isClosed = true
                return state.channel
            }
            try? await channel?.close()
        }

        func refuse(for duration: Duration) {
            let channel = self.state.withLock { state in
                defer { state.channel = nil }
                return state.channel
            }
            guard let channel else { return }
            channel.close(promise: nil)
            channel.eventLoop.scheduleTask(in: TimeAmount(duration)) { self.reopen() }
        }

        private func reopen() {
            let (bind, port) = self.state.withLock { ($0.isClosed ? nil : $0.bind, $0.port) }
            bind?(port).whenComplete { result in
                guard case .success(let channel) = result else { return self.reopen() }
                let isClosed = self.state.withLock { state in
                    state.channel = channel
                    return state.isClosed
                }
                if isClosed { channel.close(promise: nil) }
            }
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let answer: @Sendable (Request) -> Answer
        private let refuse: @Sendable (Duration) -> Void
        private let record: @Sendable (Request) -> Void
        private var request: Request?

        init(
            answer: @escaping @Sendable (Request) -> Answer,
            refuse: @escaping @Sendable (Duration) -> Void,
            record: @escaping @Sendable (Request) -> Void
        ) {
            self.answer = answer
            self.refuse = refuse
            self.record = record
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch self.unwrapInboundIn(data) {
            case .head(let head):
                self.request = Request(method: head.method.rawValue, uri: head.uri, headers: head.headers, body: [])
            case .body(let buffer):
                self.request?.body.append(contentsOf: buffer.readableBytesView)
            case .end:
                guard let request = self.request else { return }
                self.record(request)
                self.write(self.answer(request), context)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }

        private func write(_ answer: Answer, _ context: ChannelHandlerContext) {
            switch answer {
            case .status(let code, let headers, let body):
                var headers = headers
                headers.replaceOrAdd(name: "content-length", value: String(body.utf8.count))
                self.head(code, headers, context)
                context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
                context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
            case .dribble(let code):
                self.head(code, ["transfer-encoding": "chunked"], context)
                self.pour(ByteBuffer(string: "."), every: .milliseconds(20), context)
            case .flood(let code):
                self.head(code, ["transfer-encoding": "chunked"], context)
                self.pour(ByteBuffer(repeating: 0x2E, count: 65_536), every: .microseconds(100), context)
            case .close:
                context.close(promise: nil)
            case .silence:
                break
            case .drip(let code, let pause):
                let text = "HTTP/1.1 \(code) x\r\ncontent-length: 2\r\n\r\nok"
                self.drip(Array(text.utf8)[...], every: TimeAmount(pause), context)
            case .refuse(let duration):
                self.refuse(duration)
                context.close(promise: nil)
            case .bytes(let text):
                // Around the encoder, which would make HTTP of it.
                context.channel.pipeline.syncOperations.nioWrite(text, context)
            }
        }

        private func head(_ code: Int, _ headers: HTTPHeaders, _ context: ChannelHandlerContext) {
            let head = HTTPResponseHead(
                version: .http1_1,
                status: HTTPResponseStatus(statusCode: code),
                headers: headers
            )
            context.writeAndFlush(self.wrapOutboundOut(.head(head)), promise: nil)
        }

        private func drip(_ bytes: ArraySlice<UInt8>, every pause: TimeAmount, _ context: ChannelHandlerContext) {
            guard let first = bytes.first, context.channel.isActive,
                let encoder = try? context.channel.pipeline.syncOperations.context(
                    handlerType: HTTPResponseEncoder.self
                )
            else { return }
            encoder.writeAndFlush(NIOAny(ByteBuffer(bytes: [first])), promise: nil)
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.scheduleTask(in: pause) {
                let (handler, context) = bound.value
                handler.drip(bytes.dropFirst(), every: pause, context)
            }
        }

        private func pour(_ bytes: ByteBuffer, every pause: TimeAmount, _ context: ChannelHandlerContext) {
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            context.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: pause) { task in
                let (handler, context) = bound.value
                guard context.channel.isActive else { return task.cancel() }
                guard context.channel.isWritable else { return }
                context.writeAndFlush(handler.wrapOutboundOut(.body(.byteBuffer(bytes))), promise: nil)
            }
        }
    }
}

extension ChannelPipeline.SynchronousOperations {
    fileprivate func nioWrite(_ text: String, _ context: ChannelHandlerContext) {
        guard let encoder = try? self.context(handlerType: HTTPResponseEncoder.self) else { return }
        encoder.writeAndFlush(NIOAny(ByteBuffer(string: text)), promise: nil)
        encoder.close(promise: nil)
    }
}
