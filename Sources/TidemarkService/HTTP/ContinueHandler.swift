import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Answers `Expect: 100-continue` (RFC 9110, 10.1.1), which Hummingbird leaves to its channels: clients such as curl
/// send it with long bodies, and the body only after the answer or a second of waiting.
final class ContinueHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// A longer body is answered without it.
    private let bodyBytesMax: Int
    /// Requests whose answers have not been written to their ends: a client may send the next one before.
    private var open = 0
    /// The last request waits for it, once the answers before it are written.
    private var isAsked = false

    init(bodyBytesMax: Int) { self.bodyBytesMax = bodyBytesMax }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = self.unwrapInboundIn(data) {
            self.open += 1
            let length = head.headerFields[.contentLength].flatMap { Int($0) } ?? 0
            self.isAsked =
                length <= self.bodyBytesMax && head.headerFields[.expect]?.lowercased() == "100-continue"
        }
        context.fireChannelRead(data)
        self.answer(context)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let isEnd = if case .end = self.unwrapOutboundIn(data) { true } else { false }
        // A client that has its answer sends no body.
        if self.open == 1 { self.isAsked = false }
        context.write(data, promise: promise)
        guard isEnd else { return }
        self.open -= 1
        self.answer(context)
    }

    private func answer(_ context: ChannelHandlerContext) {
        guard self.isAsked, self.open == 1 else { return }
        self.isAsked = false
        context.writeAndFlush(self.wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
    }
}
