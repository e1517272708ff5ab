import FoundationEssentials
import NIOHTTP1
import PlatformC
import TidemarkReceiver
import UnixSignals

/// `tidemark-receiver [PORT]`: takes webhooks on 127.0.0.1 and prints a line for each. The first line is the port.
///
/// With `WEBHOOK_SECRET` it checks signatures, and answers 401 where one is wrong. Ends on SIGTERM and SIGINT.
@main
enum Main {
    static func main() async {
        guard CommandLine.arguments.count <= 2, let port = Int(CommandLine.arguments.dropFirst().first ?? "0"),
            (0...65_535).contains(port)
        else { Self.fail("usage: tidemark-receiver [PORT]", code: 64) }

        var signature: WebhookSignature?
        if let secret = getenv("WEBHOOK_SECRET").map({ String(cString: $0) }), !secret.isEmpty {
            signature = WebhookSignature(secret: secret)
            if signature == nil { Self.fail("WEBHOOK_SECRET is not whsec_ followed by base64", code: 78) }
        }

        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let receiver: WebhookReceiver
        do {
            receiver = try await WebhookReceiver.start(port: port) { [signature] request, _ in
                let line = WebhookLine(request, signature: signature, now: Int64(Date().timeIntervalSince1970))
                Self.write(line.text, to: 1)
                if case .refused = line.outcome { return .reply(.unauthorized) }
                return .reply(.noContent)
            }
        } catch {
            Self.fail("port \(port) cannot be used: \(error)", code: 69)
        }
        Self.write("\(receiver.port)", to: 1)
        for await _ in signals { break }
        await receiver.stop()
    }

    /// Whole lines in one call, and at once: the reader may be a script that waits for them.
    private static func write(_ line: String, to descriptor: Int32) {
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { buffer in
            PlatformC.write(descriptor, buffer.baseAddress, buffer.count)
        }
    }

    private static func fail(_ message: String, code: Int32) -> Never {
        Self.write("tidemark-receiver: " + message, to: 2)
        exit(code)
    }
}
