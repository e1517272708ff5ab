import Testing
import TidemarkCore

@testable import TidemarkNotifier

@Suite struct WebhookSignerTests {
    /// The example of Standard Webhooks. The expected value was computed with Python's `hmac` and `base64`.
    @Test func signsTheStandardsExample() throws {
        let signer = try WebhookSigner(secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
        let signature = signer.signature(
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: 1_614_265_330,
            body: Array(#"{"test": 2432232314}"#.utf8)
        )
        #expect(signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    }

    /// Computed likewise, with the key `"wörter".encode()`.
    @Test func takesASecretWithoutThePrefixAsItStands() throws {
        let signer = try WebhookSigner(secrets: ["wörter"])
        let signature = signer.signature(
            id: "0d6f2a0e-0000-5000-8000-000000000000",
            timestamp: 1_700_000_000,
            body: Array(#"{"a":"ä"}"#.utf8)
        )
        #expect(signature == "v1,nuGBn1KbLRYsS3IDeqEGJP4qEIQnqdjFiLuRONmYxfc=")
    }

    @Test func signsWithEachSecretWhileOneIsReplaced() throws {
        let (old, new) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "wörter")
        let both = try WebhookSigner(secrets: [new, old]).signature(id: "a", timestamp: 1, body: [1])
        let each = try [new, old].map { try WebhookSigner(secrets: [$0]).signature(id: "a", timestamp: 1, body: [1]) }
        #expect(both == each.joined(separator: " "))
    }

    @Test(arguments: ["whsec_", "whsec_not base64!", "whsec_A", ""])
    func refusesASecretThatIsNone(_ secret: String) throws {
        let error = #expect(throws: NotifierError.self) { try WebhookSigner(secrets: [secret]) }
        #expect(error?.code == .invalidSecret)
        #expect(error?.description.contains("not base64!") == false)
    }

    @Test(
        arguments: zip(
            [[], [0], [0, 1], [0, 1, 2], [255, 255, 255, 255]],
            ["", "AA==", "AAE=", "AAEC", "/////w=="]
        )
    )
    func encodesBase64(_ bytes: [UInt8], _ text: String) {
        #expect(BinaryText.base64(bytes) == text)
    }
}
