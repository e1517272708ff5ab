import Foundation
import NIOHTTP1
import Subprocess
import SystemPackage
import Testing
import TidemarkReceiver
import TidemarkTesting

/// What is sent, verified by the library that receivers use: `standardwebhooks` for Python, in an environment that
/// `make test` makes.
@Suite(.timeLimit(.minutes(5)))
struct SignatureTests {
    private static let old = "whsec_b2xkIHNlY3JldCBvZiB0aGUgdGVzdHMgMDEyMzQ1Njc4OQ=="
    private static let new = "whsec_bmV3IHNlY3JldCBvZiB0aGUgdGVzdHMgMDEyMzQ1Njc4OQ=="

    private static let python = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: ".venv/bin/python")

    private static let program = """
        import json, sys
        from standardwebhooks.webhooks import Webhook, WebhookVerificationError

        message = json.load(sys.stdin)
        try:
            Webhook(message["secret"]).verify(message["body"], message["headers"])
            print("verified")
        except WebhookVerificationError:
            print("refused")
        """

    private static func verdict(
        _ request: WebhookReceiver.Request,
        secret: String,
        body: String? = nil
    ) async throws -> String {
        try #require(
            FileManager.default.isExecutableFile(atPath: Self.python.path),
            "the library that verifies is not there: make .venv/ready"
        )
        let message: [String: Any] = [
            "secret": secret, "body": body ?? String(decoding: request.body, as: UTF8.self),
            "headers": Dictionary(request.headers.map { ($0.name, $0.value) }) { first, _ in first },
        ]
        let result = try await Subprocess.run(
            .path(FilePath(Self.python.path)),
            arguments: ["-c", Self.program],
            input: .array(Array(try JSONSerialization.data(withJSONObject: message))),
            output: .string(limit: 4096),
            error: .string(limit: 65_536)
        )
        #expect(result.terminationStatus.isSuccess, "\(result.standardError)")
        return result.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test
    func receiversVerifyWithEitherSecretWhileOneIsBeingReplaced() async throws {
        try await withFolder { folder in
            try await WebhookReceiver.with { receiver in
                let file = folder.appendingPathComponent("tidemark.yaml")
                let yaml = """
                    projections: [{ name: orders, from: shop.orders, key: id, sequence: version }]
                    notifiers:
                      warehouse:
                        { type: webhook, url: "\(receiver.url)", secret: ["${NEW}", "${OLD}"], allow_private: true }

                    """
                try Data(yaml.utf8).write(to: file)
                let sent = try await TidemarkProcess.run(
                    ["notifiers", "test", "warehouse", "--config", file.path],
                    environment: ["NEW": Self.new, "OLD": Self.old]
                )
                #expect(sent.status == 0 && sent.output.hasPrefix("warehouse: delivered, status 204"), "\(sent)")
                let request = try #require(try await receiver.waitForRequests(count: 1).first)
                #expect(try await Self.verdict(request, secret: Self.new) == "verified")
                #expect(try await Self.verdict(request, secret: Self.old) == "verified")
                let other = "whsec_b3RoZXIgc2VjcmV0IG9mIHRlc3RzIDAxMjM0NTY3ODk="
                #expect(try await Self.verdict(request, secret: other) == "refused")
                let forged = String(decoding: request.body, as: UTF8.self).replacing("test", with: "tes7")
                #expect(try await Self.verdict(request, secret: Self.new, body: forged) == "refused")
                let body = try JSONSerialization.jsonObject(with: Data(request.body)) as? [String: Any]
                #expect(body?["type"] as? String == "tidemark.test")
            }
        }
    }

    /// What a replay sends goes through the database before it is signed.
    @Test(.freshDatabase)
    func receiversVerifyWhatAReplaySends() async throws {
        try await withFolder { folder in
            try await WebhookReceiver.with { receiver in
                let file = folder.appendingPathComponent("tidemark.yaml")
                let yaml = Shop.projection.replacing("https://warehouse.example/hooks", with: receiver.url)
                    .replacing("type: webhook\n", with: "type: webhook\n    allow_private: true\n")
                try Data(yaml.utf8).write(to: file)
                let log = folder.appendingPathComponent("orders.ndjson")
                let event =
                    #"{"table":"shop.orders","op":"insert","after":{"id":1,"customer":"Zoë \"7\" \\","status":"shipped","#
                    + #""version":9,"amount":1.50,"updated_at":"2026-03-01T09:30:15Z"}}"#
                try Data(event.utf8).write(to: log)
                let replay = try await TidemarkProcess.run(
                    ["replay", "--config", file.path, log.path],
                    environment: ["DATABASE_URL": TestDatabase.current.url]
                )
                #expect(replay.status == 0, "\(replay.error)")
                let request = try #require(try await receiver.waitForRequests(count: 1).first)
                let secret = "whsec_dGlkZW1hcmsgdGVzdCBzZWNyZXQgMDEyMzQ1Njc4OQ=="
                #expect(try await Self.verdict(request, secret: secret) == "verified")
            }
        }
    }
}
