import Foundation
import NIOCore
import NIOEmbedded
import NIOSSL
import NIOTLS
import Synchronization
import Testing
import TidemarkTLS
import TidemarkTesting

/// Our handler at one end, another library's at the other, without a network between them: bytes are carried by hand.
@Suite struct TLSHandlerTests {
    /// Keeps what comes out of a pipeline.
    private final class Sink: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        var bytes = ByteBuffer()
        var errors: [any Error] = []
        var events: [String] = []

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var buffer = self.unwrapInboundIn(data)
            self.bytes.writeBuffer(&buffer)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { self.errors.append(error) }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) { self.events.append("\(event)") }
    }

    /// Two ends and what each has heard.
    private final class Pair {
        let server = EmbeddedChannel()
        let client = EmbeddedChannel()
        let (atServer, atClient) = (Sink(), Sink())

        init(server: any ChannelHandler, client: any ChannelHandler) throws {
            try self.server.pipeline.syncOperations.addHandlers([server, self.atServer])
            try self.client.pipeline.syncOperations.addHandlers([client, self.atClient])
            let address = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
            try self.server.connect(to: address).wait()
            try self.client.connect(to: address).wait()
        }

        /// Carries bytes both ways, in parts of so many at most, until neither end has any.
        func carry(inPartsOf size: Int = .max) throws {
            var isMoving = true
            while isMoving {
                isMoving = false
                for (from, to) in [(self.client, self.server), (self.server, self.client)] {
                    while var buffer = try from.readOutbound(as: ByteBuffer.self) {
                        isMoving = true
                        while buffer.readableBytes > 0, to.isActive {
                            let part = buffer.readSlice(length: min(size, buffer.readableBytes)) ?? ByteBuffer()
                            _ = try? to.writeInbound(part)
                        }
                    }
                }
            }
        }

        func finish() {
            for channel in [self.server, self.client] { _ = try? channel.finish(acceptAlreadyClosed: true) }
        }
    }

    /// A future that is not over here never will be: nothing runs beside the test.
    private static func require(_ future: EventLoopFuture<Void>) throws {
        let result = Mutex<Result<Void, any Error>?>(nil)
        future.whenComplete { found in result.withLock { $0 = found } }
        let found = try #require(result.withLock { $0 }, "it is not over")
        try found.get()
    }

    private static let isDone = "handshakeCompleted(negotiatedProtocol: nil)"

    private static func withFiles(_ body: (_ file: (String, String) throws -> String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body { name, text in
            let file = folder.appendingPathComponent(name)
            try Data(text.utf8).write(to: file)
            return file.path
        }
    }

    private static func server() throws -> TLSContext {
        var context: TLSContext?
        try Self.withFiles { file in
            context = try .server(
                certificate: file("server.pem", TestCertificates.server),
                key: file("key.pem", TestCertificates.serverKey)
            )
        }
        return try #require(context)
    }

    private static func client(_ authority: String = TestCertificates.authority) throws -> TLSContext {
        var context: TLSContext?
        try Self.withFiles { file in context = try .client(authorities: file("authority.pem", authority)) }
        return try #require(context)
    }

    /// BoringSSL's end.
    private static func other(_ version: TLSVersion?) throws -> (
        server: NIOSSLServerHandler, client: NIOSSLClientHandler
    ) {
        let certificate = try NIOSSLCertificate(bytes: Array(TestCertificates.server.utf8), format: .pem)
        let key = try NIOSSLPrivateKey(bytes: Array(TestCertificates.serverKey.utf8), format: .pem)
        var server = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(certificate)],
            privateKey: .privateKey(key)
        )
        var client = TLSConfiguration.makeClientConfiguration()
        client.trustRoots = .certificates([
            try NIOSSLCertificate(bytes: Array(TestCertificates.authority.utf8), format: .pem)
        ])
        server.maximumTLSVersion = version
        client.maximumTLSVersion = version
        return (
            NIOSSLServerHandler(context: try NIOSSLContext(configuration: server)),
            try NIOSSLClientHandler(context: try NIOSSLContext(configuration: client), serverHostname: "localhost")
        )
    }

    private static func expectTalk(_ pair: Pair, inPartsOf size: Int) throws {
        let long = ByteBuffer(bytes: (0..<(size < 100 ? 40_000 : 3_000_000)).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        // Before the two have agreed.
        let sent = pair.client.writeAndFlush(ByteBuffer(string: "early"))
        try pair.carry(inPartsOf: size)
        try Self.require(sent)
        #expect(String(buffer: pair.atServer.bytes) == "early")
        let answered = pair.server.writeAndFlush(long)
        try pair.carry(inPartsOf: size)
        try Self.require(answered)
        #expect(pair.atClient.bytes == long)
        pair.client.writeAndFlush(ByteBuffer(), promise: nil)
        pair.client.writeAndFlush(long, promise: nil)
        try pair.carry(inPartsOf: size)
        #expect(pair.atServer.bytes.readableBytes == 5 + long.readableBytes)
        pair.client.close(promise: nil)
        try pair.carry(inPartsOf: size)
        pair.server.close(promise: nil)
        try pair.carry(inPartsOf: size)
        #expect(!pair.server.isActive && !pair.client.isActive)
        #expect(pair.atServer.errors.isEmpty && pair.atClient.errors.isEmpty)
    }

    @Test(arguments: [TLSVersion.tlsv12, .tlsv13], [1, 1000, Int.max])
    func aServerTalksWithAnotherLibrary(_ version: TLSVersion, _ size: Int) throws {
        let pair = try Pair(server: TLSHandler(Self.server()), client: Self.other(version).client)
        defer { pair.finish() }
        try Self.expectTalk(pair, inPartsOf: size)
        #expect(pair.atServer.events.first == Self.isDone)
    }

    @Test(arguments: [TLSVersion.tlsv12, .tlsv13], [1, 1000, Int.max])
    func aClientTalksWithAnotherLibrary(_ version: TLSVersion, _ size: Int) throws {
        let client = try TLSHandler(Self.client(), serverName: "localhost")
        let pair = try Pair(server: Self.other(version).server, client: client)
        defer { pair.finish() }
        try Self.expectTalk(pair, inPartsOf: size)
        #expect(pair.atClient.events.first == Self.isDone)
    }

    @Test(arguments: [
        (TestCertificates.authority, "127.0.0.1", "IP address mismatch"),
        (TestCertificates.authority, "example.com", "hostname mismatch"),
        (TestCertificates.otherAuthority, "localhost", "certificate"),
    ])
    func aCertificateOfAnotherIsRefused(_ authority: String, _ name: String, _ reason: String) throws {
        let client = try TLSHandler(Self.client(authority), serverName: name)
        let pair = try Pair(server: TLSHandler(Self.server()), client: client)
        defer { pair.finish() }
        let early = pair.client.writeAndFlush(ByteBuffer(string: "secret"))
        try pair.carry()
        let error = try #require(pair.atClient.errors.first as? TLSError)
        guard case .handshake = error else { return #expect(Bool(false), "\(error)") }
        #expect(
            error.description.contains("certificate verify failed (") && error.description.contains(reason),
            "\(error)"
        )
        #expect(throws: TLSError.self) { try Self.require(early) }
        #expect(!pair.client.isActive && pair.atServer.bytes.readableBytes == 0)
        // It was told why.
        #expect(pair.atServer.errors.first.map { "\($0)".contains("alert") } == true, "\(pair.atServer.errors)")
    }

    @Test func whatIsNoTLSIsRefused() throws {
        let channel = EmbeddedChannel()
        let sink = Sink()
        try channel.pipeline.syncOperations.addHandlers([TLSHandler(Self.server()), sink])
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try channel.writeInbound(ByteBuffer(string: "GET /healthz HTTP/1.1\r\n\r\n"))
        #expect("\(try #require(sink.errors.first))" == "TLS handshake failed: http request")
        #expect(!channel.isActive)
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }

    /// TCP's end can be forged by who stands between the two; TLS's cannot.
    @Test func aConnectionThatEndsWithoutEndingItsTLSIsAnError() throws {
        let pair = try Pair(
            server: TLSHandler(Self.server()),
            client: TLSHandler(Self.client(), serverName: "localhost")
        )
        defer { pair.finish() }
        try pair.carry()
        pair.server.pipeline.fireChannelInactive()
        #expect(pair.atServer.errors.first as? TLSError == .cut)
        let half = try Pair(server: TLSHandler(Self.server()), client: Self.other(nil).client)
        defer { half.finish() }
        half.server.pipeline.fireChannelInactive()
        #expect("\(try #require(half.atServer.errors.first))".contains("handshake failed: the other end closed"))
    }

    /// A client that has nothing more to say still gets its answer.
    @Test func aServerAnswersAClientThatHasEnded() throws {
        let pair = try Pair(
            server: TLSHandler(Self.server()),
            client: TLSHandler(Self.client(), serverName: "localhost")
        )
        defer { pair.finish() }
        try pair.carry()
        // Both directions here; what the server still sends goes nowhere.
        pair.client.close(promise: nil)
        try pair.carry()
        #expect(pair.atServer.events.contains("inputClosed"), "\(pair.atServer.events)")
        try Self.require(pair.server.writeAndFlush(ByteBuffer(string: "answer")))
        #expect(try pair.server.readOutbound(as: ByteBuffer.self) != nil)
        #expect(pair.atServer.errors.isEmpty)
    }

    /// Counts how often more is asked for.
    private final class ReadCounter: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer

        var reads = 0

        func read(context: ChannelHandlerContext) {
            self.reads += 1
            context.read()
        }
    }

    /// If it were kept, a client that goes on sending would fill the memory.
    @Test func whatComesBehindTheEndIsDropped() throws {
        let handler = try TLSHandler(Self.server())
        let pair = try Pair(server: handler, client: TLSHandler(Self.client(), serverName: "localhost"))
        defer { pair.finish() }
        try pair.carry()
        pair.client.close(promise: nil)
        try pair.carry()
        #expect(pair.atServer.events.contains("inputClosed"))
        let counter = ReadCounter()
        try pair.server.pipeline.syncOperations.addHandler(counter, position: .first)
        for _ in 0..<10 { try pair.server.writeInbound(ByteBuffer(repeating: 7, count: 100_000)) }
        #expect(handler.heldBytes == 0 && counter.reads == 0)
        #expect(pair.atServer.bytes.readableBytes == 0 && pair.atServer.errors.isEmpty)
    }

    @Test func filesThatCannotBeUsedAreNamed() throws {
        try Self.withFiles { file in
            let (certificate, key) = try (
                file("server.pem", TestCertificates.server), file("key.pem", TestCertificates.serverKey)
            )
            let none = try file("none.pem", "nothing")
            let encrypted = try file("encrypted.pem", Self.encryptedKey)
            let foreign = try file("foreign.pem", Self.foreignKey)
            for (certificate, key, named) in [
                ("/no/such.pem", key, "/no/such.pem"), (none, key, none), (certificate, none, none),
                (certificate, "/no/such.key", "/no/such.key"), (certificate, encrypted, encrypted),
                (certificate, foreign, foreign),
            ] {
                let error = #expect(throws: TLSError.self) { try TLSContext.server(certificate: certificate, key: key) }
                #expect(error?.description.hasPrefix(named + ": ") == true, "\(String(describing: error))")
            }
            let missing = #expect(throws: TLSError.self) {
                try TLSContext.server(certificate: certificate, key: "/no/key")
            }
            #expect(missing?.description == "/no/key: no such file or directory")
            let locked = #expect(throws: TLSError.self) {
                try TLSContext.server(certificate: certificate, key: encrypted)
            }
            #expect(locked?.description.contains("it has a passphrase") == true, "\(String(describing: locked))")
            let other = #expect(throws: TLSError.self) { try TLSContext.server(certificate: certificate, key: foreign) }
            #expect(other?.description == "\(foreign): it is not the key of the certificate")
            let empty = #expect(throws: TLSError.self) { try TLSContext.server(certificate: none, key: key) }
            #expect(empty?.description == "\(none): it has no certificate in PEM")
            #expect(throws: TLSError.self) { try TLSContext.client(authorities: none) }
        }
    }

    /// Of no certificate.
    private static let foreignKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHONdZbAlr6gkQicL
        tc0u2z5wmVw/Eq19uXHhR+A6ANehRANCAASH/DLNKK3kvSwXsl7KzZv5iRg7oLjh
        l1ecXGVNEo6V/cGuVGKqzo4gFY4cODlQaWUZknaZNW7fd8aihzdjxspK
        -----END PRIVATE KEY-----
        """

    /// Its passphrase is `tide`.
    private static let encryptedKey = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhvjcoxJgSC9wICCAAw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEBvdr74UKAL85bL50J57Et4EgZAd
        PSadnoyKn99kKTeJkoFsS7C6SW1dpfGzWSZvkBAWK5RNYN1JxRNmQ0HALePCG3u3
        3pEzX/+cfHkxC9q6lkFDcPLFL6WtgI6zRSKJ2qMJHVuLL9KAvnU1REDBxxnr84JG
        IfogkME+3uZILixgW0Ru/g7WxqGwiplivS/TFhbuvcyNmtb1yW6rue3aaTpeBVQ=
        -----END ENCRYPTED PRIVATE KEY-----
        """
}
