import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// An HTTP server on 127.0.0.1 that answers as it is told, badly too.
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
        /// A head, and then more than anybody wants, for ever.
        case flood(Int)
        /// Takes the request and hangs up.
        case close
        /// Takes the request and says nothing.
        case silence
        /// What is not HTTP.
        case bytes(String)
    }

    let port: Int
    private let channel: any Channel
    private let log: Log

    private final class Log: Sendable {
        let requests = Mutex<[Request]>([])
        let connections = Mutex(0)
    }

    var requests: [Request] { self.log.requests.withLock { $0 } }
    var connectionCount: Int { self.log.connections.withLock { $0 } }

    static func with<R>(
        _ answer: @escaping @Sendable (Request) -> Answer,
        _ body: (Receiver) async throws -> R
    ) async throws -> R {
        let receiver = try await Receiver(answer)
        do {
            let result = try await body(receiver)
            try await receiver.channel.close()
            return result
        } catch {
            try? await receiver.channel.close()
            throw error
        }
    }

    private init(_ answer: @escaping @Sendable (Request) -> Answer) async throws {
        let log = Log()
        self.log = log
        self.channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                log.connections.withLock { $0 += 1 }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: false)
                    try channel.pipeline.syncOperations.addHandler(
                        Handler(answer: answer) { request in log.requests.withLock { $0.append(request) } }
                    )
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.port = self.channel.localAddress?.port ?? 0
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let answer: @Sendable (Request) -> Answer
        private let record: @Sendable (Request) -> Void
        private var request: Request?

        init(answer: @escaping @Sendable (Request) -> Answer, record: @escaping @Sendable (Request) -> Void) {
            self.answer = answer
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
