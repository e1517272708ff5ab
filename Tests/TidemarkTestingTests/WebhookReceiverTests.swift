import Foundation
import NIOHTTP1
import Subprocess
import Testing

@testable import TidemarkReceiver

@Suite(.timeLimit(.minutes(15)))
struct WebhookReceiverTests {
    @Test func remembersRequestsAndAnswersAsTold() async throws {
        try await WebhookReceiver.with(respond: { request, attempt in
            attempt < 3
                ? .reply(.serviceUnavailable, headers: ["retry-after": "1"], body: "not yet")
                : .reply(.ok, body: "\(request.body.count) bytes")
        }) { receiver in
            let body = String(repeating: "x", count: 100_000)
            #expect(try await curl(receiver.url + "hook", id: "a", body: body).status == "503")
            #expect(try await curl(receiver.url + "hook", id: "a", body: body).status == "503")
            #expect(try await curl(receiver.url + "hook", id: "b", body: "").status == "503")
            let last = try await curl(receiver.url + "hook", id: "a", body: body)
            #expect(last.status == "200")
            #expect(last.body == "100000 bytes")

            let requests = try await receiver.waitForRequests(count: 4)
            #expect(requests.map(\.attempt) == [1, 2, 1, 3])
            #expect(requests.map { $0.headers.first(name: "Webhook-ID") } == ["a", "a", "b", "a"])
            #expect(requests.map(\.body.count) == [100_000, 100_000, 0, 100_000])
            #expect(requests.allSatisfy { $0.method == .POST && $0.uri == "/hook" })
            #expect(zip(requests, requests.dropFirst()).allSatisfy { $0.arrival <= $1.arrival })
        }
    }

    @Test func oneConnectionCarriesSeveralRequests() async throws {
        try await WebhookReceiver.with { receiver in
            _ = try await Subprocess.run(
                .name("curl"),
                arguments: ["-s", "-d", "1", receiver.url, "-d", "2", receiver.url],
                output: .discarded
            )
            #expect(Set(await receiver.requests.map(\.connection)) == [1])
            #expect(await receiver.requests.count == 2)
        }
    }

    @Test func closesOrHangsWithoutAnAnswer() async throws {
        try await WebhookReceiver.with(respond: { _, attempt in attempt == 1 ? .close : .hang }) { receiver in
            let closed = try await curl(receiver.url, id: "a", body: "1")
            #expect(closed.exit == 52, "an empty reply")
            let hung = try await curl(receiver.url, id: "a", body: "1", "-m", "1")
            #expect(hung.exit == 28, "time is up")
            _ = try await receiver.waitForRequests(count: 2)
        }
    }

    @Test func stopReleasesThoseWhoHangAndThoseWhoWait() async throws {
        let receiver = try await WebhookReceiver.start { _, _ in .hang }
        async let hanging = curl(receiver.url, id: "a", body: "1")
        _ = try await receiver.waitForRequests(count: 1)
        let waiting = Task { try await receiver.waitForRequests(count: 2) }
        let cancelled = Task { try await receiver.waitForRequests(count: 3) }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        await receiver.stop()
        let hung = try await hanging
        #expect(hung.exit == 52)
        await #expect(throws: CancellationError.self) { try await waiting.value }
        await receiver.stop()
    }

    @Test func checksSignatures() throws {
        let secret = "whsec_" + Data("0123456789abcdef01234567".utf8).base64EncodedString()
        let signature = try #require(WebhookSignature(secret: secret))
        let body = Array(#"{"type":"x"}"#.utf8)
        // As another implementation has it: Python's hmac.
        let header = "v1,DWWKmK2L+0kkFdWQ82Cg3ZOzYG74ap5JxtMi7wm6qT8="
        func check(_ header: String, id: String = "msg", now: Int64 = 1_700_000_000) -> Bool {
            signature.check(id: id, timestamp: "1700000000", signatures: header, body: body, now: now) == .verified
        }
        #expect(check(header))
        #expect(check("v1,AAAA v2,x " + header))
        #expect(!check(header, id: "other"))
        #expect(!check(header, now: 1_700_000_301))
        #expect(!check("v1,AAAA"))
        #expect(!check(""))
        #expect(WebhookSignature(secret: "whsec_%") == nil)
    }

    /// The example of the Standard Webhooks reference libraries.
    @Test func agreesWithTheReferenceVector() throws {
        let signature = try #require(WebhookSignature(secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
        let outcome = signature.check(
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: "1614265330",
            signatures: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            body: Array(#"{"test": 2432232314}"#.utf8),
            now: 1_614_265_330
        )
        #expect(outcome == .verified)
    }

    @Test func showsOneLineThatSteersNoTerminal() {
        func line(_ body: String, id: String) -> String {
            WebhookLine(
                WebhookReceiver.Request(
                    method: .POST,
                    uri: "/",
                    headers: ["webhook-id": id],
                    body: Array(body.utf8),
                    arrival: .now,
                    attempt: 2,
                    connection: 1
                ),
                signature: nil,
                now: 0
            ).text
        }
        #expect(
            line(#"{"type":"orders.shipped","data":{"key":[18446744073709551615,"a"],"milestone":"shipped"}}"#, id: "i")
                == "orders.shipped  key 18446744073709551615, a  milestone shipped  webhook-id i  "
                + "signature not checked  attempt 2"
        )
        #expect(
            line(#"{"type":"a\n\u001b[31m","data":{"key":{"id":7}}}"#, id: "\u{9b}")
                == #"a\u{a}\u{1b}[31m  key id=7  webhook-id \u{9b}  signature not checked  attempt 2"#
        )
        #expect(line("nonsense", id: "i").hasPrefix("(no type)"))
    }
}

private func curl(
    _ url: String,
    id: String,
    body: String,
    _ options: String...
) async throws -> (status: String, body: String, exit: Int32?) {
    let result = try await Subprocess.run(
        .name("curl"),
        arguments: Arguments(
            ["-s", "-w", "\n%{http_code}", "-H", "webhook-id: \(id)", "--data-binary", "@-"] + options + [url]
        ),
        input: .string(body),
        output: .string(limit: 1 << 16)
    )
    var exit: Int32?
    if case .exited(let code) = result.terminationStatus { exit = code }
    let lines = result.standardOutput.split(separator: "\n", omittingEmptySubsequences: false)
    return (String(lines.last ?? ""), lines.dropLast().joined(separator: "\n"), exit)
}
