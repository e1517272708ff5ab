import FoundationEssentials
import NIOHTTP1
import TidemarkCore

/// Formats one webhook as a line of text.
package struct WebhookLine {
    /// `nil` without a secret to check with.
    package var outcome: WebhookSignature.Outcome?
    private let request: WebhookReceiver.Request

    package init(_ request: WebhookReceiver.Request, signature: WebhookSignature?, now: Int64) {
        self.request = request
        self.outcome = signature?.check(
            id: request.headers.first(name: "webhook-id") ?? "",
            timestamp: request.headers.first(name: "webhook-timestamp") ?? "",
            signatures: request.headers.first(name: "webhook-signature") ?? "",
            body: request.body,
            now: now
        )
    }

    package var text: String {
        let body = try? JSONDecoder().decode(Body.self, from: Data(self.request.body))
        var words = [body?.type?.text ?? "(no type)"]
        if let key = body?.data?.key?.text { words.append("key \(key)") }
        if let milestone = body?.data?.milestone?.text { words.append("milestone \(milestone)") }
        words.append("webhook-id \(self.request.headers.first(name: "webhook-id") ?? "(none)")")
        switch self.outcome {
        case .verified: words.append("signature verified")
        case .refused(let why): words.append("signature NOT verified: \(why)")
        case nil: words.append("signature not checked")
        }
        if self.request.attempt > 1 { words.append("attempt \(self.request.attempt)") }
        return Self.escaped(words.joined(separator: "  "))
    }

    /// Escapes control and format characters and the separators of lines and paragraphs, as `tidemark` does: they could
    /// move the cursor, hide, or change the order in which other text is shown.
    package static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            if scalar.isUnsafeOnTerminals {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

/// What a line shows of a webhook's body.
private struct Body: Decodable {
    var type: Value?
    var data: Subject?

    struct Subject: Decodable {
        var key: Value?
        var milestone: Value?
    }

    /// A value, a list of them, or a mapping of names to values.
    struct Value: Decodable {
        /// Whole numbers keep their digits. A list is shown without brackets, as it is a key mostly.
        let text: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self.text = "null"
            } else if let value = try? container.decode(Bool.self) {
                self.text = "\(value)"
            } else if let value = try? container.decode(String.self) {
                self.text = value
            } else if let value = try? container.decode(Decimal.self) {
                self.text = "\(value)"
            } else if let values = try? container.decode([Value].self) {
                self.text = values.map(\.text).joined(separator: ", ")
            } else {
                let members = try container.decode([String: Value].self).sorted { $0.key < $1.key }
                self.text = members.map { "\($0)=\($1.text)" }.joined(separator: ", ")
            }
        }
    }
}
