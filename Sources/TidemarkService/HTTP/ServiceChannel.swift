import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1
import Synchronization
import TidemarkTLS

/// What a server shows of itself: its certificate and key, as they were read last.
final class ServerCertificate: Sendable {
    /// `nil` where connections are not encrypted.
    let value = Mutex<TLSContext?>(nil)
}

/// Connections of HTTP/1, encrypted where the server has a certificate. Those of clients of HTTP/1.0 end behind their
/// answer, which Hummingbird does not see to: it knows no version of a request.
struct ServiceChannel: ServerChildChannel {
    private let plain: HTTP1Channel
    private let certificate: ServerCertificate

    init(_ plain: HTTP1Channel, _ certificate: ServerCertificate) {
        (self.plain, self.certificate) = (plain, certificate)
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            guard let context = self.certificate.value.withLock({ $0 }) else { return }
            try channel.pipeline.syncOperations.addHandler(TLSHandler(context))
        }.flatMap {
            self.plain.setup(channel: channel, logger: logger)
        }.flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let codec = try pipeline.handler(type: HTTP1ToHTTPServerCodec.self)
            try pipeline.addHandler(VersionHandler(), position: .before(codec))
            return value
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        await self.plain.handle(value: value, logger: logger)
    }
}

/// Has a request of HTTP/1.0 say `Connection: close`, whatever it says: the end of the connection is what such a client
/// waits for, and keeping it would have to be agreed on (RFC 9112, appendix C.2.2).
private final class VersionHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(var head) = self.unwrapInboundIn(data), !head.isKeepAlive || head.version == .http1_0 else {
            return context.fireChannelRead(data)
        }
        // Hummingbird compares with this very word.
        head.headers.replaceOrAdd(name: "connection", value: "close")
        context.fireChannelRead(self.wrapInboundOut(.head(head)))
    }
}
