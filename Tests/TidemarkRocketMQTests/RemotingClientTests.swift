import NIOCore
import NIOPosix
import RocketMQCodec
import RocketMQMock
import Synchronization
import Testing
import TidemarkCore
@testable import TidemarkRocketMQ
import TidemarkTesting

/// The client against a broker, and against peers that do not keep to the protocol.
@Suite(.timeLimit(.minutes(2)))
struct RemotingClientTests {
    private static func client(onRequest: @escaping @Sendable (RemotingCommand) -> Void = { _ in }) throws
        -> RemotingClient
    {
        try RemotingClient(RocketMQAccess(), onRequest: onRequest)
    }

    /// Listens, and gives each connection to a handler of bytes.
    private static func withPeer(
        _ answer: @escaping @Sendable (any Channel, NIOCore.ByteBuffer) -> Void,
        _ body: (String) async throws -> Void
    ) async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(PeerHandler(answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        try await body("127.0.0.1:\(server.localAddress?.port ?? 0)")
        try await server.close()
    }

    private final class PeerHandler: ChannelInboundHandler, Sendable {
        typealias InboundIn = NIOCore.ByteBuffer
        private let answer: @Sendable (any Channel, NIOCore.ByteBuffer) -> Void
        init(_ answer: @escaping @Sendable (any Channel, NIOCore.ByteBuffer) -> Void) { self.answer = answer }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.answer(context.channel, self.unwrapInboundIn(data))
        }
    }

    @Test func addressesAreCutAtTheLastColon() {
        #expect(RemotingConnection.hostAndPort("::1:33911")?.host == "::1")
        #expect(RemotingConnection.hostAndPort("[::1]:33911")?.host == "::1")
        #expect(RemotingConnection.hostAndPort("a.b:1")?.port == 1)
        for wrong in ["a", "a:", ":1", "a:0", "a:65536", ""] { #expect(RemotingConnection.hostAndPort(wrong) == nil) }
    }

    @Test func manyRequestsAreMatchedWithTheirAnswers() async throws {
        try await withBroker(queues: 8) { broker in
            for queue in 0..<8 { for _ in 0..<queue { broker.send("x", to: SourceRun.topic, queue: Int32(queue)) } }
            let client = try Self.client()
            let route = try await client.request(
                RemotingCommand(code: RequestCode.route, fields: [.init("topic", SourceRun.topic)]),
                at: broker.address,
                broker: nil,
                timeout: .seconds(10)
            )
            let address = try #require(try TopicRoute(route.body).brokers.first?.master)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let command = RemotingCommand(
                            code: RequestCode.maxOffset,
                            fields: [.init("topic", SourceRun.topic), .init("queueId", "\(number % 8)")]
                        )
                        let answer = try await client.request(
                            command,
                            at: address,
                            broker: "broker-a",
                            timeout: .seconds(10)
                        )
                        #expect(try answer.number("offset") == Int64(number % 8))
                    }
                }
                try await group.waitForAll()
            }
            await client.close()
        }
    }

    @Test func aSilentPeerTimesOutAndIsLeft() async throws {
        try await Self.withPeer({ _, _ in }) { address in
            let client = try Self.client()
            await #expect(throws: RemotingFailure.self) {
                try await client.request(
                    RemotingCommand(code: 11),
                    at: address,
                    broker: nil,
                    timeout: .milliseconds(50)
                )
            }
            await client.close()
        }
    }

    @Test func aPeerThatSendsNoFramesIsLeft() async throws {
        try await Self.withPeer({ channel, _ in
            channel.writeAndFlush(NIOCore.ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n"), promise: nil)
        }) { address in
            let client = try Self.client()
            do {
                _ = try await client.request(RemotingCommand(code: 11), at: address, broker: nil, timeout: .seconds(20))
                Issue.record("it has an answer")
            } catch {
                #expect("\(error)".contains("it sent no frame"))
            }
            await client.close()
        }
    }

    @Test func anAddressWithoutAPeerIsToldOnceAndWaitedFor() async throws {
        let client = try Self.client()
        for _ in 0..<3 {
            do {
                _ = try await client.request(
                    RemotingCommand(code: 11),
                    at: "127.0.0.1:1",
                    broker: nil,
                    timeout: .seconds(5)
                )
                Issue.record("it has an answer")
            } catch {
                #expect("\(error)" == "127.0.0.1:1 cannot be reached: Connection refused")
            }
        }
        await client.close()
    }

    /// One that cannot be sent keeps the others back, and leaves nothing waiting.
    @Test func aRequestThatIsTooLongFailsThoseThatGoWithIt() async throws {
        let broker = try await RocketMQBroker()
        let client = try RemotingClient(RocketMQAccess())
        let long = RemotingCommand(code: 11, body: [UInt8](repeating: 0, count: RemotingFrame.bytesMost))
        await #expect(throws: RocketMQDataError.self) {
            try await client.request(
                [RemotingCommand(code: 105), long],
                at: broker.address,
                broker: nil,
                timeout: .seconds(20)
            )
        }
        await client.close()
        await broker.stop()
    }

    @Test func whatABrokerAsksIsRefusedUnlessItIsOneway() async throws {
        let answered = Mutex<[RemotingCommand]>([])
        let asked = Mutex<[Int32]>([])
        let wakeup = Wakeup()
        let decoder = Mutex(RemotingFrameDecoder())
        try await Self.withPeer({ channel, buffer in
            let commands = decoder.withLock { decoder in
                var commands: [RemotingCommand] = []
                buffer.withUnsafeReadableBytes { try? decoder.feed($0) { commands.append($0) } }
                return commands
            }
            for command in commands {
                if command.isResponse {
                    answered.withLock { $0.append(command) }
                    wakeup.signal()
                    continue
                }
                var oneway = RemotingCommand(code: RequestCode.membersChanged, fields: [.init("consumerGroup", "g")])
                oneway.flag = 2
                var question = RemotingCommand(code: 307)
                question.opaque = -77
                var response = RemotingCommand(code: 0)
                (response.flag, response.opaque) = (1, command.opaque)
                for one in [oneway, question, response] {
                    guard let bytes = try? RemotingFrame.bytes(of: one) else { continue }
                    channel.writeAndFlush(NIOCore.ByteBuffer(bytes: bytes), promise: nil)
                }
            }
        }) { address in
            let client = try Self.client { command in asked.withLock { $0.append(command.code) } }
            let answer = try await client.request(
                RemotingCommand(code: 11),
                at: address,
                broker: nil,
                timeout: .seconds(10)
            )
            #expect(answer.code == 0)
            try await waitUntil("the refusal", on: wakeup) { !answered.withLock { $0.isEmpty } }
            let refusal = answered.withLock { $0.first }
            #expect(refusal?.code == 3 && refusal?.opaque == -77)
            #expect(asked.withLock { $0 } == [40, 307])
            await client.close()
        }
    }
}
