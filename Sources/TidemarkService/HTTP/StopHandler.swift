import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Answers a request whose body has not ended when the server stops. Nothing takes its events any more, and who sends
/// slowly would keep the process from its end, or be cut off without a word.
final class StopHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// Requests without their ends: at most the last one.
    private var isInBody = false
    /// Requests whose answers have not begun.
    private var unanswered = 0
    private var isOver = false

    private static let message = HTTPAnswer.errorBytes(PushEndpoint.unknownMessage(HealthBoard.stopReason))

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head:
            self.isInBody = true
            self.unanswered += 1
        case .end: self.isInBody = false
        case .body: break
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !self.isOver else { return promise?.fail(ChannelError.ioOnClosedChannel) ?? () }
        if case .head(let head) = self.unwrapOutboundIn(data), head.status.kind != .informational {
            self.unanswered -= 1
        }
        context.write(data, promise: promise)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is ChannelShouldQuiesceEvent, self.isInBody, self.unanswered == 1 else {
            return context.fireUserInboundEventTriggered(event)
        }
        self.isOver = true
        var head = HTTPResponse(status: .serviceUnavailable)
        head.headerFields = [
            .contentType: "application/json", .contentLength: "\(Self.message.count)", .retryAfter: "1",
            .connection: "close",
        ]
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(self.wrapOutboundOut(.body(ByteBuffer(bytes: Self.message))), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
            context.close(promise: nil)
        }
    }
}
