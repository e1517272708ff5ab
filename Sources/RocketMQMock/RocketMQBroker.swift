import NIOCore
import NIOPosix
import NIOSSL
import RocketMQCodec
import Synchronization

/// A name server and brokers of RocketMQ for tests, on loopback: the queues are in memory, the bytes are those of the
/// protocol. It can be told to fail.
package final class RocketMQBroker: Sendable {
    /// Server and connections of a name server or a broker.
    final class Endpoint: Sendable {
        struct State {
            var server: (any Channel)?
            var connections: [ObjectIdentifier: any Channel] = [:]
            var port = 0
        }

        /// `nil` for a name server.
        let broker: String?
        /// It has the master's messages, up to a limit, and takes none.
        let isSlave: Bool
        let state = Mutex(State())

        init(_ broker: String?, isSlave: Bool = false) { (self.broker, self.isSlave) = (broker, isSlave) }
    }

    struct Waiting {
        var broker: String
        var topic: String
        var queue: Int64
        var retry: @Sendable () -> Void
    }

    let store = RocketMQStore()
    let endpoints: [Endpoint]
    let waiting = Mutex<[UInt64: Waiting]>([:])
    let nextWait = Atomic<UInt64>(0)
    /// Brokers that the name server does not name.
    let hidden = Mutex<Set<String>>([])

    private let tls: NIOSSLContext?
    private let host: String

    /// - Parameters:
    ///   - hasSlaves: each broker has a slave.
    ///   - identity: PEM of a certificate for `localhost` and its key; with it connections are encrypted.
    package init(
        brokers: [String] = ["broker-a"],
        hasSlaves: Bool = false,
        identity: (certificate: String, key: String)? = nil
    ) async throws {
        self.host = identity == nil ? "127.0.0.1" : "localhost"
        self.tls = try identity.map { try Self.context($0.certificate, $0.key) }
        self.endpoints =
            [Endpoint(nil)] + brokers.map { Endpoint($0) }
            + (hasSlaves ? brokers.map { Endpoint($0, isSlave: true) } : [])
        for endpoint in self.endpoints { try await self.listen(endpoint) }
    }

    private static func context(_ certificate: String, _ key: String) throws -> NIOSSLContext {
        let certificate = try NIOSSLCertificate(bytes: Array(certificate.utf8), format: .pem)
        let key = try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)
        return try NIOSSLContext(
            configuration: .makeServerConfiguration(
                certificateChain: [.certificate(certificate)],
                privateKey: .privateKey(key)
            )
        )
    }

    package func stop() async {
        for endpoint in self.endpoints { await Self.close(endpoint) }
    }

    func listen(_ endpoint: Endpoint) async throws {
        let port = endpoint.state.withLock { $0.port }
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls = self.tls {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
                    }
                    try channel.pipeline.syncOperations.addHandler(Handler(self, endpoint))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        endpoint.state.withLock { state in
            state.server = server
            state.port = server.localAddress?.port ?? 0
        }
    }

    static func close(_ endpoint: Endpoint) async {
        let (server, connections) = endpoint.state.withLock { state in
            defer { state.server = nil }
            return (state.server, Array(state.connections.values))
        }
        try? await server?.close()
        for connection in connections { try? await connection.close() }
    }

    private func address(ofBroker broker: String?) -> String {
        self.address(self.endpoints.first { $0.broker == broker && !$0.isSlave })
    }

    private func address(_ endpoint: Endpoint?) -> String {
        let port = endpoint?.state.withLock { $0.port } ?? 0
        return "\(self.host):\(port)"
    }

    /// Of the name server.
    package var address: String { self.address(ofBroker: nil) }
    package var brokers: [String] { self.endpoints.filter { !$0.isSlave }.compactMap(\.broker) }

    /// Masters that listen, and slaves, as a name server names them.
    private func addresses(of broker: String) -> [Int64: String] {
        var addresses: [Int64: String] = [:]
        for endpoint in self.endpoints where endpoint.broker == broker {
            let isListening = endpoint.state.withLock { $0.server != nil }
            // One that is alone is named though it is gone, as it is until its connection has ended.
            guard isListening || self.endpoints.count == 1 + self.brokers.count else { continue }
            addresses[endpoint.isSlave ? 1 : 0] = self.address(endpoint)
        }
        return addresses
    }

    // MARK: Answering

    private func route(_ topic: String) -> RemotingCommand {
        let hidden = self.hidden.withLock { $0 }
        let found = self.store.state.withLock { state in
            self.brokers.filter { !hidden.contains($0) }.compactMap { broker in
                state.topics[broker]?[topic].map { (broker, $0) }
            }
        }
        guard !found.isEmpty else {
            let text = "No topic route info in name server for the topic: \(topic)"
            return RocketMQStore.response(ResponseCode.topicMissing, text)
        }
        let route = TopicRoute(
            brokers: found.map { .init(name: $0.0, cluster: "DefaultCluster", addresses: self.addresses(of: $0.0)) },
            queues: found.map {
                .init(broker: $0.0, readable: $0.1.readable, writable: $0.1.writable, permission: $0.1.permission)
            }
        )
        return RocketMQStore.response(0, body: route.json)
    }

    private func refusal(_ request: RemotingCommand) -> RemotingCommand? {
        self.store.state.withLock { state in
            if var faults = state.faults[request.code], !faults.isEmpty {
                let fault = faults.removeFirst()
                state.faults[request.code] = faults
                return RocketMQStore.response(fault.code, fault.remark)
            }
            if state.asksForBrokerName, request["bname"] ?? request["n"] == nil {
                return RocketMQStore.response(15, "Request doesn't have field bname")
            }
            guard !state.credentials.isEmpty else { return nil }
            let secret = request[AccessSignature.keyField].flatMap { state.credentials[$0] }
            let isSigned = secret.map {
                AccessSignature.signature(of: request, secretKey: $0) == request[AccessSignature.signatureField]
            }
            return isSigned == true ? nil : RocketMQStore.response(ResponseCode.noPermission, "check signature failed.")
        }
    }

    /// Pulls that wait for messages of a queue look again.
    func wake(_ topic: String, _ broker: String, _ queue: Int64) {
        let due = self.waiting.withLock { waiting in
            let due = waiting.filter { $0.value.topic == topic && $0.value.broker == broker && $0.value.queue == queue }
            for id in due.keys { waiting[id] = nil }
            return due.values
        }
        for one in due { one.retry() }
    }

    private func tellMembers(of group: String, _ endpoint: Endpoint) {
        let connections = endpoint.state.withLock { $0.connections }
        let members = self.store.state.withLock { state in
            (state.members[group] ?? [:]).values.reduce(into: Set<ObjectIdentifier>()) { $0.formUnion($1) }
        }
        var command = RemotingCommand(code: RequestCode.membersChanged, fields: [.init("consumerGroup", group)])
        command.flag = 2
        guard let bytes = try? RemotingFrame.bytes(of: command) else { return }
        for id in members { connections[id]?.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }
    }

    /// One connection. Used on its event loop alone, which makes it `Sendable`.
    private final class Handler: ChannelInboundHandler, @unchecked Sendable {
        typealias InboundIn = ByteBuffer

        private let owner: RocketMQBroker
        private let endpoint: Endpoint
        private var decoder = RemotingFrameDecoder()

        init(_ owner: RocketMQBroker, _ endpoint: Endpoint) { (self.owner, self.endpoint) = (owner, endpoint) }

        func channelActive(context: ChannelHandlerContext) {
            let channel = context.channel
            self.endpoint.state.withLock { $0.connections[ObjectIdentifier(channel)] = channel }
        }

        func channelInactive(context: ChannelHandlerContext) {
            let id = ObjectIdentifier(context.channel)
            self.endpoint.state.withLock { $0.connections[id] = nil }
            for group in self.owner.store.forget(id) { self.owner.tellMembers(of: group, self.endpoint) }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var pulls = 0
            do {
                try self.unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
                    try self.decoder.feed(bytes) { request in
                        guard !request.isResponse else { return }
                        if request.code == RequestCode.pull { pulls += 1 }
                        self.answer(request, context.channel)
                    }
                }
                self.owner.store.state.withLock { $0.mostPullsAtOnce = max($0.mostPullsAtOnce, pulls) }
            } catch {
                context.close(promise: nil)
            }
        }

        private func answer(_ request: RemotingCommand, _ channel: any Channel) {
            do throws(RocketMQDataError) {
                guard let broker = self.endpoint.broker else {
                    let isRoute = request.code == RequestCode.route
                    return self.write(
                        isRoute ? self.owner.route(request["topic"] ?? "") : RocketMQStore.response(3, "not supported"),
                        to: request,
                        channel
                    )
                }
                if let refusal = self.owner.refusal(request) { return self.write(refusal, to: request, channel) }
                if request.code == RequestCode.pull { return try self.pull(request, broker, channel) }
                let caller = RocketMQStore.Caller(broker: broker, connection: ObjectIdentifier(channel))
                var changed: [String] = []
                let response = try self.owner.store.answer(request, caller) { changed.append($0) }
                self.write(response, to: request, channel)
                for group in changed { self.owner.tellMembers(of: group, self.endpoint) }
                if let topic = request["b"] ?? request["topic"], let queue = request["e"] ?? request["queueId"],
                    [10, 310, 320].contains(request.code)
                {
                    self.owner.wake(topic, broker, Int64(queue) ?? 0)
                }
            } catch {
                self.write(RocketMQStore.response(1, "\(error)"), to: request, channel)
            }
        }

        private func pull(
            _ request: RemotingCommand,
            _ broker: String,
            _ channel: any Channel,
            isOver: Bool = false
        ) throws(RocketMQDataError) {
            self.owner.store.state.withLock { $0.pulls += 1 }
            let isSlave = self.endpoint.isSlave
            switch try self.owner.store.pull(request, broker: broker, isSlave: isSlave, isOver: isOver) {
            case .answer(let response): self.write(response, to: request, channel)
            case .wait(let time):
                let id = self.owner.nextWait.wrappingAdd(1, ordering: .relaxed).oldValue
                let retry = { @Sendable (isOver: Bool) in
                    channel.eventLoop.execute {
                        guard channel.isActive else { return }
                        try? self.pull(request, broker, channel, isOver: isOver)
                    }
                }
                let (topic, queue) = (request["topic"] ?? "", try request.number("queueId"))
                self.owner.waiting.withLock {
                    $0[id] = Waiting(broker: broker, topic: topic, queue: queue) { retry(false) }
                }
                channel.eventLoop.scheduleTask(in: .nanoseconds(Int64(time / .nanoseconds(1)))) {
                    [owner = self.owner] in
                    let isOpen = owner.waiting.withLock { $0.removeValue(forKey: id) != nil }
                    if isOpen { retry(true) }
                }
                // A message may have come between the look and the wait. A slave looks again when the wait is over.
                if !isSlave,
                    self.owner.end(of: topic, queue: Int(queue), broker: broker) > (try request.number("queueOffset"))
                {
                    self.owner.wake(topic, broker, queue)
                }
            }
        }

        private func write(_ response: RemotingCommand, to request: RemotingCommand, _ channel: any Channel) {
            guard !request.isOneway else { return }
            var response = response
            response.opaque = request.opaque
            guard let bytes = try? RemotingFrame.bytes(of: response) else { return }
            guard let delay = self.owner.store.state.withLock({ $0.delay }) else {
                channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
                return
            }
            channel.eventLoop.scheduleTask(in: .nanoseconds(Int64(delay / .nanoseconds(1)))) {
                channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
            }
        }
    }
}
