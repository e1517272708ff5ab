import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Takes webhooks as fast as it can, and notes when they come. A hostile one answers a third of them with 500, and one
/// in fifty not at all.
final class CountingReceiver: Sendable {
    /// How many have come, and when the last of them did.
    private final class Log: Sendable {
        private typealias Waiter = (count: Int, continuation: CheckedContinuation<ContinuousClock.Instant, Never>)

        private struct State {
            var count = 0
            var last = ContinuousClock.now
            var waiter: Waiter?
        }

        private let state = Mutex(State())

        var count: Int { self.state.withLock { $0.count } }

        /// - Returns: how many have come.
        func note() -> Int {
            let (count, waiter, last) = self.state.withLock { state -> (Int, Waiter?, ContinuousClock.Instant) in
                state.count += 1
                state.last = .now
                guard let waiter = state.waiter, waiter.count <= state.count else {
                    return (state.count, nil, state.last)
                }
                state.waiter = nil
                return (state.count, waiter, state.last)
            }
            waiter?.continuation.resume(returning: last)
            return count
        }

        func arrival(of count: Int) async -> ContinuousClock.Instant {
            await withCheckedContinuation { continuation in
                let last = self.state.withLock { state -> ContinuousClock.Instant? in
                    if state.count >= count { return state.last }
                    state.waiter = (count, continuation)
                    return nil
                }
                if let last { continuation.resume(returning: last) }
            }
        }
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let log: Log
        private let isHostile: Bool

        init(_ log: Log, isHostile: Bool) { (self.log, self.isHostile) = (log, isHostile) }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .end = self.unwrapInboundIn(data) else { return }
            let number = self.log.note()
            guard !self.isHostile || number % 50 != 0 else { return }
            let isRefused = self.isHostile && number % 3 == 0
            var head = HTTPResponseHead(version: .http1_1, status: isRefused ? .internalServerError : .noContent)
            if isRefused { head.headers.add(name: "content-length", value: "0") }
            context.write(self.wrapOutboundOut(.head(head)), promise: nil)
            context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    private let log = Log()
    let port: Int

    init(isHostile: Bool = false) async throws {
        let log = self.log
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 256)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: false)
                    try channel.pipeline.syncOperations.addHandler(Handler(log, isHostile: isHostile))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.port = channel.localAddress?.port ?? 0
    }

    var count: Int { self.log.count }

    /// When the request came that made it so many, or the last one if there are more.
    func arrival(of count: Int) async -> ContinuousClock.Instant { await self.log.arrival(of: count) }
}
