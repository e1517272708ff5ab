import NIOHTTP1
import Testing
import TidemarkTesting

@testable import TidemarkNotifier

@Suite(.timeLimit(.minutes(15)))
struct WebhookNotifierTests {
    private static let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    private static let delivery = Delivery(
        id: "7d444840-9dc0-51d1-b245-5ffdce74fad2",
        projection: "orders",
        keyJSON: "[7]",
        milestone: "shipped",
        notifier: "warehouse",
        body: Array(#"{"type":"orders.shipped","data":{"n":"ä"}}"#.utf8)
    )

    private static func deliver(
        to url: String,
        allowPrivate: Bool = true,
        now: Int64 = 1_614_265_330,
        lookUp: @escaping HostLookUp = HostResolver.system,
        change: (inout WebhookSettings) -> Void = { _ in }
    ) async throws -> DeliveryResult {
        var settings = WebhookSettings(url: url, secrets: [Self.secret])
        settings.allowPrivate = allowPrivate
        change(&settings)
        let notifier = try WebhookNotifier(settings, lookUp: lookUp, now: { now })
        let result = await notifier.deliver(Self.delivery)
        await notifier.shutdown()
        return result
    }

    private static func outcome(
        of answer: Receiver.Answer,
        now: Int64 = 1_614_265_330,
        _ change: (inout WebhookSettings) -> Void = { _ in }
    ) async throws -> DeliveryResult {
        try await Receiver.with({ _ in answer }) { receiver in
            try await Self.deliver(to: "http://127.0.0.1:\(receiver.port)/T0KEN?key=S3CRET", now: now, change: change)
        }
    }

    /// A reason without the port, which is another each time. It never names more than host and port.
    private static func reason(_ result: DeliveryResult) -> String? {
        guard let reason = result.reason else { return nil }
        #expect(!reason.contains("T0KEN") && !reason.contains("S3CRET") && !reason.contains("MfKQ"))
        #expect(!reason.unicodeScalars.contains { $0.value < 32 })
        return reason.replacing(/:[0-9]{4,5}/, with: "")
    }

    @Test func postsTheBodySigned() async throws {
        try await Receiver.with({ _ in .status(204, body: "") }) { receiver in
            let result = try await Self.deliver(
                to: "http://127.0.0.1:\(receiver.port)/hooks?a=b%20c",
                change: { $0.userAgent = "Tidemark/1.2.3" }
            )
            #expect(result.outcome == .delivered)
            let request = try #require(receiver.requests.first)
            #expect(receiver.requests.count == 1)
            #expect(request.method == "POST")
            #expect(request.uri == "/hooks?a=b%20c")
            #expect(request.body == Self.delivery.body)
            #expect(request.headers["content-type"] == ["application/json"])
            #expect(request.headers["user-agent"] == ["Tidemark/1.2.3"])
            #expect(request.headers["webhook-id"] == [Self.delivery.id])
            #expect(request.headers["webhook-timestamp"] == ["1614265330"])
            let signer = try WebhookSigner(secrets: [Self.secret])
            let expected = signer.signature(
                id: Self.delivery.id,
                timestamp: 1_614_265_330,
                body: Self.delivery.body
            )
            #expect(request.headers["webhook-signature"] == [expected])
            #expect(request.headers["host"] == ["127.0.0.1:\(receiver.port)"])
        }
    }

    @Test(arguments: [200, 201, 202, 204, 299])
    func takesAny2xxForDelivered(_ status: Int) async throws {
        #expect(try await Self.outcome(of: .status(status, body: status == 204 ? "" : "ok")).outcome == .delivered)
    }

    @Test(arguments: [408, 425, 429, 500, 502, 503, 504, 599])
    func triesAgain(_ status: Int) async throws {
        let result = try await Self.outcome(of: .status(status, body: "secret\u{1B}[2J"))
        #expect(result.outcome == .retry(after: nil), "\(result)")
        #expect(Self.reason(result) == "127.0.0.1: status \(status)")
    }

    @Test(arguments: [400, 401, 403, 404, 405, 413, 422, 451])
    func givesUp(_ status: Int) async throws {
        let result = try await Self.outcome(of: .status(status))
        #expect(result.outcome == .dead, "\(result)")
        #expect(Self.reason(result) == "127.0.0.1: status \(status)")
    }

    @Test func takes410ForGone() async throws {
        #expect(try await Self.outcome(of: .status(410)).outcome == .gone)
    }

    @Test(arguments: [301, 302, 303, 307, 308, 304, 300])
    func followsNoRedirect(_ status: Int) async throws {
        try await Receiver.with({ _ in .status(200) }) { other in
            let headers: HTTPHeaders = ["location": "http://127.0.0.1:\(other.port)/"]
            let result = try await Self.outcome(of: .status(status, headers, body: ""))
            #expect(result.outcome == .dead, "\(result)")
            #expect(Self.reason(result) == "127.0.0.1: status \(status), a redirect, which is not followed")
            #expect(other.connectionCount == 0)
        }
    }

    @Test(arguments: [429, 503])
    func heedsRetryAfter(_ status: Int) async throws {
        let inSeconds = try await Self.outcome(of: .status(status, ["retry-after": "120"]))
        #expect(inSeconds.outcome == .retry(after: .seconds(120)), "\(inSeconds)")
        let date = HTTPHeaders([("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")])
        let atADate = try await Self.outcome(of: .status(status, date), now: 784_111_700)
        #expect(atADate.outcome == .retry(after: .seconds(77)), "\(atADate)")
        let rubbish = try await Self.outcome(of: .status(status, ["retry-after": "never"]))
        #expect(rubbish.outcome == .retry(after: nil), "\(rubbish)")
    }

    @Test(arguments: [200, 500])
    func aBodyWithoutEndHoldsNobodyUp(_ status: Int) async throws {
        for answer in [Receiver.Answer.dribble(status), .flood(status)] {
            // That it comes back at all is the point: the body never ends.
            let result = try await Self.outcome(of: answer) { $0.responseBodyTimeout = .milliseconds(50) }
            #expect((result.outcome == .delivered) == (status == 200))
        }
    }

    @Test func anAnswerThatDoesNotComeIsATimeout() async throws {
        let result = try await Self.outcome(of: .silence) { $0.timeout = .milliseconds(100) }
        #expect(result.outcome == .retry(after: nil), "\(result)")
        #expect(Self.reason(result) == "127.0.0.1: no answer within 0.1 seconds")
    }

    @Test func aReceiverThatHangsUpIsTriedAgain() async throws {
        let closed = try await Self.outcome(of: .close)
        #expect(closed.outcome == .retry(after: nil), "\(closed)")
        #expect(Self.reason(closed) == "127.0.0.1: the connection was closed before an answer")
        let rubbish = try await Self.outcome(of: .bytes("\u{1B}[2J you owe me S3CRET\r\n\r\n"))
        #expect(rubbish.outcome == .retry(after: nil), "\(rubbish)")
        #expect(Self.reason(rubbish) == "127.0.0.1: the answer is not HTTP")
    }

    /// `ca_file`: its CAs are trusted beside the system's, and the certificate must still match the host.
    @Test func certificatesAreVerified() async throws {
        let certificate = (TestCertificates.server, TestCertificates.serverKey)
        try await Receiver.with({ _ in .status(200) }, certificate: certificate) { receiver in
            func deliver(to host: String, trusting authority: String?) async throws -> DeliveryResult {
                try await Self.deliver(
                    to: "https://\(host):\(receiver.port)/",
                    change: { $0.authorities = authority.map { Array($0.utf8) } }
                )
            }
            let trusted = try await deliver(to: "localhost", trusting: TestCertificates.authority)
            #expect(trusted.outcome == .delivered, "\(trusted)")
            #expect(receiver.requests.count == 1)
            for (host, authority) in [
                ("localhost", nil), ("localhost", TestCertificates.otherAuthority),
                ("127.0.0.1", TestCertificates.authority),
            ] {
                let result = try await deliver(to: host, trusting: authority)
                #expect(result.outcome == .retry(after: nil), "\(result)")
                #expect(result.reason?.contains("certificate") == true, "\(result)")
            }
            #expect(receiver.requests.count == 1)
        }
    }

    @Test func aRefusedConnectionIsKnownAtOnce() async throws {
        let port = try RefusingPort()
        defer { withExtendedLifetime(port) {} }
        let result = try await Self.deliver(to: "http://127.0.0.1:\(port.number)/")
        #expect(result.outcome == .retry(after: nil), "\(result)")
        #expect(Self.reason(result) == "127.0.0.1: connection refused")
    }

    @Test func aReceiverThatSpeaksNoTLSIsTriedAgain() async throws {
        try await Receiver.with({ _ in .status(200) }) { receiver in
            let result = try await Self.deliver(to: "https://127.0.0.1:\(receiver.port)/")
            #expect(result.outcome == .retry(after: nil), "\(result)")
            #expect(receiver.requests.isEmpty)
        }
    }

    // MARK: What is kept

    @Test func keepsTheBeginningOfAnAnswerWithoutCredentials() async throws {
        let body = "no such hook: POST /T0KEN-4711?key=S3CRET \u{1B}[2J\nMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        let result = try await Receiver.with({ _ in .status(404, body: body + String(repeating: "x", count: 5000)) }) {
            receiver in
            try await Self.deliver(to: "http://127.0.0.1:\(receiver.port)/T0KEN-4711?key=S3CRET")
        }
        #expect(result.status == 404)
        let excerpt = try #require(result.excerpt)
        #expect(excerpt.hasPrefix("no such hook: POST /(redacted)?key=(redacted) \u{FFFD}[2J\n(redacted)xxx"))
        #expect(excerpt.count <= DeliveryResult.excerptBytesMax)
    }

    /// Where an answer is cut, and however it writes a credential.
    @Test func noCredentialIsKeptWhereverItStands() async throws {
        let secret = "whsec_/+/+c2VjcmV0LWtleS1vZi0yNC1ieXRlcw=="
        let key = "/+/+c2VjcmV0LWtleS1vZi0yNC1ieXRlcw"
        let spellings = [
            secret, key, key.replacing("/", with: "\\/"), key.replacing("/", with: "%2F").replacing("+", with: "%2B"),
            key.replacing("/", with: "%2f").replacing("+", with: "%2b"),
            key.replacing("/", with: "\\u002f").replacing("+", with: "\\u002b"),
            key.replacing("/", with: "&#x2F;").replacing("+", with: "&#x2B;"),
            key.replacing("/", with: "_").replacing("+", with: "-"),
        ]
        for spelling in spellings {
            for before in [0, 1000, 1025 - spelling.utf8.count, 16 * 1024 - 20] {
                let body = String(repeating: "x", count: before) + spelling + String(repeating: "y", count: 100)
                let result = try await Receiver.with({ _ in .status(500, body: body) }) { receiver in
                    let url = "http://127.0.0.1:\(receiver.port)/hook"
                    return try await Self.deliver(to: url, change: { $0.secrets = [secret] })
                }
                let excerpt = try #require(result.excerpt)
                #expect(!excerpt.contains("c2VjcmV0") && !excerpt.contains("/+/+"), "\(spelling) at \(before)")
                #expect(excerpt.utf8.count <= DeliveryResult.excerptBytesMax)
            }
        }
    }

    @Test func keepsWhatHasArrivedOfABodyWithoutEnd() async throws {
        let result = try await Self.outcome(of: .flood(500)) { $0.responseBodyTimeout = .seconds(5) }
        #expect(result.excerpt?.utf8.count == DeliveryResult.excerptBytesMax)
        let dribble = try await Self.outcome(of: .dribble(500)) { $0.responseBodyTimeout = .milliseconds(200) }
        #expect(dribble.excerpt?.hasPrefix(".") == true)
    }

    // MARK: Where it goes

    @Test(arguments: [
        "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "%31%32%37.0.0.1", "localhost", "0.0.0.0",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    ])
    func refusesWhatIsNotPublic(_ host: String) async throws {
        try await Receiver.with({ _ in .status(200) }) { receiver in
            let url = "http://\(host):\(receiver.port)/"
            let refused = try await Self.deliver(to: url, allowPrivate: false)
            #expect(refused.outcome == .retry(after: nil), "\(refused)")
            let reason = refused.reason ?? ""
            #expect(reason.contains("loopback, private or link-local"))
            #expect(receiver.connectionCount == 0)
            // It is the address that was refused, not the spelling.
            #expect(try await Self.deliver(to: url).outcome == .delivered)
        }
    }

    @Test func aNameWithOnePrivateAddressAmongItsOwnIsRefused() async throws {
        try await Receiver.with({ _ in .status(200) }) { receiver in
            let result = try await Self.deliver(
                to: "http://hooks.example:\(receiver.port)/",
                allowPrivate: false,
                lookUp: { _ in .success([.v4(0x0101_0101), .v4(0x7F00_0001)]) }
            )
            #expect(result.outcome == .retry(after: nil), "\(result)")
            #expect(receiver.connectionCount == 0)
        }
    }

    /// The name exists only in our look-up, so that a second look-up would fail.
    @Test(arguments: ["hooks.example", "Hooks.Example", "hooks.example."])
    func connectsToTheAddressThatWasChecked(_ host: String) async throws {
        try await Receiver.with({ _ in .status(200) }) { receiver in
            let result = try await Self.deliver(
                to: "http://\(host):\(receiver.port)/",
                lookUp: { _ in .success([.v4(0x7F00_0001)]) }
            )
            #expect(result.outcome == .delivered)
            #expect(receiver.requests.first?.headers["host"] == ["\(host):\(receiver.port)"])
        }
    }

    @Test func triesTheNextAddressWhenNobodyAnswersAtOne() async throws {
        try await Receiver.with({ _ in .status(200) }) { receiver in
            let result = try await Self.deliver(
                to: "http://hooks.example:\(receiver.port)/",
                lookUp: { _ in .success([.v6(high: 0, low: 1), .v4(0x7F00_0001)]) }
            )
            #expect(result.outcome == .delivered)
            #expect(receiver.requests.count == 1)
        }
    }

    @Test func aNameWithoutAnAddressIsTriedAgain() async throws {
        let result = try await Self.deliver(
            to: "http://hooks.example/",
            lookUp: { _ in .failure(ResolutionError("Name or service not known")) }
        )
        #expect(Self.reason(result) == "hooks.example: the host was not looked up: Name or service not known")
    }

    @Test func keepsConnectionsAndLeavesAnAddressThatIsNoLongerTheHosts() async throws {
        let lookUps = Counter()
        try await Receiver.with({ _ in .status(200) }) { receiver in
            var settings = WebhookSettings(url: "http://hooks.example:\(receiver.port)/", secrets: ["s"])
            settings.allowPrivate = true
            settings.addressLifetime = .zero
            let notifier = try WebhookNotifier(settings) { _ in
                lookUps.increment()
                return .success([.v4(lookUps.value <= 3 ? 0x7F00_0001 : 0x7F00_0002)])
            }
            for _ in 0..<3 { #expect(await notifier.deliver(Self.delivery).outcome == .delivered) }
            #expect(receiver.connectionCount == 1)
            // The port is closed, and the old connection is no longer used.
            #expect(await notifier.deliver(Self.delivery).outcome == .retry(after: nil))
            #expect(receiver.requests.count == 3)
            await notifier.shutdown()
        }
    }
}
