import Dispatch
import NIOCore
import NIOPosix
import RocketMQCodec
import Synchronization
import TidemarkTLS

/// Why a request has no answer.
enum RemotingFailure: Error, CustomStringConvertible {
    case unreachable(address: String, reason: String)
    case closed(address: String, reason: String)
    case timedOut(address: String, code: Int32, after: Duration)

    var description: String {
        switch self {
        case .unreachable(let address, let reason): "\(address) cannot be reached: \(reason)"
        case .closed(let address, let reason): "the connection to \(address) ended: \(reason)"
        case .timedOut(let address, let code, let limit): "\(address) did not answer request \(code) within \(limit)"
        }
    }
}

/// A connection to a name server or a broker. Requests are sent one after another, and answered in any order.
final class RemotingConnection: Sendable {
    let address: String
    private let channel: any Channel
    private let handler: RemotingHandler
    private let nextOpaque = Atomic<Int32>(1)

    private init(_ address: String, _ channel: any Channel, _ handler: RemotingHandler) {
        (self.address, self.channel, self.handler) = (address, channel, handler)
    }

    private static let connectTimeout = TimeAmount.seconds(5)
    /// Several answers to pulls come in one read.
    private static let receiveBuffer = AdaptiveRecvByteBufferAllocator(
        minimum: 1 << 10,
        initial: 1 << 12,
        maximum: 1 << 19
    )

    /// - Parameter onRequest: gets what the peer asks; called on the connection's event loop.
    /// - Throws: ``RemotingFailure``.
    static func open(
        _ address: String,
        tls: TLSContext?,
        onRequest: @escaping @Sendable (RemotingCommand) -> Void
    ) async throws(RemotingFailure) -> RemotingConnection {
        guard let (host, port) = Self.hostAndPort(address) else {
            throw .unreachable(address: address, reason: "it is not host:port")
        }
        let handler = RemotingHandler(address, isEncrypted: tls != nil, onRequest)
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(Self.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: Self.receiveBuffer)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(TLSHandler(tls, serverName: host))
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        do {
            let channel = try await bootstrap.connect(host: host, port: port).get()
            return RemotingConnection(address, channel, handler)
        } catch {
            throw .unreachable(address: address, reason: Self.text(of: error))
        }
    }

    /// Cut at the last colon: an IPv6 address comes with or without brackets.
    static func hostAndPort(_ address: String) -> (host: String, port: Int)? {
        guard let colon = address.lastIndex(of: ":"),
            let port = UInt16(address[address.index(after: colon)...]), port > 0
        else { return nil }
        var host = address[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return host.isEmpty ? nil : (String(host), Int(port))
    }

    static func text(of error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { Self.text(of: $0.error) } ?? "no address of its name answers"
        case let error as IOError: String(cString: strerror(error.errnoCode))
        default: "\(error)"
        }
    }

    var isActive: Bool { self.channel.isActive }

    /// Sends requests at once and waits for all answers, which are in the order of the requests. A peer that does not answer
    /// all of them in time is left: the connection is closed.
    /// - Throws: ``RemotingFailure``; `CancellationError`; ``RocketMQDataError`` for a request that is too long.
    func request(_ commands: [RemotingCommand], timeout: Duration) async throws -> [RemotingCommand] {
        var frames = ByteBuffer()
        var opaques: [Int32] = []
        for var command in commands {
            command.opaque = self.nextOpaque.wrappingAdd(1, ordering: .relaxed).oldValue
            frames.writeBytes(try RemotingFrame.bytes(of: command))
            opaques.append(command.opaque)
        }
        let (channel, handler, address, bytes) = (self.channel, self.handler, self.address, frames)
        // Made once all frames are: a promise that is given up unfulfilled ends the process in a debug build.
        let all = opaques.map { (opaque: $0, promise: channel.eventLoop.makePromise(of: RemotingCommand.self)) }
        let code = commands.first?.code ?? 0
        let answers = EventLoopFuture.whenAllSucceed(all.map(\.promise.futureResult), on: channel.eventLoop)
        return try await withTaskCancellationHandler {
            channel.eventLoop.execute {
                for (opaque, promise) in all { handler.expect(opaque, promise) }
                let limit = TimeAmount.nanoseconds(Int64(timeout / .nanoseconds(1)))
                let deadline = channel.eventLoop.scheduleTask(in: limit) {
                    let failure = RemotingFailure.timedOut(address: address, code: code, after: timeout)
                    for (opaque, _) in all { handler.fail(opaque, failure) }
                    channel.close(promise: nil)
                }
                answers.whenComplete { _ in deadline.cancel() }
                channel.writeAndFlush(bytes, promise: nil)
            }
            return try await answers.get()
        } onCancel: {
            channel.eventLoop.execute { for (opaque, _) in all { handler.fail(opaque, CancellationError()) } }
        }
    }

    /// Sends what is not answered: a oneway request, or a response.
    func send(_ command: RemotingCommand) throws {
        let bytes = try RemotingFrame.bytes(of: command)
        self.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    func close() { self.channel.close(promise: nil) }

    var closed: EventLoopFuture<Void> { self.channel.closeFuture }
}

/// Matches answers with requests. Used on the connection's event loop alone, which makes it `Sendable`.
private final class RemotingHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer

    private let address: String
    private let onRequest: @Sendable (RemotingCommand) -> Void
    private var decoder = RemotingFrameDecoder()
    private var waiting: [Int32: EventLoopPromise<RemotingCommand>] = [:]
    /// Why the connection ended.
    private var reason: String?
    private var isClosed = false
    private let isEncrypted: Bool
    private var hasHeard = false

    init(_ address: String, isEncrypted: Bool, _ onRequest: @escaping @Sendable (RemotingCommand) -> Void) {
        self.address = address
        self.isEncrypted = isEncrypted
        self.onRequest = onRequest
    }

    private var failure: RemotingFailure {
        .closed(address: self.address, reason: self.reason ?? self.reasonOfSilentEnd)
    }

    /// A peer that wants TLS hangs up on what is not encrypted, and does not say why.
    private var reasonOfSilentEnd: String {
        self.hasHeard || self.isEncrypted
            ? "the other end closed it" : "the other end closed it unanswered; if it wants TLS, write tls: true"
    }

    /// Where the connection has ended, so has the promise.
    func expect(_ opaque: Int32, _ promise: EventLoopPromise<RemotingCommand>) {
        guard !self.isClosed else { return promise.fail(self.failure) }
        self.waiting[opaque] = promise
    }

    func fail(_ opaque: Int32, _ error: any Error) { self.waiting.removeValue(forKey: opaque)?.fail(error) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = self.unwrapInboundIn(data)
        // An alert of TLS (RFC 8446, 5.1) instead of an answer.
        let isAlert = !self.hasHeard && buffer.readableBytesView.starts(with: [0x15, 0x03])
        self.hasHeard = true
        do {
            try buffer.withUnsafeReadableBytes { bytes in
                try self.decoder.feed(bytes) { command in
                    if command.isResponse {
                        // An answer without its request came after the time-out.
                        self.waiting.removeValue(forKey: command.opaque)?.succeed(command)
                    } else {
                        self.answer(command, context)
                    }
                }
            }
        } catch {
            self.reason = isAlert ? "it wants TLS: write tls: true" : "it sent no frame: \(error)"
            context.close(promise: nil)
        }
    }

    /// What a broker asks of clients is not done here, and it is told so.
    private func answer(_ command: RemotingCommand, _ context: ChannelHandlerContext) {
        self.onRequest(command)
        guard !command.isOneway else { return }
        var response = RemotingCommand(code: ResponseCode.unsupported)
        response.opaque = command.opaque
        response.flag = 1
        response.remark = "request type \(command.code) not supported"
        guard let bytes = try? RemotingFrame.bytes(of: response) else { return }
        context.writeAndFlush(NIOAny(ByteBuffer(bytes: bytes)), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.reason = self.reason ?? RemotingConnection.text(of: error)
        if case .handshake? = error as? TLSError {
            self.reason? +=
                "; correct tls: { ca_file: …, certificate: …, key: …, verify: … }, or leave it out where the other end "
                + "has no TLS"
        }
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { self.end() }
    func handlerRemoved(context: ChannelHandlerContext) { self.end() }

    private func end() {
        self.isClosed = true
        let waiting = self.waiting
        self.waiting = [:]
        for promise in waiting.values { promise.fail(self.failure) }
    }
}
