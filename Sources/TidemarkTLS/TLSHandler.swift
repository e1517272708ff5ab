package import NIOCore
import NIOTLS

/// Encrypts and decrypts a connection with OpenSSL. It stands first in a pipeline; handlers behind it see plain bytes.
///
/// What is written before the two ends have agreed is kept and sent behind that. Where they do not agree, ``TLSError`` goes
/// through the pipeline, writes fail with it, and the connection is closed. `TLSUserEvent.handshakeCompleted` says that they
/// did.
package final class TLSHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private enum State {
        case unconnected, handshaking, open
        /// Nothing more is written, and the other end may still send.
        case ended
        case closed
    }

    private let session: TLSSession
    private let role: TLSContext.Role
    private var state = State.unconnected
    /// Whether the other end has said that nothing more comes.
    private var isAtEnd = false
    /// Written before the handshake was over.
    private var early: [(ByteBuffer, EventLoopPromise<Void>?)] = []
    /// Of what is encrypted and not sent yet.
    private var promises: [EventLoopPromise<Void>] = []
    /// Whether plain bytes came out of what was read last.
    private var handedOn = false

    /// - Parameter serverName: the host that a client connects to, a name or an address; its certificate is checked for it.
    package init(_ context: TLSContext, serverName: String? = nil) throws(TLSError) {
        self.session = try TLSSession(context, serverName: serverName)
        self.role = context.role
    }

    // MARK: Beginning

    package func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { self.begin(context) }
    }

    package func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard self.state == .unconnected else { return }
        self.state = .handshaking
        self.shakeHands(context)
    }

    private func shakeHands(_ context: ChannelHandlerContext) {
        switch self.session.handshake() {
        case .waits: self.send(context)
        case .ended: self.fail(.handshake(reason: "the other end ended it"), context)
        case .failed(let reason): self.fail(.handshake(reason: reason), context)
        case .done:
            self.state = .open
            let early = self.early
            self.early = []
            for (bytes, promise) in early { self.encrypt(bytes, promise, context) }
            self.send(context)
            context.fireUserInboundEventTriggered(TLSUserEvent.handshakeCompleted(negotiatedProtocol: nil))
        }
    }

    // MARK: Reading

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Behind the end that the other side has announced nothing counts (RFC 8446, 6.1), and nothing may be kept.
        guard self.state != .closed, !self.isAtEnd else { return }
        guard self.session.receive(self.unwrapInboundIn(data)) else {
            return self.fail(.library(reason: "out of memory"), context)
        }
        if self.state == .handshaking { self.shakeHands(context) }
        self.decrypt(context)
    }

    private func decrypt(_ context: ChannelHandlerContext) {
        // What is handed on may close the connection.
        while self.state == .open || self.state == .ended, !self.isAtEnd {
            var buffer = context.channel.allocator.buffer(capacity: 1 << 14)
            let step = self.session.read(into: &buffer)
            switch step {
            case .done:
                self.handedOn = true
                context.fireChannelRead(self.wrapInboundOut(buffer))
            case .waits:
                // An answer to what was no data, such as another key.
                if self.session.sendable > 0 { self.send(context) }
                return
            case .ended: self.readEnd(context)
            case .failed(let reason): self.fail(.broken(reason: reason), context)
            }
        }
    }

    /// The other end has nothing more to say. A server may still answer; a client has nothing to ask.
    private func readEnd(_ context: ChannelHandlerContext) {
        self.isAtEnd = true
        guard self.role == .client else { return context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        self.end(context)
        self.state = .closed
        context.close(promise: nil)
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        // A reader that asks for more only once something has come would wait for ever.
        if !self.handedOn, self.state != .closed, !self.isAtEnd { context.read() }
        self.handedOn = false
        context.fireChannelReadComplete()
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            // Said already where TLS was ended first.
            guard !self.isAtEnd else { return }
            return self.cut(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    package func channelInactive(context: ChannelHandlerContext) {
        self.cut(context)
        context.fireChannelInactive()
    }

    /// The connection is over, or will have no more bytes of the other end.
    private func cut(_ context: ChannelHandlerContext) {
        switch self.state {
        case .handshaking: self.fail(.handshake(reason: "the other end closed the connection"), context)
        case .open where !self.isAtEnd, .ended where !self.isAtEnd: self.fail(.cut, context)
        case .open, .ended, .unconnected, .closed: self.drop(ChannelError.ioOnClosedChannel)
        }
    }

    /// Bytes that came and are not decrypted yet.
    package var heldBytes: Int { self.session.held }

    // MARK: Writing

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = self.unwrapOutboundIn(data)
        switch self.state {
        case .unconnected, .handshaking: self.early.append((bytes, promise))
        case .open: self.encrypt(bytes, promise, context)
        case .ended, .closed: promise?.fail(ChannelError.ioOnClosedChannel)
        }
    }

    private func encrypt(_ bytes: ByteBuffer, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext) {
        guard self.state == .open else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        if let promise { self.promises.append(promise) }
        guard case .failed(let reason) = self.session.write(bytes) else { return }
        self.fail(.broken(reason: reason), context)
    }

    package func flush(context: ChannelHandlerContext) {
        if self.state == .open { self.send(context) } else { context.flush() }
    }

    /// Hands what is encrypted to the network.
    private func send(_ context: ChannelHandlerContext) {
        guard self.session.sendable > 0 || !self.promises.isEmpty else { return }
        var buffer = context.channel.allocator.buffer(capacity: self.session.sendable)
        self.session.send(into: &buffer)
        let promises = self.promises
        self.promises = []
        var sent: EventLoopPromise<Void>?
        if !promises.isEmpty {
            let promise = context.eventLoop.makePromise(of: Void.self)
            promise.futureResult.whenComplete { result in for waiting in promises { waiting.completeWith(result) } }
            sent = promise
        }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: sent)
    }

    // MARK: Ending

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch mode {
        case .input: context.close(mode: .input, promise: promise)
        case .output:
            self.end(context)
            if self.state != .closed { self.state = .ended }
            context.close(mode: .output, promise: promise)
        case .all:
            self.end(context)
            self.state = .closed
            self.drop(ChannelError.ioOnClosedChannel)
            context.close(mode: .all, promise: promise)
        }
    }

    private func end(_ context: ChannelHandlerContext) {
        guard self.state == .open else { return }
        self.session.end()
        self.send(context)
    }

    private func fail(_ error: TLSError, _ context: ChannelHandlerContext) {
        guard self.state != .closed else { return }
        self.state = .closed
        // The alert that says why.
        self.send(context)
        self.drop(error)
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    private func drop(_ error: any Error) {
        let (early, promises) = (self.early, self.promises)
        (self.early, self.promises) = ([], [])
        for (_, promise) in early { promise?.fail(error) }
        for promise in promises { promise.fail(error) }
    }
}
